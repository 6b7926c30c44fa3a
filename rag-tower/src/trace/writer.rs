//! The task behind the queue: batches, retries, and an explicit end.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::sink::Shared;
use super::spool::Spool;
use super::{TraceRow, TraceSink, TraceStats, TraceStore};
use crate::error::{BoxError, Error, ErrorKind};

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
    spool: Option<Spool>,
}

/// The longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

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
    spool: Option<Arc<Mutex<Spool>>>,
    /// Rows that neither the store nor the disk took, younger than those on disk. While there are any, the rest waits in
    /// the queue, whose places bound what is in memory.
    held: Vec<TraceRow>,
    /// When the rows on disk, or those that are held, are to be tried next; none while there are none.
    replay_at: Option<Instant>,
    replay_wait: Duration,
}

/// What the task does next.
enum Next {
    Write,
    Replay,
    End,
}

/// Why a batch was not written.
enum Trouble {
    /// The store is away, or too slow.
    Away,
    /// The store will never take one of the rows.
    Refused,
    /// The grace period has passed.
    Late,
}

// === impl WriterConfig ===

impl WriterConfig {
    /// Places in the queue: the most asks in flight and rows waiting together. Default: 16 384.
    pub fn queue(mut self, places: usize) -> Self {
        self.queue = places;
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

    /// Keeps rows on disk while the store is away. Default: none; a batch that is given up is lost then.
    ///
    /// A disk that is full too takes none: rows then wait in memory, in as many places as the queue has, until the store or
    /// the disk takes them again or the writer ends.
    pub fn spool(mut self, spool: Spool) -> Self {
        self.spool = Some(spool);
        self
    }
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self {
            queue: 16_384,
            batch: 256,
            linger: Duration::from_millis(100),
            write_timeout: Duration::from_secs(10),
            attempts: 4,
            backoff: Duration::from_millis(100),
            spool: None,
        }
    }
}

