//! A collection in, the quality and speed of every kind of search out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::time::Instant;
use tower::ServiceExt;

use super::{
    Collection, CollectionDocument, CollectionQuery, ndcg_at, percentile, recall_at, reciprocal_rank_at,
};
use crate::ask::Question;
use crate::error::{Error, Stage};
use crate::filter::Filter;
use crate::ingest::{Chunker, Format, Ingest, Ingestor, MAX_FILE_BYTES};
use crate::passage::{DocumentId, Passages};
use crate::port::{
    ChunkStore, DocumentStore, EmbedKind, EmbedRequest, Embedder, Rerank, RerankRequest, TermStats,
    VectorStore,
};
use crate::retrieve::{DENSE_WEIGHT, DenseSource, FusedSource, Query, Retrieve, SparseSource, fetch};
use crate::stage::DiversifyLayer;
use crate::tenant::TenantScope;
use crate::trace::TraceHandle;

/// Indexes a collection as one tenant's documents and searches it, through the services that a server is made of: the
/// ingest pipeline with its chunker, the embedder, the stores, the sources, [`FusedSource`], and the
/// reranker.
///
/// A document longer than a chunk is found by the best of its chunks. The tenant should be one that has no other documents.
///
/// - **Cancellation:** dropping the future of a run stops it; what was indexed stays.
/// - **Panics:** never of its own.
pub struct RetrievalEval<E, D, V, K> {
    scope: TenantScope,
    embedder: E,
    documents: Arc<D>,
    vectors: Arc<V>,
    reranker: K,
    chunker: Chunker,
    dense_weight: f32,
    cutoffs: Vec<usize>,
    ids: HashMap<DocumentId, String>,
}

/// A kind of search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leg {
    /// By vector.
    Dense,
    /// By words.
    Sparse,
    /// By both, fused.
    Hybrid,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrievalReport {
    /// Documents indexed.
    pub documents: usize,
    /// Queries asked.
    pub queries: usize,
    /// A row for each search, without and with the reranker.
    pub rows: Vec<ReportRow>,
}

/// What was measured of one search.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportRow {
    /// The search: `dense`, `sparse`, `hybrid`, with `+rerank` behind it when its result was reranked.
    pub name: String,
    /// Its figures.
    pub figures: Figures,
}

/// Means over all queries, and times.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// [`recall_at`] each cutoff.
    pub recall: BTreeMap<usize, f64>,
    /// [`reciprocal_rank_at`] 10.
    pub mrr_at_10: f64,
    /// [`ndcg_at`] 10.
    pub ndcg_at_10: f64,
    /// Milliseconds that half of the queries took at most: embedding, search, reading the texts, and reranking.
    pub latency_p50: f64,
    /// Milliseconds that 99 of 100 queries took at most.
    pub latency_p99: f64,
}

/// The depth of MRR and nDCG.
const DEPTH: usize = 10;
/// Passages searched for each rank that is looked at: a server keeps one of four after reranking, and a document may be
/// found by several of its chunks.
const WIDER: usize = 4;
/// Documents, and bytes, of one ingest.
const BATCH: (usize, usize) = (200, MAX_FILE_BYTES / 2);

/// One measured ranking.
struct Sample {
    ranking: Vec<String>,
    millis: f64,
}

// === impl Leg ===

impl Leg {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dense, Self::Sparse, Self::Hybrid];

    /// `dense`, `sparse` or `hybrid`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Sparse => "sparse",
            Self::Hybrid => "hybrid",
        }
    }
}

// === impl RetrievalEval ===

impl<E, D, V, K> RetrievalEval<E, D, V, K> {
    /// An evaluation for this tenant, in these stores.
    #[must_use]
    pub fn new(scope: TenantScope, embedder: E, documents: Arc<D>, vectors: Arc<V>, reranker: K) -> Self {
        Self {
            scope,
            embedder,
            documents,
            vectors,
            reranker,
            chunker: Chunker::new(),
            dense_weight: DENSE_WEIGHT,
            cutoffs: vec![1, 5, 10],
            ids: HashMap::new(),
        }
    }

    /// Sets how documents are cut. Default: [`Chunker::new`].
    #[must_use]
    pub fn with_chunker(mut self, chunker: Chunker) -> Self {
        self.chunker = chunker;
        self
    }

