//! Two sources at once, fused by rank.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::join;
use tower_service::Service;

use super::fuse::{Name, all_down, ask, fuse, survive};
use super::{Query, Retrieve};
use crate::error::Error;
use crate::passage::Passage;
use crate::stage::ResponseFuture;

/// Searches two sources at the same time and fuses what they found by reciprocal rank (`k = 60`).
///
/// Scores of different sources cannot be compared, ranks can. A passage's score is then 0 to 1, and 1 when both sources
/// have it first; each source's own rank and score are in [`Passage::found`].
///
/// - **Failure:** when one source is down its name is noted as degraded and the other answers; when both are, the
///   search is [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable). A foreign passage from either, or a filter
///   that either cannot apply, fails the search.
/// - **Readiness:** always ready; the sources are asked for their own while the search runs.
/// - **Cancellation:** dropping the future drops both searches.
/// - **Panics:** never of its own.
///
/// ```
/// # use rag_tower::retrieve::{Hybrid, KeywordOnly, Retrieve};
/// # use rag_tower::port::Embedding;
/// # fn both<D: Retrieve<Embedding>, S: Retrieve<()>>(dense: D, sparse: S) -> impl Retrieve<Embedding> {
/// Hybrid::new(dense, KeywordOnly::new(sparse))
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Hybrid<A, B> {
    a: A,
    b: B,
    names: [Name; 2],
    timeout: Option<Duration>,
    candidates: usize,
}

// === impl Hybrid ===

impl<A, B> Hybrid<A, B> {
    /// Both sources, each with half the weight.
    pub fn new(a: A, b: B) -> Self {
        Self { a, b, names: ["dense", "sparse"].map(Name::new), timeout: None, candidates: 40 }
    }

    /// The sources' names, in metrics and where one is degraded. Default: `dense` and `sparse`.
    #[must_use]
    pub fn with_names(mut self, a: impl Into<Arc<str>>, b: impl Into<Arc<str>>) -> Self {
        self.names = [Name::new(a), Name::new(b)];
        self
    }

    /// How long one source may take before it counts as down. Default: as long as it likes.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The passages asked of each source, when more than the search's own limit. Default: 40.
    #[must_use]
    pub fn with_candidates(mut self, candidates: usize) -> Self {
        self.candidates = candidates;
        self
    }
}

