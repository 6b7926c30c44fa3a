//! What the stack itself costs: per ask, and per streamed event. Providers do nothing, the journal is off where it is
//! not named.
//!
//! `cargo bench -p rag-tower --bench ask`; numbers and machine are in `README.md` beside this file.

#![expect(clippy::unwrap_used, reason = "a benchmark stops where it cannot go on")]

mod nowhere;

use std::cell::Cell;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use divan::Bencher;
use divan::counter::ItemsCount;
use futures_util::{FutureExt, Stream};
use rag_tower::admission::AdmissionLayer;
use rag_tower::cache::{AnswerCache, CacheLayer};
use rag_tower::deadline::DeadlineLayer;
use rag_tower::memory::{History, MemoryLayer, Turn};
use rag_tower::port::{
    EmbedRequest, Embedder, Embedding, GenerateRequest, Generator, MemoryStore, Message, Rerank,
    RerankRequest, Speaker,
};
use rag_tower::quota::{MemoryRateLimits, Quota, RateLimitLayer};
use rag_tower::rescue::RescueLayer;
use rag_tower::retrieve::{Query, Retrieve};
use rag_tower::route::{Decision, RouteLayer};
use rag_tower::stage::{
    Answers, ConfidenceLayer, DefaultTemplate, EmbedLayer, Generate, PromptLayer, RerankLayer, RetrieveLayer,
    Template, TemplateInput,
};
use rag_tower::trace::{FileJournal, Fsync, Trace, TraceLayer, TraceSink};
use rag_tower::{
    Answer, AnswerStream, Ask, AskId, BoxAskService, Error, Event, Finish, Grant, Origin, Passage, Pipeline,
    Question, SessionId, TenantId, TenantScope,
};
use tower::{Layer, Service, ServiceBuilder, service_fn};

use self::nowhere::{config, runtime, sink};

fn main() {
    let _runtime = runtime().enter();
    divan::main();
    drop(std::fs::remove_dir_all(folder()));
}

// === the world around the stack: it does nothing ===

/// Where journals are, each in a folder of its own.
fn folder() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("rag-tower-bench-{}", std::process::id()))
}

/// The same with a journal on the disk of temporary files.
fn journal_sink(fsync: Fsync) -> TraceSink {
    let journal = FileJournal::open(folder().join(AskId::generate().to_string()), 1 << 32, fsync).unwrap();
    sink(config().journal(journal))
}

fn scope() -> TenantScope {
    rag_tower::test_util::granted(Grant::new(TenantId::named("a")).with_subject("key"))
}

fn question() -> Question {
    Question::parse("What does the evening course cost?").unwrap()
}

/// An ask that shares nothing with the asks before it, as each request's own: the writer's thread drops their rows, and
/// would fight for every counter that is shared.
fn ask() -> Ask {
    Ask::new(scope(), question())
}

/// Four pieces of text and the end.
fn events() -> &'static [Event] {
    static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
    EVENTS.get_or_init(|| many_events(4))
}

/// Pieces begin with their space, as those of models do.
fn many_events(deltas: usize) -> Vec<Event> {
    let word: Arc<str> = " a word".into();
    let mut events = vec![Event::Delta(word); deltas];
    events.push(Event::Finished(Finish::Stop));
    events
}

#[derive(Clone)]
struct Leaf(&'static [Event]);

impl Service<Ask> for Leaf {
    type Response = Answer;
    type Error = Error;
    type Future = Ready<Result<Answer, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        ready(Ok(Answer::ready(ask.id(), self.0.to_vec())))
    }
}

fn embedder() -> impl Embedder {
    let vector = Embedding::new(vec![0.0; 384]);
    service_fn(move |_: EmbedRequest| ready(Ok(vec![vector.clone()])))
}

thread_local! {
    /// What the source finds next. Its texts are the store's, whose work it is to read them: they are made before the
    /// clock starts, and are still there when it stops.
    static FOUND: Cell<Vec<Passage>> = const { Cell::new(Vec::new()) };
}

fn source() -> impl Retrieve<Embedding> {
    service_fn(|_: Query<Embedding>| ready(Ok(FOUND.take())))
}

fn passages() -> Vec<Passage> {
    (0..6).map(passage).collect()
}

fn reranker() -> impl Rerank {
    service_fn(|request: RerankRequest| ready(Ok(request.passages)))
}

fn generator() -> impl Generator {
    service_fn(|_: GenerateRequest| ready(Ok(AnswerStream::ready(events().to_vec()))))
}

/// Messages that are there already.
struct NoWords(Message);

impl NoWords {
    fn new() -> Self {
        Self(Message { speaker: Speaker::User, text: "What does the evening course cost?".into() })
    }
}

impl Template for NoWords {
    fn render(&self, _: &TemplateInput<'_>) -> Vec<Message> {
        vec![self.0.clone()]
    }
}

struct NoMemory;

impl MemoryStore for NoMemory {
    async fn load(&self, _: &TenantScope, _: SessionId) -> Result<Option<History>, Error> {
        Ok(None)
    }

    async fn append(&self, _: &TenantScope, _: SessionId, _: Turn) -> Result<(), Error> {
        Ok(())
    }
}

