//! A Redis that cannot be reached, refuses, goes away, hangs and comes back.

use std::time::Duration;

use http::HeaderMap;
use rag_tower::http::{TicketHolder, Tickets};
use rag_tower::quota::{Quota, RateKey, RateLimitLayer, RateLimitStore};
use rag_tower::redis::{Redis, RedisCodes, RedisError, RedisOptions, RedisRateLimits, RedisTickets};
use rag_tower::tenant::LoginThrottle;
use rag_tower::tenant::code::{CodeKey, CodePurpose, CodeSubject, LoginCodes};
use rag_tower::test_util::{Leaf, scope};
use rag_tower::{Answer, Ask, Error, ErrorKind, Question};
use rag_tower_tests::http::DEADLINE;
use rag_tower_tests::redis::{PASSWORD, RedisServer};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

/// Everything that an error says, to callers and in logs.
fn said(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        said.push_str(&format!(" {error} {error:?}"));
        source = error.source();
    }
    for secret in [PASSWORD, "canary", "rag-tower:"] {
        assert!(!said.contains(secret), "{secret} is in: {said}");
    }
    said
}

async fn refused(url: &str) -> RedisError {
    let error = Redis::connect(&RedisOptions::new(url)).await.expect_err(url);
    said(&error);
    error
}

#[tokio::test]
async fn what_cannot_be_used_is_a_typed_error_without_a_secret() {
    for url in [
        "",
        "canary",
        "http://canary@host",
        "redis://",
        "redis://:canary@host/canary",
        "redis://:canary@host:99999",
    ] {
        assert_eq!(refused(url).await, RedisError::InvalidUrl, "{url}");
    }
    // this program has no provider
    assert_eq!(refused("rediss://:canary@localhost").await, RedisError::NoTlsProvider);
    for url in ["unix:///nowhere/canary?pass=canary", "redis://:canary@127.0.0.1:1"] {
        assert!(matches!(refused(url).await, RedisError::Unavailable(_)), "{url}");
    }

    let redis = RedisServer::start();
    for (user, password) in [("default", "canary-password"), ("canary", "canary-password"), ("default", "")] {
        assert_eq!(refused(&redis.url_of(user, password)).await, RedisError::Login, "{user}");
    }
    let nobody = redis.url().split('?').next().unwrap().to_owned();
    assert_eq!(refused(&nobody).await, RedisError::Login);
    assert!(matches!(refused(&format!("{}&db=999", redis.url())).await, RedisError::Refused(_)));
    redis.command::<()>(&[b"ACL", b"SETUSER", b"weak", b"on", b">canary", b"~*", b"+ping"]).await;
    let error = refused(&redis.url_of("weak", "canary")).await;
    assert_eq!(error, RedisError::Refused("NOPERM".to_owned()));
    assert!(said(&error).contains("scripts"));
    let full = RedisServer::start_with(&["--maxmemory", "1"]);
    assert_eq!(refused(&full.url()).await, RedisError::Refused("OOM".to_owned()));
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", "1"]);
    assert_eq!(refused(&replica.url()).await, RedisError::Refused("READONLY".to_owned()));
}

fn codes(redis: &Redis) -> LoginCodes<RedisCodes> {
    LoginCodes::new(CodeKey::new(&[7; 32]).unwrap(), RedisCodes::new(redis), LoginThrottle::new())
}

fn subject() -> CodeSubject {
    CodeSubject::new(&scope("acme"), "lan@example.com", CodePurpose::LOGIN).unwrap()
}

fn holder() -> TicketHolder {
    TicketHolder::from_headers(HeaderMap::new())
}

/// Each script once.
async fn everything(redis: &Redis) -> Result<(), Error> {
    let tickets = RedisTickets::new(redis);
    let ticket = tickets.issue(holder()).await?;
    assert!(tickets.redeem(&ticket).await?.is_some());
    RedisRateLimits::new(redis).take(&RateKey::of_tenant(&scope("acme")), Quota::per_minute(1)).await?;
    let codes = codes(redis);
    let code = codes.issue(&subject(), None, true).await?.to_mail.unwrap();
    codes.redeem(&subject(), None, code.expose()).await
}

async fn ask<S>(service: &S) -> Result<(), ErrorKind>
where
    S: Service<Ask, Response = Answer, Error = Error> + Clone,
{
    let ask = Ask::new(scope("asking"), Question::parse("what?").unwrap());
    service.clone().oneshot(ask).await.map(drop).map_err(|error| error.kind())
}

/// Waits until it answers again.
async fn back(redis: &Redis) {
    let end = Instant::now() + DEADLINE;
    while !redis.is_up().await {
        assert!(Instant::now() < end, "it does not come back");
        tokio::task::yield_now().await;
    }
}

