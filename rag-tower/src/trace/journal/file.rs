//! The journal on disk: a row in, and on disk before the end of its answer; read again when it is needed.

use std::cell::Cell;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::sync::oneshot;

use super::keeper::{self, Desk};
use super::log::{Chunk, Log};
use super::record::{self, Draft};
use super::{Fsync, Journal, Receipt, files, refused};
use crate::trace::TraceRow;

/// A buffer of more than this is not kept for the next row.
const USUAL_BUFFER: usize = 256 * 1024;

thread_local! {
    /// Where rows become bytes.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An append-only log of rows in a directory of its own; see [`Fsync`] for what it promises. Give it to the writer with
/// [`WriterConfig::journal`](crate::trace::WriterConfig::journal). Clones are the same journal.
///
/// Appending takes one write to the page cache, which is what makes it legal in `Drop`; a thread of the journal's own
/// does everything else that touches the disk. A system that has too much to write may hold any write up.
#[derive(Clone)]
pub struct FileJournal(Arc<Handle>);

/// Its end is the end of the thread.
struct Handle {
    desk: Arc<Desk>,
    dir: PathBuf,
    failing: AtomicBool,
}

// === impl FileJournal ===

impl FileJournal {
    /// Opens the journal in `dir`, which is made when missing, with at most `max_bytes` of rows; what an earlier run has
    /// left is what the writer reads first. Blocks, and reads all that was left: call it before the server serves.
    ///
    /// # Errors
    /// When the directory cannot be made, read or written, or another process has it open.
    pub fn open(dir: impl Into<PathBuf>, max_bytes: u64, fsync: Fsync) -> io::Result<Self> {
        let dir = dir.into();
        files::make_dir(&dir)?;
        let lock = files::lock(&dir)?;
        let (mut found, mut next_row) = (Vec::new(), 0);
        for number in files::list(&dir)? {
            let path = files::path(&dir, number);
            let mut file = File::open(&path)?;
            let bytes = file.metadata()?.len();
            if bytes == 0 {
                fs::remove_file(path)?;
                continue;
            }
            let (rows, newest) = record::survey(&mut file)?;
            next_row = newest.map_or(next_row, |newest| next_row.max(newest + 1));
            found.push((number, bytes, rows));
        }
        let desk = Arc::new(Desk::new(Log::new(dir.clone(), max_bytes, &found, next_row), fsync));
        let thread = thread::Builder::new().name("trace-journal".into());
        let keeper = Arc::clone(&desk);
        thread.spawn(move || {
            keeper.keep();
            // the directory is another's from here on
            drop(lock);
        })?;
        Ok(Self(Arc::new(Handle { desk, dir, failing: AtomicBool::new(false) })))
    }

    /// False while the last row could not be appended. Each further row tries again.
    #[must_use]
    pub fn can_write(&self) -> bool {
        !self.0.failing.load(Ordering::Relaxed)
    }

    /// Rows that are in the journal alone, for the writer to read.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.size().0
    }

    /// The size of all its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.size().1
    }

    /// Both.
    pub(in crate::trace) fn size(&self) -> (u64, u64) {
        self.0.desk.log().waiting()
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// One row of each of these files is in the store.
    pub(in crate::trace) fn settle(&self, rows: impl IntoIterator<Item = u64>) {
        self.change(|log| rows.into_iter().for_each(|file| log.settle(file)));
    }

    /// These files have rows that are nowhere else.
    pub(in crate::trace) fn leave(&self, rows: impl IntoIterator<Item = u64>) {
        self.change(|log| rows.into_iter().for_each(|file| log.leave(file)));
    }

    /// True when all rows of the file are read from it, or have been.
    pub(in crate::trace) fn is_left(&self, file: u64) -> bool {
        self.0.desk.log().is_left(file)
    }

    /// The next rows that are in the journal alone, at most `limit`; they stay until [`replayed`](Self::replayed). A file
    /// that cannot be read is passed over. Blocks.
    pub(in crate::trace) fn next(&self, limit: usize) -> Option<Chunk> {
        loop {
            let (file, from) = self.0.desk.log().oldest_left()?;
            let part = File::open(files::path(&self.0.dir, file))
                .and_then(|mut input| record::read(&mut input, from, limit.max(1)));
            match part {
                Ok(part) => return Some(Chunk::new(file, part)),
                Err(error) => {
                    keeper::failed("read", &error);
                    self.0.desk.log().set_aside(file);
                }
            }
        }
    }

    /// The rows of a chunk are in the store.
    pub(in crate::trace) fn replayed(&self, chunk: &Chunk) {
        self.change(|log| log.replayed(chunk));
    }

    /// Keeps what no store takes, and says how many were kept. Blocks.
    pub(in crate::trace) fn put_aside(&self, rows: &[Vec<u8>]) -> usize {
        let kept = rows.iter().map(|row| refused::keep(&self.0.dir, row));
        kept.filter(|kept| kept.as_ref().inspect_err(|error| keeper::failed("refuse", error)).is_ok()).count()
    }

    /// Removes files that nobody needs, the one that is appended to among them. Blocks.
    pub(in crate::trace) fn tidy(&self) {
        let mut log = self.0.desk.log();
        log.tidy();
        let done = std::mem::take(&mut log.to_do.remove);
        drop(log);
        keeper::remove(&self.0.dir, &done);
    }

    #[cfg(test)]
    pub(in crate::trace) fn set_limit(&self, limit: u64) {
        self.0.desk.log().set_limit(limit);
    }

    #[cfg(test)]
    pub(super) fn desk(&self) -> &Desk {
        &self.0.desk
    }

    fn change(&self, change: impl FnOnce(&mut Log)) {
        let mut log = self.0.desk.log();
        change(&mut log);
        let wake = !log.to_do.remove.is_empty();
        drop(log);
        if wake {
            self.0.desk.wake();
        }
    }
}

impl Journal for FileJournal {
    fn append(&self, row: &TraceRow) -> Receipt {
        let buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
        let (receipt, buffer) = match Draft::of(row, buffer) {
            Ok(mut draft) => (self.0.append(&mut draft), draft.into_buffer()),
            Err(buffer) => {
                keeper::failed("append", &io::Error::new(io::ErrorKind::InvalidData, "a row is too long"));
                (Receipt::done(), buffer)
            }
        };
        if buffer.capacity() <= USUAL_BUFFER {
            let _for_the_next = BUFFER.try_with(|kept| kept.set(buffer));
        }
        receipt
    }
}

impl fmt::Debug for FileJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileJournal").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}

// === impl Handle ===

impl Handle {
    fn append(&self, draft: &mut Draft) -> Receipt {
        let waits = (self.desk.fsync == Fsync::Each).then(oneshot::channel);
        let (safe, receipt) = waits.unzip();
        let mut log = self.desk.log();
        let appended = log.append(draft);
        if appended.is_ok() {
            log.to_do.waiting.extend(safe);
        }
        let wake = receipt.is_some() || log.to_do.spare || !log.to_do.remove.is_empty();
        drop(log);
        if wake {
            self.desk.wake();
        }
        match appended {
            Ok(file) => {
                if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the trace journal can be written again");
                }
                Receipt::in_file(file, receipt)
            }
            Err(error) => {
                // once for each time of trouble: there may be thousands of rows in it
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the trace journal cannot be written: rows are in memory only");
                }
                ::metrics::counter!("rag_trace_journal_errors_total", "operation" => "append").increment(1);
                Receipt::done()
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.desk.log().to_do.stop = true;
        self.desk.wake();
    }
}
