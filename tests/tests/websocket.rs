//! Conversations over a WebSocket, as the chat page's alternative to server-sent events.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rag_tower_tests::http::DEADLINE;
use rag_tower_tests::server::{Server, shared};
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
async fn who_may_not_is_refused_before_the_upgrade() {
    let server = server();
    let own = format!("http://{}", server.addr);
    assert_eq!(status(connect(&server, "", &own).await), 401);
    assert_eq!(status(connect(&server, "?token=abc", &own).await), 400);
    assert_eq!(status(connect(&server, "?user_id=abc", &own).await), 400);
    let used = format!("?ticket={}", ticket(&server).await);
    assert_eq!(status(connect(&server, &used, "https://evil.example").await), 403);
    let once = format!("?ticket={}", ticket(&server).await);
    connect(&server, &once, &own).await.unwrap().close(None).await.unwrap();
    assert_eq!(status(connect(&server, &once, &own).await), 401, "a ticket is used once");
}