/// The rights that the guide gives a login are enough, and those on its own keys.
#[tokio::test]
async fn a_login_needs_no_more_than_the_guide_says() {
    let guide = include_str!("../../../rag-tower/src/docs/scaling_out.md");
    let rule = guide.split("ACL SETUSER rag-tower").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(rule.contains(">PASSWORD"), "{rule}");
    let redis = RedisServer::start();
    let rule = format!("ACL SETUSER rag-tower {}", rule.replace('\\', ""));
    redis.command::<()>(&rule.split_whitespace().map(str::as_bytes).collect::<Vec<_>>()).await;
    let options = RedisOptions::new(redis.url_of("rag-tower", "PASSWORD"));
    let own = Redis::connect(&options).await.unwrap();
    assert!(own.is_up().await);
    everything(&own).await.unwrap();
    let elsewhere = Redis::connect(&options.with_prefix("other")).await.unwrap_err();
    assert_eq!(elsewhere, RedisError::Refused("NOPERM".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn t62_while_redis_is_away_asks_run_and_nobody_is_let_in() {
    let mut server = RedisServer::start();
    let redis = server.client().await;
    everything(&redis).await.unwrap();
    let limits = RateLimitLayer::new(RedisRateLimits::new(&redis)).per_tenant(Quota::per_minute(1));
    let limited = limits.layer(Leaf::text("a"));
    ask(&limited).await.unwrap();
    assert_eq!(ask(&limited).await, Err(ErrorKind::RateLimited));
    let tickets = RedisTickets::new(&redis);
    let ticket = tickets.issue(holder()).await.unwrap();

    server.go_away();
    for _ in 0..5 {
        ask(&limited).await.unwrap();
        assert!(!redis.is_up().await);
        // a new throttle, which has nothing against anybody yet
        let codes = codes(&redis);
        for error in [
            tickets.issue(holder()).await.map(drop).unwrap_err(),
            tickets.redeem(&ticket).await.map(drop).unwrap_err(),
            codes.issue(&subject(), None, true).await.map(drop).unwrap_err(),
            codes.redeem(&subject(), None, "123456").await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::StoreUnavailable, "{error:?}");
            said(&error);
        }
    }

    server.come_back();
    back(&redis).await;
    assert!(tickets.redeem(&ticket).await.unwrap().is_none(), "it stores nothing on a disk");
    everything(&redis).await.unwrap();
    ask(&limited).await.unwrap();
    assert_eq!(ask(&limited).await, Err(ErrorKind::RateLimited), "limits hold again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_keeps_one_ask_a_second_waiting_and_no_more() {
    let server = RedisServer::start();
    let options = RedisOptions::new(server.url()).with_patience(Duration::from_millis(100));
    let redis = Redis::connect(&options).await.unwrap();
    let limits = RedisRateLimits::new(&redis);
    let limited = RateLimitLayer::new(limits.clone()).per_tenant(Quota::per_minute(1)).layer(Leaf::text("a"));
    server.signal("STOP");
    let (began, mut waited) = (Instant::now(), 0);
    for _ in 0..200 {
        let error = limits.take(&RateKey::of_tenant(&scope("acme")), Quota::per_minute(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
        waited += u64::from(said(&error).contains("no answer within"));
        ask(&limited).await.unwrap();
    }
    assert!((1..=1 + began.elapsed().as_secs()).contains(&waited), "{waited} in {:?}", began.elapsed());
    server.signal("CONT");
    back(&redis).await;
}

/// A login that is refused for a while is tried again: whoever changes a password does it at both ends, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_may_change_and_change_back() {
    let server = RedisServer::start();
    server.command::<()>(&[b"ACL", b"SETUSER", b"own", b"on", b">one", b"~*", b"+@all"]).await;
    let redis = Redis::connect(&RedisOptions::new(server.url_of("own", "one"))).await.unwrap();
    server.command::<()>(&[b"ACL", b"SETUSER", b"own", b"resetpass", b">two"]).await;
    server.command::<i64>(&[b"CLIENT", b"KILL", b"USER", b"own"]).await;
    let limits = RedisRateLimits::new(&redis);
    let key = RateKey::of_tenant(&scope("acme"));
    let end = Instant::now() + DEADLINE;
    loop {
        let error = limits.take(&key, Quota::per_minute(1)).await.unwrap_err();
        if said(&error).contains("Login") {
            break;
        }
        assert!(Instant::now() < end, "{error:?}");
    }
    server.command::<()>(&[b"ACL", b"SETUSER", b"own", b">one"]).await;
    back(&redis).await;
    limits.take(&key, Quota::per_minute(1)).await.unwrap();
}
