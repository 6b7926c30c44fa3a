//! The task behind the queue: batches, retries, and an explicit end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::sink::Shared;
use super::{TraceRow, TraceSink, TraceStats, TraceStore};

/// How the writer works. Start from the default and change what you need.
#[derive(Debug)]
#[must_use]
pub struct WriterConfig {
    queue: usize,
    batch: usize,
    linger: Duration,
    write_timeout: Duration,
    attempts: u32,
    backoff: Duration,
}

/// The running writer. Dropping it leaves the writer running until every sink and every ask is gone; to end it in
/// order, call [`shutdown`](Self::shutdown).
#[derive(Debug)]
#[must_use = "without shutdown, rows in the queue may be lost when the program ends"]
pub struct TraceWriter {
    task: JoinHandle<()>,
    stop: watch::Sender<Option<Instant>>,
    shared: Arc<Shared>,
}

struct Task<T> {
    store: T,
    config: WriterConfig,
    rows: mpsc::Receiver<TraceRow>,
    stop: watch::Receiver<Option<Instant>>,
    shared: Arc<Shared>,
}

// === impl WriterConfig ===

impl WriterConfig {
    /// Places in the queue: the most asks in flight and rows waiting together. Default: 8192.
    pub fn queue(mut self, places: usize) -> Self {
        self.queue = places;
        self
    }

    /// The most rows of one batch. Default: 256.
    pub fn batch(mut self, rows: usize) -> Self {
        self.batch = rows;
        self
    }

    /// How long the first row of a batch waits for others. Default: 200 ms.
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
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self {
            queue: 8192,
            batch: 256,
            linger: Duration::from_millis(200),
            write_timeout: Duration::from_secs(10),
            attempts: 4,
            backoff: Duration::from_millis(100),
        }
    }
}

/// Starts the writer: one task that hands batches to `store`.
///
/// A batch that fails is tried again with a growing wait. Writing is idempotent by contract of [`TraceStore`], so that
/// a write whose answer was lost may be repeated.
///
/// # Panics
/// Outside a Tokio runtime.
#[expect(clippy::disallowed_methods, reason = "the one task of the trace plane; TraceWriter awaits it")]
pub fn spawn_writer<T: TraceStore>(store: T, config: WriterConfig) -> (TraceSink, TraceWriter) {
    let (sink, rows, shared) = TraceSink::new(config.queue);
    let (stop, stopped) = watch::channel(None);
    let task = Task { store, config, rows, stop: stopped, shared: Arc::clone(&shared) };
    (sink, TraceWriter { task: tokio::spawn(task.run()), stop, shared })
}

// === impl TraceWriter ===

impl TraceWriter {
    /// Ends the writer: no ask starts a row from here on, the rows of asks in flight are awaited until `grace` has
    /// passed, and what is in the queue is delivered. Idle clones of the sink do not hold it up.
    ///
    /// A row that is handed in later counts as lost.
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

// === impl Task ===

impl<T: TraceStore> Task<T> {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(self.config.batch);
        while self.fill(&mut batch).await {
            self.depth();
            if let Err(left) = self.deliver(&batch).await {
                self.give_up(&batch, left);
            }
            batch.clear();
            self.depth();
        }
        // In the usual case nothing is left: the queue has ended. When grace has passed, asks may still hold places.
        self.shared.close();
        self.rows.close();
        while let Ok(row) = self.rows.try_recv() {
            batch.push(row);
        }
        if !batch.is_empty() {
            self.give_up(&batch, "the grace period has passed");
        }
        self.depth();
    }

    /// Waits for the next batch. False when there is none: the queue has ended, or the grace period.
    async fn fill(&mut self, batch: &mut Vec<TraceRow>) -> bool {
        let room = self.config.batch.max(1);
        loop {
            let deadline = *self.stop.borrow_and_update();
            if deadline.is_some() {
                self.rows.close();
            }
            tokio::select! {
                biased;
                received = self.rows.recv_many(batch, room) => {
                    if received == 0 {
                        return false;
                    }
                    break;
                }
                () = stop_changed(&mut self.stop) => {}
                () = at(deadline) => return false,
            }
        }
        let full = Instant::now() + self.config.linger;
        while batch.len() < room {
            let received = timeout_at(full, self.rows.recv_many(batch, room - batch.len())).await;
            if matches!(received, Ok(0) | Err(_)) {
                break;
            }
        }
        true
    }

    /// Writes a batch, trying again after failures until the attempts or the grace period are used up.
    async fn deliver(&mut self, batch: &[TraceRow]) -> Result<(), &'static str> {
        let mut wait = self.config.backoff;
        for attempt in 1.. {
            let deadline = *self.stop.borrow_and_update();
            let began = Instant::now();
            let written = tokio::select! {
                biased;
                written = timeout(self.config.write_timeout, self.store.write(batch)) => written,
                () = at(deadline) => return Err("the grace period has passed"),
            };
            ::metrics::histogram!("rag_trace_write_duration_seconds").record(began.elapsed());
            match written {
                Ok(Ok(())) => {
                    self.shared.written(batch.len());
                    return Ok(());
                }
                Ok(Err(error)) => {
                    tracing::warn!(attempt, rows = batch.len(), %error, "trace rows were not written")
                }
                Err(_) => tracing::warn!(attempt, rows = batch.len(), "writing trace rows took too long"),
            }
            if attempt >= self.config.attempts {
                break;
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = stop_changed(&mut self.stop) => {}
                () = at(deadline) => {}
            }
            wait = wait.saturating_mul(2);
        }
        Err("the store did not take them")
    }

    fn give_up(&self, batch: &[TraceRow], why: &'static str) {
        tracing::error!(rows = batch.len(), why, "trace rows are lost");
        self.shared.lost(batch.len());
    }

    fn depth(&self) {
        ::metrics::gauge!("rag_trace_queue_depth").set(self.rows.len() as f64);
    }
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
