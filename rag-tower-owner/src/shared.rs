//! What several servers share: `REDIS_URL` in, rate limits and tickets out, in Redis or in this process.

use rag_tower::Error;
use rag_tower::http::{MemoryTickets, TicketHolder, Tickets};
use rag_tower::quota::{MemoryRateLimits, Quota, RateKey, RateLimitStore, Verdict};
use rag_tower::redis::{Redis, RedisError, RedisOptions, RedisRateLimits, RedisTickets};

use crate::config::Config;
use crate::failure::Failure;

/// Keys that the rate limiter of one process remembers.
const RATE_KEYS: usize = 100_000;

/// Where it is. Clones are the same place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Option<Redis>);

/// Allowances.
pub(crate) enum Limits {
    Here(MemoryRateLimits),
    Redis(RedisRateLimits),
}

/// Tickets that wait.
#[derive(Clone)]
pub(crate) enum Waiting {
    Here(MemoryTickets),
    Redis(RedisTickets),
}

// === impl Shared ===

impl Shared {
    /// In the Redis of `REDIS_URL`; without one, in this process.
    ///
    /// A Redis that is not there stops the start, as the other databases do: limits that were asked for would not hold.
    pub(crate) async fn open(config: &Config) -> Result<Self, Failure> {
        let Some(url) = &config.redis_url else { return Ok(Self::default()) };
        match Redis::connect(&RedisOptions::new(url.expose())).await {
            Ok(redis) => Ok(Self(Some(redis))),
            Err(error) => Err(refused(&error)),
        }
    }

    pub(crate) fn redis(&self) -> Option<&Redis> {
        self.0.as_ref()
    }

    pub(crate) fn limits(&self) -> Limits {
        match &self.0 {
            Some(redis) => Limits::Redis(RedisRateLimits::new(redis)),
            None => Limits::Here(MemoryRateLimits::new(RATE_KEYS)),
        }
    }

    pub(crate) fn tickets(&self) -> Waiting {
        match &self.0 {
            Some(redis) => Waiting::Redis(RedisTickets::new(redis)),
            None => Waiting::Here(MemoryTickets::new()),
        }
    }
}

fn refused(error: &RedisError) -> Failure {
    Failure::because("the Redis of REDIS_URL cannot be used", error).mend(MEND)
}

/// What to do about a Redis that cannot be used.
pub(crate) const MEND: &str =
    "Start it or check REDIS_URL; or unset REDIS_URL: limits and tickets are then each server's own.";

// === impl Limits ===

impl RateLimitStore for Limits {
    async fn take(&self, key: &RateKey, quota: Quota) -> Result<Verdict, Error> {
        match self {
            Self::Here(limits) => limits.take(key, quota).await,
            Self::Redis(limits) => limits.take(key, quota).await,
        }
    }
}

// === impl Waiting ===

impl Tickets for Waiting {
    async fn issue(&self, holder: TicketHolder) -> Result<String, Error> {
        match self {
            Self::Here(tickets) => tickets.issue(holder).await,
            Self::Redis(tickets) => tickets.issue(holder).await,
        }
    }

    async fn redeem(&self, ticket: &str) -> Result<Option<TicketHolder>, Error> {
        match self {
            Self::Here(tickets) => tickets.redeem(ticket).await,
            Self::Redis(tickets) => tickets.redeem(ticket).await,
        }
    }
}
