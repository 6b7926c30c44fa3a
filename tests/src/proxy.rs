//! The yardstick: the least an axum program can do with a question, which is to pass it to the model.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The argument that makes a program the proxy, before the model's address.
const ARGUMENT: &str = "--be-the-proxy";

/// A bare proxy that answers `POST /query` by streaming a chat completion and joining its text. It is a process of its
/// own, as the server is: within the load generator's it would cross to nobody.
pub struct Proxy {
    /// Where it listens.
    pub addr: SocketAddr,
    child: Child,
}

impl Proxy {
    /// Starts it before a model server at `base` (such as `http://127.0.0.1:1234/v1`): this program once more, which has to
    /// call [`serve_if_asked`](Self::serve_if_asked) first.
    pub fn start(base: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args([ARGUMENT, base])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the proxy starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its address");
        Self { addr: line.trim().parse().expect("an address"), child }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Becomes the proxy for good when this process was started as one.
    pub async fn serve_if_asked() {
        let mut arguments = std::env::args().skip_while(|argument| argument != ARGUMENT).skip(1);
        if let Some(base) = arguments.next() {
            serve(&base).await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn serve(base: &str) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let state = (client, format!("{base}/chat/completions"));
    let app = Router::new().route("/query", post(query)).with_state(state);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    println!("{}", listener.local_addr().expect("address"));
    let listener = axum::serve::ListenerExt::tap_io(listener, |io| io.set_nodelay(true).expect("nodelay"));
    axum::serve(listener, app).await.expect("serve");
}

async fn query(
    State((client, url)): State<(Client<HttpConnector, Full<Bytes>>, String)>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let body = json!({
        "model": "stub", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": body["question"]}],
    });
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body.to_string()))
        .map_err(|_| StatusCode::BAD_GATEWAY)?;
    let answer = client.request(request).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let mut chunks = answer.into_body();
    let (mut text, mut rest) = (String::new(), Vec::new());
    while let Some(frame) = chunks.frame().await {
        let Ok(data) = frame.map_err(|_| StatusCode::BAD_GATEWAY)?.into_data() else { continue };
        rest.extend_from_slice(&data);
        while let Some(end) = rest.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = rest.drain(..end + 2).collect();
            let Some(data) = event.strip_prefix(b"data: ") else { continue };
            if let Ok(value) = serde_json::from_slice::<Value>(data) {
                text.push_str(value["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
            }
        }
    }
    Ok(Json(json!({ "answer": text })))
}