    /// Sets the share of the vectors in the fusion. Default: [`DENSE_WEIGHT`].
    #[must_use]
    pub fn with_dense_weight(mut self, weight: f32) -> Self {
        self.dense_weight = weight;
        self
    }

    /// Sets at which ranks recall is measured. Default: 1, 5 and 10.
    #[must_use]
    pub fn with_cutoffs(mut self, cutoffs: impl Into<Vec<usize>>) -> Self {
        self.cutoffs = cutoffs.into();
        self
    }

    fn limit(&self) -> usize {
        WIDER * self.cutoffs.iter().copied().max().unwrap_or(0).max(DEPTH)
    }
}

impl<E, D, V, K> RetrievalEval<E, D, V, K>
where
    E: Embedder,
    D: DocumentStore + ChunkStore + TermStats,
    V: VectorStore,
    K: Rerank,
{
    /// Takes the collection's documents in; `told` hears of each batch how many it was.
    ///
    /// # Errors
    /// The ingest pipeline's.
    pub async fn index(&mut self, collection: &Collection, told: impl Fn(usize)) -> Result<(), Error> {
        let ingestor =
            Ingestor::new(self.embedder.clone(), Arc::clone(&self.documents), Arc::clone(&self.vectors))
                .with_chunker(self.chunker);
        let mut rest = collection.documents.as_slice();
        while !rest.is_empty() {
            let mut lines = String::new();
            let mut taken = 0;
            for document in rest.iter().take(BATCH.0) {
                let line = line(document)?;
                if taken > 0 && lines.len() + line.len() > BATCH.1 {
                    break;
                }
                lines.push_str(&line);
                lines.push('\n');
                taken += 1;
            }
            let (batch, after) = rest.split_at(taken);
            rest = after;
            if batch.iter().any(|document| document.text.chars().any(char::is_alphanumeric)) {
                let request = Ingest::new(self.scope.clone(), "corpus", lines).with_format(Format::JsonLines);
                let done = ingestor.clone().oneshot(request).await?;
                self.ids
                    .extend(done.documents.into_iter().zip(batch.iter().map(|document| document.id.clone())));
            }
            told(taken);
        }
        Ok(())
    }

    /// Asks every query of every kind of search; `told` hears of each query of each kind.
    ///
    /// # Errors
    /// The embedder's, the stores' and the reranker's.
    pub async fn run(&self, collection: &Collection, told: impl Fn()) -> Result<RetrievalReport, Error> {
        let mut rows = Vec::new();
        for leg in Leg::ALL {
            let (mut plain, mut reranked) = (Vec::new(), Vec::new());
            for query in &collection.queries {
                let (first, second) = self.ask(leg, query).await?;
                plain.push(first);
                reranked.push(second);
                told();
            }
            let row = |name: String, samples: &[Sample]| ReportRow {
                name,
                figures: self.figures(collection, samples),
            };
            rows.push(row(leg.name().to_owned(), &plain));
            rows.push(row(format!("{}+rerank", leg.name()), &reranked));
        }
        Ok(RetrievalReport { documents: collection.documents.len(), queries: collection.queries.len(), rows })
    }

    /// One query: as it was found, and reranked.
    async fn ask(&self, leg: Leg, query: &CollectionQuery) -> Result<(Sample, Sample), Error> {
        let Some(question) = query.question() else {
            return Ok((Sample::nothing(), Sample::nothing()));
        };
        let began = Instant::now();
        let passages = self.search(leg, &question, self.limit()).await?;
        let plain = Sample { ranking: self.ranking(&passages), millis: millis(began) };
        let began = Instant::now();
        let passages = self.rerank(question, passages).await?;
        let took = plain.millis + millis(began);
        Ok((plain, Sample { ranking: self.ranking(&passages), millis: took }))
    }

    /// What a server with the default stack would answer a question from: the best `keep` passages of the hybrid search,
    /// reranked and without near-copies.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn found(&self, question: &Question, keep: usize) -> Result<Passages, Error> {
        let found = self.search(Leg::Hybrid, question, WIDER * keep).await?;
        let mut passages = self.rerank(question.clone(), found).await?;
        let kept = DiversifyLayer::new(keep).choose(&passages);
        passages.select(&kept);
        Ok(passages)
    }

    async fn rerank(&self, question: Question, passages: Passages) -> Result<Passages, Error> {
        let request =
            RerankRequest { scope: self.scope.clone(), trace: TraceHandle::new(), question, passages };
        let passages = self.reranker.clone().oneshot(request).await?;
        passages.check_again(&self.scope)?;
        Ok(passages)
    }

    async fn search(&self, leg: Leg, question: &Question, limit: usize) -> Result<Passages, Error> {
        let query = Query {
            scope: self.scope.clone(),
            trace: TraceHandle::new(),
            text: question.shared(),
            vector: (),
            filter: Filter::default(),
            limit,
        };
        let (vectors, documents) = (Arc::clone(&self.vectors), Arc::clone(&self.documents));
        match leg {
            Leg::Dense => self.embedded(query, DenseSource::new(vectors, documents)).await,
            Leg::Sparse => fetch(SparseSource::new(vectors, Arc::clone(&documents), documents), query).await,
            Leg::Hybrid => {
                let source = FusedSource::new(vectors, Arc::clone(&documents), documents);
                self.embedded(query, source.with_weight(self.dense_weight)).await
            }
        }
    }

    async fn embedded<R: Retrieve<crate::port::Embedding>>(
        &self,
        query: Query,
        source: R,
    ) -> Result<Passages, Error> {
        let request = EmbedRequest {
            scope: self.scope.clone(),
            trace: query.trace.clone(),
            kind: EmbedKind::Query,
            texts: vec![Arc::clone(&query.text)],
        };
        let vector = self.embedder.clone().oneshot(request).await?.pop().ok_or_else(|| {
            Error::new(crate::ErrorKind::ProviderInvalid, Stage::Embed)
                .with_message("the embedder gave no vector")
        })?;
        fetch(source, query.with_vector(vector)).await
    }

    /// The documents of passages, each where its best passage stands.
    fn ranking(&self, passages: &Passages) -> Vec<String> {
        let mut seen = std::collections::HashSet::new();
        passages
            .iter()
            .filter(|passage| seen.insert(passage.document))
            .filter_map(|passage| self.ids.get(&passage.document).cloned())
            .collect()
    }

    fn figures(&self, collection: &Collection, samples: &[Sample]) -> Figures {
        let mean = |of: &dyn Fn(&[String], &super::Relevance) -> f64| {
            let all = samples.iter().zip(&collection.queries);
            all.map(|(sample, query)| of(&sample.ranking, &query.relevance)).sum::<f64>()
                / samples.len().max(1) as f64
        };
        let times: Vec<f64> = samples.iter().map(|sample| sample.millis).collect();
        Figures {
            recall: self
                .cutoffs
                .iter()
                .map(|&k| (k, mean(&|ranking, grades| recall_at(k, ranking, grades))))
                .collect(),
            mrr_at_10: mean(&|ranking, grades| reciprocal_rank_at(DEPTH, ranking, grades)),
            ndcg_at_10: mean(&|ranking, grades| ndcg_at(DEPTH, ranking, grades)),
            latency_p50: percentile(&times, 0.5),
            latency_p99: percentile(&times, 0.99),
        }
    }
}

impl<E, D, V, K> std::fmt::Debug for RetrievalEval<E, D, V, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RetrievalEval").field("documents", &self.ids.len()).finish_non_exhaustive()
    }
}

// === impl RetrievalReport ===

impl RetrievalReport {
    /// The figures of a row by its name.
    #[must_use]
    pub fn figures(&self, name: &str) -> Option<&Figures> {
        self.rows.iter().find(|row| row.name == name).map(|row| &row.figures)
    }
}

// === impl Sample ===

impl Sample {
    fn nothing() -> Self {
        Self { ranking: Vec::new(), millis: 0.0 }
    }
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn line(document: &CollectionDocument) -> Result<String, Error> {
    let CollectionDocument { id, title, text } = document;
    serde_json::to_string(&serde_json::json!({ "id": id, "title": title, "text": text }))
        .map_err(|error| Error::internal(Stage::Ingest, error))
}
