//! Any number of sources at once, each with its weight.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::join_all;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

use super::fuse::{Name, all_down, ask, fuse, survive};
use super::{Query, Retrieve};
use crate::error::Error;
use crate::passage::Passage;
use crate::stage::ResponseFuture;
use crate::tenant::TenantScope;

/// Searches several sources at the same time and fuses what they found by weighted reciprocal rank (`k = 60`).
///
/// Weights may differ from tenant to tenant. They are brought to a sum of 1, again over the survivors when a source is
/// down; a source that weighs nothing (or less, or no number) for a tenant is not asked.
///
/// Failure, readiness, cancellation and panics are those of [`Hybrid`](super::Hybrid). A tenant for which no source
/// weighs anything finds nothing.
///
/// ```
/// # use rag_tower::retrieve::{Retrieve, Weighted};
/// # fn both<A: Retrieve<()>, B: Retrieve<()>>(own: A, shared: B) -> impl Retrieve<()> {
/// Weighted::builder()
///     .source("own", own)
///     .source("global_kb", shared)
///     .build(|_scope, source| if source == "global_kb" { 0.2 } else { 0.8 })
/// # }
/// ```
pub struct Weighted<V = ()> {
    sources: Arc<[Source<V>]>,
    weigh: Arc<Weigh>,
    timeout: Option<Duration>,
    candidates: usize,
}

/// Collects the sources of a [`Weighted`].
#[must_use = "a builder does nothing until it is built"]
pub struct WeightedBuilder<V = ()> {
    sources: Vec<Source<V>>,
    timeout: Option<Duration>,
    candidates: usize,
}

struct Source<V> {
    name: Name,
    search: BoxCloneSyncService<Query<V>, Vec<Passage>, Error>,
}

type Weigh = dyn Fn(&TenantScope, &str) -> f32 + Send + Sync;

// === impl Weighted ===

impl<V> Weighted<V> {
    /// Begins without sources.
    pub fn builder() -> WeightedBuilder<V> {
        WeightedBuilder { sources: Vec::new(), timeout: None, candidates: 40 }
    }
}

impl<V> Clone for Weighted<V> {
    fn clone(&self) -> Self {
        Self {
            sources: Arc::clone(&self.sources),
            weigh: Arc::clone(&self.weigh),
            timeout: self.timeout,
            candidates: self.candidates,
        }
    }
}

impl<V> fmt::Debug for Weighted<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.sources.iter().map(|source| &source.name).collect();
        f.debug_struct("Weighted").field("sources", &names).finish_non_exhaustive()
    }
}

impl<V: Clone + Send + Sync + 'static> Service<Query<V>> for Weighted<V> {
    type Response = Vec<Passage>;
    type Error = Error;
    type Future = ResponseFuture<Vec<Passage>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, query: Query<V>) -> Self::Future {
        let Self { sources, weigh, timeout, candidates } = self.clone();
        ResponseFuture::new(async move {
            let (trace, limit) = (query.trace.clone(), query.limit);
            let asked: Vec<_> = sources
                .iter()
                .map(|source| (weigh(&query.scope, &source.name.name), source))
                .filter(|(weight, _)| weight.is_finite() && *weight > 0.0)
                .collect();
            if asked.is_empty() {
                return Ok(Vec::new());
            }
            let wide = Query { limit: limit.max(candidates), ..query };
            let answers = join_all(
                asked
                    .iter()
                    .map(|(_, source)| ask(&source.name, source.search.clone(), wide.clone(), timeout)),
            )
            .await;
            let mut lists = Vec::with_capacity(asked.len());
            for ((weight, source), answer) in asked.into_iter().zip(answers) {
                if let Some(list) = survive(&source.name, answer, &trace)? {
                    lists.push((weight, list));
                }
            }
            if lists.is_empty() {
                return Err(all_down());
            }
            let sum: f32 = lists.iter().map(|(weight, _)| weight).sum();
            for (weight, _) in &mut lists {
                *weight /= sum;
            }
            Ok(fuse(lists, limit, &trace))
        })
    }
}

// === impl WeightedBuilder ===

impl<V> WeightedBuilder<V> {
    /// One more source, under one of a few fixed names: it is a metric label.
    pub fn source<R: Retrieve<V>>(mut self, name: impl Into<Arc<str>>, source: R) -> Self {
        self.sources.push(Source { name: Name::new(name), search: BoxCloneSyncService::new(source) });
        self
    }

    /// How long one source may take before it counts as down. Default: as long as it likes.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The passages asked of each source, when more than the search's own limit. Default: 40.
    pub fn with_candidates(mut self, candidates: usize) -> Self {
        self.candidates = candidates;
        self
    }

    /// The combination, in which `weigh` gives each source's weight for a scope.
    pub fn build(self, weigh: impl Fn(&TenantScope, &str) -> f32 + Send + Sync + 'static) -> Weighted<V> {
        Weighted {
            sources: self.sources.into(),
            weigh: Arc::new(weigh),
            timeout: self.timeout,
            candidates: self.candidates,
        }
    }
}