fn passage(seq: u32) -> Passage {
    let tenant = TenantId::named("a");
    let document = rag_tower::passage::DocumentId::new(AskId::generate().as_uuid());
    Passage {
        chunk: rag_tower::passage::ChunkId::of(tenant, document, seq),
        document,
        seq,
        origin: Origin::Tenant { tenant, branch: None },
        title: "Fees".into(),
        file_name: "fees.md".into(),
        text: "The evening course costs one hundred.".into(),
        score: 0.9,
        found: std::collections::BTreeMap::new(),
    }
}

fn stages(template: impl Template) -> impl Answers<Ask> {
    Pipeline::new()
        .embed(EmbedLayer::new(embedder()))
        .retrieve(RetrieveLayer::new(source()))
        .rerank(RerankLayer::new(reranker()))
        .confidence(ConfidenceLayer::new(0.3))
        .prompt(PromptLayer::new(template))
        .service(Generate::new(generator()))
}

/// Trace, rescue, limits, around what answers.
fn around(leaf: impl Answers<Ask>) -> BoxAskService {
    around_with(sink(config()), leaf)
}

fn around_with(sink: TraceSink, leaf: impl Answers<Ask>) -> BoxAskService {
    let stack = ServiceBuilder::new()
        .layer(TraceLayer::new(sink))
        .layer(RescueLayer::new())
        .layer(AdmissionLayer::new(1024).per_tenant(256))
        .layer(DeadlineLayer::new())
        .service(leaf);
    Pipeline::new().boxed(stack)
}

/// As above, with the rate limit, memory, cache and routing.
fn everything() -> BoxAskService {
    let decision = Decision::Search { intent: "search".into() };
    let classifier = service_fn(move |_| ready(Ok(decision.clone())));
    // A new version for each ask, so that none finds its answer in the cache.
    let version = std::sync::atomic::AtomicU64::new(0);
    let epoch = move |_: &TenantScope| {
        Arc::from(version.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string())
    };
    let inner = ServiceBuilder::new()
        .layer(RateLimitLayer::new(MemoryRateLimits::default()).per_key(Quota::per_minute(u32::MAX)))
        .layer(MemoryLayer::new(Arc::new(NoMemory)))
        .layer(CacheLayer::new(AnswerCache::default(), epoch))
        .layer(RouteLayer::new(classifier))
        .service(stages(NoWords::new()));
    around(inner)
}

// === driving it ===

/// One ask from call to end; nothing in it waits.
fn run<S>(mut stack: S, ask: Ask)
where
    S: Service<Ask, Response = Answer, Error = Error>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(stack.poll_ready(&mut cx).is_ready());
    drain(stack.call(ask).now_or_never().unwrap().unwrap());
}

fn drain(mut answer: Answer) {
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut answer).poll_next(&mut cx) {
            Poll::Ready(Some(Ok(Event::Finished(_)))) => break,
            Poll::Ready(Some(Ok(event))) => drop(divan::black_box(event)),
            // Some stores answer from another thread.
            Poll::Pending => std::thread::yield_now(),
            Poll::Ready(other) => unreachable(other.is_some()),
        }
    }
}

#[cold]
fn unreachable(failed: bool) {
    assert!(!failed, "the answer failed");
}

fn bench<S>(bencher: Bencher<'_, '_>, stack: S)
where
    S: Service<Ask, Response = Answer, Error = Error> + Clone + Sync,
{
    bencher.with_inputs(ask).bench_local_values(|ask| run(stack.clone(), ask));
}

/// The same for a stack that asks the source.
fn bench_stages(bencher: Bencher<'_, '_>, stack: BoxAskService) {
    let inputs = || {
        let stored = passages();
        (ask(), stored.clone(), stored)
    };
    bencher.with_inputs(inputs).bench_local_values(|(ask, found, stored)| {
        FOUND.set(found);
        run(stack.clone(), ask);
        stored
    });
}

/// Per ask: four pieces of text and the end.
mod per_ask {
    use super::*;

    #[divan::bench]
    fn a_make_the_ask(bencher: Bencher<'_, '_>) {
        bencher
            .with_inputs(|| (scope(), question()))
            .bench_local_values(|(scope, question)| Ask::new(scope, question));
    }

    #[divan::bench]
    fn b_leaf(bencher: Bencher<'_, '_>) {
        bench(bencher, Leaf(events()));
    }

    #[divan::bench]
    fn c_leaf_boxed(bencher: Bencher<'_, '_>) {
        bench(bencher, Pipeline::new().boxed(Leaf(events())));
    }

    #[divan::bench]
    fn d_trace(bencher: Bencher<'_, '_>) {
        bench(bencher, TraceLayer::new(sink(config())).layer(Leaf(events())));
    }

    #[divan::bench]
    fn e_rescue(bencher: Bencher<'_, '_>) {
        bench(bencher, RescueLayer::new().layer(Leaf(events())));
    }

    #[divan::bench]
    fn f_admission(bencher: Bencher<'_, '_>) {
        bench(bencher, AdmissionLayer::new(1024).per_tenant(256).layer(Leaf(events())));
    }

