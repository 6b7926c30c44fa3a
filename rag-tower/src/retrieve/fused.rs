//! A vector and words in, the passages that both find out, in one call of one index.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tower_service::Service;

use super::fuse::{Name, survive};
use super::{Query, resolve};
use crate::error::{Error, ErrorKind, Stage};
use crate::passage::Passage;
use crate::port::{ChunkStore, Embedding, HybridQuery, SparseVector, TermStats, VectorStore};
use crate::stage::ResponseFuture;
use crate::text::{Bm25, query_terms};

/// Searches one [`VectorStore`] by the query's vector and by its words in one call, fused by reciprocal rank, and reads
/// the text of what is left from a [`ChunkStore`]: `Query<Embedding>` in, passages out.
///
/// It finds what [`Hybrid`](super::Hybrid) over a [`DenseSource`](super::DenseSource) and a
/// [`SparseSource`](super::SparseSource) of one store finds, in the same order, with one search instead of two and
/// without reading the text of candidates that lose. Take `Hybrid` for sources that can fail apart.
///
/// - **Failure:** without the term statistics, `sparse` is noted as degraded and the vector searches alone. A store that
///   is down, or takes too long, is an error.
/// - **Isolation:** as `DenseSource`; and no other tenant's documents touch the ranking.
/// - **Readiness:** always ready. **Cancellation:** dropping the future drops the search. **Panics:** never of its own.
pub struct FusedSource<V, S, C> {
    store: Arc<V>,
    stats: Arc<S>,
    chunks: Arc<C>,
    names: [Name; 3],
    timeout: Option<Duration>,
    weight: f32,
    candidates: usize,
    bm25: Bm25,
}

/// The share of the vector when nothing is said: right for [`LocalEmbedder`](crate::embed::LocalEmbedder), which sees
/// little that a search by words does not, and so only decides where that wavers. A model that knows meanings deserves
/// more, up to a half.
pub const DENSE_WEIGHT: f32 = 0.03;

// === impl FusedSource ===

impl<V, S, C> FusedSource<V, S, C> {
    /// Both searches of `store`, the vector with [`DENSE_WEIGHT`].
    #[must_use]
    pub fn new(store: Arc<V>, stats: Arc<S>, chunks: Arc<C>) -> Self {
        let names = ["dense", "sparse", "hybrid"].map(Name::new);
        Self {
            store,
            stats,
            chunks,
            names,
            timeout: None,
            weight: DENSE_WEIGHT,
            candidates: 40,
            bm25: Bm25::new(),
        }
    }

    /// The share of the vector in the fusion, from 0 to 1; the words have the rest. Default: [`DENSE_WEIGHT`]. A Qdrant server fuses
    /// equal shares itself; for others it sends both lists.
    #[must_use]
    pub fn with_weight(mut self, dense: f32) -> Self {
        self.weight = dense.clamp(0.0, 1.0);
        self
    }

    /// The passages that each of the two gives to the fusion, when more than the search's own limit. Default: 40.
    #[must_use]
    pub fn with_candidates(mut self, candidates: usize) -> Self {
        self.candidates = candidates;
        self
    }

    /// How long the search may take. Default: as long as it likes.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl<V: VectorStore, S: TermStats, C: ChunkStore> FusedSource<V, S, C> {
    async fn find(&self, query: Query<Embedding>) -> Result<Vec<Passage>, Error> {
        let [dense, sparse, both] = &self.names;
        let words = survive(sparse, self.words(&query).await, &query.trace)?;
        let search = HybridQuery {
            dense: query.vector,
            // alone, the vector has all of the weight
            dense_weight: if words.is_some() { self.weight } else { 1.0 },
            sparse: words.unwrap_or_default(),
            filter: query.filter,
            candidates: self.candidates,
            limit: query.limit,
        };
        let fused = self.store.hybrid(&query.scope, &search).await?;
        let mut how = Vec::with_capacity(fused.len());
        let mut hits = Vec::with_capacity(fused.len());
        for found in fused {
            how.push((found.hit.chunk, [(dense, found.dense), (sparse, found.sparse)]));
            hits.push(found.hit);
        }
        let mut passages = resolve(&*self.chunks, &query.scope, &query.trace, &both.name, hits).await?;
        // passages come in the order of the hits, some of which may be gone
        let mut how = how.into_iter();
        for passage in &mut passages {
            let known = how.find(|(chunk, _)| *chunk == passage.chunk);
            for (name, found) in known.into_iter().flat_map(|(_, known)| known) {
                if let Some(found) = found {
                    passage.found.insert(Arc::clone(&name.name), found);
                }
            }
            // where it is known how each of the two found it, that both did says no more
            if passage.found.len() > 1 {
                passage.found.remove(&both.name);
            }
        }
        Ok(passages)
    }

    /// The query's words, by the tenant's statistics. Empty without words or documents.
    async fn words(&self, query: &Query<Embedding>) -> Result<SparseVector, Error> {
        let terms = query_terms(&query.text);
        if terms.is_empty() {
            return Ok(SparseVector::default());
        }
        let (total, frequencies) = self.stats.frequencies(&query.scope, &terms.ids()).await?;
        if total == 0 {
            return Ok(SparseVector::default());
        }
        Ok(self.bm25.query(&terms, total, &frequencies))
    }
}

impl<V, S, C> Clone for FusedSource<V, S, C> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            stats: Arc::clone(&self.stats),
            chunks: Arc::clone(&self.chunks),
            names: self.names.clone(),
            timeout: self.timeout,
            weight: self.weight,
            candidates: self.candidates,
            bm25: self.bm25,
        }
    }
}

