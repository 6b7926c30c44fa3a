//! Retrieval again: a question and a scope in, what is found now and what would go into a prompt out. Nothing is asked of a
//! model that writes, and no row is left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rag_tower::passage::{ChunkId, Origin};
use rag_tower::port::{ChunkStore, Hit};
use rag_tower::postgres::PgDocuments;
use rag_tower::retrieve::FusedSource;
use rag_tower::stage::{
    DiversifyLayer, EmbedLayer, LexicalRerank, Prompt, PromptLayer, RerankLayer, RetrieveLayer, Retrieved,
};
use rag_tower::trace::HitRecord;
use rag_tower::{Answer, Ask, Error, ErrorKind, Finish, Pipeline, Question, Scoped, Stage, TenantScope};
use serde::Serialize;
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use uuid::Uuid;

use crate::index::Index;
use crate::models::BoxEmbedder;
use crate::stack::{CANDIDATES, SOURCE_TIMEOUT};

/// How long all of it may take: a vector from a provider, and the search.
const PATIENCE: Duration = Duration::from_secs(15);
/// A source's name where what was found is only read again.
const READ_AGAIN: &str = "replay";

type BoxAnswer = BoxCloneSyncService<Retrieved, Answer, Error>;

/// Searches again.
#[derive(Clone)]
pub(crate) struct Replay {
    index: Arc<Index>,
    documents: Arc<PgDocuments>,
    embedder: BoxEmbedder,
    /// What asks are answered with.
    usual: Settings,
    max_context_tokens: u64,
}

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub(crate) struct Settings {
    /// The passages that go into the prompt, at most.
    pub(crate) top_k: usize,
    /// The share of the search by meaning, from 0 to 1; the search by words has the rest.
    pub(crate) vector: f32,
    /// Whether the question's own words decide among what was found.
    pub(crate) rerank: bool,
}

/// A passage, as one of the two searches found it.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub(crate) struct ReplayedHit {
    /// Its rank in that search, from 1.
    pub(crate) rank: u32,
    /// The search: `dense` by meaning, `sparse` by words.
    pub(crate) source: String,
    pub(crate) chunk_id: Uuid,
    pub(crate) document_id: Uuid,
    /// The document's title; none when it is not there any more.
    pub(crate) title: Option<String>,
    pub(crate) file_name: Option<String>,
    /// That search's own score.
    pub(crate) score: f32,
    /// The score after both were fused, or after the reranking.
    pub(crate) fused: f32,
    /// True when it goes into the prompt.
    pub(crate) used: bool,
}

/// What was found then, and now.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct Replayed {
    /// The question, masked.
    pub(crate) question: String,
    /// What narrows the search besides the settings.
    pub(crate) filter: SentFilter,
    pub(crate) settings: Settings,
    /// What asks are answered with now.
    pub(crate) usual: Settings,
    pub(crate) original: Vec<ReplayedHit>,
    pub(crate) replayed: Vec<ReplayedHit>,
    /// Chunks that go into the prompt now and did not then.
    pub(crate) entered: Vec<Uuid>,
    /// Chunks that went into the prompt then and do not now.
    pub(crate) left: Vec<Uuid>,
    /// How long the search took, in milliseconds.
    pub(crate) took_ms: u64,
}

/// What every search is sent with.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct SentFilter {
    /// Nothing of another tenant can be found.
    pub(crate) tenant_id: Uuid,
    /// Nor of other branches, when the ask was narrowed to one.
    pub(crate) branch_id: Option<Uuid>,
}

/// What was searched for then.
#[derive(Clone, Debug)]
pub(crate) struct Original {
    pub(crate) scope: TenantScope,
    pub(crate) branch: Option<Uuid>,
    pub(crate) question: String,
    pub(crate) hits: Vec<HitRecord>,
}

// === impl Replay ===

impl Replay {
    pub(crate) fn new(
        index: Arc<Index>,
        documents: Arc<PgDocuments>,
        embedder: BoxEmbedder,
        usual: Settings,
        max_context_tokens: u64,
    ) -> Self {
        Self { index, documents, embedder, usual, max_context_tokens }
    }

