//! Turns in, kept soon: an answer's end does not wait for the store of conversations.

mod waiting;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use self::waiting::Waiting;
pub use self::writer::MemoryWriter;
use self::writer::Task;
use super::{History, NewTurn, Turn};
use crate::ask::SessionId;
use crate::error::{Error, ErrorKind, Stage};
use crate::port::MemoryStore;
use crate::tenant::TenantScope;

/// A [`MemoryStore`] in front of another: `append` returns at once, and a [`MemoryWriter`] writes behind it.
///
/// A conversation reads its own turns: `load` waits until those of the session that are under way are kept. Turns of a
/// session are kept in their order, and those of a tenant together: one waits 20 ms for others unless a `load` waits for
/// it, so that a busy tenant costs few transactions. While the store is away they are tried for a minute.
///
/// What waits is bounded: 8,192 turns, and 32 MiB of text. When there is no room `append` fails at once, as
/// [`Overloaded`](ErrorKind::Overloaded): an answer never waits for memory. What is given up is counted in
/// `rag_memory_failures_total{operation="append"}`, and what waits is `rag_memory_queue_depth`.
///
/// The price: a turn whose process is killed within these milliseconds is not remembered, and until it is kept no other
/// process sees it. What was asked and answered is on the trace either way.
#[derive(Debug)]
pub struct WriteBehind<M: MemoryStore> {
    shared: Arc<Shared<M>>,
}

/// What the store in front and the task behind share.
#[derive(Debug)]
struct Shared<M> {
    store: M,
    waiting: Mutex<Waiting>,
    /// Told when there is something to do, for the one task.
    came: Notify,
    /// Told when turns were kept or given up, for all who wait.
    settled: Notify,
}

/// Starts the writer: one task that hands turns to `store`.
///
/// # Panics
/// Outside a Tokio runtime.
#[expect(clippy::disallowed_methods, reason = "the one task of conversation memory; MemoryWriter awaits it")]
pub fn spawn_memory_writer<M: MemoryStore>(store: M) -> (WriteBehind<M>, MemoryWriter) {
    let shared = Arc::new(Shared {
        store,
        waiting: Mutex::new(Waiting::default()),
        came: Notify::new(),
        settled: Notify::new(),
    });
    let (stop, stopped) = watch::channel(None);
    let task = tokio::spawn(Task::new(Arc::clone(&shared), stopped).run());
    (WriteBehind { shared }, MemoryWriter::new(task, stop))
}

// === impl WriteBehind ===

impl<M: MemoryStore> MemoryStore for WriteBehind<M> {
    async fn load(&self, scope: &TenantScope, session: SessionId) -> Result<Option<History>, Error> {
        self.shared.settled(scope, session).await;
        self.shared.store.load(scope, session).await
    }

    async fn append(&self, scope: &TenantScope, session: SessionId, turn: Turn) -> Result<(), Error> {
        let new = NewTurn { scope: scope.clone(), session, turn };
        let closed = {
            let mut waiting = self.shared.waiting();
            if !waiting.is_closed() {
                if !waiting.push(new) {
                    return Err(Error::new(ErrorKind::Overloaded, Stage::Memory)
                        .with_message("too many turns wait to be kept"));
                }
                drop(waiting);
                self.shared.came.notify_one();
                return Ok(());
            }
            new
        };
        // the writer has ended, or is about to
        self.shared.settled(scope, session).await;
        self.shared.store.append(scope, session, closed.turn).await
    }
}

impl<M: MemoryStore> Drop for WriteBehind<M> {
    /// Lets the task end once everything is kept.
    fn drop(&mut self) {
        self.shared.waiting().close();
        self.shared.came.notify_one();
    }
}

// === impl Shared ===

impl<M> Shared<M> {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn measure(&self) {
        metrics::gauge!("rag_memory_queue_depth").set(self.waiting().len() as f64);
    }

