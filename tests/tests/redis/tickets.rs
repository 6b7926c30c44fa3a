//! WebSocket tickets.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use rag_tower::ErrorKind;
use rag_tower::http::{MemoryTickets, TICKET_LIFETIME, TicketHolder, Tickets};
use rag_tower::redis::RedisTickets;
use rag_tower_tests::redis::RedisServer;
use tokio::task::JoinSet;

use super::Clock;

/// So many wait at once.
const MOST: usize = 10_000;

fn holder(secret: &str) -> TicketHolder {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {secret}")).unwrap());
    headers.insert("x-tenant-id", HeaderValue::from_static("acme"));
    TicketHolder::from_headers(headers)
}

/// Whose a ticket is, if it is good.
async fn redeemed(tickets: &impl Tickets, ticket: &str) -> Option<String> {
    let holder = tickets.redeem(ticket).await.unwrap()?;
    assert_eq!(holder.headers().len(), 2);
    assert_eq!(holder.headers()["x-tenant-id"], "acme");
    Some(holder.headers()[AUTHORIZATION].to_str().unwrap().to_owned())
}

/// What every store promises.
async fn contract(tickets: &impl Tickets, clock: Clock<'_>) {
    let (one, two) =
        (tickets.issue(holder("one")).await.unwrap(), tickets.issue(holder("two")).await.unwrap());
    assert_ne!(one, two);
    assert!(one.len() == 64 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    for guess in ["", "guess", "*", &one[..63], &one.to_uppercase(), &"0".repeat(10_000)] {
        assert_eq!(redeemed(tickets, guess).await, None, "{guess:?}");
    }
    assert_eq!(redeemed(tickets, &one).await.as_deref(), Some("Bearer one"));
    assert_eq!(redeemed(tickets, &one).await, None, "used");
    clock.pass(TICKET_LIFETIME).await;
    assert_eq!(redeemed(tickets, &two).await, None, "too old");

    for _ in 0..MOST {
        tickets.issue(holder("many")).await.unwrap();
    }
    let refused = tickets.issue(holder("more")).await.unwrap_err();
    assert_eq!((refused.kind(), refused.retry_after()), (ErrorKind::Overloaded, Some(TICKET_LIFETIME)));
    clock.pass(TICKET_LIFETIME).await;
    let again = tickets.issue(holder("again")).await.unwrap();
    assert_eq!(redeemed(tickets, &again).await.as_deref(), Some("Bearer again"));
}

#[tokio::test(start_paused = true)]
async fn t62_tickets_in_memory_keep_their_promises() {
    contract(&MemoryTickets::new(), Clock::Paused).await;
}

#[tokio::test]
async fn t62_tickets_in_redis_keep_their_promises() {
    let redis = RedisServer::start();
    contract(&RedisTickets::new(&redis.client().await), Clock::Stored(&redis)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t62_a_ticket_that_many_show_at_once_opens_for_one() {
    let redis = RedisServer::start();
    let processes = [redis.client().await, redis.client().await].map(|redis| RedisTickets::new(&redis));
    for _ in 0..20 {
        let ticket = processes[0].issue(holder("one")).await.unwrap();
        let mut showing = JoinSet::new();
        for n in 0..16 {
            let (tickets, ticket) = (processes[n % 2].clone(), ticket.clone());
            showing.spawn(async move { redeemed(&tickets, &ticket).await });
        }
        let opened: Vec<_> = showing.join_all().await.into_iter().flatten().collect();
        assert_eq!(opened, ["Bearer one"]);
    }
}

/// Two tenants' tickets are two, and a room that one fills in Redis is nobody's way to the other's.
#[tokio::test]
async fn t62_who_reads_redis_has_neither_tickets_nor_credentials() {
    let redis = RedisServer::start();
    let tickets = RedisTickets::new(&redis.client().await);
    let a = tickets.issue(holder("canary-of-tenant-a")).await.unwrap();
    let b = tickets.issue(holder("canary-of-tenant-b")).await.unwrap();
    let keys = redis.keys().await;
    assert_eq!(keys.len(), 3, "{keys:?}");
    for key in &keys {
        let left: i64 = redis.command(&[b"PTTL", key.as_bytes()]).await;
        assert!((1..=30_000).contains(&left), "{key} goes by itself: {left}");
    }
    let seen = redis.everything().await;
    for secret in ["canary", "Bearer", "authorization", "acme", &a, &b, &a[..16], &b[..16]] {
        assert!(!seen.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "{secret} can be read");
    }
    // What is there for one is nothing under the other's name, and what somebody else puts there is nothing at all.
    let (one, other) = (keys[0].as_bytes(), keys[1].as_bytes());
    let (sealed, its): (Vec<u8>, Vec<u8>) =
        (redis.command(&[b"GET", one]).await, redis.command(&[b"GET", other]).await);
    redis.command::<()>(&[b"SET", one, &its, b"PX", b"30000"]).await;
    redis.command::<()>(&[b"SET", other, &sealed, b"PX", b"30000"]).await;
    assert_eq!(redeemed(&tickets, &a).await, None);
    assert_eq!(redeemed(&tickets, &b).await, None);
    assert_eq!(redis.keys().await, Vec::<String>::new(), "a try uses it up");
}
