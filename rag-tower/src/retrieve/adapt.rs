//! Between searches by text and searches by vector.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{Query, Retrieve};
use crate::error::{Error, Stage};
use crate::passage::Passage;
use crate::port::{Embedder, Embedding};
use crate::stage::{ResponseFuture, embed_query, take_ready};

/// `Query<V>` in, [`Query`] out: lets a source that searches by words stand where one that searches by vector is
/// expected, such as a leg of [`Hybrid`](super::Hybrid). The vector is dropped.
///
/// Readiness, cancellation and panics are those of the source.
#[derive(Clone, Copy, Debug)]
pub struct KeywordOnly<R> {
    source: R,
}

/// [`Query`] in, [`Query<Embedding>`] out: gives a search by words its vector, for callers that have only words, such
/// as an agent.
///
/// - **Order:** outside a source, or a combination of sources, that searches by vector.
/// - **Readiness:** that of the source; the embedder is asked for its own while the search runs.
/// - **Cancellation:** dropping the future drops the embedder's.
/// - **Panics:** never of its own.
#[derive(Clone, Debug)]
pub struct EmbedQueryLayer<E> {
    embedder: E,
}

/// The service of [`EmbedQueryLayer`].
#[derive(Clone, Debug)]
pub struct EmbedQuery<R, E> {
    source: R,
    embedder: E,
}

// === impl KeywordOnly ===

impl<R> KeywordOnly<R> {
    /// Wraps a source that searches by words.
    pub fn new(source: R) -> Self {
        Self { source }
    }
}

impl<V, R: Retrieve<()>> Service<Query<V>> for KeywordOnly<R> {
    type Response = Vec<Passage>;
    type Error = Error;
    type Future = R::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.source.poll_ready(cx)
    }

    fn call(&mut self, query: Query<V>) -> Self::Future {
        self.source.call(query.with_vector(()))
    }
}

// === impl EmbedQueryLayer ===

impl<E> EmbedQueryLayer<E> {
    /// A layer that asks `embedder`, an [`Embedder`].
    pub fn new(embedder: E) -> Self {
        Self { embedder }
    }
}

impl<R, E: Clone> Layer<R> for EmbedQueryLayer<E> {
    type Service = EmbedQuery<R, E>;

    fn layer(&self, source: R) -> Self::Service {
        EmbedQuery { source, embedder: self.embedder.clone() }
    }
}

// === impl EmbedQuery ===

impl<R: Retrieve<Embedding>, E: Embedder> Service<Query> for EmbedQuery<R, E> {
    type Response = Vec<Passage>;
    type Error = Error;
    type Future = ResponseFuture<Vec<Passage>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.source.poll_ready(cx)
    }

    fn call(&mut self, query: Query) -> Self::Future {
        let mut source = take_ready(&mut self.source);
        let embedder = self.embedder.clone();
        ResponseFuture::new(async move {
            let timer = query.trace.time(Stage::Embed);
            let embedding = embed_query(embedder, &query, std::sync::Arc::clone(&query.text)).await?;
            drop(timer);
            source.call(query.with_vector(embedding)).await
        })
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::super::fetch;
    use super::*;
    use crate::error::ErrorKind;
    use crate::stage::testing;

    fn by_vector() -> impl Retrieve<Embedding> {
        tower::service_fn(|query: Query<Embedding>| {
            let text = format!("{} {:?}", query.text, query.vector.as_slice());
            std::future::ready(Ok::<_, Error>(vec![testing::passage("a", &text, 1.0)]))
        })
    }

    #[tokio::test]
    async fn words_get_their_vector_and_lose_it_again() {
        let query = Query::of(&testing::ask("fees"), 3);
        let embedded = EmbedQueryLayer::new(testing::embedder(&[0.5])).layer(by_vector());
        let found = embedded.oneshot(query.clone()).await.unwrap();
        assert_eq!(&*found[0].text, "fees [0.5]");
        let by_words = testing::source::<()>(vec![testing::passage("a", "words", 1.0)]);
        let found =
            fetch(KeywordOnly::new(by_words), query.with_vector(Embedding::new([1.0]))).await.unwrap();
        assert_eq!(&*found[0].text, "words");
    }

    #[tokio::test]
    async fn t10_a_foreign_passage_fails_closed_behind_either() {
        let foreign = || vec![testing::passage("b", "canary", 1.0)];
        let query = Query::of(&testing::ask("q"), 3);
        let words = KeywordOnly::new(testing::source(foreign()));
        let vector = EmbedQueryLayer::new(testing::embedder(&[1.0])).layer(testing::source(foreign()));
        let errors = [
            fetch(words, query.clone().with_vector(Embedding::new([1.0]))).await.unwrap_err(),
            fetch(vector, query).await.unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::Isolation));
    }
}
