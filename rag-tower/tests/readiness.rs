//! Every layer keeps the readiness contract, and the check can tell.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use rag_tower::admission::AdmissionLayer;
use rag_tower::cache::{AnswerCache, CacheLayer};
use rag_tower::deadline::DeadlineLayer;
use rag_tower::memory::MemoryLayer;
use rag_tower::port::{EmbedRequest, Embedder, Embedding};
use rag_tower::quota::{MemoryRateLimits, Quota, RateLimitLayer};
use rag_tower::rescue::RescueLayer;
use rag_tower::retrieve::{EmbedQueryLayer, Query, Retrieve};
use rag_tower::route::{Decision, RouteLayer};
use rag_tower::stage::{
    CheckpointLayer, ConfidenceLayer, EmbedLayer, Embedded, KeywordLayer, LexicalRerank, PromptLayer,
    RerankLayer, RetrieveLayer, Retrieved,
};
use rag_tower::tenant::{ConstantTenant, ResolveTenantLayer};
use rag_tower::test_util::{BrokenRule, MemoryTraces, Probe, readiness};
use rag_tower::trace::http::HttpTraceLayer;
use rag_tower::trace::{TraceLayer, WriterConfig, spawn_writer};
use rag_tower::{
    Answer, Ask, AskId, Error, ErrorKind, Finish, Grant, Origin, Passage, Passages, Question, Scoped,
    SessionId, Stage, TenantAuthority, TenantId,
};
use tower::layer::layer_fn;
use tower::{Layer, Service, ServiceExt, service_fn};

fn ask() -> Ask {
    let grant = Grant::new(TenantId::named("a")).with_subject("key");
    Ask::new(rag_tower::test_util::granted(grant), Question::parse("what is the fee?").unwrap())
}

fn passage() -> Passage {
    let tenant = TenantId::named("a");
    let document = rag_tower::passage::DocumentId::new(tenant.as_uuid());
    Passage {
        chunk: rag_tower::passage::ChunkId::of(tenant, document, 0),
        document,
        seq: 0,
        origin: Origin::Tenant { tenant, branch: None },
        title: "Fees".into(),
        file_name: "fees.md".into(),
        text: "The fee is one hundred.".into(),
        score: 0.9,
        found: std::collections::BTreeMap::new(),
    }
}

fn embedded() -> Embedded {
    Embedded { ask: ask(), embedding: Embedding::new([1.0, 0.0]) }
}

fn retrieved() -> Retrieved {
    let ask = ask();
    Retrieved { passages: Passages::check(ask.scope(), vec![passage()]).unwrap(), ask }
}

fn embedder() -> impl Embedder {
    service_fn(|request: EmbedRequest| ready(Ok(vec![Embedding::new([1.0, 0.0]); request.texts.len()])))
}

fn source<V: Send + 'static>() -> impl Retrieve<V> {
    service_fn(|_: Query<V>| ready(Ok(vec![passage()])))
}

fn broken() -> Error {
    Error::new(ErrorKind::Internal, Stage::Generate)
}

/// Runs the contract against a layer of the RAG plane: how often the inside was called in three asks.
async fn probe<L, Req, In>(layer: L, request: impl Fn() -> Req) -> Result<usize, BrokenRule>
where
    L: Layer<Probe<In, Answer, Error>>,
    L::Service: Service<Req> + Clone,
    In: 'static,
{
    readiness(layer, request, |_: In| Answer::text(AskId::generate(), "a", Finish::Stop), broken).await
}

#[tokio::test]
async fn layers_around_an_ask() {
    let (sink, _writer) = spawn_writer(MemoryTraces::new(), WriterConfig::default());
    assert_eq!(probe(TraceLayer::new(sink), ask).await, Ok(3));
    assert_eq!(probe(RescueLayer::new(), ask).await, Ok(3));
    assert_eq!(probe(AdmissionLayer::new(8), ask).await, Ok(3));
    assert_eq!(probe(DeadlineLayer::new(), ask).await, Ok(3));
    let limits = RateLimitLayer::new(MemoryRateLimits::default());
    assert_eq!(probe(limits.clone(), ask).await, Ok(3));
    assert_eq!(probe(limits.per_key(Quota::per_minute(60)), ask).await, Ok(3));
    let memory = MemoryLayer::new(Arc::new(rag_tower::memory::InMemoryStore::new(8)));
    assert_eq!(probe(memory.clone(), ask).await, Ok(3));
    let unknown = || ask().with_session(SessionId::generate());
    assert_eq!(probe(memory, unknown).await, Ok(0), "no such session");
    // The answers are not read to their end, and so not kept.
    assert_eq!(probe(CacheLayer::new(AnswerCache::default(), |_| "1".into()), ask).await, Ok(3));
    let search = service_fn(|_| ready(Ok(Decision::Search { intent: "search".into() })));
    assert_eq!(probe(RouteLayer::new(search), ask).await, Ok(3));
    assert_eq!(probe(CheckpointLayer::new(|_: &Ask| Ok(())), ask).await, Ok(3));
}

