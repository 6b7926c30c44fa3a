//! THE stack, in request order.

use std::sync::Arc;
use std::time::Duration;

use rag_tower::admission::AdmissionLayer;
use rag_tower::cache::{AnswerCache, CacheLayer};
use rag_tower::deadline::DeadlineLayer;
use rag_tower::generate::Extractive;
use rag_tower::memory::{MemoryLayer, RewriteLayer, WriteBehind};
use rag_tower::metrics::Labels;
use rag_tower::openai::HttpReranker;
use rag_tower::postgres::{PgDocuments, PgMemoryStore};
use rag_tower::quota::{Quota, RateLimitLayer};
use rag_tower::rescue::RescueLayer;
use rag_tower::retrieve::FusedSource;
use rag_tower::route::{KeywordClassifier, LlmClassifier, RouteLayer};
use rag_tower::stage::{
    ConfidenceLayer, DiversifyLayer, EmbedLayer, Generate, Lazy, LexicalRerank, PromptLayer, RerankLayer,
    RetrieveLayer, Retrieved,
};
use rag_tower::trace::{Prices, TraceLayer, TraceSink};
use rag_tower::{Answer, BoxAskService, Error, Pipeline};
use tower::layer::layer_fn;
use tower::util::{BoxCloneSyncService, Either};
use tower::{Layer, ServiceBuilder};

use crate::config::Config;
use crate::index::Index;
use crate::intake::Epochs;
use crate::models::{BoxEmbedder, BoxGenerator};
use crate::shared::Shared;
use crate::tenant_data::InMemoryBook;

/// Asks answered at once, of all tenants together and of one: a tenant can take a quarter of the server.
const IN_FLIGHT: (usize, usize) = (256, 64);
/// How long the search may take.
pub(crate) const SOURCE_TIMEOUT: Duration = Duration::from_secs(5);
/// Passages that the search gives for each that is wanted, so that the others can be chosen from.
pub(crate) const CANDIDATES: usize = 4;

/// What answers from passages.
type BoxAnswer = BoxCloneSyncService<Retrieved, Answer, Error>;

/// What the stack is made of. Clones share what it stands on.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) traces: TraceSink,
    pub(crate) labels: Labels,
    /// What asks cost, as they end.
    pub(crate) prices: Prices,
    pub(crate) memory: Arc<WriteBehind<PgMemoryStore>>,
    pub(crate) cache: AnswerCache,
    pub(crate) documents: Arc<PgDocuments>,
    pub(crate) index: Arc<Index>,
    pub(crate) embedder: BoxEmbedder,
    /// The vectors' share in the search by both.
    pub(crate) dense_weight: f32,
    pub(crate) generator: BoxGenerator,
    /// Resolves follow-up questions; none leaves that to a rule.
    pub(crate) rewriter: Option<BoxGenerator>,
    /// Routes what keywords leave open; none leaves that to them.
    pub(crate) router: Option<BoxGenerator>,
    pub(crate) reranker: Option<HttpReranker>,
    pub(crate) book: InMemoryBook,
    /// Name what answers are made with; a kept answer of another epoch is not given again.
    pub(crate) epochs: Epochs,
    pub(crate) tools: Vec<(&'static str, BoxAskService)>,
    /// Where asks are counted.
    pub(crate) shared: Shared,
    /// Asks a minute of a tenant and of a key; 0 is no limit.
    pub(crate) rate_limit: u32,
}

// === impl Parts ===

impl Parts {
    /// The same without anything that is paid for, without tools, which leave something behind, and without a limit.
    pub(crate) fn plain(&self) -> Self {
        Self {
            generator: BoxGenerator::new(Extractive::new()),
            rewriter: None,
            router: None,
            reranker: None,
            tools: Vec::new(),
            rate_limit: 0,
            ..self.clone()
        }
    }
}

/// Assembles the stack. What is written first sees an ask first.
pub(crate) fn stack(config: &Config, parts: Parts) -> BoxAskService {
    let Parts {
        traces,
        labels,
        prices,
        memory,
        cache,
        documents,
        index,
        embedder,
        dense_weight,
        generator,
        rewriter,
        router,
        reranker,
        book,
        tools,
        epochs,
        shared,
        rate_limit,
    } = parts;
    let quota = Quota::per_minute(rate_limit);
    let source = FusedSource::new(index, Arc::clone(&documents), documents)
        .with_weight(dense_weight)
        .with_timeout(SOURCE_TIMEOUT);

    let answer = ServiceBuilder::new()
        // the best passages, and none twice
        .layer(DiversifyLayer::new(config.top_k))
        // numbered, within the budget
        .layer(PromptLayer::default().with_max_context_tokens(config.max_context_tokens as u64))
        // the model, or the best sentences
        .service(Generate::new(generator));
    let answer = match reranker {
        // a model decides among them; while it is down the words' order stays
        Some(model) => BoxAnswer::new(RerankLayer::new(model).layer(answer)),
        None => BoxAnswer::new(answer),
    };
    let rewrite = match rewriter {
        Some(model) => RewriteLayer::new().with_model(model),
        None => RewriteLayer::new(),
    };
    let search = Pipeline::new()
        // a follow-up with what it leans on
        .layer(rewrite)
        // the question's vector
        .embed(EmbedLayer::new(embedder))
        .layer(layer_fn(Lazy::new))
        // by meaning and by words in one call, fused by rank; the text is read once
        .retrieve(RetrieveLayer::new(source).with_limit(CANDIDATES * config.top_k))
        // the question's own words decide among them
        .rerank(RerankLayer::new(LexicalRerank::new()))
        // "I don't know" rather than an answer from passages that do not fit, before anything is paid for
        .confidence(ConfidenceLayer::new(LexicalRerank::FLOOR))
        .service(Lazy::new(answer));

    let keywords = KeywordClassifier::new(book);
    let classifier = match router {
        // asked only where the keywords are not sure
        Some(model) => Either::Left(LlmClassifier::new(keywords, model)),
        None => Either::Right(keywords),
    };
    let route = tools
        .into_iter()
        .fold(RouteLayer::new(classifier), |route, (name, tool)| route.with_tool(name, tool));

    let trace = TraceLayer::new(traces).with_labels(labels).with_prices(prices).when_full(config.when_full);
    BoxAskService::new(
        ServiceBuilder::new()
            // one row per ask, refusals by the layers below included
            .layer(trace)
            // errors that must fail closed become an answer that shows nothing
            .layer(RescueLayer::new())
            // asks a minute of a tenant and of a key
            .layer(RateLimitLayer::new(shared.limits()).per_tenant(quota).per_key(quota))
            // asks at once; a permit is held until the answer has ended
            .layer(AdmissionLayer::new(IN_FLIGHT.0).per_tenant(IN_FLIGHT.1))
            // time to the first event, between events, and in all
            .layer(DeadlineLayer::new())
            // what was said before in this conversation
            .layer(MemoryLayer::new(memory))
            // what waits in between keeps clones of what comes after, mostly for nothing
            .layer(layer_fn(Lazy::new))
            // the same question of the same tenant again
            .layer(CacheLayer::new(cache, move |scope| epochs.of(scope)))
            // search, a tool, a person, or "that is not what I am for"
            .layer(route)
            .service(Lazy::new(search)),
    )
}