    #[divan::bench]
    fn g_deadline(bencher: Bencher<'_, '_>) {
        bench(bencher, DeadlineLayer::new().layer(Leaf(events())));
    }

    #[divan::bench]
    fn h_rate_limit(bencher: Bencher<'_, '_>) {
        let layer = RateLimitLayer::new(MemoryRateLimits::default()).per_key(Quota::per_minute(u32::MAX));
        bench(bencher, layer.layer(Leaf(events())));
    }

    #[divan::bench]
    fn i_stages(bencher: Bencher<'_, '_>) {
        bench_stages(bencher, Pipeline::new().boxed(stages(NoWords::new())));
    }

    #[divan::bench]
    fn i_stages_with_the_default_template(bencher: Bencher<'_, '_>) {
        bench_stages(bencher, Pipeline::new().boxed(stages(DefaultTemplate::default())));
    }

    #[divan::bench]
    fn j_trace_rescue_admission_deadline_stages(bencher: Bencher<'_, '_>) {
        bench_stages(bencher, around(stages(NoWords::new())));
    }

    #[divan::bench]
    fn j_the_same_with_a_journal_synced_never(bencher: Bencher<'_, '_>) {
        bench_stages(bencher, around_with(journal_sink(Fsync::Never), stages(NoWords::new())));
    }

    #[divan::bench]
    fn k_everything(bencher: Bencher<'_, '_>) {
        bench_stages(bencher, everything());
    }
}

/// Per ask, with what makes its row safe before its end is seen: four pieces of text and the end.
mod journal {
    use super::*;

    fn traced(sink: TraceSink) -> Trace<Leaf> {
        TraceLayer::new(sink).layer(Leaf(events()))
    }

    #[divan::bench]
    fn a_off(bencher: Bencher<'_, '_>) {
        bench(bencher, traced(sink(config())));
    }

    #[divan::bench]
    fn b_never(bencher: Bencher<'_, '_>) {
        bench(bencher, traced(journal_sink(Fsync::Never)));
    }

    #[divan::bench]
    fn c_interval(bencher: Bencher<'_, '_>) {
        bench(bencher, traced(journal_sink(Fsync::DEFAULT)));
    }

    /// The disk is waited for, by so many asks at once.
    #[divan::bench(args = [1, 16, 256], sample_count = 200, sample_size = 1)]
    fn d_each(bencher: Bencher<'_, '_>, at_once: usize) {
        let stack = traced(journal_sink(Fsync::Each));
        bencher
            .counter(ItemsCount::new(at_once))
            .with_inputs(|| (0..at_once).map(|_| ask()).collect::<Vec<_>>())
            .bench_local_values(|asks| {
                let answers = asks.into_iter().map(|ask| async {
                    let answer = stack.clone().call(ask).await.unwrap();
                    answer.collect().await.unwrap()
                });
                tokio::runtime::Handle::current().block_on(futures_util::future::join_all(answers))
            });
    }
}

/// Per event: a thousand pieces of text and the end.
mod per_event {
    use super::*;

    const DELTAS: usize = 1_000;

    fn long() -> Leaf {
        static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
        Leaf(EVENTS.get_or_init(|| many_events(DELTAS)))
    }

    fn bench<S>(bencher: Bencher<'_, '_>, stack: S)
    where
        S: Service<Ask, Response = Answer, Error = Error> + Clone + Sync,
    {
        bencher
            .counter(ItemsCount::new(DELTAS + 1))
            .with_inputs(|| stack.clone().call(ask()).now_or_never().unwrap().unwrap())
            .bench_local_values(drain);
    }

    #[divan::bench]
    fn a_no_tap(bencher: Bencher<'_, '_>) {
        bench(bencher, long());
    }

    #[divan::bench]
    fn b_trace(bencher: Bencher<'_, '_>) {
        bench(bencher, TraceLayer::new(sink(config())).layer(long()));
    }

    #[divan::bench]
    fn c_trace_admission(bencher: Bencher<'_, '_>) {
        let layers =
            ServiceBuilder::new().layer(TraceLayer::new(sink(config()))).layer(AdmissionLayer::new(1024));
        bench(bencher, layers.service(long()));
    }

    #[divan::bench]
    fn d_trace_rescue_admission(bencher: Bencher<'_, '_>) {
        let layers = ServiceBuilder::new()
            .layer(TraceLayer::new(sink(config())))
            .layer(RescueLayer::new())
            .layer(AdmissionLayer::new(1024));
        bench(bencher, layers.service(long()));
    }

    #[divan::bench]
    fn e_trace_rescue_admission_deadline(bencher: Bencher<'_, '_>) {
        bench(bencher, around(long()));
    }

    #[divan::bench]
    fn f_as_before_and_memory_and_cache(bencher: Bencher<'_, '_>) {
        let inner = ServiceBuilder::new()
            .layer(MemoryLayer::new(Arc::new(NoMemory)))
            .layer(CacheLayer::new(AnswerCache::default(), |_| AskId::generate().to_string().into()))
            .service(long());
        bench(bencher, around(inner));
    }
}