#[tokio::test]
async fn layers_that_refuse_give_the_inside_up() {
    assert_eq!(probe(CheckpointLayer::new(|_: &Ask| Err(broken())), ask).await, Ok(0));
    let out = service_fn(|_| ready(Ok(Decision::OutOfDomain)));
    assert_eq!(probe(RouteLayer::new(out), ask).await, Ok(0));
    let once = RateLimitLayer::new(MemoryRateLimits::default()).per_tenant(Quota::per_minute(1));
    assert_eq!(probe(once, ask).await, Ok(1));
    let full = AdmissionLayer::new(1);
    let _running = full
        .layer(service_fn(|ask: Ask| ready(Ok::<_, Error>(Answer::text(ask.id(), "a", Finish::Stop)))))
        .oneshot(ask())
        .await
        .unwrap();
    assert_eq!(probe(full, ask).await, Ok(0));
}

#[tokio::test]
async fn stages() {
    assert_eq!(probe(EmbedLayer::new(embedder()), ask).await, Ok(3));
    assert_eq!(probe(RetrieveLayer::new(source()), embedded).await, Ok(3));
    assert_eq!(probe(KeywordLayer::new(source()), ask).await, Ok(3));
    assert_eq!(probe(RerankLayer::new(LexicalRerank::new()), retrieved).await, Ok(3));
    assert_eq!(probe(ConfidenceLayer::new(0.0), retrieved).await, Ok(3));
    assert_eq!(probe(PromptLayer::default(), retrieved).await, Ok(3));
    let query = || Query::of(&ask(), 3);
    let adapted =
        readiness(EmbedQueryLayer::new(embedder()), query, |_: Query<Embedding>| vec![passage()], broken);
    assert_eq!(adapted.await, Ok(3));
}

#[tokio::test]
async fn layers_around_http() {
    let request = || Request::new(Full::<Bytes>::default());
    let respond = |_: Request<Full<Bytes>>| Response::new(Full::<Bytes>::from("a"));
    let (sink, _writer) = spawn_writer(MemoryTraces::new(), WriterConfig::default());
    assert_eq!(readiness(HttpTraceLayer::new(sink), request, respond, broken).await, Ok(3));
    let resolver = ConstantTenant::new(Grant::new(TenantId::named("a")));
    let resolve = ResolveTenantLayer::new(TenantAuthority::new(), resolver);
    assert_eq!(readiness(resolve, request, respond, broken).await, Ok(3));
}

/// A layer that breaks one rule.
#[derive(Clone)]
struct Bad<S> {
    inner: S,
    rule: BrokenRule,
}

impl<S> Service<Ask> for Bad<S>
where
    S: Service<Ask, Response = Answer, Error = Error> + Clone,
{
    type Response = Answer;
    type Error = Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut deaf = Context::from_waker(std::task::Waker::noop());
        match self.rule {
            BrokenRule::ReadyBeforeInner => Poll::Ready(Ok(())),
            BrokenRule::NotWoken => self.inner.poll_ready(&mut deaf),
            BrokenRule::HidesError => self.inner.poll_ready(cx).map(|_| Ok(())),
            _ => self.inner.poll_ready(cx),
        }
    }

    fn call(&mut self, ask: Ask) -> S::Future {
        match self.rule {
            BrokenRule::CalledUnready => self.inner.clone().call(ask),
            _ => self.inner.call(ask),
        }
    }
}

#[tokio::test]
async fn the_check_can_tell() {
    for rule in [
        BrokenRule::ReadyBeforeInner,
        BrokenRule::NotWoken,
        BrokenRule::HidesError,
        BrokenRule::CalledUnready,
    ] {
        let layer = layer_fn(|inner: Probe<Ask, Answer, Error>| Bad { inner, rule });
        assert_eq!(probe(layer, ask).await, Err(rule));
    }
}
