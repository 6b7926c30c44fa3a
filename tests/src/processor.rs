//! What a process has cost: a process id in, the time that processors have worked for it and the memory it has out. With it
//! the machine that it ran on.

use std::fs::read_to_string;

/// The processor time that a process has used, and that its descendants have, in microseconds. Unlike a rate it hardly
/// depends on what else the machine does.
#[must_use]
pub fn processor_us(pid: u32) -> (f64, f64) {
    let of = |pid: u32| stat(&read_to_string(format!("/proc/{pid}/stat")).ok()?).map(|(_, time)| time);
    let below = descendants(pid).into_iter().filter_map(of).fold(0.0, |sum, one| sum + one);
    (of(pid).unwrap_or(f64::NAN), below)
}

/// The resident memory of a process, and of its descendants together, in MB: what `ps` adds up, pages that several have being
/// counted for each.
#[must_use]
pub fn resident_mb(pid: u32) -> (f64, f64) {
    let of = |pid: u32| kilobytes(&read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:");
    memory(pid, of)
}

/// The same with each page that several processes have shared out among them: what Postgres' processes have in common counts
/// once. Reading another user's processes takes the rights of root; the memory of those that may not be read is not in it.
#[must_use]
pub fn shared_out_mb(pid: u32) -> (f64, f64) {
    let of = |pid: u32| kilobytes(&read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:");
    memory(pid, of)
}

/// What this machine is, in a line: processor, cores, memory, system.
#[must_use]
pub fn machine() -> String {
    let read = |path: &str| read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = kilobytes(&read("/proc/meminfo"), "MemTotal:").unwrap_or_default() / 1024.0 / 1024.0;
    format!(
        "{}, {cores} cores, {memory:.0} GB, {}, Linux {}",
        value(&read("/proc/cpuinfo"), "model name", ':').unwrap_or("unknown processor"),
        value(&read("/etc/os-release"), "PRETTY_NAME", '=').unwrap_or("unknown system"),
        read("/proc/sys/kernel/osrelease").trim(),
    )
}

fn memory(pid: u32, of: impl Fn(u32) -> Option<f64>) -> (f64, f64) {
    let megabytes = |kilobytes: f64| (kilobytes / 102.4).round() / 10.0;
    let below = descendants(pid).into_iter().filter_map(&of).fold(0.0, |sum, one| sum + one);
    (of(pid).map_or(f64::NAN, megabytes), megabytes(below))
}

/// All processes below one.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(&read_to_string(format!("/proc/{pid}/stat")).ok()?)?.0)))
        .collect();
    below(pid, &all)
}

/// All that descend from one, given each process with its parent.
fn below(pid: u32, all: &[(u32, u32)]) -> Vec<u32> {
    let (mut parents, mut found) = (vec![pid], Vec::new());
    while let Some(parent) = parents.pop() {
        let children = all.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child);
        parents.extend(children.clone());
        found.extend(children);
    }
    found
}

/// The parent and the processor time in microseconds of `/proc/<pid>/stat`.
fn stat(stat: &str) -> Option<(u32, f64)> {
    // the name may hold anything, so fields are counted from behind it: the state, the parent, …
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some((fields.get(1)?.parse().ok()?, ticks * 10_000.0))
}

/// The number behind a name of a file like `/proc/<pid>/status`.
fn kilobytes(file: &str, name: &str) -> Option<f64> {
    file.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

fn value<'a>(file: &'a str, name: &str, separator: char) -> Option<&'a str> {
    let (found, value) =
        file.lines().find_map(|line| line.split_once(separator).filter(|(key, _)| key.trim() == name))?;
    (!found.is_empty()).then(|| value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_whatever_a_process_is_called() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194560 900 0 0 0 150 50 9 9 20 0 4 0 1 2 3";
        assert_eq!(stat(line), Some((7, 2_000_000.0)));
        assert_eq!(stat("42 (a) S 7"), None);
        assert_eq!(stat(""), None);
    }

    #[test]
    fn descendants_are_found_at_any_depth_and_nobody_elses() {
        let all = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 2)];
        let mut found = below(2, &all);
        found.sort_unstable();
        assert_eq!(found, [3, 4, 6]);
        assert!(below(6, &all).is_empty());
    }

    #[test]
    fn files_of_the_kernel_are_read_by_name() {
        let status = "Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t  512 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(512.0));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
        assert_eq!(value("model name\t: Some CPU\n", "model name", ':'), Some("Some CPU"));
        assert_eq!(value("NAME=\"x\"\nPRETTY_NAME=\"Some OS\"\n", "PRETTY_NAME", '='), Some("Some OS"));
        assert_eq!(value("model\t: Some CPU\n", "model name", ':'), None);
    }

    #[test]
    fn this_process_has_a_size_and_this_machine_a_name() {
        let (own, _) = resident_mb(std::process::id());
        assert!(own > 0.1, "{own}");
        assert!(shared_out_mb(std::process::id()).0 <= own + 1.0);
        assert!(processor_us(std::process::id()).0 >= 0.0);
        assert!(machine().contains("Linux"), "{}", machine());
    }
}
