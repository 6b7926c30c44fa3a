//! A server that stops while clients talk to it over WebSockets.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rag_tower_tests::http::DEADLINE;
use rag_tower_tests::model_stub::{self, ModelStub, Reply, Step};
use rag_tower_tests::server::{DEMO_KEY, Server, Setup};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::BINARY;
use super::rolling::DOWN;

/// For how long the server still answers after the signal.
const DELAY: Duration = Duration::from_secs(2);
/// The demo tenant can be asked about it in words that no route of its own takes.
const QUESTION: &str = "Trung tâm có chính sách bảo lưu không?";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(server: &Server) -> Socket {
    let mut request = format!("ws://{}/ws/query", server.addr).into_client_request().unwrap();
    request.headers_mut().insert("x-api-key", DEMO_KEY.parse().unwrap());
    connect_async(request).await.unwrap().0
}

async fn say(socket: &mut Socket, question: &str) {
    socket.send(Message::text(json!({ "message": question }).to_string())).await.unwrap();
}

/// The next frame, or the code that the server closes with.
async fn next(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        let message = timeout(DEADLINE, socket.next()).await.expect("in time");
        match message.expect("a close frame before the end").expect("a close frame before an error") {
            Message::Text(text) => return Ok(serde_json::from_str(text.as_str()).unwrap()),
            Message::Close(frame) => return Err(frame.expect("a code").code.into()),
            _ => {}
        }
    }
}

/// Frames up to the one of this type.
async fn up_to(socket: &mut Socket, name: &str) -> Value {
    loop {
        let frame = next(socket).await.unwrap();
        if frame["type"] == name {
            return frame;
        }
        assert_ne!(frame["type"], "error", "{frame}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_its_answers_and_closes_every_socket_as_going_away() {
    let (stub, goes_on) = (ModelStub::start().await, Arc::new(Semaphore::new(0)));
    let setup = Setup::new(BINARY)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_API_KEY", "key-that-no-provider-knows")
        .env("OPENAI_MODEL", "stub")
        .env("RAG_TOWER_STOP_DELAY", DELAY.as_secs().to_string());
    let server = spawn_blocking(|| setup.start()).await.unwrap();
    let send = |bytes| Step::Send(bytes);
    stub.always(Reply::steps([
        send(model_stub::role()),
        send(model_stub::text("Có, ")),
        Step::Wait(Arc::clone(&goes_on)),
        send(model_stub::text("một lần [1].")),
        send(model_stub::finish("stop")),
        send(model_stub::usage(11, 2)),
        send(model_stub::done()),
    ]));

    let (mut idle, mut answering) = (connect(&server).await, connect(&server).await);
    say(&mut answering, QUESTION).await;
    let trace = up_to(&mut answering, "start").await["trace_id"].clone();
    assert_eq!(up_to(&mut answering, "delta").await["text"], "Có,");

    let told = Instant::now();
    server.signal("TERM");
    // who says nothing is let go, once a balancer has had its time
    assert_eq!(next(&mut idle).await, Err(1001));
    assert!(told.elapsed() >= DELAY, "{:?}", told.elapsed());
    // what is asked now is refused, and what was asked before is answered
    say(&mut answering, "Còn học phí?").await;
    let refused = next(&mut answering).await.unwrap();
    assert_eq!((&refused["type"], &refused["kind"]), (&json!("error"), &json!("going_away")), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("connect again"), "{refused}");
    goes_on.add_permits(1);
    assert_eq!(up_to(&mut answering, "end").await["trace_id"], trace);
    assert_eq!(next(&mut answering).await, Err(1001));
    assert_eq!(stub.calls(), 1, "the question that was refused went no further");

    let down = spawn_blocking(|| server.wait());
    let (status, output, _data) = timeout(DOWN, down).await.expect("it stops").unwrap();
    assert!(status.success(), "{status}:\n{output}");
    assert!(!output.contains("ERROR") && !output.contains("still in flight"), "{output}");
}