    /// What asks are answered with.
    pub(crate) fn usual(&self) -> Settings {
        self.usual
    }

    /// Searches in the scope of the ask.
    ///
    /// # Errors
    /// Those of the embedder and of the stores; [`Timeout`](ErrorKind::Timeout) after a quarter of a minute.
    pub(crate) async fn run(&self, original: &Original, settings: Settings) -> Result<Replayed, Error> {
        let ask = Ask::new(original.scope.clone(), Question::parse(&original.question)?);
        let trace = ask.trace().clone();
        let began = Instant::now();
        let searched = timeout(PATIENCE, self.search(settings).oneshot(ask)).await;
        // there is nothing in the answer
        drop(searched.map_err(|_| Error::new(ErrorKind::Timeout, Stage::Retrieve))??);
        let took = began.elapsed();
        let found = trace.snapshot().hits;
        let (then, now) = (in_prompt(&original.hits), in_prompt(&found));
        Ok(Replayed {
            question: rag_tower::masking::text(&original.question).into_owned(),
            filter: SentFilter { tenant_id: original.scope.tenant().as_uuid(), branch_id: original.branch },
            settings,
            usual: self.usual,
            original: self.shown(&original.scope, &original.hits).await?,
            replayed: self.shown(&original.scope, &found).await?,
            entered: now.difference(&then).copied().collect(),
            left: then.difference(&now).copied().collect(),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// The stages that an ask passes from its question to its prompt, without those that cost or remember.
    fn search(&self, settings: Settings) -> rag_tower::BoxAskService {
        let source = FusedSource::new(
            Arc::clone(&self.index),
            Arc::clone(&self.documents),
            Arc::clone(&self.documents),
        )
        .with_weight(settings.vector)
        .with_timeout(SOURCE_TIMEOUT);
        let leaf = service_fn(async |prompt: Prompt| {
            Ok::<_, Error>(Answer::text(prompt.ask.id(), "", Finish::Stop))
        });
        let prompt = ServiceBuilder::new()
            .layer(DiversifyLayer::new(settings.top_k))
            .layer(PromptLayer::default().with_max_context_tokens(self.max_context_tokens))
            .service(leaf);
        let prompt = if settings.rerank {
            BoxAnswer::new(RerankLayer::new(LexicalRerank::new()).layer(prompt))
        } else {
            BoxAnswer::new(prompt)
        };
        Pipeline::new()
            .embed(EmbedLayer::new(self.embedder.clone()))
            .retrieve(RetrieveLayer::new(source).with_limit(CANDIDATES * settings.top_k))
            .boxed(prompt)
    }

    /// Hits with the titles that their documents have now, read as the tenant.
    async fn shown(&self, scope: &TenantScope, hits: &[HitRecord]) -> Result<Vec<ReplayedHit>, Error> {
        let origin = Origin::Tenant { tenant: scope.tenant(), branch: None };
        let mut known = BTreeSet::new();
        let wanted = hits.iter().filter(|hit| known.insert(hit.chunk));
        let wanted =
            wanted.map(|hit| Hit { chunk: hit.chunk, document: hit.document, origin, score: hit.score });
        let passages = self.documents.passages(scope, &READ_AGAIN.into(), wanted.collect()).await?;
        let title = |chunk: ChunkId| passages.iter().find(|passage| passage.chunk == chunk);
        let shown = hits.iter().map(|hit| {
            let passage = title(hit.chunk);
            ReplayedHit {
                rank: hit.rank,
                source: hit.source.to_string(),
                chunk_id: hit.chunk.as_uuid(),
                document_id: hit.document.as_uuid(),
                title: passage.map(|passage| passage.title.to_string()),
                file_name: passage.map(|passage| passage.file_name.to_string()),
                score: hit.score,
                fused: hit.fused,
                used: hit.used,
            }
        });
        Ok(shown.collect())
    }
}

/// The chunks that went into the prompt.
fn in_prompt(hits: &[HitRecord]) -> BTreeSet<Uuid> {
    hits.iter().filter(|hit| hit.used).map(|hit| hit.chunk.as_uuid()).collect()
}
