//! [`Ask`] in, [`Ask`] out: brings back what was said before, and remembers the turn before its end is seen.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;
use tower_layer::Layer;
use tower_service::Service;

use super::{History, Turn};
use crate::answer::{Answer, Event};
use crate::ask::{Ask, SessionId};
use crate::error::{Error, ErrorKind, Stage};
use crate::port::MemoryStore;
use crate::scoped::Scoped;
use crate::stage::{Answers, ResponseFuture, take_ready};
use crate::tenant::TenantScope;
use crate::trace::TraceHandle;

/// Loads the session's history into the ask, and appends the turn.
///
/// An ask without a session gets a new one, whose id is on the trace. A session that the store does not have for this
/// tenant fails the ask as [`NotFound`](ErrorKind::NotFound), whoever else may have it; a history that a store returns
/// for another tenant fails it as [`Isolation`](ErrorKind::Isolation).
///
/// The turn is appended before [`Finished`](Event::Finished) is yielded, so a person who asks on finds it; behind a
/// [`WriteBehind`](super::WriteBehind) no answer waits for that. An answer that
/// fails, is truncated or dropped is not remembered; neither is one above 256 KiB of text. When the store is down or
/// slow the ask goes on without it, degraded (`memory`), and the failure is counted in
/// `rag_memory_failures_total{operation, reason}`.
///
/// - **Order:** outside the cache (which it makes step aside in a conversation) and the router (which reads a tool's
///   pending question from it).
/// - **Readiness:** that of the service inside.
/// - **Cancellation:** dropping the future or the answer drops the store's future; a turn is then not remembered.
/// - **Panics:** never of its own.
#[derive(Debug)]
pub struct MemoryLayer<M> {
    store: Arc<M>,
    timeout: Duration,
}

/// The service of [`MemoryLayer`].
#[derive(Debug)]
pub struct Memory<S, M> {
    inner: S,
    layer: MemoryLayer<M>,
}

/// The longest answer that is remembered, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

// === impl MemoryLayer ===

impl<M: MemoryStore> MemoryLayer<M> {
    /// A layer over a store.
    pub fn new(store: Arc<M>) -> Self {
        Self { store, timeout: Duration::from_secs(2) }
    }

    /// How long loading, and appending, may take each before the ask goes on without it. Default: 2 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The session's history; none when the store cannot say.
    async fn load(&self, ask: &Ask, session: SessionId) -> Result<Option<History>, Error> {
        let timer = ask.trace().time(Stage::Memory);
        let loaded = timeout(self.timeout, self.store.load(ask.scope(), session)).await;
        drop(timer);
        match loaded {
            Ok(Ok(Some(history))) if history.tenant == ask.scope().tenant() && history.session == session => {
                Ok(Some(history))
            }
            Ok(Ok(Some(_))) => {
                metrics::counter!("rag_isolation_violations_total", "layer" => "memory").increment(1);
                tracing::error!(tenant = %ask.scope().tenant(), "a store returned the session of another tenant");
                Err(Error::new(ErrorKind::Isolation, Stage::Memory))
            }
            Ok(Ok(None)) => Err(Error::new(ErrorKind::NotFound, Stage::Memory)
                .with_message("no such session: leave it out to begin a new one")),
            Ok(Err(error)) if matches!(error.kind(), ErrorKind::StoreUnavailable | ErrorKind::Timeout) => {
                degrade(ask.trace(), "load", error.kind());
                Ok(None)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                degrade(ask.trace(), "load", ErrorKind::Timeout);
                Ok(None)
            }
        }
    }

    async fn append(self, scope: TenantScope, session: SessionId, turn: Turn, trace: TraceHandle) {
        let timer = trace.time(Stage::Memory);
        let kind = match timeout(self.timeout, self.store.append(&scope, session, turn)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.kind()),
            Err(_) => Some(ErrorKind::Timeout),
        };
        drop(timer);
        if let Some(kind) = kind {
            degrade(&trace, "append", kind);
        }
    }
}

impl<M> Clone for MemoryLayer<M> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), timeout: self.timeout }
    }
}

impl<S, M> Layer<S> for MemoryLayer<M> {
    type Service = Memory<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        Memory { inner, layer: self.clone() }
    }
}

fn degrade(trace: &TraceHandle, operation: &'static str, kind: ErrorKind) {
    metrics::counter!("rag_memory_failures_total", "operation" => operation, "reason" => kind.as_str())
        .increment(1);
    tracing::warn!(operation, %kind, "conversation memory failed; the ask goes on without it");
    trace.degrade("memory");
}

// === impl Memory ===

impl<S: Clone, M> Clone for Memory<S, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: Answers<Ask>, M: MemoryStore> Service<Ask> for Memory<S, M> {
    type Response = Answer;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut ask: Ask) -> Self::Future {
        let mut inner = take_ready(&mut self.inner);
        let layer = self.layer.clone();
        ResponseFuture::new(async move {
            let (session, known) = match ask.session() {
                Some(session) => (session, true),
                None => (SessionId::generate(), false),
            };
            if known && let Some(history) = layer.load(&ask, session).await? {
                ask = ask.with_history(Arc::new(history));
            }
            ask = ask.with_session(session);
            ask.trace().set_session(session);
            let (scope, trace, question) =
                (ask.scope().clone(), ask.trace().clone(), ask.question().shared());
            let answer = inner.call(ask).await?;
            Ok(answer.on_finished(MAX_ANSWER_BYTES, move |events| {
                let (route, pending) = trace.with(|facts| (facts.route.clone(), facts.pending.clone()));
                let turn = Turn { question, answer: text(&events), route, pending };
                layer.append(scope, session, turn, trace)
            }))
        })
    }
}

