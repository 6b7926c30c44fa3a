//! Conversations over a WebSocket, as the chat page's alternative to server-sent events.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rag_tower::TenantId;
use rag_tower_tests::http::DEADLINE;
use rag_tower_tests::server::{Server, Setup, shared};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

fn server() -> Arc<Server> {
    shared(env!("CARGO_BIN_EXE_rag-tower-server"))
}

async fn ticket(server: &Server) -> String {
    let answer = server.tenant().post("/ws/ticket", &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["ticket"].as_str().unwrap().to_owned()
}

async fn connect(server: &Server, query: &str, origin: &str) -> Result<Socket, Error> {
    let mut request = format!("ws://{}/ws/query{query}", server.addr).into_client_request().unwrap();
    request.headers_mut().insert("origin", origin.parse().unwrap());
    connect_async(request).await.map(|(socket, _)| socket)
}

fn status(refused: Result<Socket, Error>) -> u16 {
    match refused {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("not refused: {:?}", other.map(|_| "a socket")),
    }
}

async fn next(socket: &mut Socket) -> Value {
    let message = tokio::time::timeout(DEADLINE, socket.next()).await.expect("in time").unwrap().unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_has_the_events_of_a_stream() {
    let server = server();
    let own = format!("http://{}", server.addr);
    let mut socket = connect(&server, &format!("?ticket={}", ticket(&server).await), &own).await.unwrap();
    let mut session = Value::Null;
    for question in ["Trung tâm có chính sách bảo lưu không?", "Cần báo trước bao lâu?"] {
        let frame = json!({"message": question, "session_id": session});
        socket.send(Message::text(frame.to_string())).await.unwrap();
        let start = next(&mut socket).await;
        assert_eq!(start["type"], "start", "{start}");
        assert!(session.is_null() || session == start["session_id"], "one conversation");
        session = start["session_id"].clone();
        let mut types = vec![];
        loop {
            let event = next(&mut socket).await;
            types.push(event["type"].as_str().unwrap().to_owned());
            if event["type"] == "end" {
                assert_eq!(event["trace_id"], start["trace_id"]);
                break;
            }
        }
        assert!(types.contains(&"delta".to_owned()), "{types:?}");
    }
    socket.close(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn t61_an_upgrade_from_a_page_elsewhere_is_refused() {
    let server = server();
    for origin in ["https://evil.example", "null", "http://127.0.0.1"] {
        let good = format!("?ticket={}", ticket(&server).await);
        assert_eq!(status(connect(&server, &good, origin).await), 403, "{origin}");
    }
    let own = format!("http://{}", server.addr);
    assert_eq!(status(connect(&server, "", &own).await), 401, "an origin is no credential");
}

#[tokio::test(flavor = "multi_thread")]
async fn t62_a_ticket_opens_once() {
    let server = server();
    let own = format!("http://{}", server.addr);
    let once = format!("?ticket={}", ticket(&server).await);
    connect(&server, &once, &own).await.unwrap().close(None).await.unwrap();
    assert_eq!(status(connect(&server, &once, &own).await), 401, "a ticket is used once");
    assert_eq!(status(connect(&server, "?ticket=0123", &own).await), 401);
}

/// Nothing that stands in a URL is logged, however much is: what was refused there and tickets neither.
#[tokio::test(flavor = "multi_thread")]
async fn t62_credentials_in_a_url_are_refused_and_never_logged() {
    let server = Setup::new(env!("CARGO_BIN_EXE_rag-tower-server")).env("RAG_TOWER_LOG", "trace").start();
    let own = format!("http://{}", server.addr);
    for name in ["token", "access_token", "user_id", "api_key", "key", "TOKEN"] {
        let refused = connect(&server, &format!("?{name}=canary-in-a-url"), &own).await;
        assert_eq!(status(refused), 400, "{name}");
    }
    let ticket = ticket(&server).await;
    let once = format!("?ticket={ticket}");
    connect(&server, &once, &own).await.unwrap().close(None).await.unwrap();
    assert_eq!(status(connect(&server, &once, &own).await), 401);
    assert_eq!(status(connect(&server, "?ticket=canary-in-a-url", &own).await), 401);
    let (_, output, _keep) = server.stop();
    assert!(output.contains("TRACE") || output.contains("DEBUG"), "nothing was logged: {output}");
    for secret in ["canary-in-a-url", &ticket] {
        assert!(
            !output.contains(secret),
            "logged: {}",
            output.lines().find(|line| line.contains(secret)).unwrap()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t63_a_tenant_that_is_suspended_loses_its_connection_within_five_seconds() {
    let server = Setup::new(env!("CARGO_BIN_EXE_rag-tower-server")).start();
    let own = format!("http://{}", server.addr);
    let mut socket = connect(&server, &format!("?ticket={}", ticket(&server).await), &own).await.unwrap();
    let tenant = TenantId::named("language-centre");
    let path = format!("/owner/api/tenants/{tenant}/suspend");
    let suspended = server.owner().await.post(&path, &json!({"reason": "a test"})).await;
    assert_eq!(suspended.status, 200, "{}", suspended.text());
    // It asks nothing: the server notices by itself.
    let closed =
        tokio::time::timeout(Duration::from_secs(5), socket.next()).await.expect("within five seconds");
    match closed.unwrap().unwrap() {
        Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1008),
        other => panic!("no close frame: {other:?}"),
    }
    let refused = server.tenant().post("/ws/ticket", &json!({})).await;
    assert_eq!(refused.status, 401, "no new ticket either: {}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn t64_limits_are_in_force_and_their_figures_begin_at_zero() {
    let server = server();
    let own = format!("http://{}", server.addr);
    let figures = server.scrape().await;
    for limit in ["frame_size", "frame_rate", "idle", "slow_consumer", "tenant_connections", "connections"] {
        assert!(
            figures.contains(&format!("rag_ws_limited_total{{limit=\"{limit}\"}} 0")),
            "{limit}: {figures}"
        );
    }
    let mut socket = connect(&server, &format!("?ticket={}", ticket(&server).await), &own).await.unwrap();
    for _ in 0..=120 {
        socket.send(Message::text(json!({"type": "cancel"}).to_string())).await.unwrap();
    }
    let told = next(&mut socket).await;
    assert_eq!((&told["type"], &told["kind"]), (&json!("error"), &json!("rate_limited")));
    let close = tokio::time::timeout(DEADLINE, socket.next()).await.expect("in time").unwrap().unwrap();
    let Message::Close(Some(frame)) = close else { panic!("{close:?}") };
    assert_eq!(u16::from(frame.code), 1008);
    let figures = server.scrape().await;
    assert!(figures.contains("rag_ws_limited_total{limit=\"frame_rate\"} 1"), "{figures}");
}
