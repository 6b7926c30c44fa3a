//! A vector in, the nearest passages out.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use super::{Query, resolve};
use crate::error::Error;
use crate::passage::Passage;
use crate::port::{ChunkStore, Embedding, QueryVector, VectorQuery, VectorStore};
use crate::stage::ResponseFuture;

/// Searches a [`VectorStore`] by the query's vector and reads the text from a [`ChunkStore`]: `Query<Embedding>` in,
/// passages out.
///
/// - **Isolation:** the store filters by the scope; a hit that claims a foreign origin fails the search before its text
///   is read, and the chunk store says whose each passage is from its own rows.
/// - **Readiness:** always ready. **Cancellation:** dropping the future drops the search. **Panics:** never of its own.
pub struct DenseSource<V, C> {
    store: Arc<V>,
    chunks: Arc<C>,
    name: Arc<str>,
}

// === impl DenseSource ===

impl<V, C> DenseSource<V, C> {
    /// A source named `dense`.
    #[must_use]
    pub fn new(store: Arc<V>, chunks: Arc<C>) -> Self {
        Self { store, chunks, name: "dense".into() }
    }

    /// Sets the name under which passages say how they were found. Default: `dense`.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }
}

impl<V, C> Clone for DenseSource<V, C> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            chunks: Arc::clone(&self.chunks),
            name: Arc::clone(&self.name),
        }
    }
}

impl<V, C> fmt::Debug for DenseSource<V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DenseSource").field(&self.name).finish()
    }
}

impl<V: VectorStore, C: ChunkStore> Service<Query<Embedding>> for DenseSource<V, C> {
    type Response = Vec<Passage>;
    type Error = Error;
    type Future = ResponseFuture<Vec<Passage>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, query: Query<Embedding>) -> Self::Future {
        let this = self.clone();
        ResponseFuture::new(async move {
            let search = VectorQuery {
                vector: QueryVector::Dense(query.vector),
                filter: query.filter,
                limit: query.limit,
            };
            let hits = this.store.search(&query.scope, &search).await?;
            resolve(&*this.chunks, &query.scope, &query.trace, &this.name, hits).await
        })
    }
}
