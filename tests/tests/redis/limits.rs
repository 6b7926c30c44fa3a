//! Rate limits.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rag_tower::quota::{MemoryRateLimits, Quota, RateKey, RateLimitStore, Verdict};
use rag_tower::redis::{Redis, RedisOptions, RedisRateLimits};
use rag_tower::test_util::granted;
use rag_tower::{Grant, TenantId};
use rag_tower_tests::redis::RedisServer;
use tokio::task::JoinSet;

use super::Clock;

fn key(tenant: &str, subject: &str) -> RateKey {
    RateKey::of_key(&granted(Grant::new(TenantId::named(tenant)).with_subject(subject))).unwrap()
}

fn tenant(tenant: &str) -> RateKey {
    RateKey::of_tenant(&granted(TenantId::named(tenant)))
}

async fn allowed(limits: &impl RateLimitStore, key: &RateKey, quota: Quota) -> bool {
    limits.take(key, quota).await.unwrap() == Verdict::Allowed
}

async fn wait(limits: &impl RateLimitStore, key: &RateKey, quota: Quota) -> Duration {
    match limits.take(key, quota).await.unwrap() {
        Verdict::Wait(wait) => wait,
        Verdict::Allowed => panic!("allowed"),
    }
}

/// What every store promises.
async fn contract(limits: &impl RateLimitStore, clock: Clock<'_>) {
    // a minute's worth at once, then one per interval
    let (six, k) = (Quota::per_minute(6), key("burst", "k"));
    for _ in 0..6 {
        assert!(allowed(limits, &k, six).await);
    }
    let seventh = wait(limits, &k, six).await;
    assert!(!seventh.is_zero() && seventh <= Duration::from_secs(10), "{seventh:?}");

    let (one, k) = (Quota::per_minute(1), key("slow", "k"));
    assert!(allowed(limits, &k, one).await);
    clock.pass(Duration::from_secs(30)).await;
    let rest = wait(limits, &k, one).await;
    assert!(!rest.is_zero() && rest <= Duration::from_secs(30), "{rest:?}");
    clock.pass(rest + Duration::from_millis(1)).await;
    assert!(allowed(limits, &k, one).await, "after the wait that it was told");
    assert!(!wait(limits, &k, one).await.is_zero(), "and once");
    clock.pass(Duration::from_hours(1)).await;
    assert!(allowed(limits, &k, one).await);
    assert!(!wait(limits, &k, one).await.is_zero(), "an hour saves up no more than a minute's worth");

    // what shares nothing
    for (n, other) in [key("slow", "l"), key("slow", ""), tenant("slow"), tenant("a")].into_iter().enumerate()
    {
        assert!(allowed(limits, &other, one).await, "{n}");
        assert!(!wait(limits, &other, one).await.is_zero(), "{n}");
    }
}

/// However a tenant or a credential is called, another tenant's allowance is another one.
async fn isolation(limits: &impl RateLimitStore) {
    let one = Quota::per_minute(1);
    let id = TenantId::named("a").to_string();
    let names = ["k", "a:k", ":", "", "*", "\n", "kk", id.as_str()];
    for name in names {
        assert!(allowed(limits, &key("a", name), one).await, "{name:?}");
    }
    assert!(allowed(limits, &tenant("a"), one).await);
    for name in names {
        assert!(allowed(limits, &key("b", name), one).await, "{name:?} of the other tenant");
        assert!(!wait(limits, &key("a", name), one).await.is_zero(), "{name:?}");
    }
    assert!(allowed(limits, &tenant("b"), one).await);
}

#[tokio::test(start_paused = true)]
async fn limits_in_memory_keep_their_promises() {
    contract(&MemoryRateLimits::default(), Clock::Paused).await;
}

#[tokio::test]
async fn limits_in_redis_keep_their_promises() {
    let redis = RedisServer::start();
    contract(&RedisRateLimits::new(&redis.client().await), Clock::Stored(&redis)).await;
}

#[tokio::test(start_paused = true)]
async fn t114_equal_names_of_two_tenants_share_no_allowance_in_memory() {
    isolation(&MemoryRateLimits::default()).await;
}

#[tokio::test]
async fn t114_equal_names_of_two_tenants_share_no_allowance_in_redis() {
    let redis = RedisServer::start();
    isolation(&RedisRateLimits::new(&redis.client().await)).await;
    let keys = redis.keys().await;
    assert_eq!(keys.len(), 18, "{keys:?}");
    let own = ["a", "b"].map(|name| format!("rag-tower:rate:{}", TenantId::named(name)));
    for key in &keys {
        assert!(own.iter().any(|own| key.starts_with(own)), "{key}");
        let left: i64 = redis.command(&[b"PTTL", key.as_bytes()]).await;
        assert!(left <= 60_001 && left != -1, "{key} goes by itself: {left}");
    }
}

