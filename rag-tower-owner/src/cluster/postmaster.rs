//! The running server of a data folder: finds it through `postmaster.pid`, and ends it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::{ClusterError, POLL};

/// A live postmaster of one data folder.
#[derive(Debug)]
pub(super) struct Postmaster {
    data: PathBuf,
    pid: i32,
    ready: bool,
}

// === impl Postmaster ===

impl Postmaster {
    /// The live postmaster of `data`. A `postmaster.pid` whose number now belongs to somebody else is removed, because
    /// Postgres would refuse to start; one whose number belongs to nobody it handles itself.
    pub(super) fn find(data: &Path) -> Result<Option<Self>, ClusterError> {
        let file = data.join("postmaster.pid");
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ClusterError::io(file, error)),
        };
        // still being written: it is not there yet
        let Some((pid, ready)) = parse(&text) else { return Ok(None) };
        if is_postmaster_of(pid, data) {
            return Ok(Some(Self { data: data.to_owned(), pid, ready }));
        }
        if is_alive(pid)
            && let Err(error) = std::fs::remove_file(&file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(ClusterError::io(file, error));
        }
        Ok(None)
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// True when it accepts connections.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Asks for a fast shutdown and does not wait.
    pub(super) fn ask_to_stop(&self) {
        self.signal(Signal::SIGINT);
    }

    /// Fast shutdown; immediate when `grace` has passed. Returns when it is gone.
    pub(super) async fn stop(self, grace: Duration) -> Result<(), ClusterError> {
        for (signal, wait) in [
            (Signal::SIGINT, grace),
            (Signal::SIGQUIT, Duration::from_secs(5)),
            (Signal::SIGKILL, Duration::from_secs(5)),
        ] {
            self.signal(signal);
            let deadline = Instant::now() + wait;
            while Instant::now() < deadline {
                if !is_postmaster_of(self.pid, &self.data) {
                    return Ok(());
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Err(ClusterError::Stop { pid: self.pid() })
    }

    fn signal(&self, signal: Signal) {
        if is_postmaster_of(self.pid, &self.data) {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

/// The pid (line 1) and whether the status (line 8) is `ready`.
fn parse(text: &str) -> Option<(i32, bool)> {
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok().filter(|pid| *pid > 1)?;
    Some((pid, lines.nth(6).is_some_and(|status| status.trim() == "ready")))
}

/// True when `pid` is alive and is the postmaster of `data`. A postmaster works in its data folder, which tells it
/// from a stranger that was given a dead postmaster's number. Where there is no `/proc`, being alive has to do.
fn is_postmaster_of(pid: i32, data: &Path) -> bool {
    if !is_alive(pid) {
        return false;
    }
    let process = PathBuf::from(format!("/proc/{pid}"));
    if !Path::new("/proc/self").exists() {
        return true;
    }
    // a zombie has no working directory any more
    let (Ok(cwd), Ok(data)) = (process.join("cwd").read_link(), data.canonicalize()) else { return false };
    cwd == data
}

/// True when there is a process of this number, ours or not.
fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_pid_file() {
        let ready = "4711\n/d\n1700000000\n5432\n/run\n\n  12345 1\nready   \n";
        assert_eq!(parse(ready), Some((4711, true)));
        assert_eq!(parse("4711\n/d\n1700000000\n5432\n/run\n\n  12345 1\nstarting\n"), Some((4711, false)));
        assert_eq!(parse("4711\n/d\n"), Some((4711, false)));
        assert_eq!(parse(""), None);
        assert_eq!(parse("-1\n"), None);
    }

    #[test]
    fn a_stranger_with_the_old_number_is_not_the_postmaster() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("postmaster.pid");
        std::fs::write(&file, format!("{}\n/d\n1\n5432\n/run\n\n 1 1\nready\n", std::process::id())).unwrap();
        assert!(Postmaster::find(folder.path()).unwrap().is_none());
        assert!(!file.exists(), "the stale file would stop the next start");
    }
}
