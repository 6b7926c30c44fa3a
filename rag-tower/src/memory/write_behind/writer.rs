//! Turns that wait in, turns that are kept out: the task behind the queue.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::Shared;
use crate::error::ErrorKind;
use crate::memory::NewTurn;
use crate::port::MemoryStore;

/// Turns of one tenant that are written together at most, and tenants that are written at the same time.
const BATCH: usize = 128;
const WRITES: usize = 4;
/// How long a turn waits for others of its tenant, unless a question waits for it.
pub(super) const LINGER: Duration = Duration::from_millis(20);
/// How long one write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait after a first failure, which doubles, and the longest one.
const BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// How long a batch is tried for while the store is away.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often what waits is measured, also while the store hangs.
const MEASURED: Duration = Duration::from_secs(1);

/// The task behind a [`WriteBehind`](super::WriteBehind). Dropping it leaves the task running until that store is gone;
/// to end it in order, call [`shutdown`](Self::shutdown).
#[derive(Debug)]
#[must_use = "without shutdown, turns that wait may be lost when the program ends"]
pub struct MemoryWriter {
    task: JoinHandle<usize>,
    stop: watch::Sender<Option<Instant>>,
}

pub(super) struct Task<M> {
    shared: Arc<Shared<M>>,
    stop: watch::Receiver<Option<Instant>>,
}

// === impl MemoryWriter ===

impl MemoryWriter {
    pub(super) fn new(task: JoinHandle<usize>, stop: watch::Sender<Option<Instant>>) -> Self {
        Self { task, stop }
    }

    #[cfg(test)]
    pub(super) async fn task_ended(self) -> usize {
        self.task.await.unwrap()
    }

    /// Ends the writer: what waits is kept until `grace` has passed. How many turns were given up then.
    ///
    /// Turns that are appended later go straight to the store. Dropping the future changes nothing: the writer ends at its time all
    /// the same.
    pub async fn shutdown(self, grace: Duration) -> usize {
        self.stop.send_replace(Some(Instant::now() + grace));
        self.task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the memory writer did not end in order");
            0
        })
    }
}

// === impl Task ===

impl<M: MemoryStore> Task<M> {
    pub(super) fn new(shared: Arc<Shared<M>>, stop: watch::Receiver<Option<Instant>>) -> Self {
        Self { shared, stop }
    }

    pub(super) async fn run(mut self) -> usize {
        let mut writes = FuturesUnordered::new();
        // when what waits is to be written
        let mut due = None;
        let mut measured = interval(MEASURED);
        measured.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deadline = *self.stop.borrow_and_update();
            if deadline.is_some() {
                self.shared.waiting().close();
            }
            due = self.shared.waiting().due(due, BATCH);
            while due.is_some_and(|due| due <= Instant::now()) && writes.len() < WRITES {
                match self.shared.waiting().take(BATCH) {
                    Some(turns) => writes.push(write(Arc::clone(&self.shared), turns)),
                    None => due = None,
                }
            }
            if writes.is_empty() && self.shared.waiting().is_closed() {
                return 0;
            }
            tokio::select! {
                Some(()) = writes.next() => {}
                () = at(due), if writes.len() < WRITES => {}
                () = self.shared.came.notified() => {}
                Ok(()) = self.stop.changed() => {}
                _ = measured.tick() => self.shared.measure(),
                () = at(deadline) => break,
            }
        }
        drop(writes);
        let lost = self.shared.waiting().clear();
        failed(lost, ErrorKind::Timeout);
        self.shared.measure();
        self.shared.settled.notify_waiters();
        lost
    }
}

/// Keeps a tenant's turns, in order. One that the store will never take is given up, and none of the others with it.
async fn write<M: MemoryStore>(shared: Arc<Shared<M>>, turns: Vec<NewTurn>) {
    let (mut left, mut together, mut wait) = (&turns[..], turns.len(), BACKOFF);
    let end = Instant::now() + PATIENCE;
    while !left.is_empty() {
        let now = &left[..together.min(left.len())];
        let (kept, trouble) = match timeout(WRITE_TIMEOUT, shared.store.append_all(now)).await {
            Ok((kept, done)) => (kept.min(now.len()), done.err().map(|error| error.kind())),
            Err(_) => (0, Some(ErrorKind::Timeout)),
        };
        left = &left[kept..];
        match trouble {
            None if kept > 0 => wait = BACKOFF,
            // away: nothing more was kept
            Some(ErrorKind::StoreUnavailable) if Instant::now() + wait < end => {
                sleep(wait).await;
                wait = (2 * wait).min(MAX_BACKOFF);
            }
            // one of them is at fault
            Some(kind)
                if kind != ErrorKind::Timeout
                    && kind != ErrorKind::StoreUnavailable
                    && now.len() - kept > 1 =>
            {
                together = 1;
            }
            // whether they were kept is not known, or they cannot be: a second try could keep them twice
            trouble => {
                let given_up = now.len() - kept;
                failed(given_up, trouble.unwrap_or(ErrorKind::Internal));
                left = &left[given_up..];
            }
        }
    }
    shared.waiting().settle(&turns);
    shared.settled.notify_waiters();
    shared.measure();
}

fn failed(turns: usize, kind: ErrorKind) {
    if turns > 0 {
        metrics::counter!("rag_memory_failures_total", "operation" => "append", "reason" => kind.as_str())
            .increment(turns as u64);
        tracing::warn!(turns, %kind, "turns of conversations were not remembered");
    }
}

/// Resolves at the deadline; never when there is none.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
