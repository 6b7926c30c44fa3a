//! The yardstick: the least an axum program can do with a question, which is to pass it to the model.

use std::net::SocketAddr;

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
use tokio::task::JoinHandle;

/// A bare proxy that answers `POST /query` by streaming a chat completion and joining its text.
pub struct Proxy {
    /// Where it listens.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts it before a model server at `base` (such as `http://127.0.0.1:1234/v1`).
    pub async fn start(base: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let state = (client, format!("{base}/chat/completions"));
        let app = Router::new().route("/query", post(query)).with_state(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let addr = listener.local_addr().expect("address");
        let listener =
            axum::serve::ListenerExt::tap_io(listener, |io| io.set_nodelay(true).expect("nodelay"));
        #[expect(clippy::disallowed_methods, reason = "aborted when the proxy is dropped")]
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("serve") });
        Self { addr, task }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
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
