//! The loop: rows from the queue to the store.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};

use super::WriterConfig;
use super::batch::Batch;
use super::courier::{Courier, Trouble};
use crate::trace::sink::Queued;
use crate::trace::stats::Shared;
use crate::trace::{FileJournal, TraceRow, TraceStore};

/// The longest wait between two attempts.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Batches that are written at once: the store works on one while the next is put into words, and neither waits for the
/// other's disk.
pub(super) const LANES: usize = 2;

/// How often what waits is measured, whatever is going on: when the store hangs, that is what there is to see.
const MEASURED: Duration = Duration::from_secs(1);

pub(super) struct Task<T> {
    pub(super) courier: Arc<Courier<T>>,
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
    measured: Interval,
}

/// What the task does next.
enum Next {
    Write,
    Replay,
    End,
}

/// Batches that are being written.
type Lanes = FuturesUnordered<Pin<Box<dyn Future<Output = Delivered> + Send>>>;

/// A batch, and those of its rows that the store refuses, or why it was not written.
struct Delivered {
    batch: Batch,
    outcome: Result<Vec<TraceRow>, Trouble>,
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
        let mut measured = interval(MEASURED);
        measured.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // a damaged file may have no row that can be told, and is read all the same
        let left = config.journal.as_ref().is_some_and(|journal| journal.bytes() > 0);
        Self {
            replay_at: left.then(Instant::now),
            replay_wait: config.backoff,
            held: Batch::default(),
            away: false,
            courier: Arc::new(Courier::new(store, &config, stop.clone(), Arc::clone(&shared))),
            config,
            rows,
            stop,
            shared,
            measured,
        }
    }

    pub(super) async fn run(mut self) {
        let (mut batch, mut lanes) = (Batch::default(), Lanes::new());
        self.measure();
        loop {
            match self.next(&mut batch, &mut lanes).await {
                Next::Write => self.deliver(std::mem::take(&mut batch), &mut lanes).await,
                Next::Replay => {
                    self.finish(&mut lanes).await;
                    self.replay().await;
                }
                Next::End => break,
            }
            self.measure();
        }
        self.finish(&mut lanes).await;
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
    async fn next(&mut self, batch: &mut Batch, lanes: &mut Lanes) -> Next {
        loop {
            let deadline = *self.stop.borrow_and_update();
            if deadline.is_some() {
                self.rows.close();
            }
            // Not biased: neither may a long replay keep the queue full, nor a busy queue keep rows on disk.
            let free = self.held.is_empty() && lanes.len() < LANES;
            tokio::select! {
                Some(delivered) = lanes.next() => self.settle(delivered).await,
                received = self.rows.recv(), if free => {
                    let Some(row) = received else { return Next::End };
                    batch.push(row);
                    break;
                }
                () = at(self.replay_at) => return Next::Replay,
                () = self.shared.overflow.notified() => {
                    self.replay_at.get_or_insert_with(Instant::now);
                }
                () = stop_changed(&mut self.stop) => {}
                _ = self.measured.tick() => self.measure(),
                () = at(deadline) => return Next::End,
            }
        }
        // Not by receiving: a receiver that waits is woken by every row, and each ask would pay for that.
        if self.rows.len() + 1 < self.config.batch {
            let deadline = *self.stop.borrow();
            let mut linger = std::pin::pin!(sleep(self.config.linger));
            loop {
                tokio::select! {
                    Some(delivered) = lanes.next() => self.settle(delivered).await,
                    () = &mut linger => break,
                    () = stop_changed(&mut self.stop) => break,
                    () = at(deadline) => break,
                }
            }
        }
        while batch.len() < self.config.batch
            && batch.bytes() < self.config.memory / 16
            && let Ok(row) = self.rows.try_recv()
        {
            batch.push(row);
        }
        Next::Write
    }

    /// Begins to write a batch, or leaves it to the journal when the store takes nothing.
    async fn deliver(&mut self, mut batch: Batch, lanes: &mut Lanes) {
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
        let courier = Arc::clone(&self.courier);
        lanes.push(Box::pin(async move {
            let outcome = courier.deliver(batch.rows()).await;
            Delivered { batch, outcome }
        }));
    }

    /// Waits for the batches that are being written.
    async fn finish(&mut self, lanes: &mut Lanes) {
        while let Some(delivered) = self.meanwhile(lanes.next()).await {
            self.settle(delivered).await;
        }
    }

    /// Waits for work, and measures meanwhile.
    pub(super) async fn meanwhile<W: Future>(&mut self, work: W) -> W::Output {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = self.measured.tick() => self.measure(),
            }
        }
    }

    async fn settle(&mut self, Delivered { batch, outcome }: Delivered) {
        match outcome {
            Ok(refused) => self.done(batch, refused).await,
            Err(_) => self.keep(batch).await,
        }
    }

    /// Everything of the batch is in the store, or will never be.
    pub(super) async fn done(&mut self, mut batch: Batch, refused: Vec<TraceRow>) {
        self.refuse(refused, Vec::new()).await;
        if let Some(journal) = &self.config.journal {
            journal.settle(batch.files());
        }
        drop(batch.take(&self.shared));
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

/// Resolves when the writer is told to stop; never when nobody can tell it any more.
pub(super) async fn stop_changed(stop: &mut watch::Receiver<Option<Instant>>) {
    if stop.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Resolves at the deadline; never when there is none.
pub(super) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
