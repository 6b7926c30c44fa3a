//! [`Embedded`] in, [`Retrieved`] out (or [`Ask`] in, by words alone): finds passages, through the one door.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{Answers, Embedded, ResponseFuture, Retrieved, StageLayer, take_ready};
use crate::answer::Answer;
use crate::ask::Ask;
use crate::error::Error;
use crate::passage::Passages;
use crate::port::Embedding;
use crate::retrieve::{Query, Retrieve, Series, fetch};
use crate::scoped::Scoped;
use crate::trace::{Facts, HitRecord, TraceHandle};

/// How many passages are asked for when nothing is said.
const DEFAULT_LIMIT: usize = 6;

/// Finds passages for a question that has a vector.
///
/// What the source returns is compared with the ask's scope; one foreign passage fails the ask closed.
///
/// - **Order:** after [`EmbedLayer`](super::EmbedLayer), before everything that reads passages.
/// - **Readiness:** that of the stage inside; the source is asked for its own while the ask is being answered.
/// - **Cancellation:** dropping the future drops the source's.
/// - **Panics:** never of its own.
#[derive(Clone, Debug)]
pub struct RetrieveLayer<R> {
    source: Source<R>,
}

/// Finds passages by the question's words alone: no embedder is needed.
///
/// Order, readiness, cancellation and panics are those of [`RetrieveLayer`], but for the first: it stands where
/// [`EmbedLayer`](super::EmbedLayer) and [`RetrieveLayer`] stand together.
#[derive(Clone, Debug)]
pub struct KeywordLayer<R> {
    source: Source<R>,
}

/// The service of [`RetrieveLayer`].
#[derive(Clone, Debug)]
pub struct RetrieveStage<S, R> {
    inner: S,
    source: Source<R>,
}

/// The service of [`KeywordLayer`].
#[derive(Clone, Debug)]
pub struct KeywordStage<S, R> {
    inner: S,
    source: Source<R>,
}

#[derive(Clone)]
struct Source<R> {
    retriever: R,
    name: Arc<str>,
    series: Series,
    limit: usize,
}

macro_rules! settings {
    ($layer:ident, $stage:ident, $name:literal, $in:ty) => {
        impl<R> $layer<R> {
            /// A layer that asks `source`, a [`Retrieve`].
            pub fn new(source: R) -> Self {
                let name = Arc::from($name);
                let series = Series::of(&name);
                Self { source: Source { retriever: source, name, series, limit: DEFAULT_LIMIT } }
            }

            /// The most passages. Default: 6.
            #[must_use]
            pub fn with_limit(mut self, limit: usize) -> Self {
                self.source.limit = limit;
                self
            }

            /// The source's name in metrics, and in the trace where passages do not say who found them.
            #[doc = concat!("Default: `", $name, "`. One of a few fixed names: it is a metric label.")]
            #[must_use]
            pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
                self.source.name = name.into();
                self.source.series = Series::of(&self.source.name);
                self
            }
        }

        impl<S, R: Clone> Layer<S> for $layer<R> {
            type Service = $stage<S, R>;

            fn layer(&self, inner: S) -> Self::Service {
                $stage { inner, source: self.source.clone() }
            }
        }

        impl<R> StageLayer for $layer<R> {
            type In = $in;
            type Out = Retrieved;
        }
    };
}
settings!(RetrieveLayer, RetrieveStage, "passages", Embedded);
settings!(KeywordLayer, KeywordStage, "keywords", Ask);

// === impl RetrieveStage ===

impl<S: Answers<Retrieved>, R: Retrieve<Embedding>> Service<Embedded> for RetrieveStage<S, R> {
    type Response = Answer;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, Embedded { ask, embedding }: Embedded) -> Self::Future {
        let mut inner = take_ready(&mut self.inner);
        let source = self.source.clone();
        ResponseFuture::new(async move {
            let query = Query::of(&ask, source.limit).with_vector(embedding);
            let passages = source.find(query, ask.trace()).await?;
            inner.call(Retrieved { ask, passages }).await
        })
    }
}

// === impl KeywordStage ===

impl<S: Answers<Retrieved>, R: Retrieve<()>> Service<Ask> for KeywordStage<S, R> {
    type Response = Answer;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        let mut inner = take_ready(&mut self.inner);
        let source = self.source.clone();
        ResponseFuture::new(async move {
            let passages = source.find(Query::of(&ask, source.limit), ask.trace()).await?;
            inner.call(Retrieved { ask, passages }).await
        })
    }
}

// === impl Source ===

impl<R> Source<R> {
    async fn find<V>(&self, query: Query<V>, trace: &TraceHandle) -> Result<Passages, Error>
    where
        R: Retrieve<V>,
    {
        let mut passages = fetch(self.retriever.clone(), query).await?;
        passages.truncate(self.limit);
        self.series.record(&passages);
        self.record(trace, &passages);
        Ok(passages)
    }

