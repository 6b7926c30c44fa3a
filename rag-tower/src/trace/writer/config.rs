//! How the writer works.

use std::time::Duration;

use crate::trace::FileJournal;

/// How the writer works. Start from the default and change what you need.
#[derive(Debug)]
#[must_use]
pub struct WriterConfig {
    pub(super) queue: usize,
    pub(super) memory: u64,
    pub(super) batch: usize,
    pub(super) linger: Duration,
    pub(super) write_timeout: Duration,
    pub(super) attempts: u32,
    pub(super) backoff: Duration,
    pub(super) journal: Option<FileJournal>,
}

// === impl WriterConfig ===

impl WriterConfig {
    /// Places in the queue: the most asks in flight and rows waiting together. Default: 16 384.
    pub fn queue(mut self, places: usize) -> Self {
        self.queue = places;
        self
    }

    /// The most memory that rows may take until they are written, in bytes: half of it for all rows, a sixteenth
    /// for each of the two batches that are being written, of which the store makes copies. A row for which there is no room is handled as in a full queue. Default:
    /// 64 MiB.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// The most rows of one batch. Default: 256.
    pub fn batch(mut self, rows: usize) -> Self {
        self.batch = rows;
        self
    }

    /// How long the first row of a batch waits for others. Default: 100 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// How long one write may take. Default: 10 s.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// How often a batch is tried before it is given up, and the wait after the first failure, which doubles each
    /// time. Default: 4 times, 100 ms.
    pub fn retry(mut self, attempts: u32, backoff: Duration) -> Self {
        (self.attempts, self.backoff) = (attempts, backoff);
        self
    }

    /// Appends each row to this journal before its answer's end is yielded, and reads from it what was not written.
    /// Default: none; a batch that is given up is lost then, and so is what is in memory when the process is killed.
    ///
    /// A journal that cannot be written takes no row: rows are in memory then, in as many places as the queue has, until
    /// the store or the journal takes them again or the writer ends.
    pub fn journal(mut self, journal: FileJournal) -> Self {
        self.journal = Some(journal);
        self
    }
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self {
            queue: 16_384,
            memory: 64 * 1024 * 1024,
            batch: 256,
            linger: Duration::from_millis(100),
            write_timeout: Duration::from_secs(10),
            attempts: 4,
            backoff: Duration::from_millis(100),
            journal: None,
        }
    }
}
