//! Counts in this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Quota, RateKey, RateLimitStore, Verdict};
use crate::error::Error;

/// Allowances in memory, of a bounded number of keys. An allowance that is whole again takes no room.
#[derive(Debug)]
pub struct MemoryRateLimits {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Theoretical arrival times.
    arrivals: HashMap<RateKey, Instant>,
    swept: Option<Instant>,
}

/// How long a full map is not searched again for keys that can go.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

// === impl MemoryRateLimits ===

impl MemoryRateLimits {
    /// Allowances of at most `keys` keys. Beyond that some key is forgotten, and so starts with a whole allowance.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self { most: keys.max(1), state: Mutex::default() }
    }

    fn decide(&self, key: &RateKey, quota: Quota) -> Verdict {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let arrival = state.arrivals.get(key).copied();
        match quota.step(arrival.map_or(Duration::ZERO, |arrival| arrival.saturating_duration_since(now))) {
            Err(wait) => Verdict::Wait(wait),
            Ok(ahead) => {
                if arrival.is_none() {
                    state.make_room(self.most, now);
                }
                state.arrivals.insert(key.clone(), now + ahead);
                Verdict::Allowed
            }
        }
    }
}

impl Default for MemoryRateLimits {
    /// 100 000 keys, about 10 MB when full.
    fn default() -> Self {
        Self::new(100_000)
    }
}

impl RateLimitStore for MemoryRateLimits {
    async fn take(&self, key: &RateKey, quota: Quota) -> Result<Verdict, Error> {
        Ok(self.decide(key, quota))
    }
}

// === impl State ===

impl State {
    fn make_room(&mut self, most: usize, now: Instant) {
        if self.arrivals.len() < most {
            return;
        }
        if self.swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP_EVERY) {
            self.arrivals.retain(|_, arrival| *arrival > now);
            self.swept = Some(now);
        }
        if self.arrivals.len() >= most
            && let Some(key) = self.arrivals.keys().next().cloned()
        {
            self.arrivals.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::{Grant, TenantId};

    fn key(tenant: &str, subject: &str) -> RateKey {
        let grant = Grant::new(TenantId::named(tenant)).with_subject(subject);
        RateKey::of_key(&crate::test_util::granted(grant)).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_minutes_worth_at_once_then_one_per_interval() {
        let (limits, quota, key) = (MemoryRateLimits::default(), Quota::per_minute(6), key("a", "k"));
        for _ in 0..6 {
            assert_eq!(limits.decide(&key, quota), Verdict::Allowed);
        }
        let Verdict::Wait(wait) = limits.decide(&key, quota) else { panic!("the seventh was allowed") };
        assert_eq!(wait, Duration::from_secs(10));
        tokio::time::advance(wait - Duration::from_millis(1)).await;
        assert_eq!(limits.decide(&key, quota), Verdict::Wait(Duration::from_millis(1)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(limits.decide(&key, quota), Verdict::Allowed);
        assert!(matches!(limits.decide(&key, quota), Verdict::Wait(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn equal_key_names_of_two_tenants_share_nothing() {
        let (limits, quota) = (MemoryRateLimits::default(), Quota::per_minute(1));
        assert_eq!(limits.decide(&key("a", "k"), quota), Verdict::Allowed);
        assert!(matches!(limits.decide(&key("a", "k"), quota), Verdict::Wait(_)));
        assert_eq!(limits.decide(&key("b", "k"), quota), Verdict::Allowed);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_bounded_and_whole_allowances_go_first() {
        let (limits, quota) = (MemoryRateLimits::new(10), Quota::per_minute(1));
        for n in 0..100 {
            assert_eq!(limits.decide(&key("a", &n.to_string()), quota), Verdict::Allowed);
        }
        assert_eq!(limits.state.lock().unwrap().arrivals.len(), 10);
        tokio::time::advance(Duration::from_secs(61)).await;
        limits.decide(&key("a", "new"), quota);
        assert_eq!(limits.state.lock().unwrap().arrivals.len(), 1);
    }
}
