//! The readiness contract, over every layer of the plane: the inner readiness is forwarded as it is, the instance that
//! was polled ready is the one that is called, and what is left behind must be polled anew.

use std::future::{Ready, poll_fn, ready};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tower_layer::Layer;
use tower_service::Service;

use super::testing;
use super::*;
use crate::answer::Finish;
use crate::ask::{Ask, AskId};
use crate::cache::{AnswerCache, CacheLayer};
use crate::error::{ErrorKind, Stage};
use crate::memory::{InMemoryStore, MemoryLayer};
use crate::passage::Passage;
use crate::port::Embedding;
use crate::retrieve::{EmbedQueryLayer, Query};
use crate::route::{ClassifyRequest, Decision, RouteLayer};

/// Is ready as told, and counts calls of an instance that was not polled ready.
struct Probe<Req, Resp> {
    shared: Arc<Shared>,
    ready: bool,
    answer: fn() -> Resp,
    request: PhantomData<fn(Req)>,
}

#[derive(Default)]
struct Shared {
    /// None: ready.
    refuse: Mutex<Option<Poll<ErrorKind>>>,
    calls: AtomicUsize,
    unready: AtomicUsize,
}

impl<Req, Resp> Clone for Probe<Req, Resp> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), ready: false, ..*self }
    }
}

impl<Req, Resp> Service<Req> for Probe<Req, Resp> {
    type Response = Resp;
    type Error = Error;
    type Future = Ready<Result<Resp, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match *self.shared.refuse.lock().unwrap() {
            None => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(kind)) => Poll::Ready(Err(Error::new(kind, Stage::Generate))),
        }
    }

    fn call(&mut self, _: Req) -> Self::Future {
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        if !std::mem::take(&mut self.ready) {
            self.shared.unready.fetch_add(1, Ordering::SeqCst);
        }
        ready(Ok((self.answer)()))
    }
}

async fn keeps<L, Out, Resp, Req>(layer: L, answer: fn() -> Resp, request: impl Fn() -> Req)
where
    L: Layer<Probe<Out, Resp>>,
    L::Service: Service<Req, Response = Resp, Error = Error> + Clone,
{
    let shared = Arc::<Shared>::default();
    let inner = Probe { shared: Arc::clone(&shared), ready: false, answer, request: PhantomData };
    let mut service = layer.layer(inner);

    *shared.refuse.lock().unwrap() = Some(Poll::Pending);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_pending(), "a pending readiness is forwarded");
    *shared.refuse.lock().unwrap() = Some(Poll::Ready(ErrorKind::Overloaded));
    let error = poll_fn(|cx| service.poll_ready(cx)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "a failed readiness is forwarded");
    *shared.refuse.lock().unwrap() = None;

    let mut twin = service.clone();
    for service in [&mut service, &mut twin] {
        for _ in 0..2 {
            poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
            drop(service.call(request()).await.unwrap());
        }
    }
    assert_eq!(shared.calls.load(Ordering::SeqCst), 4);
    assert_eq!(
        shared.unready.load(Ordering::SeqCst),
        0,
        "the instance that was ready is the one that is called"
    );

    // One call uses the readiness up: the service that stays behind is not ready.
    drop(service.call(request()).await);
    assert_eq!(shared.unready.load(Ordering::SeqCst), 1, "readiness is not kept for a second call");
}

fn answer() -> Answer {
    Answer::text(AskId::generate(), "ok", Finish::Stop)
}

fn ask() -> Ask {
    testing::ask(&format!("q {}", AskId::generate()))
}

fn retrieved() -> Retrieved {
    testing::retrieved("q", &[("one", 0.9)])
}

fn embedded() -> Embedded {
    Embedded { ask: ask(), embedding: Embedding::new([1.0]) }
}

fn one<V: Send + 'static>() -> impl crate::retrieve::Retrieve<V> {
    testing::source(vec![testing::passage("a", "one", 1.0)])
}

#[tokio::test]
async fn the_stages() {
    keeps(EmbedLayer::new(testing::embedder(&[1.0])), answer, ask).await;
    keeps(RetrieveLayer::new(one()), answer, embedded).await;
    keeps(KeywordLayer::new(one()), answer, ask).await;
    keeps(RerankLayer::new(LexicalRerank), answer, retrieved).await;
    keeps(ConfidenceLayer::new(0.1), answer, retrieved).await;
    keeps(PromptLayer::default(), answer, retrieved).await;
    keeps(CheckpointLayer::new(|_: &Retrieved| Ok(())), answer, retrieved).await;
}

#[tokio::test]
async fn the_layers_around_them() {
    let search = |_: ClassifyRequest| ready(Ok::<_, Error>(Decision::Search { intent: "search".into() }));
    keeps(RouteLayer::new(tower::service_fn(search)), answer, ask).await;
    keeps(MemoryLayer::new(Arc::new(InMemoryStore::new(8))), answer, ask).await;
    keeps(CacheLayer::new(AnswerCache::default(), |_| "".into()), answer, ask).await;
}

#[tokio::test]
async fn the_sources() {
    let query = || Query::of(&ask(), 3);
    keeps(EmbedQueryLayer::new(testing::embedder(&[1.0])), Vec::<Passage>::new, query).await;
}
