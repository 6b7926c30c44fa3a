use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::routing::{get, post_service};
use futures_util::future::{BoxFuture, join};
use futures_util::stream;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tower::{Layer, ServiceExt};

use super::*;
use crate::http::{MemoryTickets, TicketService};
use crate::tenant::{ApiKeyResolver, Asserted, Grant, MemoryApiKeys, ResolveTenantLayer};
use crate::test_util::{Leaf, Step};
use crate::{Answer, Event, Finish, TenantId};

const KEY: &str = "rt_demo_0123456789abcdef0123456789abcdef";
const RIVAL_KEY: &str = "rt_demo_rival_89abcdef0123456789abcdef";
/// How long anything may take before a test fails.
const DEADLINE: Duration = Duration::from_secs(30);

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Asks<S> = WsAsks<S, Suspendable, MemoryTickets>;

/// Ends the connections of a server.
type Leave = Box<dyn Fn(Duration) -> BoxFuture<'static, bool>>;

/// Two tenants' keys, until somebody suspends them.
#[derive(Clone)]
struct Suspendable {
    keys: Arc<Asserted<ApiKeyResolver<MemoryApiKeys>>>,
    suspended: Arc<AtomicBool>,
}

struct Server {
    address: String,
    router: Router,
    suspended: Arc<AtomicBool>,
    leave: Leave,
    _running: tokio::task::JoinSet<()>,
}

impl ResolveTenant for Suspendable {
    async fn resolve(&self, parts: &Parts) -> Result<Grant, Error> {
        match self.suspended.load(Ordering::SeqCst) {
            true => Err(AuthFailure::Revoked.refuse()),
            false => self.keys.resolve(parts).await,
        }
    }
}

async fn server() -> Server {
    serve(Leaf::text("yes"), |asks| asks).await
}

/// A server of conversations with `stack`, with the limits that `limit` sets.
async fn serve<S: Answers<Ask>>(stack: S, limit: impl FnOnce(Asks<S>) -> Asks<S>) -> Server {
    let keys = MemoryApiKeys::new().with(KEY, TenantId::named("acme")).unwrap();
    let keys = keys.with(RIVAL_KEY, TenantId::named("rival")).unwrap();
    let suspended = Arc::<AtomicBool>::default();
    let keys = Arc::new(Asserted::new(ApiKeyResolver::new(keys)));
    let resolver = Suspendable { keys, suspended: Arc::clone(&suspended) };
    let (authority, tickets) = (TenantAuthority::new(), MemoryTickets::new());
    let origins = Origins::parse(&[]).unwrap();
    let asks = limit(WsAsks::new(stack, authority.clone(), resolver.clone(), tickets.clone(), origins));
    let leaving = asks.clone();
    let leave: Leave = Box::new(move |grace| {
        let leaving = leaving.clone();
        Box::pin(async move { leaving.leave(grace).await })
    });
    let giving = ResolveTenantLayer::new(authority, resolver).layer(TicketService::new(tickets));
    let router = Router::new()
        .route("/ws/query", get(move |request: Request<axum::body::Body>| asks.clone().upgrade(request)))
        .route("/ws/ticket", post_service(giving));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut running = tokio::task::JoinSet::new();
    let served = router.clone();
    running.spawn(async move { axum::serve(listener, served).await.unwrap() });
    Server { address, router, suspended, leave, _running: running }
}

