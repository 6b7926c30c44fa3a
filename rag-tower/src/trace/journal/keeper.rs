//! The one thread of a journal: forces rows to the disk, makes the next file, removes those that are done with.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::log::{Log, ToDo};
use super::{Fsync, files};

/// What the thread and those that append share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) fsync: Fsync,
    log: Mutex<Log>,
    work: Condvar,
}

// === impl Desk ===

impl Desk {
    pub(super) fn new(log: Log, fsync: Fsync) -> Self {
        Self { fsync, log: Mutex::new(log), work: Condvar::new() }
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        // Every change of the log is whole before anything can panic.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) {
        self.work.notify_one();
    }

    /// The thread, until it is told to stop.
    pub(super) fn keep(&self) {
        let mut synced = Instant::now();
        loop {
            let work = self.next(synced);
            if !work.sync.is_empty() {
                synced = Instant::now();
            }
            let stop = work.stop;
            self.run(work);
            if stop {
                return;
            }
        }
    }

    /// Waits for something to do, and takes it.
    fn next(&self, synced: Instant) -> ToDo {
        let mut log = self.log();
        loop {
            let to_do = &log.to_do;
            let sync = match self.fsync {
                Fsync::Never => false,
                Fsync::Interval(every) => {
                    (to_do.sync_open || !to_do.sync.is_empty()) && synced.elapsed() >= every
                }
                Fsync::Each => !to_do.waiting.is_empty(),
            };
            if sync || to_do.stop || to_do.spare || !to_do.remove.is_empty() {
                return self.take(&mut log, sync);
            }
            log = match self.fsync {
                Fsync::Interval(every) => {
                    let wait = every.saturating_sub(synced.elapsed());
                    // after a while without rows there is nothing to do but to look again
                    let wait = if wait.is_zero() { every } else { wait };
                    self.work.wait_timeout(log, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                Fsync::Never | Fsync::Each => self.work.wait(log).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn take(&self, log: &mut Log, sync: bool) -> ToDo {
        if log.to_do.stop {
            log.tidy();
        }
        let open = log.open_file();
        let to_do = &mut log.to_do;
        let mut work = ToDo { stop: to_do.stop, ..ToDo::default() };
        work.remove.append(&mut to_do.remove);
        work.spare = std::mem::take(&mut to_do.spare) && !to_do.stop;
        if self.fsync == Fsync::Never {
            to_do.sync.clear();
        } else if sync || to_do.stop {
            work.sync.append(&mut to_do.sync);
            work.sync.extend(open.filter(|_| to_do.sync_open));
            work.waiting.append(&mut to_do.waiting);
            to_do.sync_open = false;
        }
        work
    }

    fn run(&self, work: ToDo) {
        let dir = self.log().dir.clone();
        if work.spare {
            self.make_spare(&dir);
        }
        for file in work.sync {
            if let Err(error) = file.sync_data() {
                failed("sync", &error);
            }
        }
        // those who wait go on, safe or not: it is in the log and in the metrics
        work.waiting.into_iter().for_each(drop);
        remove(&dir, &work.remove);
    }

    fn make_spare(&self, dir: &Path) {
        let number = self.log().number();
        let made = files::create(dir, number).and_then(|file| {
            if self.fsync != Fsync::Never {
                files::sync_names(dir)?;
            }
            Ok(file)
        });
        match made {
            Ok(file) => self.log().keep_spare(number, file),
            Err(error) => failed("create", &error),
        }
    }
}

/// Removes files. One that stays is read again after the next start, which changes nothing.
pub(super) fn remove(dir: &Path, numbers: &[u64]) {
    for number in numbers {
        match fs::remove_file(files::path(dir, *number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => failed("remove", &error),
            _ => {}
        }
    }
}

/// Something that the next row or the next start has to make good.
pub(super) fn failed(operation: &'static str, error: &io::Error) {
    tracing::error!(operation, %error, "the trace journal");
    ::metrics::counter!("rag_trace_journal_errors_total", "operation" => operation).increment(1);
}
