//! What is tried again, when, and how often in all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use tokio::time::{Sleep, sleep};
use tower::retry::backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff};
use tower::retry::budget::{Budget, TpsBudget};
use tower::retry::{Policy, Retry};
use tower::util::rng::HasherRng;

use super::Primed;
use crate::error::{Error, ErrorKind};

/// A generator that is retried before its first event.
pub type Retrying<G> = Retry<RetryPolicy, Primed<G>>;

/// Retries of calls to one provider, generators and embedders alike.
///
/// Tried again: a provider that cannot be reached or fails ([`ProviderUnavailable`](ErrorKind::ProviderUnavailable)),
/// that asks to slow down ([`ProviderRateLimited`](ErrorKind::ProviderRateLimited)), that answers with something else
/// than its protocol, or that closes without a word. Not tried again: a refusal, which would be refused again, and a
/// timeout, which has used up the caller's patience.
///
/// The wait doubles from a start to a ceiling, with up to as much again at random, so that callers do not come back
/// in step; a `Retry-After` is honoured instead, and when it is longer than the ceiling the call fails at once, so
/// that a fallback can take it.
///
/// A **budget** shared by all calls stops retries from multiplying the load on a provider that is down: over ten
/// seconds at most 20 % of the calls that succeeded, and ten more. Each retry counts in
/// `rag_provider_retries_total{provider}`.
#[derive(Clone)]
pub struct RetryPolicy {
    provider: Arc<str>,
    attempts_left: u32,
    ceiling: Duration,
    backoff: Option<ExponentialBackoff>,
    budget: Arc<TpsBudget>,
    retries: Counter,
}

/// A generator retried by a policy, before its first event only.
#[must_use]
pub fn retrying<G>(generator: G, policy: RetryPolicy) -> Retrying<G> {
    Retry::new(policy, Primed::new(generator))
}

// === impl RetryPolicy ===

impl RetryPolicy {
    /// Two retries, the first after 0.2 to 0.4 seconds, none after more than 5 seconds. The provider's name is a
    /// metric label.
    #[must_use]
    pub fn new(provider: impl Into<Arc<str>>) -> Self {
        let provider = provider.into();
        let retries = metrics::counter!("rag_provider_retries_total", "provider" => Arc::clone(&provider));
        retries.increment(0);
        Self {
            provider,
            retries,
            attempts_left: 2,
            ceiling: Duration::from_secs(5),
            backoff: backoff(Duration::from_millis(200), Duration::from_secs(5)),
            budget: Arc::new(TpsBudget::new(Duration::from_secs(10), 1, 0.2)),
        }
    }

    /// The most retries of one call. Default: 2; 0 turns retries off.
    #[must_use]
    pub fn with_max_retries(mut self, retries: u32) -> Self {
        self.attempts_left = retries;
        self
    }

    /// The first wait and the ceiling of all waits, `Retry-After` included. Default: 0.2 and 5 seconds. A first wait
    /// above the ceiling is cut down to it; a ceiling of zero retries without waiting.
    #[must_use]
    pub fn with_waits(mut self, first: Duration, ceiling: Duration) -> Self {
        self.ceiling = ceiling;
        self.backoff = backoff(first.min(ceiling), ceiling);
        self
    }

    /// How long to wait before trying again; none when this error is final.
    fn wait(&mut self, error: &Error) -> Option<Sleep> {
        let transient = matches!(
            error.kind(),
            ErrorKind::ProviderUnavailable
                | ErrorKind::ProviderRateLimited
                | ErrorKind::ProviderInvalid
                | ErrorKind::Truncated
        );
        let too_long = error.retry_after().is_some_and(|after| after > self.ceiling);
        if !transient || too_long || self.attempts_left == 0 || !self.budget.withdraw() {
            return None;
        }
        self.attempts_left -= 1;
        self.retries.increment(1);
        Some(match (error.retry_after(), &mut self.backoff) {
            (Some(after), _) => sleep(after),
            (None, Some(backoff)) => backoff.next_backoff(),
            (None, None) => sleep(Duration::ZERO),
        })
    }
}

/// Doubling from `first` to `ceiling`, with up to as much again at random.
fn backoff(first: Duration, ceiling: Duration) -> Option<ExponentialBackoff> {
    ExponentialBackoffMaker::new(first, ceiling, 1.0, HasherRng::default())
        .ok()
        .map(|mut maker| maker.make_backoff())
}

impl<Req: Clone, Res> Policy<Req, Res, Error> for RetryPolicy {
    type Future = Sleep;

    fn retry(&mut self, _: &mut Req, result: &mut Result<Res, Error>) -> Option<Sleep> {
        match result {
            Ok(_) => {
                self.budget.deposit();
                None
            }
            Err(error) => self.wait(error),
        }
    }

    fn clone_request(&mut self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("provider", &self.provider)
            .field("attempts_left", &self.attempts_left)
            .field("ceiling", &self.ceiling)
            .finish_non_exhaustive()
    }
}
