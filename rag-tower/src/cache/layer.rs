//! [`Ask`] in, [`Ask`] out; or the answer of the same question a while ago.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use metrics::Counter;
use tower_layer::Layer;
use tower_service::Service;

use super::key::Key;
use super::store::{AnswerCache, Kept};
use crate::answer::{Answer, Event, Finish, Usage};
use crate::ask::Ask;
use crate::error::{Error, Stage};
use crate::scoped::Scoped;
use crate::stage::{Answers, ResponseFuture, take_ready};
use crate::tenant::TenantScope;
use crate::trace::{CachePartition, CacheResult, CacheUse, TraceHandle};

/// Answers a question again as it was answered before.
///
/// Two asks share an answer when tenant, branches, role, readable corpora, question (but for case and spaces), filter and
/// epoch are the same. An ask in a conversation bypasses the cache. Kept is an answer that ended as
/// [`Finish::Stop`], from all its sources, not a tool's, and within the limits of [`CacheOptions`](super::CacheOptions);
/// never a failed, truncated, abstained or dropped one. An answer from the cache has the new ask's id and costs no tokens.
///
/// Each ask counts in `rag_cache_requests_total{cache="answer", result="hit"|"miss"|"bypass"}`, and its receipt
/// ([`IsolationReceipt`](crate::trace::IsolationReceipt)) says the same, and from which part of the cache it may be answered.
///
/// - **Order:** inside memory, whose history it must see; outside the router.
/// - **Readiness:** that of the service inside; on a hit what was reserved there is given back.
/// - **Cancellation:** a dropped answer is not kept.
/// - **Panics:** when the epoch function does.
#[derive(Clone)]
pub struct CacheLayer {
    cache: AnswerCache,
    epoch: Arc<Epoch>,
    counts: Counts,
}

/// What came of each look, of one cache.
#[derive(Clone)]
pub(crate) struct Counts {
    pub(crate) hit: Counter,
    pub(crate) miss: Counter,
    pub(crate) bypass: Counter,
}

type Epoch = dyn Fn(&TenantScope) -> Arc<str> + Send + Sync;

/// The service of [`CacheLayer`].
#[derive(Clone, Debug)]
pub struct Cache<S> {
    inner: S,
    layer: CacheLayer,
}

// === impl CacheLayer ===

impl CacheLayer {
    /// A layer over a cache. `epoch` names what the tenant's answers are made with: the versions of prompt, model and
    /// documents. An answer of another epoch is not given again.
    pub fn new(cache: AnswerCache, epoch: impl Fn(&TenantScope) -> Arc<str> + Send + Sync + 'static) -> Self {
        Self { cache, epoch: Arc::new(epoch), counts: Counts::of("answer") }
    }
}

impl fmt::Debug for CacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer").field("entries", &self.cache.len()).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cache<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Cache { inner, layer: self.clone() }
    }
}

// === impl Counts ===

impl Counts {
    pub(crate) fn of(cache: &'static str) -> Self {
        let count =
            |result| metrics::counter!("rag_cache_requests_total", "cache" => cache, "result" => result);
        Self { hit: count("hit"), miss: count("miss"), bypass: count("bypass") }
    }
}

// === impl Cache ===

impl<S: Answers<Ask>> Service<Ask> for Cache<S> {
    type Response = Answer;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        let mut inner = take_ready(&mut self.inner);
        if ask.history().is_some_and(|history| !history.is_empty()) {
            self.layer.counts.bypass.increment(1);
            note(ask.trace(), CacheResult::Bypass, None);
            return ResponseFuture::new(inner.call(ask));
        }
        let timer = ask.trace().time(Stage::Cache);
        let cache = self.layer.cache.clone();
        let key = Key::of(&ask, (self.layer.epoch)(ask.scope()));
        let found = cache.get(&key);
        drop(timer);
        match found {
            Ok(kept) => {
                drop(inner);
                self.layer.counts.hit.increment(1);
                note(ask.trace(), CacheResult::Hit, Some(key.partition().clone()));
                ResponseFuture::new(std::future::ready(Ok(replay(&ask, &kept))))
            }
            Err(generation) => {
                self.layer.counts.miss.increment(1);
                note(ask.trace(), CacheResult::Miss, Some(key.partition().clone()));
                let (trace, most) = (ask.trace().clone(), cache.options().max_entry_bytes);
                let answering = inner.call(ask);
                ResponseFuture::new(async move {
                    let answer = answering.await?;
                    Ok(answer.on_finished(most, move |events| {
                        if let Some(kept) = keep(&events, &trace) {
                            cache.put(key, kept, generation);
                        }
                        std::future::ready(())
                    }))
                })
            }
        }
    }
}

