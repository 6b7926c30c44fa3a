//! A limit of one's own: tokens of each tenant within a time.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use rag_tower::answer::estimate_tokens;
use rag_tower::stage::{Answers, ResponseFuture, take_ready};
use rag_tower::{Answer, AnswerStream, Ask, Error, ErrorKind, Event, Scoped, Stage, TenantId};
use tokio::time::Instant;
use tower::{Layer, Service};

/// What an answer is taken to cost until that is known: many that begin at once cannot overdraw by much.
const RESERVED: u64 = 200;

/// [`Ask`] in, the same out: refuses a tenant whose tokens are used up until the time is over.
///
/// An answer's tokens are those that the provider reports. One that ends early, because its reader went away,
/// costs what was said so far: it was paid for all the same.
///
/// - **Order:** inside the limits that cost nothing to check.
/// - **Readiness:** that of the service inside.
/// - **Cancellation:** settles what was used.
/// - **Panics:** never.
#[derive(Clone, Debug)]
pub(crate) struct BudgetLayer(Arc<Book>);

/// The service of [`BudgetLayer`].
#[derive(Clone, Debug)]
pub(crate) struct Budget<S> {
    inner: S,
    book: Arc<Book>,
}

/// What has been used. Only tenants with a key get this far, so there are as many entries as tenants.
#[derive(Debug)]
struct Book {
    tokens: u64,
    period: Duration,
    used: Mutex<(Instant, HashMap<TenantId, u64>)>,
}

/// One answer's share, put right when it is dropped: at its end, or when its reader goes.
struct Share {
    book: Arc<Book>,
    tenant: TenantId,
    /// The period that it is a share of.
    period: Instant,
    used: u64,
}

/// An answer on its way, and what it has cost.
struct Metered {
    events: AnswerStream,
    share: Share,
}

// === impl BudgetLayer ===

impl BudgetLayer {
    /// So many tokens of each tenant in each `period`, the first of which begins now.
    pub(crate) fn new(tokens: u64, period: Duration) -> Self {
        Self(Arc::new(Book { tokens, period, used: Mutex::new((Instant::now(), HashMap::new())) }))
    }
}

impl<S> Layer<S> for BudgetLayer {
    type Service = Budget<S>;

    fn layer(&self, inner: S) -> Budget<S> {
        Budget { inner, book: Arc::clone(&self.0) }
    }
}

// === impl Budget ===

impl<S: Answers<Ask>> Service<Ask> for Budget<S> {
    type Response = Answer;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, ask: Ask) -> ResponseFuture {
        let mut inner = take_ready(&mut self.inner);
        let share = self.book.reserve(ask.scope().tenant());
        ResponseFuture::new(async move {
            let mut share = share?;
            share.used = estimate_tokens(ask.question().as_str());
            let answer = inner.call(ask).await?;
            Ok(answer.map_stream(|events| Metered { events, share }))
        })
    }
}

// === impl Book ===

impl Book {
    fn reserve(self: &Arc<Self>, tenant: TenantId) -> Result<Share, Error> {
        let mut used = self.used();
        let (began, by_tenant) = &mut *used;
        if began.elapsed() >= self.period {
            (*began, *by_tenant) = (Instant::now(), HashMap::new());
        }
        let used = by_tenant.entry(tenant).or_default();
        if *used >= self.tokens {
            let wait = self.period.saturating_sub(began.elapsed());
            return Err(Error::new(ErrorKind::OverBudget, Stage::RateLimit).with_retry_after(wait));
        }
        *used += RESERVED;
        Ok(Share { book: Arc::clone(self), tenant, period: *began, used: 0 })
    }

