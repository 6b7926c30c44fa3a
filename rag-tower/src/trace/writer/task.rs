//! The loop: rows from the queue to the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::WriterConfig;
use super::batch::Batch;
use crate::error::{BoxError, Error, ErrorKind};
use crate::trace::sink::Queued;
use crate::trace::stats::Shared;
use crate::trace::{FileJournal, TraceRow, TraceStore};

/// The longest wait between two attempts.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(5);

pub(super) struct Task<T> {
    pub(super) store: T,
    pub(super) config: WriterConfig,
    pub(super) rows: mpsc::Receiver<Queued>,
    pub(super) stop: watch::Receiver<Option<Instant>>,
    pub(super) shared: Arc<Shared>,
    /// Rows that neither the store nor the journal took. While there are any, the rest waits in the queue, whose places
    /// bound what is in memory.
    pub(super) held: Batch,
    /// When rows of the journal, or those that are held, are to be tried next; none while there are none.
    pub(super) replay_at: Option<Instant>,
    pub(super) replay_wait: Duration,
    /// The last write failed, and rows wait: there is no use in trying others.
    pub(super) away: bool,
}

/// What the task does next.
enum Next {
    Write,
    Replay,
    End,
}

/// Why a batch was not written.
pub(super) enum Trouble {
    /// The store is away, or too slow.
    Away,
    /// The store will never take one of the rows.
    Refused,
    /// The grace period has passed.
    Late,
}

// === impl Task ===

impl<T: TraceStore> Task<T> {
    pub(super) fn new(
        store: T,
        config: WriterConfig,
        rows: mpsc::Receiver<Queued>,
        stop: watch::Receiver<Option<Instant>>,
        shared: Arc<Shared>,
    ) -> Self {
        // a damaged file may have no row that can be told, and is read all the same
        let left = config.journal.as_ref().is_some_and(|journal| journal.bytes() > 0);
        Self {
            replay_at: left.then(Instant::now),
            replay_wait: config.backoff,
            held: Batch::default(),
            away: false,
            store,
            config,
            rows,
            stop,
            shared,
        }
    }

    pub(super) async fn run(mut self) {
        let mut batch = Batch::default();
        self.measure();
        loop {
            match self.next(&mut batch).await {
                Next::Write => self.deliver(std::mem::take(&mut batch)).await,
                Next::Replay => self.replay().await,
                Next::End => break,
            }
            self.measure();
        }
        // In the usual case nothing is left: the queue has ended. When grace has passed, asks may still hold places.
        self.shared.close();
        self.rows.close();
        let mut left = std::mem::take(&mut self.held);
        left.append(batch);
        while let Ok(row) = self.rows.try_recv() {
            left.push(row);
        }
        self.end(left).await;
        self.measure();
    }

    /// Waits for something to do; rows are in `batch` then.
    async fn next(&mut self, batch: &mut Batch) -> Next {
        loop {
            let deadline = *self.stop.borrow_and_update();
            if deadline.is_some() {
                self.rows.close();
            }
            // Not biased: neither may a long replay keep the queue full, nor a busy queue keep rows on disk.
            tokio::select! {
                received = self.rows.recv(), if self.held.is_empty() => {
                    let Some(row) = received else { return Next::End };
                    batch.push(row);
                    break;
                }
                () = at(self.replay_at) => return Next::Replay,
                () = self.shared.overflow.notified() => {
                    self.replay_at.get_or_insert_with(Instant::now);
                }
                () = stop_changed(&mut self.stop) => {}
                () = at(deadline) => return Next::End,
            }
        }
        // Not by receiving: a receiver that waits is woken by every row, and each ask would pay for that.
        if self.rows.len() + 1 < self.config.batch {
            let deadline = *self.stop.borrow();
            tokio::select! {
                () = sleep(self.config.linger) => {}
                () = stop_changed(&mut self.stop) => {}
                () = at(deadline) => {}
            }
        }
        while batch.len() < self.config.batch
            && batch.bytes() < self.config.memory / 8
            && let Ok(row) = self.rows.try_recv()
        {
            batch.push(row);
        }
        Next::Write
    }