/// Puts on the receipt what the cache did, and which part of it is the ask's.
pub(crate) fn note(trace: &TraceHandle, result: CacheResult, partition: Option<CachePartition>) {
    trace.receipt(|receipt| receipt.cache = Some(CacheUse { result, partition }));
}

/// What is kept of an answer, its text in one piece; none when it may not be given again.
fn keep(events: &[Event], trace: &TraceHandle) -> Option<Kept> {
    if events.last() != Some(&Event::Finished(Finish::Stop)) {
        return None;
    }
    let (route, confidence) = trace.with(|facts| {
        let whole = facts.degraded.is_empty() && !facts.tool_answered && facts.pending.is_none();
        whole.then(|| (facts.route.clone(), facts.confidence))
    })?;
    let mut text = String::new();
    let mut kept = Vec::with_capacity(3);
    for event in events {
        match event {
            Event::Sources(_) => kept.push(event.clone()),
            Event::Delta(piece) => text.push_str(piece),
            Event::Usage(_) | Event::Finished(_) => {}
        }
    }
    kept.extend([Event::Delta(text.into()), Event::Finished(Finish::Stop)]);
    Some(Kept { events: kept.into(), route, confidence })
}

fn replay(ask: &Ask, kept: &Kept) -> Answer {
    let trace = ask.trace();
    if let Some(route) = &kept.route {
        trace.set_route(Arc::clone(route));
    }
    if let Some(confidence) = kept.confidence {
        trace.set_confidence(confidence);
    }
    // Known to be nothing, which is not the same as unknown.
    trace.set_usage(Usage::default());
    trace.set_tool_metadata("cache", "hit");
    Answer::ready(ask.id(), kept.events.to_vec())
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tower::ServiceExt;

    use super::super::CacheOptions;
    use super::*;
    use crate::answer::AbstainReason;
    use crate::ask::SessionId;
    use crate::memory::{History, Turn};
    use crate::stage::testing::{self, Leaf};

    fn layer() -> CacheLayer {
        CacheLayer::new(AnswerCache::new(CacheOptions::default()), |_| "1".into())
    }

    async fn answer(service: &Cache<Leaf<Ask>>, ask: Ask) -> Vec<Event> {
        service.clone().oneshot(ask).await.unwrap().collect().await.unwrap()
    }

    #[tokio::test]
    async fn the_same_question_is_answered_once_under_each_asks_own_id() {
        let leaf = Leaf::answering("forty-two");
        let service = layer().layer(leaf.clone());
        let first = testing::ask("What is it?");
        first.trace().set_route("search");
        let first = answer(&service, first).await;
        let second = testing::ask("what is  it");
        let (id, trace) = (second.id(), second.trace().clone());
        let again = service.clone().oneshot(second).await.unwrap();
        assert_eq!(again.id(), id);
        assert_eq!(again.collect().await.unwrap(), first);
        assert_eq!(leaf.calls(), 1);
        let facts = trace.snapshot();
        assert_eq!((facts.route.as_deref(), facts.usage), (Some("search"), Some(Usage::default())));
    }

    #[tokio::test]
    async fn t30_two_tenants_mean_two_answers() {
        let leaf = Leaf::answering("canary");
        let service = layer().layer(leaf.clone());
        for tenant in ["a", "b", "a", "b"] {
            answer(&service, Ask::new(testing::scope(tenant), testing::question("q"))).await;
        }
        let asked: Vec<_> = leaf.requests().iter().map(|ask| ask.scope().tenant()).collect();
        assert_eq!(asked, [testing::scope("a").tenant(), testing::scope("b").tenant()]);
    }

    #[tokio::test]
    async fn t31_the_receipt_names_the_partition_of_each_tenant_branch_and_role() {
        use crate::tenant::{BranchId, Branches, Grant, Role, TenantId};
        let service = layer().layer(Leaf::answering("x"));
        let grant = |tenant: &str| Grant::new(TenantId::named(tenant));
        let north = BranchId::named(TenantId::named("a"), "north");
        let grants = [
            grant("a"),
            grant("b"),
            grant("a").with_branches(Branches::Only([north].into())),
            grant("a").with_role(Role::Admin),
        ];
        let mut partitions = Vec::new();
        for (n, grant) in grants.iter().chain(&grants).enumerate() {
            let ask = Ask::new(testing::granted(grant.clone()), testing::question("q"));
            let (scope, trace) = (ask.scope().clone(), ask.trace().clone());
            answer(&service, ask).await;
            let used = trace.snapshot().receipt.cache.unwrap();
            assert_eq!(used.result, if n < grants.len() { CacheResult::Miss } else { CacheResult::Hit });
            let partition = used.partition.unwrap();
            assert_eq!((partition.tenant_id, partition.role), (scope.tenant(), scope.role()));
            partitions.push(partition);
        }
        let (asked, again) = partitions.split_at(grants.len());
        assert_eq!(asked, again, "an answer comes from where it was kept");
        assert!((1..asked.len()).all(|n| !asked[..n].contains(&asked[n])), "{asked:?}");
    }

    #[tokio::test]
    async fn t33_only_whole_good_answers_are_kept() {
        let delta = || Event::Delta("x".into());
        let ends = [
            vec![delta()],
            vec![delta(), Event::Finished(Finish::Length)],
            vec![delta(), Event::Finished(Finish::Abstained(AbstainReason::NoDocuments))],
            vec![delta(), Event::Finished(Finish::OutOfDomain)],
            vec![delta(), Event::Finished(Finish::Handoff("ticket".into()))],
            vec![Event::Delta("x".repeat(65 * 1024).into()), Event::Finished(Finish::Stop)],
        ];
        for events in ends {
            let (layer, leaf) = (layer(), Leaf::with_events(events.clone()));
            let service = layer.layer(leaf.clone());
            for _ in 0..2 {
                drop(service.clone().oneshot(testing::ask("q")).await.unwrap().collect().await);
            }
            assert_eq!((leaf.calls(), layer.cache.len()), (2, 0), "{:?}", events.last());
        }
    }

    #[tokio::test]
    async fn t33_a_failed_or_dropped_answer_is_not_kept() {
        let layer = layer();
        let failing = tower::service_fn(|ask: Ask| {
            let events = [Ok(Event::Delta("x".into())), Err(Error::internal(Stage::Generate, "broken"))];
            std::future::ready(Ok::<_, Error>(Answer::new(ask.id(), futures_util::stream::iter(events))))
        });
        layer.layer(failing).oneshot(testing::ask("q")).await.unwrap().collect().await.unwrap_err();
        let mut dropped =
            layer.layer(Leaf::answering("x")).oneshot(testing::ask("q")).await.unwrap().into_stream();
        dropped.next().await.unwrap().unwrap();
        drop(dropped);
        assert!(layer.cache.is_empty());
    }

    #[tokio::test]
    async fn t33_what_a_tool_said_and_what_lacked_a_source_is_not_kept() {
        let spoil: [fn(&TraceHandle); 2] =
            [|trace| trace.with(|facts| facts.tool_answered = true), |trace| trace.degrade("sparse")];
        for spoil in spoil {
            let layer = layer();
            let ask = testing::ask("q");
            spoil(ask.trace());
            answer(&layer.layer(Leaf::answering("x")), ask).await;
            assert!(layer.cache.is_empty());
        }
    }

    #[tokio::test]
    async fn t31_a_conversation_and_a_new_epoch_are_answered_anew() {
        let leaf = Leaf::answering("x");
        let cache = AnswerCache::default();
        let epoch =
            |name: &'static str| CacheLayer::new(cache.clone(), move |_| name.into()).layer(leaf.clone());
        answer(&epoch("1"), testing::ask("q")).await;
        answer(&epoch("2"), testing::ask("q")).await;
        assert_eq!((leaf.calls(), cache.len()), (2, 2));
        let ask = testing::ask("q");
        let mut history = History::new(SessionId::generate(), ask.scope().tenant());
        history.recent_messages_buffer.push(Turn {
            question: "before".into(),
            answer: "yes".into(),
            route: None,
            pending: None,
        });
        let trace = ask.trace().clone();
        answer(&epoch("1"), ask.with_history(Arc::new(history))).await;
        assert_eq!(
            trace.snapshot().receipt.cache,
            Some(CacheUse { result: CacheResult::Bypass, partition: None })
        );
        assert_eq!((leaf.calls(), cache.len()), (3, 2));
    }
}