fn text(events: &[Event]) -> Arc<str> {
    let text: String = events
        .iter()
        .filter_map(|event| if let Event::Delta(text) = event { Some(&**text) } else { None })
        .collect();
    text.into()
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::StreamExt;
    use tower::ServiceExt;

    use super::super::InMemoryStore;
    use super::*;
    use crate::answer::Finish;
    use crate::stage::testing::{self, Leaf};

    /// A store that answers for the wrong tenant, or never, or is down.
    #[derive(Clone, Copy)]
    enum Broken {
        Foreign,
        Hangs,
        Down,
    }

    impl MemoryStore for Broken {
        async fn load(&self, _: &TenantScope, session: SessionId) -> Result<Option<History>, Error> {
            match self {
                Self::Foreign => Ok(Some(History::new(session, testing::scope("b").tenant()))),
                Self::Hangs => pending().await,
                Self::Down => Err(Error::new(ErrorKind::StoreUnavailable, Stage::Memory)),
            }
        }

        async fn append(&self, _: &TenantScope, _: SessionId, _: Turn) -> Result<(), Error> {
            self.load(&testing::scope("b"), SessionId::generate()).await.map(drop)
        }
    }

    #[tokio::test]
    async fn a_conversation_goes_on_where_it_was() {
        let store = Arc::new(InMemoryStore::new(10));
        let leaf = Leaf::answering("forty-two");
        let service = MemoryLayer::new(Arc::clone(&store)).layer(leaf.clone());
        let first = testing::ask("what?");
        let trace = first.trace().clone();
        trace.set_route("course_search");
        service.clone().oneshot(first).await.unwrap().collect().await.unwrap();
        let first: Ask = leaf.only_request();
        assert!(first.history().is_none());
        let session = trace.snapshot().session.unwrap();
        assert_eq!(first.session(), Some(session));

        let second = testing::ask("why?").with_session(session);
        service.oneshot(second).await.unwrap().collect().await.unwrap();
        let history = Arc::clone(leaf.only_request().history().unwrap());
        let turn = history.last().unwrap();
        assert_eq!(
            (&*turn.question, &*turn.answer, turn.route.as_deref()),
            ("what?", "forty-two", Some("course_search"))
        );
        let both = store.load(&testing::scope("a"), session).await.unwrap().unwrap();
        assert_eq!(both.recent_messages_buffer.len(), 2);
    }

    #[tokio::test]
    async fn t14_a_foreign_session_looks_like_an_unknown_one() {
        let store = Arc::new(InMemoryStore::new(10));
        let foreign = SessionId::generate();
        let turn = Turn { question: "canary".into(), answer: "canary".into(), route: None, pending: None };
        store.append(&testing::scope("b"), foreign, turn).await.unwrap();
        let leaf = Leaf::<Ask>::answering("never");
        let mut messages = Vec::new();
        for session in [foreign, SessionId::generate()] {
            let service = MemoryLayer::new(Arc::clone(&store)).layer(leaf.clone());
            let error = service.oneshot(testing::ask("q").with_session(session)).await.unwrap_err();
            messages.push((error.kind(), error.to_string()));
        }
        assert_eq!(messages[0], messages[1]);
        assert_eq!((messages[0].0, leaf.calls()), (ErrorKind::NotFound, 0));
    }

    #[tokio::test]
    async fn t14_a_store_that_mixes_up_tenants_fails_closed() {
        let leaf = Leaf::<Ask>::answering("never");
        let service = MemoryLayer::new(Arc::new(Broken::Foreign)).layer(leaf.clone());
        let error = service.oneshot(testing::ask("q").with_session(SessionId::generate())).await.unwrap_err();
        assert_eq!((error.kind(), leaf.calls()), (ErrorKind::Isolation, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_or_is_down_delays_the_end_by_its_timeout_at_most() {
        for (broken, waits) in [(Broken::Hangs, 4), (Broken::Down, 0)] {
            let service = MemoryLayer::new(Arc::new(broken)).layer(Leaf::<Ask>::answering("ok"));
            let ask = testing::ask("q").with_session(SessionId::generate());
            let trace = ask.trace().clone();
            let events = service.oneshot(ask).await.unwrap().collect().await.unwrap();
            assert_eq!(events.last(), Some(&Event::Finished(Finish::Stop)));
            assert_eq!(trace.elapsed().as_secs(), waits);
            assert_eq!(trace.snapshot().degraded.join(","), "memory");
        }
    }

    #[tokio::test]
    async fn an_interrupted_turn_is_not_remembered() {
        let store = Arc::new(InMemoryStore::new(10));
        let ask = testing::ask("q");
        let trace = ask.trace().clone();
        let service = MemoryLayer::new(Arc::clone(&store)).layer(Leaf::<Ask>::answering("ok"));
        let mut events = service.oneshot(ask).await.unwrap().into_stream();
        events.next().await.unwrap().unwrap();
        drop(events);
        let session = trace.snapshot().session.unwrap();
        assert_eq!(store.load(&testing::scope("a"), session).await.unwrap(), None);
    }
}
