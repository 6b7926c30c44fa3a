//! What a process has cost: a process id in, the time that processors have worked for it out.

/// The processor time that a process has used, and that its descendants have, in microseconds. Unlike a rate it hardly
/// depends on what else the machine does.
#[must_use]
pub fn processor_us(pid: u32) -> (f64, f64) {
    let stat = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // the name may hold anything, so fields are counted from behind it: the state, the parent, …
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        Some((fields.get(1)?.parse::<u32>().ok()?, ticks * 10_000.0))
    };
    let all: Vec<(u32, u32, f64)> = std::fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| stat(pid).map(|(parent, time)| (pid, parent, time)))
        .collect();
    let (mut family, mut below) = (vec![pid], 0.0);
    while let Some(parent) = family.pop() {
        for (child, _, time) in all.iter().filter(|(_, of, _)| *of == parent) {
            family.push(*child);
            below += time;
        }
    }
    (stat(pid).map_or(f64::NAN, |(_, time)| time), below)
}
