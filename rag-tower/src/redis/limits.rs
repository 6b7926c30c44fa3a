//! Allowances that several processes share.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use ::redis::Script;
use sha2::{Digest, Sha256};

use super::Redis;
use crate::error::{Error, Stage};
use crate::quota::{Quota, RateKey, RateLimitStore, Verdict};

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/take.lua")));

/// Rate limits in Redis: what one process allows is not there for the others. See the [module](super).
#[derive(Clone)]
pub struct RedisRateLimits(Redis);

// === impl RedisRateLimits ===

impl RedisRateLimits {
    /// Allowances in this Redis.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        Self(redis.clone())
    }

    /// The credential's name is hashed: it may be a person's address, and as long as it likes.
    fn key(&self, key: &RateKey) -> String {
        let tenant = key.tenant().to_string();
        match key.subject() {
            Some(subject) => self.0.key("rate", &[&tenant, &super::hex(&Sha256::digest(subject.as_bytes()))]),
            None => self.0.key("rate", &[&tenant]),
        }
    }
}

impl RateLimitStore for RedisRateLimits {
    async fn take(&self, key: &RateKey, quota: Quota) -> Result<Verdict, Error> {
        let nanos = |time: Duration| time.as_nanos() as u64;
        let mut take = TAKE.key(self.key(key));
        take.arg(nanos(quota.interval())).arg(nanos(quota.tolerance()));
        match self.0.run(&take).await.map_err(|error| error.at(Stage::RateLimit))? {
            0 => Ok(Verdict::Allowed),
            wait => Ok(Verdict::Wait(Duration::from_nanos(wait))),
        }
    }
}

impl fmt::Debug for RedisRateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisRateLimits")
    }
}
