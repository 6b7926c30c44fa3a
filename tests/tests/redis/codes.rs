//! One-time codes.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use rag_tower::redis::RedisCodes;
use rag_tower::tenant::LoginThrottle;
use rag_tower::tenant::code::{
    CODE_LIFETIME, CODE_TRIES, CodeKey, CodePurpose, CodeSubject, Codes, LoginCodes, MAX_CODES_A_DAY,
    MAX_CODES_AT_ONCE, MemoryCodes,
};
use rag_tower::test_util::scope;
use rag_tower::{ErrorKind, TenantId};
use rag_tower_tests::redis::RedisServer;
use tokio::task::JoinSet;

use super::Clock;

const DAY: Duration = Duration::from_hours(24);

fn subject(tenant: &str, email: &str, purpose: CodePurpose) -> CodeSubject {
    CodeSubject::new(&scope(tenant), email, purpose).unwrap()
}

fn lan() -> CodeSubject {
    subject("acme", "lan@example.com", CodePurpose::LOGIN)
}

fn codes<C: Codes>(store: C) -> LoginCodes<C> {
    let key = CodeKey::new(b"0123456789abcdef0123456789abcdef").unwrap();
    LoginCodes::new(key, store, LoginThrottle::new())
}

/// Another client each time, which the throttle has nothing against.
fn anyone() -> Option<IpAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    Some(Ipv4Addr::from_bits(NEXT.fetch_add(1, Ordering::Relaxed)).into())
}

async fn mailed<C: Codes>(codes: &LoginCodes<C>, subject: &CodeSubject) -> String {
    codes.issue(subject, anyone(), true).await.unwrap().to_mail.unwrap().expose().to_owned()
}

/// How long to wait for the next code.
async fn wait<C: Codes>(codes: &LoginCodes<C>, subject: &CodeSubject) -> Duration {
    let error = codes.issue(subject, anyone(), true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited, "{error}");
    error.retry_after().filter(|wait| !wait.is_zero()).unwrap()
}

async fn accepts<C: Codes>(codes: &LoginCodes<C>, subject: &CodeSubject, typed: &str) -> bool {
    match codes.redeem(subject, anyone(), typed).await {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
            false
        }
    }
}