/// Starts the writer: one task that hands batches to `store`.
///
/// A batch that fails is tried again with a growing wait. Writing is idempotent by contract of [`TraceStore`], so that
/// a write whose answer was lost may be repeated. With a [`Spool`], a batch that is given up goes to disk, and so do all
/// that follow, until everything on disk has been written: rows reach the store in order.
///
/// # Panics
/// Outside a Tokio runtime.
#[expect(clippy::disallowed_methods, reason = "the one task of the trace plane; TraceWriter awaits it")]
pub fn spawn_writer<T: TraceStore>(store: T, mut config: WriterConfig) -> (TraceSink, TraceWriter) {
    let (sink, rows, shared) = TraceSink::new(config.queue);
    let (stop, stopped) = watch::channel(None);
    let spool = config.spool.take();
    let task = Task {
        store,
        replay_at: spool.as_ref().filter(|spool| !spool.is_empty()).map(|_| Instant::now()),
        replay_wait: config.backoff,
        spool: spool.map(|spool| Arc::new(Mutex::new(spool))),
        held: Vec::new(),
        config,
        rows,
        stop: stopped,
        shared: Arc::clone(&shared),
    };
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
        left.append(&mut batch);
        while let Ok(row) = self.rows.try_recv() {
            left.push(row);
        }
        let left = self.put_aside(left).await;
        self.lose(left.len());
        self.measure();
    }

    /// Waits for something to do; rows are in `batch` then.
    async fn next(&mut self, batch: &mut Vec<TraceRow>) -> Next {
        let room = self.config.batch.max(1);
        loop {
            let deadline = *self.stop.borrow_and_update();
            if deadline.is_some() {
                self.rows.close();
            }
            // Not biased: neither may a long replay keep the queue full, nor a busy queue keep rows on disk.
            tokio::select! {
                received = self.rows.recv_many(batch, room), if self.held.is_empty() => {
                    if received == 0 {
                        return Next::End;
                    }
                    break;
                }
                () = at(self.replay_at) => return Next::Replay,
                () = stop_changed(&mut self.stop) => {}
                () = at(deadline) => return Next::End,
            }
        }
        // Not by receiving: a receiver that waits is woken by every row, and each ask would pay for that.
        if batch.len() < room && self.rows.len() < room {
            let deadline = *self.stop.borrow();
            tokio::select! {
                () = sleep(self.config.linger) => {}
                () = stop_changed(&mut self.stop) => {}
                () = at(deadline) => {}
            }
        }
        while batch.len() < room
            && let Ok(row) = self.rows.try_recv()
        {
            batch.push(row);
        }
        Next::Write
    }

    /// Writes a batch, or puts it aside when the store does not take it.
    async fn deliver(&mut self, mut batch: Vec<TraceRow>) {
        // Rows on disk are older: this batch must not overtake them.
        if self.replay_at.is_some() {
            return self.keep(batch).await;
        }
        let mut wait = self.config.backoff;
        for attempt in 1.. {
            match self.write_all(&mut batch).await {
                Ok(()) => return,
                Err(Trouble::Away) if attempt < self.config.attempts => self.pause(wait).await,
                Err(_) => break,
            }
            wait = (wait * 2).min(MAX_BACKOFF);
        }
        self.keep(batch).await;
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

    /// Waits before another attempt, not beyond the grace period.
    async fn pause(&mut self, wait: Duration) {
        let deadline = *self.stop.borrow_and_update();
        tokio::select! {
            () = sleep(wait) => {}
            () = stop_changed(&mut self.stop) => {}
            () = at(deadline) => {}
        }
    }

    /// Keeps rows for later: on disk, or in memory when the disk does not take them.
    async fn keep(&mut self, batch: Vec<TraceRow>) {
        let left = self.put_aside(batch).await;
        if left.is_empty() {
            return;
        }
        if self.spool.is_none() {
            return self.lose(left.len());
        }
        tracing::error!(
            rows = left.len(),
            "trace rows can neither be written nor put on disk; they wait in memory"
        );
        self.held = left;
        self.replay_later();
    }

    /// Puts rows on disk, and returns those that it does not take.
    async fn put_aside(&mut self, mut batch: Vec<TraceRow>) -> Vec<TraceRow> {
        if batch.is_empty() || self.spool.is_none() {
            return batch;
        }
        let total = batch.len();
        let appended = self
            .on_disk(move |spool| {
                let kept = spool.append(&batch).unwrap_or_else(|error| {
                    tracing::error!(%error, "trace rows cannot be put on disk");
                    0
                });
                Ok((kept, batch.split_off(kept)))
            })
            .await;
        let Some(Ok((kept, left))) = appended else {
            // that thread panicked, and the rows went with it
            self.lose(total);
            return Vec::new();
        };
        if kept > 0 {
            self.shared.spooled(kept);
            self.replay_at.get_or_insert_with(|| Instant::now() + self.replay_wait);
        }
        left
    }

    fn lose(&self, rows: usize) {
        if rows > 0 {
            tracing::error!(rows, "trace rows are lost");
            self.shared.lost(rows);
        }
    }

    /// Writes the oldest rows that wait to the store: those on disk first, then those that are held.
    async fn replay(&mut self) {
        let limit = self.config.batch;
        let mut chunk = match self.on_disk(move |spool| spool.peek(limit)).await {
            Some(Ok(Some(chunk))) => chunk,
            Some(Ok(None)) | None => return self.release().await,
            Some(Err(error)) => {
                tracing::error!(%error, "the spool cannot be read");
                return self.replay_later();
            }
        };
        match self.write_all(&mut chunk.rows).await {
            Ok(()) => {
                self.replay_wait = self.config.backoff;
                self.replay_at = Some(Instant::now());
                self.shared.torn(chunk.torn);
                let advanced =
                    self.on_disk(move |spool| spool.advance(&chunk).map(|()| spool.is_empty())).await;
                match advanced {
                    Some(Ok(true)) if self.held.is_empty() => self.replay_at = None,
                    Some(Err(error)) => tracing::error!(%error, "a file of the spool cannot be removed"),
                    Some(Ok(_)) | None => {}
                }
            }
            Err(_) => {
                self.replay_later();
                let held = std::mem::take(&mut self.held);
                self.held = self.put_aside(held).await;
            }
        }
    }

    /// Writes the rows that are held to the store, or else to the disk. Nothing older waits.
    async fn release(&mut self) {
        self.replay_at = None;
        let mut held = std::mem::take(&mut self.held);
        match self.write_all(&mut held).await {
            Ok(()) => self.replay_wait = self.config.backoff,
            Err(_) => {
                self.replay_later();
                self.held = self.put_aside(held).await;
            }
        }
    }

    /// Writes rows, those that are refused left out. What is left after a failure is still to be written.
    async fn write_all(&mut self, rows: &mut Vec<TraceRow>) -> Result<(), Trouble> {
        if rows.is_empty() {
            return Ok(());
        }
        match self.write(rows).await {
            Err(Trouble::Refused) => {}
            other => return other,
        }
        while let Some(row) = rows.first() {
            match self.write(std::slice::from_ref(row)).await {
                Ok(()) => {}
                Err(Trouble::Refused) => self.refuse(row),
                Err(trouble) => return Err(trouble),
            }
            rows.remove(0);
        }
        Ok(())
    }

    /// A row that the store will never take is lost: kept, it would hold up all others for ever.
    fn refuse(&self, row: &TraceRow) {
        tracing::error!(trace_id = %row.trace_id, "the store refuses a trace row; it is lost");
        self.shared.lost(1);
    }

    fn replay_later(&mut self) {
        self.replay_at = Some(Instant::now() + self.replay_wait);
        self.replay_wait = (self.replay_wait * 2).min(MAX_BACKOFF);
    }

    /// Does something with the spool, if there is one, on a thread that may block.
    async fn on_disk<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool) -> io::Result<R> + Send + 'static,
    ) -> Option<io::Result<R>> {
        let spool = Arc::clone(self.spool.as_ref()?);
        let work = move || {
            let mut spool = spool.lock().unwrap_or_else(PoisonError::into_inner);
            let done = work(&mut spool);
            ::metrics::gauge!("rag_trace_spooled").set(spool.len() as f64);
            done
        };
        Some(tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error))))
    }

    fn measure(&self) {
        ::metrics::gauge!("rag_trace_queue_depth").set((self.rows.len() + self.held.len()) as f64);
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