impl<V> fmt::Debug for WeightedBuilder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeightedBuilder").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fetch;
    use super::*;
    use crate::error::{ErrorKind, Stage};
    use crate::passage::{Origin, Passages};
    use crate::stage::testing::{self, down};
    use crate::tenant::{CorpusId, Grant, TenantId};
    use crate::trace::{Facts, Verdict};

    async fn search(source: Weighted, scope: TenantScope) -> (Result<Passages, ErrorKind>, Facts) {
        let query = Query::of(&crate::Ask::new(scope, testing::question("q")), 3);
        let trace = query.trace.clone();
        (fetch(source, query).await.map_err(|error| error.kind()), trace.snapshot())
    }

    fn found(texts: &[&str]) -> impl Retrieve<()> {
        testing::source(texts.iter().map(|text| testing::passage("a", text, 7.0)).collect())
    }

    fn scored(passages: &Passages) -> Vec<(&str, f32)> {
        passages.iter().map(|passage| (&*passage.text, passage.score)).collect()
    }

    fn gone() -> Error {
        Error::new(ErrorKind::StoreUnavailable, Stage::Retrieve)
    }

    #[tokio::test]
    async fn weights_are_the_tenants_and_sum_to_one() {
        let source = || {
            Weighted::builder().source("one", found(&["x"])).source("two", found(&["y"])).build(
                |scope, name| {
                    let favourite = if scope.tenant() == TenantId::named("a") { "one" } else { "two" };
                    if name == favourite { 3.0 } else { 1.0 }
                },
            )
        };
        let (passages, _) = search(source(), testing::scope("a")).await;
        assert_eq!(scored(&passages.unwrap()), [("x", 0.75), ("y", 0.25)]);
    }

    #[tokio::test]
    async fn survivors_share_the_weight_and_a_weightless_source_is_not_asked() {
        let source = Weighted::builder()
            .source("one", found(&["x"]))
            .source("two", down(gone))
            .source("three", found(&["y"]))
            .source("never", testing::source(vec![testing::passage("b", "canary", 1.0)]))
            .build(|_, name| match name {
                "one" => 3.0,
                "two" => 6.0,
                "three" => 1.0,
                _ => 0.0,
            });
        let (passages, facts) = search(source, testing::scope("a")).await;
        assert_eq!(scored(&passages.unwrap()), [("x", 0.75), ("y", 0.25)]);
        assert_eq!(facts.degraded.join(","), "two");
        let receipt = facts.receipt;
        assert_eq!((receipt.received, receipt.admitted, receipt.verdict), (2, 2, Verdict::Passed));
    }

    #[tokio::test]
    async fn t10_isolation_fails_all_and_so_do_all_down() {
        let foreign = testing::source(vec![testing::passage("b", "canary", 1.0)]);
        let mixed = Weighted::builder().source("one", found(&["x"])).source("two", foreign).build(|_, _| 1.0);
        assert_eq!(search(mixed, testing::scope("a")).await.0.unwrap_err(), ErrorKind::Isolation);
        let none = Weighted::builder().source("one", down(gone)).source("two", down(gone)).build(|_, _| 1.0);
        assert_eq!(search(none, testing::scope("a")).await.0.unwrap_err(), ErrorKind::StoreUnavailable);
    }

    #[tokio::test]
    async fn counts_of_combinations_inside_combinations_are_those_of_their_sources() {
        let inner =
            || Weighted::builder().source("x", found(&["1", "2", "3"])).source("y", found(&["2", "4"]));
        let outer = Weighted::builder()
            .source("one", inner().build(|_, _| 1.0))
            .source("two", found(&["2"]))
            .build(|_, _| 1.0);
        let (passages, facts) = search(outer, testing::scope("a")).await;
        let receipt = facts.receipt;
        assert_eq!((passages.unwrap().len(), receipt.received, receipt.admitted), (3, 6, 6));
    }

    #[tokio::test]
    async fn a_shared_corpus_is_read_by_those_who_may() {
        let corpus = CorpusId::new(TenantId::named("shared").as_uuid());
        let mut shared = testing::passage("x", "common", 1.0);
        shared.origin = Origin::Shared(corpus);
        let source = || {
            Weighted::builder().source("global_kb", testing::source(vec![shared.clone()])).build(|_, _| 1.0)
        };
        let may = crate::test_util::granted_with_shared(Grant::new(TenantId::named("a")), [corpus]);
        assert_eq!(search(source(), may).await.0.unwrap().len(), 1);
        assert_eq!(search(source(), testing::scope("a")).await.0.unwrap_err(), ErrorKind::Isolation);
    }

    proptest! {
        #[test]
        fn whatever_the_weights_scores_stay_within_zero_and_one(weights in proptest::collection::vec(-1.0_f32..9.0, 3)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let any = weights.iter().any(|weight| *weight > 0.0);
            let source = Weighted::builder()
                .source("0", found(&["x", "y"]))
                .source("1", found(&["y", "z"]))
                .source("2", found(&["x", "z"]))
                .build(move |_, name| name.parse::<usize>().map_or(0.0, |n| weights[n]));
            let (passages, _) = runtime.block_on(search(source, testing::scope("a")));
            let passages = passages.unwrap();
            prop_assert_eq!(!passages.is_empty(), any);
            prop_assert!(passages.iter().all(|passage| passage.score > 0.0 && passage.score <= 1.0 + 1e-6));
        }
    }
}