/// Many at once, over connections of their own, are as many as one after another.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_let_through_what_one_would() {
    let redis = RedisServer::start();
    let processes = [redis.client().await, redis.client().await].map(|redis| RedisRateLimits::new(&redis));
    let mut taking = JoinSet::new();
    for n in 0..100 {
        let limits = processes[n % 2].clone();
        taking.spawn(async move { allowed(&limits, &key("a", "k"), Quota::per_minute(10)).await });
    }
    let through = taking.join_all().await.into_iter().filter(|allowed| *allowed).count();
    // one more only where a hundred calls take six seconds
    assert!((10..=11).contains(&through), "{through}");
}

#[tokio::test]
async fn programs_with_other_prefixes_share_nothing() {
    let redis = RedisServer::start();
    for prefix in ["one", "two"] {
        let options = RedisOptions::new(redis.url()).with_prefix(prefix);
        let limits = RedisRateLimits::new(&Redis::connect(&options).await.unwrap());
        assert!(allowed(&limits, &key("a", "k"), Quota::per_minute(1)).await, "{prefix}");
    }
    let keys = redis.keys().await;
    assert!(keys.len() == 2 && keys[0].starts_with("one:") && keys[1].starts_with("two:"), "{keys:?}");
}

/// A moment in nanoseconds.
async fn now(redis: &RedisServer) -> i128 {
    let (seconds, micros): (i64, i64) = redis.command(&[b"TIME"]).await;
    i128::from(seconds) * 1_000_000_000 + i128::from(micros) * 1_000
}

/// Whatever was stored before, the script does what `Quota::step` does, to the nanosecond.
#[tokio::test(flavor = "multi_thread")]
async fn the_script_is_the_formula() {
    let redis = RedisServer::start();
    let limits = RedisRateLimits::new(&redis.client().await);
    let k = key("a", "k");
    limits.take(&k, Quota::per_minute(1)).await.unwrap();
    let name = redis.keys().await.remove(0);
    let stored = async || {
        let text: Option<String> = redis.command(&[b"GET", name.as_bytes()]).await;
        text.map(|text| {
            let (seconds, nanos) = text.split_once(' ').unwrap();
            seconds.parse::<i128>().unwrap() * 1_000_000_000 + nanos.parse::<i128>().unwrap()
        })
    };
    let per_minute = prop_oneof![1_u32..100, 1_u32..100_000, Just(u32::MAX)];
    let cases = (per_minute, -70_000_000_000_i128..130_000_000_000);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(1));
    for n in 0..2_000 {
        let (per_minute, ahead) = cases.new_tree(&mut runner).unwrap().current();
        let quota = Quota::per_minute(per_minute);
        let arrival = now(&redis).await + ahead;
        let text = format!("{} {}", arrival / 1_000_000_000, arrival % 1_000_000_000);
        redis.command::<()>(&[b"SET", name.as_bytes(), text.as_bytes()]).await;

        let before = now(&redis).await;
        let verdict = limits.take(&k, quota).await.unwrap();
        let after = now(&redis).await;
        let left = stored().await;
        let read = now(&redis).await;

        // There is a moment between the two, of this clock, at which the formula says the same. It is known by what was said or
        // kept; where it is not, that does not depend on it.
        let says = |moment: i128| {
            let ahead = arrival - moment;
            // more than a minute is none of ours
            let ahead = if (0..=60_000_000_000).contains(&ahead) { ahead } else { 0 };
            match quota.step(Duration::from_nanos(ahead as u64)) {
                Ok(ahead) => (Verdict::Allowed, moment + ahead.as_nanos() as i128),
                Err(wait) => (Verdict::Wait(wait), arrival),
            }
        };
        let same = |moment: i128| {
            let (expected, kept) = says(moment);
            // a short allowance may be whole again by now, and gone
            let kept = left.map_or(kept <= read, |left| left == kept);
            (before..=after).contains(&moment) && moment % 1_000 == 0 && verdict == expected && kept
        };
        let known = match verdict {
            Verdict::Wait(wait) => Some(arrival - (wait + quota.tolerance()).as_nanos() as i128),
            Verdict::Allowed => left.map(|left| left - quota.interval().as_nanos() as i128),
        };
        assert!(
            known.into_iter().chain([before, after]).any(same),
            "case {n}: {per_minute} a minute, {ahead} ns ahead: {verdict:?}, {left:?} between {before} and {after}"
        );
    }
}