    /// Resolves when no turn of the session waits, which is soon: the writer is told.
    async fn settled(&self, scope: &TenantScope, session: SessionId) {
        loop {
            let settled = self.settled.notified();
            {
                let mut waiting = self.waiting();
                if !waiting.holds(scope.tenant(), session) {
                    return;
                }
                waiting.want();
            }
            self.came.notify_one();
            settled.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::writer::LINGER;
    use super::*;
    use crate::memory::InMemoryStore;
    use crate::metrics::seen::Seen;
    use crate::stage::testing::scope;

    /// A store whose writes wait for the gate, and fail as they are told.
    struct Gated {
        inner: InMemoryStore,
        open: watch::Receiver<bool>,
        /// Writes that find the store away.
        away: AtomicUsize,
        writes: AtomicUsize,
    }

    impl Gated {
        fn new(away: usize) -> (watch::Sender<bool>, Self) {
            let (gate, open) = watch::channel(false);
            let inner = InMemoryStore::new(1_000);
            (gate, Self { inner, open, away: AtomicUsize::new(away), writes: AtomicUsize::new(0) })
        }
    }

    impl MemoryStore for Gated {
        async fn load(&self, scope: &TenantScope, session: SessionId) -> Result<Option<History>, Error> {
            self.inner.load(scope, session).await
        }

        async fn append(&self, scope: &TenantScope, session: SessionId, turn: Turn) -> Result<(), Error> {
            self.inner.append(scope, session, turn).await
        }

        async fn append_all(&self, turns: &[NewTurn]) -> (usize, Result<(), Error>) {
            let _ = self.open.clone().wait_for(|open| *open).await;
            self.writes.fetch_add(1, Ordering::Relaxed);
            let away =
                self.away.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if away.is_ok() {
                return (0, Err(Error::new(ErrorKind::StoreUnavailable, Stage::Memory)));
            }
            self.inner.append_all(turns).await
        }
    }

    fn turn(question: &str) -> Turn {
        Turn { question: question.into(), answer: "a".into(), route: None, pending: None }
    }

    fn questions(history: Option<History>) -> Vec<String> {
        history.map_or(Vec::new(), |history| {
            history.recent_messages_buffer.into_iter().map(|turn| turn.question.to_string()).collect()
        })
    }

    #[tokio::test]
    async fn a_turn_does_not_wait_for_the_store_and_the_next_one_finds_it() {
        let (gate, store) = Gated::new(0);
        let (memory, writer) = spawn_memory_writer(store);
        let (a, session) = (scope("a"), SessionId::generate());
        for n in ["1", "2", "3"] {
            memory.append(&a, session, turn(n)).now_or_never().unwrap().unwrap();
        }
        let mut load = pin!(memory.load(&a, session));
        assert!(load.as_mut().now_or_never().is_none(), "its turns are under way");
        let other = memory.load(&scope("b"), session).now_or_never().unwrap().unwrap();
        assert_eq!(other, None, "another tenant neither waits nor sees anything");
        gate.send_replace(true);
        assert_eq!(questions(load.await.unwrap()), ["1", "2", "3"]);
        assert_eq!(writer.shutdown(Duration::ZERO).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_within_a_moment_is_written_together() {
        let (gate, store) = Gated::new(0);
        gate.send_replace(true);
        let (memory, _writer) = spawn_memory_writer(store);
        let a = scope("a");
        for _ in 0..50 {
            memory.append(&a, SessionId::generate(), turn("q")).await.unwrap();
            tokio::task::yield_now().await;
        }
        let writes = || memory.shared.store.writes.load(Ordering::Relaxed);
        assert_eq!(writes(), 0);
        tokio::time::sleep(2 * LINGER).await;
        assert_eq!((writes(), memory.shared.waiting().len()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_waits_for_a_turn_does_not_wait_for_others() {
        let (gate, store) = Gated::new(0);
        gate.send_replace(true);
        let (memory, _writer) = spawn_memory_writer(store);
        let (a, session) = (scope("a"), SessionId::generate());
        let began = tokio::time::Instant::now();
        memory.append(&a, session, turn("q")).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(questions(memory.load(&a, session).await.unwrap()).len(), 1);
        assert!(began.elapsed() < LINGER);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_counted_while_the_store_hangs() {
        let seen = Seen::default();
        let _recorder = metrics::set_default_local_recorder(&seen);
        let (gate, store) = Gated::new(0);
        let (memory, _writer) = spawn_memory_writer(store);
        let depth = async |waiting: usize| {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(seen.gauge("rag_memory_queue_depth"), Some(waiting as f64));
        };
        for waiting in 1..5 {
            memory.append(&scope("a"), SessionId::generate(), turn("q")).await.unwrap();
            depth(waiting).await;
        }
        gate.send_replace(true);
        depth(0).await;
    }

    #[tokio::test(start_paused = true)]
    async fn turns_outlive_a_store_that_is_away() {
        let (gate, store) = Gated::new(5);
        gate.send_replace(true);
        let (memory, _writer) = spawn_memory_writer(store);
        let (a, session) = (scope("a"), SessionId::generate());
        memory.append(&a, session, turn("1")).await.unwrap();
        assert_eq!(questions(memory.load(&a, session).await.unwrap()), ["1"]);
        assert_eq!(memory.shared.store.writes.load(Ordering::Relaxed), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_stays_away_is_given_up_and_holds_nobody_up_for_ever() {
        let (gate, store) = Gated::new(usize::MAX);
        gate.send_replace(true);
        let (memory, _writer) = spawn_memory_writer(store);
        let (a, session) = (scope("a"), SessionId::generate());
        memory.append(&a, session, turn("1")).await.unwrap();
        assert_eq!(memory.load(&a, session).await.unwrap(), None);
        assert_eq!(memory.shared.waiting().len(), 0);
    }

    #[tokio::test]
    async fn a_turn_that_is_refused_takes_no_other_with_it() {
        let (gate, store) = Gated::new(0);
        let foreign = SessionId::generate();
        store.inner.append(&scope("b"), foreign, turn("canary")).await.unwrap();
        let (memory, _writer) = spawn_memory_writer(store);
        let (a, [one, two]) = (scope("a"), std::array::from_fn(|_| SessionId::generate()));
        for session in [one, foreign, two, one] {
            memory.append(&a, session, turn("mine")).await.unwrap();
        }
        gate.send_replace(true);
        assert_eq!(questions(memory.load(&a, one).await.unwrap()).len(), 2);
        assert_eq!(questions(memory.load(&a, two).await.unwrap()).len(), 1);
        assert_eq!(questions(memory.load(&scope("b"), foreign).await.unwrap()), ["canary"]);
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_keeps_what_it_can_in_its_time() {
        let (gate, store) = Gated::new(0);
        let (memory, writer) = spawn_memory_writer(store);
        let (a, session) = (scope("a"), SessionId::generate());
        memory.append(&a, session, turn("1")).await.unwrap();
        memory.append(&a, session, turn("2")).await.unwrap();
        assert_eq!(writer.shutdown(Duration::from_secs(1)).await, 2);
        gate.send_replace(true);
        memory.append(&a, session, turn("late")).await.unwrap();
        assert_eq!(questions(memory.load(&a, session).await.unwrap()), ["late"], "straight to the store");
    }

    #[tokio::test]
    async fn the_task_ends_with_its_store() {
        let (gate, store) = Gated::new(0);
        let (memory, writer) = spawn_memory_writer(store);
        memory.append(&scope("a"), SessionId::generate(), turn("1")).await.unwrap();
        drop(memory);
        gate.send_replace(true);
        assert_eq!(writer.task_ended().await, 0);
    }
}
