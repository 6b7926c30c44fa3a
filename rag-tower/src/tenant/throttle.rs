//! An address and an account in, leave to try or a wait out: slows guessing down, without a lock that a stranger could
//! hold on somebody.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// So many failures of one address pass without a wait.
const ADDRESS_FREE: u32 = 5;
/// The longest wait of an address.
const ADDRESS_MAX: Duration = Duration::from_mins(15);
/// So many failures of one account, from wherever, pass without a wait.
const ACCOUNT_FREE: u32 = 20;
/// The longest wait for the sake of an account.
const ACCOUNT_MAX: Duration = Duration::from_secs(30);
/// Failures are forgotten after so long without another.
const FORGET: Duration = Duration::from_mins(30);
/// So many addresses and accounts are remembered; those quiet for longest give way.
const MAX_KEYS: usize = 4_096;

/// Counts attempts to log in. An attempt counts as failed from its start until it succeeds, so that many at once gain
/// nothing. Clones share their counts: give one to each way in, or the second door is open when the first is shut.
///
/// An address that keeps failing waits 1, 2, 4, … seconds, up to a quarter of an hour. An account under attack makes those
/// wait that have failed themselves; an address without a failure always has its try, so guessing from elsewhere cannot
/// lock anybody out. Its memory is bounded.
#[derive(Clone, Default)]
pub struct LoginThrottle(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    addresses: HashMap<Option<IpAddr>, Entry>,
    accounts: HashMap<[u8; 32], Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    last: Instant,
}

// === impl LoginThrottle ===

impl LoginThrottle {
    /// No attempts yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins an attempt. Attempts without an address share one allowance.
    ///
    /// # Errors
    /// How long to wait before the next; this one does not count.
    pub fn begin(&self, address: Option<IpAddr>, account: &[u8]) -> Result<(), Duration> {
        let now = Instant::now();
        let (address, account) = (address.map(network), Sha256::digest(account).into());
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = entry(&mut state.addresses, address, now);
        let theirs = entry(&mut state.accounts, account, now);
        let mut wait = own.wait(ADDRESS_FREE, ADDRESS_MAX, now);
        if own.failures > 0 {
            wait = wait.max(theirs.wait(ACCOUNT_FREE, ACCOUNT_MAX, now));
        }
        if !wait.is_zero() {
            return Err(wait);
        }
        state.addresses.insert(address, own.failed(now));
        state.accounts.insert(account, theirs.failed(now));
        Ok(())
    }

    /// The attempt was its holder's: their address starts anew, and the account takes the failure back.
    pub fn succeed(&self, address: Option<IpAddr>, account: &[u8]) {
        let account: [u8; 32] = Sha256::digest(account).into();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.addresses.remove(&address.map(network));
        if let Some(entry) = state.accounts.get_mut(&account) {
            entry.failures = entry.failures.saturating_sub(1);
        }
    }
}

impl fmt::Debug for LoginThrottle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginThrottle")
    }
}

/// Whoever has one IPv6 address has its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

/// What is remembered of a key; makes room for a new one.
fn entry<K: Hash + Eq + Clone>(map: &mut HashMap<K, Entry>, key: K, now: Instant) -> Entry {
    let remembered = map.get(&key).filter(|entry| now.duration_since(entry.last) < FORGET);
    if let Some(entry) = remembered {
        return *entry;
    }
    if map.len() >= MAX_KEYS {
        map.retain(|_, entry| now.duration_since(entry.last) < FORGET);
    }
    if map.len() >= MAX_KEYS
        && let Some(oldest) = map.iter().min_by_key(|(_, entry)| entry.last).map(|(key, _)| key.clone())
    {
        map.remove(&oldest);
    }
    Entry { failures: 0, last: now }
}

// === impl Entry ===

impl Entry {
    fn failed(self, now: Instant) -> Self {
        Self { failures: self.failures.saturating_add(1), last: now }
    }

    /// What is left of 1, 2, 4, … seconds since the last failure.
    fn wait(self, free: u32, max: Duration, now: Instant) -> Duration {
        let Some(beyond) = self.failures.checked_sub(free) else { return Duration::ZERO };
        let whole = Duration::from_secs(1 << beyond.min(20)).min(max);
        whole.saturating_sub(now.duration_since(self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// Fails until there is a wait; how often it got through.
    fn hammer(throttle: &LoginThrottle, address: Option<IpAddr>, account: &str) -> u32 {
        let mut tries = 0;
        while throttle.begin(address, account.as_bytes()).is_ok() {
            tries += 1;
        }
        tries
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_keeps_failing_waits_twice_as_long_each_time() {
        let throttle = LoginThrottle::new();
        let attacker = address("192.0.2.1");
        assert_eq!(hammer(&throttle, attacker, "owner"), ADDRESS_FREE);
        for seconds in [1, 2, 4, 8] {
            let wait = throttle.begin(attacker, b"somebody-else").unwrap_err();
            assert_eq!(wait, Duration::from_secs(seconds), "whichever account it tries");
            tokio::time::advance(wait).await;
            throttle.begin(attacker, b"owner").unwrap();
        }
        tokio::time::advance(FORGET).await;
        assert_eq!(hammer(&throttle, attacker, "owner"), ADDRESS_FREE);
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_slow_each_other_down_and_never_the_owner() {
        let throttle = LoginThrottle::new();
        let tries: u32 =
            (0..100).map(|n| hammer(&throttle, address(&format!("198.51.100.{n}")), "owner")).sum();
        assert!(
            tries <= ACCOUNT_FREE + ADDRESS_FREE + 100,
            "one try each, once the account is under attack: {tries}"
        );
        let home = address("203.0.113.7");
        throttle.begin(home, b"owner").unwrap();
        throttle.succeed(home, b"owner");
        throttle.begin(home, b"owner").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_addresses_is_one_and_a_mapped_one_is_itself() {
        let throttle = LoginThrottle::new();
        hammer(&throttle, address("2001:db8::1"), "a");
        assert!(throttle.begin(address("2001:db8::ffff"), b"b").is_err());
        assert!(throttle.begin(address("2001:db8:0:1::1"), b"b").is_ok());
        hammer(&throttle, address("192.0.2.1"), "a");
        assert!(throttle.begin(address("::ffff:192.0.2.1"), b"b").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let throttle = LoginThrottle::new();
        for n in 0..MAX_KEYS + 100 {
            let _wait = throttle.begin(None, &n.to_be_bytes());
            let v4 = std::net::Ipv4Addr::from_bits(u32::try_from(n).unwrap());
            throttle.begin(Some(v4.into()), &n.to_be_bytes()).unwrap();
        }
        let state = throttle.0.lock().unwrap();
        assert!(state.addresses.len() <= MAX_KEYS && state.accounts.len() <= MAX_KEYS);
    }
}