impl Server {
    async fn ticket(&self) -> String {
        let request = Request::post("/ws/ticket").header("x-api-key", KEY).body(axum::body::Body::empty());
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["expires_in"], 30);
        body["ticket"].as_str().unwrap().to_owned()
    }

    /// Opens a WebSocket, or gives the status of the refusal.
    async fn open(&self, query: &str, headers: &[(&'static str, &str)]) -> Result<Client, u16> {
        let mut request = format!("ws://{}/ws/query{query}", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((client, response)) => {
                let chosen = response.headers().get("sec-websocket-protocol");
                assert!(chosen.is_none_or(|chosen| chosen == SUBPROTOCOL));
                Ok(client)
            }
            Err(WsError::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}

async fn ask(client: &mut Client) -> Vec<Value> {
    client.send(WsMessage::text(r#"{"message": "well?"}"#)).await.unwrap();
    let mut frames = Vec::new();
    loop {
        let message = client.next().await.unwrap().unwrap();
        let frame: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        let last = frame["type"] == "end" || frame["type"] == "error";
        frames.push(frame);
        if last {
            return frames;
        }
    }
}

#[tokio::test]
async fn every_way_in_talks() {
    let server = server().await;
    let in_url = format!("?ticket={}", server.ticket().await);
    let as_protocol = format!("{SUBPROTOCOL}, ticket.{}", server.ticket().await);
    let bearer = format!("{SUBPROTOCOL}, bearer.{KEY}");
    let same = format!("http://{}", server.address);
    for (query, headers) in [
        (in_url.as_str(), vec![("origin", same.as_str())]),
        ("", vec![("sec-websocket-protocol", as_protocol.as_str())]),
        ("", vec![("sec-websocket-protocol", bearer.as_str()), ("origin", &same)]),
        ("", vec![("x-api-key", KEY)]),
    ] {
        let mut client = server.open(query, &headers).await.unwrap();
        for _ in 0..2 {
            let frames = ask(&mut client).await;
            let types: Vec<_> = frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
            assert_eq!(types, ["start", "delta", "end"]);
            assert_eq!(frames[1], json!({ "type": "delta", "text": "yes" }));
        }
        client.close(None).await.unwrap();
    }
}

/// A query, headers, and the status that comes of them.
type Case<'a> = (&'a str, &'a [(&'static str, &'a str)], u16);

async fn refuses(server: &Server, cases: &[Case<'_>]) {
    for (query, headers, status) in cases {
        assert_eq!(server.open(query, headers).await.err(), Some(*status), "{query} {headers:?}");
    }
}

const CREDENTIAL: (&str, &str) = ("x-api-key", KEY);

#[tokio::test]
async fn what_is_no_credential_or_more_than_one_is_refused() {
    let server = server().await;
    let fresh = format!("?ticket={}", server.ticket().await);
    let wrong = format!("bearer.{}", KEY.to_uppercase());
    let twice = format!("bearer.{KEY}, bearer.{KEY}");
    let cases: [(&str, &[_], u16); 6] = [
        ("", &[], 401),
        ("?ticket=a&ticket=b", &[], 401),
        (&fresh, &[CREDENTIAL], 401),
        ("", &[("sec-websocket-protocol", wrong.as_str())], 401),
        ("", &[("sec-websocket-protocol", twice.as_str())], 401),
        ("", &[CREDENTIAL, ("x-tenant-id", "rival")], 403),
    ];
    refuses(&server, &cases).await;
    assert!(server.open(&fresh, &[]).await.is_ok(), "a refusal before its use does not use a ticket up");
}

#[tokio::test]
async fn t61_an_upgrade_from_a_foreign_origin_is_refused() {
    let server = server().await;
    let own = format!("http://{}", server.address);
    let other_port = "http://127.0.0.1:1";
    for origin in ["https://evil.example", "null", "", other_port, "http://127.0.0.1.evil.example"] {
        // A page brings its visitor's ticket or bearer; neither helps.
        let fresh = format!("?ticket={}", server.ticket().await);
        let bearer = format!("{SUBPROTOCOL}, bearer.{KEY}");
        let protocol = ("sec-websocket-protocol", bearer.as_str());
        refuses(
            &server,
            &[("", &[CREDENTIAL, ("origin", origin)], 403), (&fresh, &[("origin", origin)], 403)],
        )
        .await;
        refuses(&server, &[("", &[protocol, ("origin", origin)], 403)]).await;
        assert!(
            server.open(&fresh, &[("origin", own.as_str())]).await.is_ok(),
            "{origin:?} used the ticket up"
        );
    }
}

#[tokio::test]
async fn t62_credentials_in_the_url_are_refused_and_a_ticket_is_used_once() {
    let server = server().await;
    for name in REFUSED_PARAMETERS {
        let query = format!("?a=b&{}={KEY}", name.to_uppercase());
        refuses(&server, &[(&query, &[], 400), (&query, &[CREDENTIAL], 400)]).await;
        // Its value is not repeated: a response is logged by somebody too.
        let request = Request::get(format!("/ws/query{query}")).body(axum::body::Body::empty()).unwrap();
        let response = server.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains(KEY));
    }
    let ticket = server.ticket().await;
    let (in_url, as_protocol) = (format!("?ticket={ticket}"), format!("ticket.{ticket}"));
    server.open(&in_url, &[]).await.unwrap();
    let replays: [(&str, &[_], u16); 3] = [
        (&in_url, &[], 401),
        ("", &[("sec-websocket-protocol", as_protocol.as_str())], 401),
        ("?ticket=guess", &[], 401),
    ];
    refuses(&server, &replays).await;
}

#[tokio::test]
async fn t63_a_tenant_that_is_suspended_loses_its_connection_within_five_seconds() {
    let server = serve(Leaf::streaming([Step::delta("a"), Step::Hang]), |asks| asks).await;
    let mut idle = server.open("", &[CREDENTIAL]).await.unwrap();
    let mut answering = server.open("", &[CREDENTIAL]).await.unwrap();
    answering.send(WsMessage::text(r#"{"message": "well?"}"#)).await.unwrap();
    while next(&mut answering).await.unwrap()["type"] != "delta" {}
    server.suspended.store(true, Ordering::SeqCst);
    let closing = async { (next(&mut idle).await, next(&mut answering).await) };
    let codes = tokio::time::timeout(Duration::from_secs(5), closing).await.expect("within five seconds");
    assert_eq!(codes, (Err(1008), Err(1008)));
}

/// The next frame, or the code that the server closes with.
async fn next(client: &mut Client) -> Result<Value, u16> {
    loop {
        let message = tokio::time::timeout(DEADLINE, client.next()).await.expect("in time");
        match message.expect("a close frame before the end").expect("a close frame before an error") {
            WsMessage::Text(text) => return Ok(serde_json::from_str(text.as_str()).unwrap()),
            WsMessage::Close(frame) => return Err(frame.expect("a code").code.into()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn t64_a_message_that_is_too_long_ends_the_connection() {
    let server = server().await;
    for message in [
        WsMessage::text("x".repeat(MAX_MESSAGE_BYTES + 1)),
        WsMessage::binary(vec![0_u8; MAX_MESSAGE_BYTES + 1]),
    ] {
        let mut client = server.open("", &[CREDENTIAL]).await.unwrap();
        client.send(message).await.unwrap();
        assert_eq!(next(&mut client).await, Err(1009));
    }
    let mut client = server.open("", &[CREDENTIAL]).await.unwrap();
    client.send(WsMessage::text("x".repeat(MAX_MESSAGE_BYTES))).await.unwrap();
    assert_eq!(next(&mut client).await.unwrap()["kind"], "invalid_input", "one that is not too long is read");

    // What is longer still is not even read; how its client finds out is the network's.
    let mut client = server.open("", &[CREDENTIAL]).await.unwrap();
    let _broken = client.send(WsMessage::text("x".repeat(2 * MAX_MESSAGE_BYTES + 1))).await;
    let end = tokio::time::timeout(DEADLINE, client.next()).await.expect("in time");
    assert!(!matches!(end, Some(Ok(WsMessage::Text(_)))), "{end:?}");
}

#[tokio::test]
async fn t64_a_client_that_sends_too_fast_is_told_and_closed() {
    let server = serve(Leaf::text("yes"), |asks| asks.with_frame_rate(Quota::per_minute(5))).await;
    for more in
        [WsMessage::text(r#"{"type": "cancel"}"#), WsMessage::Ping(vec![].into()), WsMessage::binary(vec![])]
    {
        let mut client = server.open("", &[CREDENTIAL]).await.unwrap();
        for _ in 0..5 {
            client.send(WsMessage::text(r#"{"type": "cancel"}"#)).await.unwrap();
        }
        client.send(more).await.unwrap();
        let told = next(&mut client).await.unwrap();
        assert_eq!((&told["type"], &told["kind"]), (&json!("error"), &json!("rate_limited")));
        assert_eq!(next(&mut client).await, Err(1008));
    }
}

#[tokio::test]
async fn t64_a_client_that_keeps_to_the_rate_is_not_closed() {
    let server = serve(Leaf::text("yes"), |asks| asks.with_frame_rate(Quota::per_minute(0))).await;
    let mut client = server.open("", &[CREDENTIAL]).await.unwrap();
    for _ in 0..1_000 {
        client.send(WsMessage::text(r#"{"type": "cancel"}"#)).await.unwrap();
    }
    assert_eq!(ask(&mut client).await.len(), 3, "0 is off");
}

#[tokio::test]
async fn t64_a_client_that_is_silent_is_closed() {
    let server = serve(Leaf::text("yes"), |asks| asks.with_idle_time(Duration::from_millis(50))).await;
    let mut client = server.open("", &[CREDENTIAL]).await.unwrap();
    assert_eq!(next(&mut client).await, Err(1000));
}

/// Answers without end, and says when an answer was dropped.
fn endless(dropped: mpsc::UnboundedSender<()>) -> impl Answers<Ask> {
    struct Says(mpsc::UnboundedSender<()>);
    impl Drop for Says {
        fn drop(&mut self) {
            let _nobody = self.0.send(());
        }
    }
    tower::service_fn(move |ask: Ask| {
        let says = Says(dropped.clone());
        async move {
            let text: Arc<str> = "x".repeat(64 * 1024).into();
            let events = stream::repeat_with(move || {
                let _alive = &says;
                Ok(Event::Delta(Arc::clone(&text)))
            });
            Ok(Answer::new(ask.id(), events))
        }
    })
}

#[tokio::test]
async fn t64_a_client_that_does_not_read_is_let_go() {
    let (dropped, mut answers) = mpsc::unbounded_channel();
    let server = serve(endless(dropped), |asks| {
        asks.with_send_time(Duration::from_millis(100)).with_max_tenant_connections(1)
    })
    .await;
    let mut client = server.open("", &[CREDENTIAL]).await.unwrap();
    client.send(WsMessage::text(r#"{"message": "well?"}"#)).await.unwrap();
    tokio::time::timeout(DEADLINE, answers.recv()).await.expect("the answer is dropped").unwrap();
    // The client is there still, and its place is free again.
    tokio::time::timeout(DEADLINE, reopened(&server)).await.expect("its place is free");
    drop(client);
}

/// Tries until a connection opens.
async fn reopened(server: &Server) -> Client {
    loop {
        match server.open("", &[CREDENTIAL]).await {
            Ok(client) => return client,
            Err(status) => assert_eq!(status, 429),
        }
    }
}

#[tokio::test]
async fn t64_a_tenant_has_so_many_connections_and_no_more() {
    let server = serve(Leaf::text("yes"), |asks| asks.with_max_tenant_connections(2)).await;
    let mut one = server.open("", &[CREDENTIAL]).await.unwrap();
    let two = server.open("", &[CREDENTIAL]).await.unwrap();
    refuses(&server, &[("", &[CREDENTIAL], 429)]).await;
    let mut other = server.open("", &[("x-api-key", RIVAL_KEY)]).await.unwrap();
    assert_eq!((ask(&mut one).await.len(), ask(&mut other).await.len()), (3, 3), "who is in stays in");
    drop(two);
    tokio::time::timeout(DEADLINE, reopened(&server)).await.expect("a place is given back");
}

#[tokio::test]
async fn t64_the_server_has_so_many_connections_and_no_more() {
    let server = serve(Leaf::text("yes"), |asks| asks.with_max_connections(1)).await;
    let mut one = server.open("", &[CREDENTIAL]).await.unwrap();
    refuses(&server, &[("", &[("x-api-key", RIVAL_KEY)], 503), ("", &[], 401)]).await;
    assert_eq!(ask(&mut one).await.len(), 3);
}

#[tokio::test]
async fn a_server_that_leaves_closes_idle_connections_at_once_and_others_after_their_answer() {
    let goes_on = Arc::new(Semaphore::new(0));
    let stack = {
        let goes_on = Arc::clone(&goes_on);
        tower::service_fn(move |ask: Ask| {
            let goes_on = Arc::clone(&goes_on);
            let rest = stream::once(async move {
                let _permit = goes_on.acquire().await.unwrap();
                Ok(Event::Delta("b".into()))
            });
            let first = stream::iter([Ok(Event::Delta("a".into()))]);
            let last = stream::iter([Ok(Event::Finished(Finish::Stop))]);
            async move { Ok(Answer::new(ask.id(), Box::pin(first.chain(rest).chain(last)))) }
        })
    };
    let server = serve(stack, |asks| asks).await;
    let mut idle = server.open("", &[CREDENTIAL]).await.unwrap();
    let mut answering = server.open("", &[CREDENTIAL]).await.unwrap();
    answering.send(WsMessage::text(r#"{"message": "well?"}"#)).await.unwrap();
    while next(&mut answering).await.unwrap()["type"] != "delta" {}
    let talk = async {
        assert_eq!(next(&mut idle).await, Err(1001));
        refuses(&server, &[("", &[CREDENTIAL], 503)]).await;
        answering.send(WsMessage::text(r#"{"message": "and?"}"#)).await.unwrap();
        assert_eq!(next(&mut answering).await.unwrap()["kind"], "going_away");
        goes_on.add_permits(1);
        assert_eq!(next(&mut answering).await.unwrap()["text"], "b");
        assert_eq!(next(&mut answering).await.unwrap()["type"], "end");
        assert_eq!(next(&mut answering).await, Err(1001));
        drop((idle, answering));
    };
    let (whole, ()) = join((server.leave)(DEADLINE), talk).await;
    assert!(whole, "nothing was cut off");
}

#[tokio::test]
async fn a_server_that_leaves_cuts_an_answer_off_that_does_not_end_in_time() {
    let server = serve(Leaf::streaming([Step::delta("a"), Step::Hang]), |asks| asks).await;
    let mut client = server.open("", &[CREDENTIAL]).await.unwrap();
    client.send(WsMessage::text(r#"{"message": "well?"}"#)).await.unwrap();
    while next(&mut client).await.unwrap()["type"] != "delta" {}
    let (whole, code) = join((server.leave)(Duration::from_millis(50)), next(&mut client)).await;
    assert_eq!((whole, code), (false, Err(1001)));
}

#[tokio::test]
async fn a_message_that_is_none_is_answered_and_does_no_harm() {
    let server = server().await;
    let mut client = server.open("", &[("x-api-key", KEY)]).await.unwrap();
    for message in [WsMessage::text("nonsense"), WsMessage::binary(vec![0_u8, 159])] {
        client.send(message).await.unwrap();
        let answer = client.next().await.unwrap().unwrap();
        let frame: Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
        assert_eq!((&frame["type"], &frame["kind"]), (&json!("error"), &json!("invalid_input")));
    }
    assert_eq!(ask(&mut client).await.len(), 3);
}
