//! What is refused, and how it is said.

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use rag_tower_tests::http::{Answer, Client, DEADLINE};
use rag_tower_tests::model_stub::{self as model, ModelStub, Reply, Step};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{ACME, CHAT, GLOBEX, Gateway, Wire, chat, next, post, tenant};

/// The code of an error in OpenAI's shape, and nothing beside it.
fn code(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    let error = body["error"].as_object().unwrap();
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    assert!(error["type"].is_string() && error["param"].is_null() && error.len() == 4, "{body}");
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    (answer.status.as_u16(), error["code"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_said_in_openai_s_shape() {
    let stub = ModelStub::start().await;
    let gateway = Gateway::before(&stub).await;
    let client = gateway.client(ACME);
    let body = chat("hello", false);
    assert_eq!(code(&Client::new(gateway.addr).post(CHAT, &body).await), (401, "unauthenticated".into()));
    let wrong = gateway.client("a-key-that-nobody-has-0123456789abcdef");
    assert_eq!(code(&wrong.post(CHAT, &body).await), (401, "unauthenticated".into()));
    for path in
        ["/v1/files", "/v1/responses", "/v1/chat/completions/chatcmpl-1", "/v1/models/..%2ffiles", "/"]
    {
        assert_eq!(code(&client.get(path).await), (404, "unknown_url".into()), "{path}");
    }
    let answer = client.get(CHAT).await;
    assert_eq!(
        (code(&answer), &answer.headers["allow"]),
        ((405, "method_not_allowed".into()), &"POST".parse().unwrap())
    );
    let delete = client.request(Method::DELETE, "/v1/models/stub").body(Full::default()).unwrap();
    assert_eq!(code(&client.send(delete).await), (405, "method_not_allowed".into()));
    let asserted = client.request(Method::POST, CHAT).header("x-tenant-id", "globex");
    let asserted = asserted.body(Full::new(Bytes::from(body.to_string()))).unwrap();
    assert_eq!(code(&client.send(asserted).await), (403, "forbidden".into()));
    assert_eq!(stub.calls(), 0);

    // What is no call to us may be one to the provider, who judges it.
    stub.script([Reply::refused(400, "invalid_json", "that is no JSON")]);
    assert_eq!(code(&client.post_bytes(CHAT, "{\"model\": ").await), (400, "invalid_json".into()));
    assert_eq!(stub.requests()[0].bytes, "{\"model\": ");
    let left = gateway.stop().await;
    assert_eq!(left.rows.len(), 8, "whoever is nobody has no row");
    assert!(left.rows.iter().all(|row| row["tenant_id"] == tenant("acme") && row["status"] == "ERROR"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_refused_before_it_is_read() {
    let stub = ModelStub::start().await;
    let gateway = Gateway::before(&stub).await;
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {ACME}\r\nContent-Length: 100000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"code\":\"too_large\""), "{answer}");
    drop(stream);
    // one that does not say how long it is, which is one byte too many
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {ACME}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        32 * 1024 * 1024
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; 16 * 1024 * 1024 + 1]).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer[..read]));
    drop(stream);
    assert_eq!(stub.calls(), 0);
    assert_eq!(gateway.stop().await.column("status"), ["ERROR", "ERROR"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_has_so_many_calls_a_minute() {
    let stub = ModelStub::start().await;
    let gateway =
        Gateway::start(&[("OPENAI_BASE_URL", &stub.base_url()), ("GATEWAY_CALLS_PER_MINUTE", "2")]).await;
    for _ in 0..2 {
        assert_eq!(gateway.client(ACME).post(CHAT, &chat("hello", true)).await.status, 200);
    }
    let refused = gateway.client(ACME).post(CHAT, &chat("once more", true)).await;
    assert_eq!(code(&refused), (429, "rate_limited".into()));
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(gateway.client(GLOBEX).post(CHAT, &chat("hello", true)).await.status, 200);
    assert_eq!(stub.calls(), 3);
    let left = gateway.stop().await;
    assert_eq!(left.column("status"), ["SUCCESS", "SUCCESS", "RATE_LIMITED", "SUCCESS"]);
    assert_eq!(left.rows[2]["question"], "once more", "what is refused is a row like any other");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_has_so_many_calls_at_once() {
    let stub = ModelStub::start().await;
    let gateway =
        Gateway::start(&[("OPENAI_BASE_URL", &stub.base_url()), ("GATEWAY_CALLS_AT_ONCE_PER_TENANT", "1")])
            .await;
    stub.script([Reply::steps([Step::Send(model::text("a")), Step::Hang])]);
    let mut wire = Wire::to(gateway.addr).await;
    let mut body = wire.head(post(ACME, CHAT, chat("long", true).to_string())).await.into_body();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), model::text("a"));
    let refused = gateway.client(ACME).post(CHAT, &chat("short", false)).await;
    assert_eq!(code(&refused), (503, "overloaded".into()));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(gateway.client(GLOBEX).post(CHAT, &chat("short", false)).await.status, 200);
    drop((body, wire));
    stub.wait_for_aborts(1).await;
    let free = async { while gateway.client(ACME).post(CHAT, &chat("short", false)).await.status != 200 {} };
    tokio::time::timeout(DEADLINE, free).await.expect("the place is free again");
    let left = gateway.stop().await;
    assert_eq!(json!(left.column("status")[1]), "RATE_LIMITED");
}