impl<V, A, B> Service<Query<V>> for Hybrid<A, B>
where
    V: Clone + Send + Sync + 'static,
    A: Retrieve<V>,
    B: Retrieve<V>,
{
    type Response = Vec<Passage>;
    type Error = Error;
    type Future = ResponseFuture<Vec<Passage>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, query: Query<V>) -> Self::Future {
        let Self { a, b, names, timeout, candidates } = self.clone();
        ResponseFuture::new(async move {
            let (trace, limit) = (query.trace.clone(), query.limit);
            let wide = Query { limit: limit.max(candidates), ..query };
            let (a, b) =
                join(ask(&names[0], a, wide.clone(), timeout), ask(&names[1], b, wide, timeout)).await;
            let (a, b) = (survive(&names[0], a, &trace)?, survive(&names[1], b, &trace)?);
            let weight = if a.is_some() && b.is_some() { 0.5 } else { 1.0 };
            let lists: Vec<_> = [a, b].into_iter().flatten().map(|list| (weight, list)).collect();
            if lists.is_empty() { Err(all_down()) } else { Ok(fuse(lists, limit, &trace)) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fetch;
    use super::*;
    use crate::error::{ErrorKind, Stage};
    use crate::passage::{Found, Passages};
    use crate::stage::testing::{self, down};
    use crate::trace::{Facts, Verdict};

    async fn search(source: impl Retrieve<()>, limit: usize) -> (Result<Passages, ErrorKind>, Facts) {
        let query = Query::of(&testing::ask("q"), limit);
        let trace = query.trace.clone();
        (fetch(source, query).await.map_err(|error| error.kind()), trace.snapshot())
    }

    fn found(texts: &[&str]) -> impl Retrieve<()> {
        testing::source(texts.iter().map(|text| testing::passage("a", text, 7.0)).collect())
    }

    fn texts(passages: &Passages) -> Vec<&str> {
        passages.iter().map(|passage| &*passage.text).collect()
    }

    #[tokio::test]
    async fn what_both_found_comes_first_with_both_ranks() {
        let hybrid = Hybrid::new(found(&["a", "b", "c"]), found(&["d", "b"])).with_names("left", "right");
        let (passages, facts) = search(hybrid, 3).await;
        let passages = passages.unwrap();
        // Equal scores are ordered by chunk.
        assert_eq!(texts(&passages), ["b", "d", "a"]);
        let expected = 0.5 * 61.0 / 62.0 * 2.0;
        assert!((passages[0].score - expected).abs() < 1e-6);
        let ranks: Vec<_> = passages[0].found.iter().map(|(name, found)| (&**name, *found)).collect();
        assert_eq!(
            ranks,
            [("left", Found { rank: 2, score: 7.0 }), ("right", Found { rank: 2, score: 7.0 })]
        );
        // What the fusion left out had been let in.
        let receipt = &facts.receipt;
        assert_eq!((receipt.received, receipt.admitted, receipt.dropped), (5, 5, 0));
        assert_eq!(receipt.verdict, Verdict::Passed);
        // The two searches are parts of one.
        assert_eq!(facts.spans.iter().map(|span| span.stage).collect::<Vec<_>>(), [Stage::Retrieve]);
    }

    #[tokio::test]
    async fn one_source_down_degrades_and_both_down_fail() {
        let gone = || Error::new(ErrorKind::StoreUnavailable, Stage::Retrieve);
        let (passages, facts) = search(Hybrid::new(down(gone), found(&["a"])), 3).await;
        let passages = passages.unwrap();
        assert_eq!((texts(&passages), passages[0].score), (vec!["a"], 1.0));
        assert_eq!(facts.degraded.join(","), "dense");
        let (both, facts) = search(Hybrid::new(down(gone), down(gone)), 3).await;
        assert_eq!((both.unwrap_err(), facts.degraded.len()), (ErrorKind::StoreUnavailable, 2));
    }

    #[tokio::test]
    async fn t10_isolation_and_a_missing_filter_are_never_degraded() {
        let no_filter = || Error::new(ErrorKind::FilterUnavailable, Stage::Retrieve);
        let (unfiltered, _) = search(Hybrid::new(found(&["a"]), down(no_filter)), 3).await;
        assert_eq!(unfiltered.unwrap_err(), ErrorKind::FilterUnavailable);
        let foreign = || testing::source(vec![testing::passage("b", "canary", 1.0)]);
        // Also where fusion would have cut the foreign passage off.
        for limit in [1, 3] {
            let (left, facts) = search(Hybrid::new(foreign(), found(&["a"])), limit).await;
            let (right, _) = search(Hybrid::new(found(&["a"]), foreign()), limit).await;
            let receipt = facts.receipt;
            assert_eq!((receipt.received, receipt.admitted, receipt.dropped), (1, 0, 1));
            assert_eq!(receipt.verdict, Verdict::Foreign);
            assert_eq!((left.unwrap_err(), right.unwrap_err()), (ErrorKind::Isolation, ErrorKind::Isolation));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn both_search_at_once_and_a_slow_one_is_left_behind() {
        let slow = |seconds| {
            tower::service_fn(move |query: Query| async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Ok::<_, Error>(vec![testing::passage("a", &format!("{seconds} {}", query.text), 1.0)])
            })
        };
        let start = tokio::time::Instant::now();
        let (passages, _) = search(Hybrid::new(slow(3), slow(4)), 3).await;
        assert_eq!((passages.unwrap().len(), start.elapsed().as_secs()), (2, 4));
        let hybrid = Hybrid::new(slow(3), slow(4)).with_timeout(Duration::from_millis(3_500));
        let (passages, facts) = search(hybrid, 3).await;
        assert_eq!((texts(&passages.unwrap()), facts.degraded), (vec!["3 q"], vec!["sparse".into()]));
    }
}
