//! The task behind the queue: batches, retries, reading from the journal, and an explicit end.

mod batch;
mod config;
mod courier;
mod replay;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::config::WriterConfig;
use self::task::Task;
use super::stats::Shared;
use super::{TraceSink, TraceStats, TraceStore};

/// The running writer. Dropping it leaves the writer running until every sink and every ask is gone; to end it in
/// order, call [`shutdown`](Self::shutdown).
#[derive(Debug)]
#[must_use = "without shutdown, rows in the queue may be lost when the program ends"]
pub struct TraceWriter {
    task: JoinHandle<()>,
    stop: watch::Sender<Option<Instant>>,
    shared: Arc<Shared>,
}

/// Starts the writer: one task that hands batches to `store`, two at a time when there are as many rows.
///
/// A batch that fails is tried again with a growing wait. Writing is idempotent by contract of [`TraceStore`], so that
/// a write whose answer was lost may be repeated. With a [`FileJournal`](super::FileJournal), the rows of a batch that
/// is given up leave memory, and so do all that follow until the store is back; then they are read from the journal, in
/// the order in which they were appended. Rows that come meanwhile do not wait for that.
///
/// # Panics
/// Outside a Tokio runtime.
#[expect(clippy::disallowed_methods, reason = "the one task of the trace plane; TraceWriter awaits it")]
pub fn spawn_writer<T: TraceStore>(store: T, config: WriterConfig) -> (TraceSink, TraceWriter) {
    let (sink, rows, shared) = TraceSink::new(config.queue, config.memory / 2, config.journal.clone());
    let (stop, stopped) = watch::channel(None);
    let task = Task::new(store, config, rows, stopped, Arc::clone(&shared));
    (sink, TraceWriter { task: tokio::spawn(task.run()), stop, shared })
}

// === impl TraceWriter ===

impl TraceWriter {
    /// Ends the writer: no ask starts a row from here on, the rows of asks in flight are awaited until `grace` has
    /// passed, and what is in the queue is delivered. Idle clones of the sink do not hold it up.
    ///
    /// A row that is handed in later stays in the journal; without one it counts as lost.
    pub async fn shutdown(self, grace: Duration) -> TraceStats {
        self.stop.send_replace(Some(Instant::now() + grace));
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the trace writer did not end in order");
        }
        self.shared.view()
    }

    /// What has become of rows so far.
    #[must_use]
    pub fn stats(&self) -> TraceStats {
        self.shared.view()
    }
}