    fn used(&self) -> MutexGuard<'_, (Instant, HashMap<TenantId, u64>)> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Share ===

impl Drop for Share {
    fn drop(&mut self) {
        let mut used = self.book.used();
        let (began, by_tenant) = &mut *used;
        // a new period may have begun meanwhile, which owes nothing for this answer
        if let Some(all) = by_tenant.get_mut(&self.tenant).filter(|_| *began == self.period) {
            *all = (*all + self.used).saturating_sub(RESERVED);
        }
    }
}

// === impl Metered ===

impl Stream for Metered {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = Pin::new(&mut self.events).poll_next(cx);
        match &event {
            Poll::Ready(Some(Ok(Event::Delta(text)))) => self.share.used += estimate_tokens(text),
            Poll::Ready(Some(Ok(Event::Usage(usage)))) => self.share.used = usage.total_tokens(),
            _ => {}
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use rag_tower::test_util::{Leaf, Step, scope};
    use rag_tower::{Finish, Question, Usage};
    use tower::ServiceExt;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn ask(tenant: &str) -> Ask {
        Ask::new(scope(tenant), Question::parse("what is it?").unwrap())
    }

    fn costs(tokens: u64) -> Leaf {
        let usage = Usage { input_tokens: tokens, output_tokens: 0, estimated: false };
        Leaf::streaming([Step::delta("a"), Step::Event(Event::Usage(usage)), Step::stop()])
    }

    fn left(layer: &BudgetLayer, tenant: &str) -> u64 {
        let used = layer.0.used();
        layer.0.tokens - used.1.get(&scope(tenant).tenant()).copied().unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn each_tenant_has_its_own_and_gets_it_anew_when_the_time_is_over() {
        let layer = BudgetLayer::new(1_000, MINUTE);
        let service = layer.layer(costs(1_000));
        service.clone().oneshot(ask("a")).await.unwrap().collect().await.unwrap();
        tokio::time::advance(Duration::from_secs(20)).await;
        let refused = service.clone().oneshot(ask("a")).await.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.retry_after()),
            (ErrorKind::OverBudget, Some(Duration::from_secs(40)))
        );
        service.clone().oneshot(ask("b")).await.unwrap().collect().await.unwrap();
        tokio::time::advance(Duration::from_secs(40)).await;
        service.oneshot(ask("a")).await.unwrap().collect().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_begin_at_once_cannot_overdraw_by_more_than_one() {
        let layer = BudgetLayer::new(1_000, MINUTE);
        let service = layer.layer(Leaf::streaming([Step::Hang]));
        let mut running = Vec::new();
        for _ in 0..5 {
            running.push(service.clone().oneshot(ask("a")).await.unwrap());
        }
        assert!(service.clone().oneshot(ask("a")).await.is_err());
        drop(running);
        assert_eq!(left(&layer, "a"), 1_000 - 5 * 3, "each has cost its question");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_is_paid_for_though_its_reader_went_away_or_it_failed() {
        let layer = BudgetLayer::new(1_000, MINUTE);
        let said = "x".repeat(40);
        for last in [Step::Hang, Step::Fail(ErrorKind::ProviderUnavailable)] {
            let leaf = Leaf::streaming([Step::delta(&said), last]);
            let mut events = layer.layer(leaf).oneshot(ask("a")).await.unwrap().into_stream();
            let first = std::future::poll_fn(|cx| Pin::new(&mut events).poll_next(cx)).await;
            assert!(matches!(first, Some(Ok(Event::Delta(_)))));
        }
        assert_eq!(left(&layer, "a"), 1_000 - 2 * (3 + 10));
        let failed = Leaf::new([Step::Fail(ErrorKind::Timeout)], []);
        assert!(layer.layer(failed).oneshot(ask("b")).await.is_err());
        assert_eq!(left(&layer, "b"), 1_000 - 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_the_last_period_owes_nothing_in_this_one() {
        let layer = BudgetLayer::new(1_000, MINUTE);
        let service = layer.layer(Leaf::streaming([Step::Hang]));
        let old = service.clone().oneshot(ask("a")).await.unwrap();
        tokio::time::advance(MINUTE).await;
        let new = service.clone().oneshot(ask("a")).await.unwrap();
        drop(old);
        assert_eq!(left(&layer, "a"), 1_000 - RESERVED);
        drop(new);
        assert_eq!(left(&layer, "a"), 1_000 - 3);
    }

    #[tokio::test]
    async fn it_keeps_the_readiness_contract() {
        let layer = BudgetLayer::new(1_000, MINUTE);
        let calls = rag_tower::test_util::readiness(
            layer,
            || ask("a"),
            |ask: Ask| Answer::text(ask.id(), "ok", Finish::Stop),
            || Error::new(ErrorKind::Internal, Stage::RateLimit),
        );
        assert!(calls.await.unwrap() > 0);
    }
}