    /// One record for each source that found a passage.
    fn record(&self, trace: &TraceHandle, passages: &Passages) {
        trace.with(|Facts { hits, .. }| {
            hits.reserve(passages.len());
            for (rank, passage) in (1..).zip(passages.iter()) {
                let record = |source: &Arc<str>, rank, score| HitRecord {
                    source: Arc::clone(source),
                    rank,
                    chunk: passage.chunk,
                    document: passage.document,
                    score,
                    fused: passage.score,
                    used: false,
                };
                if passage.found.is_empty() {
                    hits.push(record(&self.name, rank, passage.score));
                }
                let found = passage.found.iter();
                hits.extend(found.map(|(source, found)| record(source, found.rank, found.score)));
            }
        });
    }
}

impl<R> fmt::Debug for Source<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, limit, .. } = self;
        f.debug_struct("Source").field("name", name).field("limit", limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::super::testing::{self, Leaf};
    use super::*;
    use crate::error::{ErrorKind, Stage};
    use crate::passage::Passage;
    use crate::scoped::Scoped;
    use crate::trace::Verdict;

    fn embedded() -> Embedded {
        Embedded { ask: testing::ask("q"), embedding: Embedding::new([1.0]) }
    }

    #[tokio::test]
    async fn passages_reach_the_next_stage_and_the_trace() {
        let mut twice = testing::passage("a", "one", 0.9);
        twice.found = testing::found("dense", 1, 0.7);
        twice.found.extend(testing::found("sparse", 3, 11.0));
        let source = testing::source(vec![
            twice,
            testing::passage("a", "two", 0.4),
            testing::passage("a", "three", 0.1),
        ]);
        let leaf = Leaf::answering("ok");
        let request = embedded();
        let trace = request.trace().clone();
        drop(RetrieveLayer::new(source).with_limit(2).layer(leaf.clone()).oneshot(request).await.unwrap());
        let seen: Retrieved = leaf.only_request();
        assert_eq!(seen.passages.iter().map(|p| &*p.text).collect::<Vec<_>>(), ["one", "two"]);
        let facts = trace.snapshot();
        let hits: Vec<_> =
            facts.hits.iter().map(|hit| (&*hit.source, hit.rank, hit.score, hit.fused)).collect();
        assert_eq!(hits, [("dense", 1, 0.7, 0.9), ("sparse", 3, 11.0, 0.9), ("passages", 2, 0.4, 0.4)]);
        assert_eq!(facts.spans[0].stage, Stage::Retrieve);
        let receipt = facts.receipt;
        assert_eq!(receipt.filter.unwrap().tenant_id, testing::ask("q").scope().tenant());
        assert_eq!((receipt.received, receipt.admitted, receipt.dropped), (3, 3, 0));
        assert_eq!(receipt.verdict, Verdict::Passed);
    }

    #[tokio::test]
    async fn t10_a_foreign_passage_fails_closed_before_the_next_stage() {
        let foreign = || vec![testing::passage("a", "own", 0.9), testing::passage("b", "canary", 0.8)];
        let leaf = Leaf::<Retrieved>::answering("never");
        let dense = RetrieveLayer::new(testing::source(foreign())).layer(leaf.clone());
        let words = KeywordLayer::new(testing::source(foreign())).layer(leaf.clone());
        // The limit hides the foreign passage from the next stage, not from the door.
        let cut = KeywordLayer::new(testing::source(foreign())).with_limit(1).layer(leaf.clone());
        let request = embedded();
        let trace = request.trace().clone();
        let errors = [
            dense.oneshot(request).await.unwrap_err(),
            words.oneshot(testing::ask("q")).await.unwrap_err(),
            cut.oneshot(testing::ask("q")).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Isolation);
        }
        assert_eq!(leaf.calls(), 0);
        let receipt = trace.snapshot().receipt;
        assert_eq!((receipt.received, receipt.admitted, receipt.dropped), (2, 0, 2));
        assert_eq!(receipt.verdict, Verdict::Foreign);
    }

    #[tokio::test]
    async fn words_find_without_a_vector() {
        let by_text = tower::service_fn(|query: Query| {
            std::future::ready(Ok::<Vec<Passage>, Error>(vec![testing::passage("a", &query.text, 1.0)]))
        });
        let leaf = Leaf::answering("ok");
        drop(KeywordLayer::new(by_text).layer(leaf.clone()).oneshot(testing::ask("fees")).await.unwrap());
        let seen: Retrieved = leaf.only_request();
        assert_eq!(&*seen.passages[0].text, "fees");
    }
}