impl<V, S, C> fmt::Debug for FusedSource<V, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FusedSource")
            .field("weight", &self.weight)
            .field("candidates", &self.candidates)
            .finish_non_exhaustive()
    }
}

impl<V: VectorStore, S: TermStats, C: ChunkStore> Service<Query<Embedding>> for FusedSource<V, S, C> {
    type Response = Vec<Passage>;
    type Error = Error;
    type Future = ResponseFuture<Vec<Passage>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, query: Query<Embedding>) -> Self::Future {
        let this = self.clone();
        ResponseFuture::new(async move {
            let Some(within) = this.timeout else { return this.find(query).await };
            tokio::time::timeout(within, this.find(query)).await.map_err(|_| {
                Error::new(ErrorKind::Timeout, Stage::Retrieve).with_message("the search took too long")
            })?
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::{DenseSource, Hybrid, KeywordOnly, MemoryVectors, Retrieve, SparseSource, fetch};
    use super::*;
    use crate::embed::LocalEmbedder;
    use crate::ingest::{Ingest, Ingestor, MemoryDocuments};
    use crate::passage::{ChunkId, Passages};
    use crate::stage::testing;
    use crate::tenant::TenantScope;
    use tower::ServiceExt;

    const TEXTS: [&str; 6] = [
        "IELTS evening course, twelve weeks, certified teachers",
        "TOEIC course for beginners in the morning",
        "Refunds are paid within seven days of the request",
        "The swimming pool opens at six in the morning",
        "Evening classes end at nine; the building closes at ten",
        "A certificate is given at the end of each course",
    ];

    struct NoStats;

    impl TermStats for NoStats {
        async fn frequencies(&self, _: &TenantScope, _: &[u32]) -> Result<(u64, HashMap<u32, u64>), Error> {
            Err(Error::new(ErrorKind::StoreUnavailable, Stage::Retrieve))
        }
    }

    async fn filled(tenants: &[&str]) -> (Arc<MemoryVectors>, Arc<MemoryDocuments>) {
        let embedder = LocalEmbedder::new();
        let vectors = Arc::new(MemoryVectors::new(embedder.dimensions(), 100));
        let documents = Arc::new(MemoryDocuments::new(100));
        let ingestor = Ingestor::new(embedder, Arc::clone(&documents), Arc::clone(&vectors));
        for tenant in tenants {
            for (n, text) in TEXTS.into_iter().enumerate() {
                let request = Ingest::new(testing::scope(tenant), format!("{n}.txt"), text);
                ingestor.clone().oneshot(request).await.unwrap();
            }
        }
        (vectors, documents)
    }

    async fn search(source: impl Retrieve<Embedding>, tenant: &str, text: &str) -> Passages {
        let ask = crate::Ask::new(testing::scope(tenant), testing::question(text));
        let query = Query::of(&ask, 4).with_vector(LocalEmbedder::new().embed(text));
        fetch(source, query).await.unwrap()
    }

    fn chunks(passages: &Passages) -> Vec<ChunkId> {
        passages.iter().map(|passage| passage.chunk).collect()
    }

    #[tokio::test]
    async fn it_finds_what_two_sources_fused_find() {
        let (vectors, documents) = filled(&["a", "b"]).await;
        for weight in [0.5, 1.0] {
            let fused =
                FusedSource::new(Arc::clone(&vectors), Arc::clone(&documents), Arc::clone(&documents))
                    .with_weight(weight);
            let dense = DenseSource::new(Arc::clone(&vectors), Arc::clone(&documents));
            let words = KeywordOnly::new(SparseSource::new(
                Arc::clone(&vectors),
                Arc::clone(&documents),
                Arc::clone(&documents),
            ));
            for text in ["evening course", "when are refunds paid", "pool", "…"] {
                let one = search(fused.clone(), "a", text).await;
                if weight == 0.5 {
                    let two = search(Hybrid::new(dense.clone(), words.clone()), "a", text).await;
                    assert_eq!(chunks(&one), chunks(&two), "{text}");
                    let scores = |passages: &Passages| {
                        passages.iter().map(|passage| passage.score).collect::<Vec<_>>()
                    };
                    assert_eq!(scores(&one), scores(&two), "{text}");
                    assert!(one.iter().zip(two.iter()).all(|(x, y)| x.found.keys().eq(y.found.keys())));
                } else {
                    let two = search(dense.clone(), "a", text).await;
                    assert_eq!(chunks(&one), chunks(&two), "{text}");
                }
            }
        }
    }

    #[tokio::test]
    async fn t15_nobody_elses_documents_are_found_or_felt() {
        let (alone, kept) = filled(&["a"]).await;
        let (shared, both) = filled(&["a", "b"]).await;
        let source = |vectors: &Arc<_>, documents: &Arc<_>| {
            FusedSource::new(Arc::clone(vectors), Arc::clone(documents), Arc::clone(documents))
        };
        let text = "evening course";
        assert_eq!(
            chunks(&search(source(&alone, &kept), "a", text).await),
            chunks(&search(source(&shared, &both), "a", text).await)
        );
        assert!(search(source(&shared, &both), "c", text).await.is_empty());
    }

    #[tokio::test]
    async fn without_statistics_the_vector_searches_alone() {
        let (vectors, documents) = filled(&["a"]).await;
        let source = FusedSource::new(vectors, Arc::new(NoStats), documents);
        let ask = testing::ask("refunds");
        let query = Query::of(&ask, 2).with_vector(LocalEmbedder::new().embed("refunds"));
        let trace = query.trace.clone();
        let found = fetch(source, query).await.unwrap();
        assert_eq!((&*found[0].text, found[0].score), (TEXTS[2], 1.0));
        assert_eq!(trace.snapshot().degraded.join(","), "sparse");
    }
}
