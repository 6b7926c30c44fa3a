use axum::Router;
use axum::routing::{get, post_service};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tower::{Layer, ServiceExt};

use super::*;
use crate::TenantId;
use crate::http::{MemoryTickets, TicketService};
use crate::tenant::{ApiKeyResolver, Asserted, MemoryApiKeys, ResolveTenantLayer};
use crate::test_util::Leaf;

const KEY: &str = "rt_demo_0123456789abcdef0123456789abcdef";

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Server {
    address: String,
    router: Router,
    _running: tokio::task::JoinSet<()>,
}

async fn server() -> Server {
    let keys = || ApiKeyResolver::new(MemoryApiKeys::new().with(KEY, TenantId::named("acme")).unwrap());
    let (authority, tickets) = (TenantAuthority::new(), MemoryTickets::new());
    let origins = Origins::parse(&[]).unwrap();
    let asks =
        WsAsks::new(Leaf::text("yes"), authority.clone(), Asserted::new(keys()), tickets.clone(), origins);
    let giving = ResolveTenantLayer::new(authority, keys()).layer(TicketService::new(tickets));
    let router = Router::new()
        .route("/ws/query", get(move |request: Request<axum::body::Body>| asks.clone().upgrade(request)))
        .route("/ws/ticket", post_service(giving));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut running = tokio::task::JoinSet::new();
    let served = router.clone();
    running.spawn(async move { axum::serve(listener, served).await.unwrap() });
    Server { address, router, _running: running }
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

#[tokio::test]
async fn every_other_way_is_refused() {
    let server = server().await;
    let used = format!("?ticket={}", server.ticket().await);
    server.open(&used, &[]).await.unwrap();
    let fresh = format!("?ticket={}", server.ticket().await);
    let with_key = format!("?token={KEY}");
    let wrong = format!("bearer.{}", KEY.to_uppercase());
    let twice = format!("bearer.{KEY}, bearer.{KEY}");
    let key = ("x-api-key", KEY);
    for (query, headers, status) in [
        ("", vec![], 401),
        (used.as_str(), vec![], 401),
        ("?ticket=guess", vec![], 401),
        ("?ticket=a&ticket=b", vec![], 401),
        (&fresh, vec![key], 401),
        ("", vec![("sec-websocket-protocol", wrong.as_str())], 401),
        ("", vec![("sec-websocket-protocol", twice.as_str())], 401),
        ("", vec![key, ("x-tenant-id", "rival")], 403),
        ("", vec![key, ("origin", "https://evil.example")], 403),
        ("", vec![key, ("origin", "null")], 403),
        (&with_key, vec![], 400),
        ("?user_id=1", vec![key], 400),
        ("?a=b&Access_Token=x", vec![key], 400),
    ] {
        assert_eq!(server.open(query, &headers).await.err(), Some(status), "{query} {headers:?}");
    }
    assert!(server.open(&fresh, &[]).await.is_ok(), "a refusal before its use does not use a ticket up");
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