    /// Writes a batch, or leaves it to the journal when the store does not take it.
    async fn deliver(&mut self, mut batch: Batch) {
        if let Some(journal) = &self.config.journal {
            // these are read from the journal
            let left = batch.take_filed(&self.shared, |file| journal.is_left(file));
            self.shared.spooled(left.len());
        }
        if batch.is_empty() {
            return;
        }
        if self.away {
            return self.keep(batch).await;
        }
        let mut wait = self.config.backoff;
        for attempt in 1.. {
            match self.write_all(batch.rows()).await {
                Ok(refused) => return self.done(batch, refused).await,
                Err(Trouble::Away) if attempt < self.config.attempts => self.pause(wait).await,
                Err(_) => break,
            }
            wait = (wait * 2).min(MAX_BACKOFF);
        }
        self.keep(batch).await;
    }

    /// Everything of the batch is in the store, or will never be.
    pub(super) async fn done(&mut self, mut batch: Batch, refused: Vec<TraceRow>) {
        self.refuse(refused, Vec::new()).await;
        if let Some(journal) = &self.config.journal {
            journal.settle(batch.files());
        }
        drop(batch.take(&self.shared));
    }

    /// One write, bounded in time.
    async fn write(&self, rows: &[TraceRow]) -> Result<(), Trouble> {
        let deadline = *self.stop.borrow();
        let began = Instant::now();
        let written = tokio::select! {
            biased;
            written = timeout(self.config.write_timeout, self.store.write(rows)) => written,
            () = at(deadline) => return Err(Trouble::Late),
        };
        ::metrics::histogram!("rag_trace_write_duration_seconds").record(began.elapsed());
        match written {
            Ok(Ok(())) => {
                self.shared.written(rows.len());
                Ok(())
            }
            Ok(Err(error)) if is_refusal(&error) => Err(Trouble::Refused),
            Ok(Err(error)) => {
                tracing::warn!(rows = rows.len(), %error, "trace rows were not written");
                Err(Trouble::Away)
            }
            Err(_) => {
                tracing::warn!(rows = rows.len(), "writing trace rows took too long");
                Err(Trouble::Away)
            }
        }
    }

    /// Writes all rows but those that the store refuses, which are returned. A part that is refused is halved until the
    /// row is found.
    pub(super) async fn write_all(&self, rows: &[TraceRow]) -> Result<Vec<TraceRow>, Trouble> {
        let (mut parts, mut refused) = (vec![rows], Vec::new());
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.write(part).await {
                Ok(()) => {}
                Err(Trouble::Refused) if part.len() == 1 => refused.extend_from_slice(part),
                Err(Trouble::Refused) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(refused)
    }

    /// Waits before another attempt, not beyond the grace period.
    async fn pause(&mut self, wait: Duration) {
        let deadline = *self.stop.borrow_and_update();
        tokio::select! {
            () = sleep(wait) => {}
            () = stop_changed(&mut self.stop) => {}
            () = at(deadline) => {}
        }
    }

    pub(super) fn lose(&self, rows: usize) {
        if rows > 0 {
            tracing::error!(rows, "trace rows are lost");
            self.shared.lost(rows);
        }
    }

    fn measure(&self) {
        ::metrics::gauge!("rag_trace_queue_depth").set((self.rows.len() + self.held.len()) as f64);
        let (rows, bytes) = self.config.journal.as_ref().map_or((0, 0), FileJournal::size);
        ::metrics::gauge!("rag_trace_spooled").set(rows as f64);
        ::metrics::gauge!("rag_trace_journal_bytes").set(bytes as f64);
    }
}

/// True when a row of the batch can never be written.
fn is_refusal(error: &BoxError) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::InvalidInput)
}

/// Resolves when the writer is told to stop; never when nobody can tell it any more.
async fn stop_changed(stop: &mut watch::Receiver<Option<Instant>>) {
    if stop.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Resolves at the deadline; never when there is none.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
