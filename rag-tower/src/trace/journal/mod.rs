//! Rows that are safe before the caller has seen the end of the answer.
//!
//! [`FileJournal`] is an append-only log in a directory of its own. A finished row goes there first, with one write to
//! the page cache, and then to the writer's queue. From there on the journal is what is read when memory is not enough:
//!
//! | what happens | what becomes of the row |
//! |---|---|
//! | the process is killed | the next start reads it from the journal and writes it; writing is idempotent |
//! | the store is away | it leaves memory, and is read from the journal when the store is back |
//! | the queue is full | it stays in the journal, from which the writer reads it as soon as it can |
//! | the journal cannot be written | it is in memory only; see [`WhenFull`](super::WhenFull) |
//! | the power fails | as when the process is killed, for what has reached the disk: see [`Fsync`] |
//!
//! The log is a row of numbered files. A file is removed once it is no longer appended to and all its rows are in the
//! store. Records have a checksum: one that is damaged, or that a crash has cut off, is passed over and counted, and the
//! others are read. A row that the store refuses is put aside in `refused.jsonl`, which a person may look at.
//!
//! Rows are in the order in which they were appended, whatever the clock says. The files hold what people asked and were
//! answered: directory and files are readable by their owner only.

mod crc;
mod file;
mod files;
mod keeper;
mod log;
mod packed;
mod receipt;
mod record;
mod refused;
#[cfg(test)]
mod tests;

pub use self::file::FileJournal;
pub use self::receipt::{Journal, Receipt};

use std::time::Duration;

/// When appended rows are forced to the disk. Whatever is chosen, a row survives the end of the process, `kill -9`
/// included; what is chosen is how much a power failure or a crash of the system may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fsync {
    /// When the system likes, within half a minute as a rule.
    Never,
    /// Again and again, after this time. A good second of rows may be lost with [`DEFAULT`](Self::DEFAULT).
    Interval(Duration),
    /// Before the answer's end is yielded: nothing that was answered is lost. Rows that come together are forced
    /// together, so that the disk bounds how long an ask takes and not how many there are.
    Each,
}

// === impl Fsync ===

impl Fsync {
    /// Every second.
    pub const DEFAULT: Self = Self::Interval(Duration::from_secs(1));
}

impl Default for Fsync {
    fn default() -> Self {
        Self::DEFAULT
    }
}
