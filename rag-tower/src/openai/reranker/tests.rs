use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_layer::Layer;

use super::*;
use crate::error::ErrorKind;
use crate::scoped::Scoped;
use crate::stage::testing::{Leaf, retrieved};
use crate::stage::{RerankLayer, Retrieved};

/// A server that takes one request, answers with these bytes, and tells what it got; with none it stays silent.
async fn server(response: Option<String>) -> (String, JoinSet<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let mut served = JoinSet::new();
    served.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        let (head, body) = loop {
            let mut piece = [0; 4096];
            let read = socket.read(&mut piece).await.unwrap();
            assert!(read > 0, "the request ended early");
            got.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&got).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            if body.len() >= length.unwrap().parse::<usize>().unwrap() {
                break (head.to_owned(), serde_json::from_str(body).unwrap());
            }
        };
        match response {
            Some(response) => socket.write_all(response.as_bytes()).await.unwrap(),
            // Held open until the client has given up.
            None => drop(socket.read(&mut [0; 1]).await),
        }
        (head, body)
    });
    (base, served)
}

fn ok(body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn status(line: &str, headers: &str) -> String {
    format!("HTTP/1.1 {line}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n")
}

fn reranker(base: &str) -> HttpReranker {
    let endpoint = Endpoint::builder(base)
        .with_key("sk-secret")
        .with_first_event_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    HttpReranker::new(endpoint, "ranker-1")
}

fn request() -> RerankRequest {
    let Retrieved { ask, passages } =
        retrieved("opening hours", &[("the fee", 0.9), ("the hours", 0.8), ("the desk", 0.7)]);
    RerankRequest {
        scope: ask.scope().clone(),
        trace: ask.trace().clone(),
        question: ask.question().clone(),
        passages,
    }
}

#[tokio::test]
async fn passages_come_back_in_the_models_order_with_its_scores() {
    let order = json!({"id": "x", "results": [
        {"index": 1, "relevance_score": 0.93}, {"index": 2, "relevance_score": 0.2}]});
    let (base, mut served) = server(Some(ok(&order))).await;
    let passages = reranker(&base).oneshot(request()).await.unwrap();
    let seen: Vec<_> = passages.iter().map(|passage| (&*passage.text, passage.score)).collect();
    assert_eq!(seen, [("the hours", 0.93), ("the desk", 0.2)]);
    let (head, body) = served.join_next().await.unwrap().unwrap();
    assert!(head.starts_with("POST /v1/rerank HTTP/1.1") && head.contains("Bearer sk-secret"), "{head}");
    assert_eq!(
        (&body["model"], &body["query"], &body["top_n"]),
        (&json!("ranker-1"), &json!("opening hours"), &json!(3))
    );
    assert_eq!(body["documents"][1], "Title of the hours\nthe hours");
}

#[tokio::test]
async fn every_failure_has_its_kind_and_shows_no_key() {
    let results = |results: Value| Some(ok(&json!({ "results": results })));
    for (response, kind) in [
        (Some(status("429 Too Many Requests", "retry-after: 7\r\n")), ErrorKind::ProviderRateLimited),
        (Some(status("503 Service Unavailable", "")), ErrorKind::ProviderUnavailable),
        (Some(status("401 Unauthorized", "")), ErrorKind::ProviderRejected),
        (
            Some(status("302 Found", "location: http://127.0.0.1:9/elsewhere\r\n")),
            ErrorKind::ProviderRejected,
        ),
        (Some(ok(&json!({"order": []}))), ErrorKind::ProviderInvalid),
        (results(json!([])), ErrorKind::ProviderInvalid),
        (results(json!([{"index": 3, "relevance_score": 1.0}])), ErrorKind::ProviderInvalid),
        (
            results(json!([{"index": 0, "relevance_score": 1.0}, {"index": 0, "relevance_score": 0.5}])),
            ErrorKind::ProviderInvalid,
        ),
        (results(json!([{"index": 0, "relevance_score": null}])), ErrorKind::ProviderInvalid),
        (Some(status("200 OK", "")), ErrorKind::ProviderInvalid),
        (None, ErrorKind::Timeout),
    ] {
        let (base, mut served) = server(response.clone()).await;
        let error = reranker(&base).oneshot(request()).await.unwrap_err();
        assert_eq!((error.kind(), error.stage()), (kind, Stage::Rerank), "{response:?}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        let waits = (kind == ErrorKind::ProviderRateLimited).then_some(Duration::from_secs(7));
        assert_eq!(error.retry_after(), waits);
        drop(served.join_next().await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn a_reranker_that_is_down_leaves_the_order_and_says_so() {
    let (base, _served) = server(Some(status("500 Oops", ""))).await;
    let leaf = Leaf::answering("ok");
    let asked = retrieved("q", &[("one", 0.9), ("two", 0.8)]);
    let trace = asked.trace().clone();
    drop(RerankLayer::new(reranker(&base)).layer(leaf.clone()).oneshot(asked).await.unwrap());
    let seen: Retrieved = leaf.only_request();
    assert_eq!(seen.passages.iter().map(|p| &*p.text).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(trace.snapshot().degraded.join(","), "rerank");
}

#[tokio::test]
async fn nothing_is_asked_about_nothing() {
    let mut request = request();
    request.passages = Passages::default();
    assert!(reranker("http://127.0.0.1:9").oneshot(request).await.unwrap().is_empty());
}