/// Some other code.
fn wrong(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

/// What every store promises.
async fn contract(store: impl Codes + Clone, clock: Clock<'_>) {
    let codes = codes(store);

    // good once, after what is not it
    let code = mailed(&codes, &lan()).await;
    assert!(!accepts(&codes, &lan(), &wrong(&code)).await);
    assert!(accepts(&codes, &lan(), &code).await);
    assert!(!accepts(&codes, &lan(), &code).await, "used");

    // the fifth try is the last
    for wrongs in [CODE_TRIES - 1, CODE_TRIES] {
        clock.pass(CODE_LIFETIME).await;
        let code = mailed(&codes, &lan()).await;
        for _ in 0..wrongs {
            assert!(!accepts(&codes, &lan(), &wrong(&code)).await);
        }
        assert_eq!(accepts(&codes, &lan(), &code).await, wrongs < CODE_TRIES, "after {wrongs} wrong ones");
    }

    // ten minutes, and a new one kills the old
    clock.pass(DAY).await;
    let old = mailed(&codes, &lan()).await;
    clock.pass(CODE_LIFETIME).await;
    assert!(!accepts(&codes, &lan(), &old).await, "too old");
    let (first, second) = (mailed(&codes, &lan()).await, mailed(&codes, &lan()).await);
    assert!(first == second || !accepts(&codes, &lan(), &first).await, "killed by the second");
    clock.pass(CODE_LIFETIME - Duration::from_mins(1)).await;
    assert!(accepts(&codes, &lan(), &second).await, "a minute before its end");

    // so many at once, so many a day, of whatever purpose; and what is refused leaves the one before
    clock.pass(DAY).await;
    let purposes = [lan(), subject("acme", "lan@example.com", CodePurpose::VERIFY_EMAIL)];
    for sent in 1..=MAX_CODES_A_DAY {
        let whose = &purposes[sent % 2];
        let code = mailed(&codes, whose).await;
        if sent % MAX_CODES_AT_ONCE == 0 {
            let wait = wait(&codes, &lan()).await;
            assert!(wait <= CODE_LIFETIME, "{wait:?}");
            assert!(accepts(&codes, whose, &code).await, "asking locks nobody out");
            clock.pass(wait).await;
        }
    }
    clock.pass(CODE_LIFETIME).await;
    let rest = wait(&codes, &lan()).await;
    assert!(rest > DAY - Duration::from_hours(1) && rest < DAY, "{rest:?}");
    clock.pass(DAY).await;
    mailed(&codes, &lan()).await;
}

/// A code is its tenant's, its address's and its purpose's; so are the limits of how many there are.
async fn isolation(store: impl Codes + Clone, clock: Clock<'_>) {
    let codes = codes(store);
    let code = mailed(&codes, &lan()).await;
    for other in [
        subject("rival", "lan@example.com", CodePurpose::LOGIN),
        subject("acme", "lan@example.org", CodePurpose::LOGIN),
        subject("acme", "lan@example.com", CodePurpose::VERIFY_EMAIL),
    ] {
        assert!(!accepts(&codes, &other, &code).await, "{other:?} was never given one");
        let its = mailed(&codes, &other).await;
        assert!(its == code || !accepts(&codes, &other, &code).await, "{other:?} was given another");
    }
    assert!(accepts(&codes, &lan(), &code).await, "nothing of that was a try of it");
    clock.pass(DAY).await;
    for _ in 0..MAX_CODES_AT_ONCE {
        mailed(&codes, &lan()).await;
    }
    wait(&codes, &lan()).await;
    mailed(&codes, &subject("rival", "lan@example.com", CodePurpose::LOGIN)).await;
}

#[tokio::test(start_paused = true)]
async fn t52_codes_in_memory_keep_their_promises() {
    contract(MemoryCodes::new(), Clock::Paused).await;
}

#[tokio::test]
async fn t52_codes_in_redis_keep_their_promises() {
    let redis = RedisServer::start();
    contract(RedisCodes::new(&redis.client().await), Clock::Stored(&redis)).await;
}

#[tokio::test(start_paused = true)]
async fn t52_equal_addresses_of_two_tenants_share_no_code_in_memory() {
    isolation(MemoryCodes::new(), Clock::Paused).await;
}

#[tokio::test]
async fn t52_equal_addresses_of_two_tenants_share_no_code_in_redis() {
    let redis = RedisServer::start();
    isolation(RedisCodes::new(&redis.client().await), Clock::Stored(&redis)).await;
    let keys = redis.keys().await;
    for tenant in ["acme", "rival"] {
        let own = format!("rag-tower:codes:{}", TenantId::named(tenant));
        assert!(keys.iter().any(|key| key.starts_with(&format!("{own}:"))), "{tenant}: {keys:?}");
    }
    assert!(keys.iter().all(|key| !key.contains("lan")), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t52_many_tries_at_two_processes_are_as_many_as_one_after_another() {
    let redis = RedisServer::start();
    let processes = [redis.client().await, redis.client().await].map(|redis| codes(RedisCodes::new(&redis)));
    for right in [true, false] {
        let code = mailed(&processes[0], &lan()).await;
        let mut tries = JoinSet::new();
        for n in 0..64 {
            let codes = processes[n % 2].clone();
            let typed = if right { code.clone() } else { wrong(&code) };
            tries.spawn(async move { accepts(&codes, &lan(), &typed).await });
        }
        let accepted = tries.join_all().await.into_iter().filter(|accepted| *accepted).count();
        assert_eq!(accepted, usize::from(right));
        assert!(!accepts(&processes[0], &lan(), &code).await, "used or burnt");
    }
}

#[tokio::test]
async fn t52_what_redis_holds_is_neither_the_code_nor_the_address() {
    let redis = RedisServer::start();
    let codes = codes(RedisCodes::new(&redis.client().await));
    let code = mailed(&codes, &lan()).await;
    let seen = redis.everything().await;
    for secret in [code.as_str(), "lan@", "example.com"] {
        assert!(!seen.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "{secret} can be read");
    }
    for key in redis.keys().await {
        let left: i64 = redis.command(&[b"PTTL", key.as_bytes()]).await;
        assert!(left > 0 && left <= DAY.as_millis() as i64, "{key} goes by itself: {left}");
    }
}

#[tokio::test]
async fn room_is_bounded_by_tenant_and_nobody_gives_way() {
    let redis = RedisServer::start();
    let codes = codes(RedisCodes::new(&redis.client().await));
    mailed(&codes, &lan()).await;
    let all = format!("rag-tower:codes:{}", TenantId::named("acme"));
    let fill = "for n = 1, 65535 do redis.call('ZADD', KEYS[1], ARGV[1], n) end";
    let time: (u64, u64) = redis.command(&[b"TIME"]).await;
    let at = (time.0 * 1_000).to_string();
    redis.command::<()>(&[b"EVAL", fill.as_bytes(), b"1", all.as_bytes(), at.as_bytes()]).await;

    let new = subject("acme", "new@example.com", CodePurpose::LOGIN);
    let refused = codes.issue(&new, anyone(), true).await.unwrap_err();
    assert_eq!((refused.kind(), refused.retry_after()), (ErrorKind::Overloaded, Some(CODE_LIFETIME)));
    let code = mailed(&codes, &lan()).await;
    assert!(accepts(&codes, &lan(), &code).await, "who is known goes on");
    mailed(&codes, &subject("rival", "new@example.com", CodePurpose::LOGIN)).await;
    redis.pass(DAY).await;
    mailed(&codes, &new).await;
}

/// What may happen to one mailbox. Time passes in halves of a minute, and each run is over long before one.
#[derive(Clone, Debug)]
enum Step {
    Ask { known: bool },
    Right,
    Wrong,
    Older,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => any::<bool>().prop_map(|known| Step::Ask { known }),
        3 => Just(Step::Right),
        6 => Just(Step::Wrong),
        2 => Just(Step::Older),
        2 => (1_u64..40).prop_map(|halves| Step::Pass(30 * halves)),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a code must be, said as simply as it can be.
#[derive(Default)]
struct Model {
    code: Option<String>,
    older: Vec<String>,
    age: Duration,
    tries: u32,
}

impl Model {
    fn accepts(&mut self, typed: &str) -> bool {
        self.tries += 1;
        let counts = self.age < CODE_LIFETIME && self.tries <= CODE_TRIES;
        let right = counts && self.code.as_deref() == Some(typed);
        if right {
            self.code = None;
        }
        right
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn t52_no_order_of_calls_makes_redis_accept_what_is_not_the_code_that_counts(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let redis = RedisServer::start();
            let codes = codes(RedisCodes::new(&redis.client().await));
            let mut model = Model::default();
            for step in steps {
                let typed = match step {
                    Step::Ask { known } => {
                        if let Ok(issued) = codes.issue(&lan(), anyone(), known).await {
                            model.older.extend(model.code.take());
                            model.code = issued.to_mail.map(|code| code.expose().to_owned());
                            (model.age, model.tries) = (Duration::ZERO, 0);
                        }
                        continue;
                    }
                    Step::Pass(seconds) => {
                        redis.pass(Duration::from_secs(seconds)).await;
                        model.age += Duration::from_secs(seconds);
                        continue;
                    }
                    Step::Right => model.code.clone().unwrap_or_else(|| "000000".to_owned()),
                    Step::Wrong => model.code.as_deref().map_or_else(|| "000000".to_owned(), wrong),
                    Step::Older => model.older.last().cloned().unwrap_or_else(|| "000001".to_owned()),
                };
                let accepted = accepts(&codes, &lan(), &typed).await;
                assert_eq!(accepted, model.accepts(&typed), "{typed} of {:?}, {} tries", model.code, model.tries);
            }
        });
    }
}
