//! Words in, the passages that hold them out.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use super::{Query, resolve};
use crate::error::Error;
use crate::passage::Passage;
use crate::port::{ChunkStore, QueryVector, TermStats, VectorQuery, VectorStore};
use crate::stage::ResponseFuture;
use crate::text::{Bm25, query_terms};

/// Searches a [`VectorStore`] by the words of the query, ranked by BM25 with the tenant's own statistics, and reads the
/// text from a [`ChunkStore`]: `Query` in (with or without a vector, which it ignores), passages out.
///
/// A query without a word, or of a tenant without documents, finds nothing without a search.
///
/// - **Isolation:** as [`DenseSource`](super::DenseSource); and no other tenant's documents touch the ranking.
/// - **Readiness:** always ready. **Cancellation:** dropping the future drops the search. **Panics:** never of its own.
pub struct SparseSource<V, S, C> {
    store: Arc<V>,
    stats: Arc<S>,
    chunks: Arc<C>,
    name: Arc<str>,
    bm25: Bm25,
}

// === impl SparseSource ===

impl<V, S, C> SparseSource<V, S, C> {
    /// A source named `sparse`, with [`Bm25::new`], which is also how the ingest pipeline writes.
    #[must_use]
    pub fn new(store: Arc<V>, stats: Arc<S>, chunks: Arc<C>) -> Self {
        Self { store, stats, chunks, name: "sparse".into(), bm25: Bm25::new() }
    }

    /// Sets the name under which passages say how they were found. Default: `sparse`.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }
}

impl<V, S, C> Clone for SparseSource<V, S, C> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            stats: Arc::clone(&self.stats),
            chunks: Arc::clone(&self.chunks),
            name: Arc::clone(&self.name),
            bm25: self.bm25,
        }
    }
}

impl<V, S, C> fmt::Debug for SparseSource<V, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SparseSource").field(&self.name).finish()
    }
}

impl<W, V, S, C> Service<Query<W>> for SparseSource<V, S, C>
where
    W: Send + 'static,
    V: VectorStore,
    S: TermStats,
    C: ChunkStore,
{
    type Response = Vec<Passage>;
    type Error = Error;
    type Future = ResponseFuture<Vec<Passage>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, query: Query<W>) -> Self::Future {
        let this = self.clone();
        let query = query.with_vector(());
        ResponseFuture::new(async move {
            let terms = query_terms(&query.text);
            if terms.is_empty() {
                return Ok(Vec::new());
            }
            let (total, frequencies) = this.stats.frequencies(&query.scope, &terms.ids()).await?;
            if total == 0 {
                return Ok(Vec::new());
            }
            let search = VectorQuery {
                vector: QueryVector::Sparse(this.bm25.query(&terms, total, &frequencies)),
                filter: query.filter,
                limit: query.limit,
            };
            let hits = this.store.search(&query.scope, &search).await?;
            resolve(&*this.chunks, &query.scope, &query.trace, &this.name, hits).await
        })
    }
}
