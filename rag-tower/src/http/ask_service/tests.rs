use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::{Layer, service_fn};

use super::*;
use crate::answer::{Answer, Event, Finish};
use crate::tenant::{BranchId, ConstantTenant, ResolveTenantLayer};
use crate::test_util::{Leaf, Step};
use crate::{ErrorKind, TenantAuthority, TenantId};

fn scope() -> TenantScope {
    crate::test_util::scope("acme")
}

fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::post("/query").body(Full::new(body.into())).unwrap();
    request.extensions_mut().insert(scope());
    request
}

async fn answered(service: AskService<Leaf>, request: Request<Full<Bytes>>) -> (u16, Value) {
    let response = service.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn json_holds_answer_sources_and_the_end() {
    let trace = TraceHandle::new();
    trace.set_route("course_search");
    let mut request = post(r#"{"question": "IELTS?"}"#);
    request.extensions_mut().insert(trace);
    let (status, body) = answered(AskService::new(Leaf::text("yes")), request).await;
    assert_eq!(status, 200);
    let expected = json!({
        "answer": "yes", "sources": [], "trace_id": body["trace_id"], "session_id": null,
        "route": "course_search", "finish": "stop", "finish_reason": null, "llm_provider": null, "llm_model": null,
        "usage": { "input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "estimated": false },
        "confidence": null, "degraded": [], "tool_metadata": {},
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn what_is_refused_never_reaches_the_stack() {
    let leaf = Leaf::text("no");
    let service = || AskService::new(leaf.clone()).with_body_limit(100);
    let header = |name: &'static str, value: &str| {
        let mut request = post(r#"{"question": "a"}"#);
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let mut anonymous = post(r#"{"question": "a"}"#);
    anonymous.extensions_mut().remove::<TenantScope>();
    let mut get = post("");
    *get.method_mut() = Method::GET;
    let foreign = BranchId::named(TenantId::named("rival"), "north");
    let mut narrow = post(format!(r#"{{"question": "a", "branch_id": "{foreign}"}}"#));
    narrow.extensions_mut().insert(scope().narrow(BranchId::named(scope().tenant(), "south")).unwrap());
    for (request, status, kind) in [
        (anonymous, 401, "unauthenticated"),
        (get, 405, "method_not_allowed"),
        (post(""), 400, "invalid_input"),
        (post("{"), 400, "invalid_input"),
        (post(&b"\xff"[..]), 400, "invalid_input"),
        (post("x".repeat(101)), 413, "too_large"),
        (header("content-length", "101"), 413, "too_large"),
        (header("content-type", "text/plain"), 415, "unsupported_media_type"),
        (narrow, 404, "not_found"),
    ] {
        let (got, body) = answered(service(), request).await;
        assert_eq!((got, &body["kind"]), (status, &json!(kind)), "{body}");
    }
    assert_eq!(leaf.calls(), 0);
    let (status, _) = answered(service(), header("content-type", "application/json; charset=utf-8")).await;
    assert_eq!((status, leaf.calls()), (200, 1));
}

#[tokio::test]
async fn an_error_before_or_within_an_answer_is_a_problem_with_the_trace_id() {
    for leaf in [
        Leaf::new([Step::Fail(ErrorKind::Overloaded)], []),
        Leaf::streaming([Step::delta("half"), Step::Fail(ErrorKind::Overloaded)]),
    ] {
        let (status, body) = answered(AskService::new(leaf), post(r#"{"question": "a"}"#)).await;
        assert_eq!((status, &body["kind"]), (503, &json!("overloaded")));
        assert!(body["trace_id"].is_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    struct Endless;
    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }
    let mut request = Request::post("/query").body(Endless).unwrap();
    request.extensions_mut().insert(scope());
    let response = AskService::new(Leaf::text("no")).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 408);
}

/// Serves one stack on a port of its own. The server ends with the test's runtime.
async fn serve<S: Answers<Ask>>(stack: S) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tenant =
        ResolveTenantLayer::new(TenantAuthority::new(), ConstantTenant::new(TenantId::named("acme")));
    let service = TowerToHyperService::new(tenant.layer(AskService::new(stack)));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // A client that goes away is an error here, and the point of some tests.
        let _gone = serving.await;
    });
    tasks.detach_all();
    TcpStream::connect(address).await.unwrap()
}

async fn send(client: &mut TcpStream, accept: &str) {
    let body = r#"{"question": "a"}"#;
    let head = format!(
        "POST /query HTTP/1.1\r\nhost: test\r\naccept: {accept}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
}

/// Reads until `end` was seen.
async fn read_until(client: &mut TcpStream, end: &str) -> String {
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while !seen.contains(end) {
        let read = client.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the connection ended after {seen:?}");
        seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    seen
}

/// A stack whose future or stream hangs, and which tells when it was dropped.
fn hanging(stream: bool) -> (impl Answers<Ask>, watch::Receiver<(u32, u32)>) {
    struct Held(watch::Sender<(u32, u32)>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.send_modify(|(_, dropped)| *dropped += 1);
        }
    }
    let (count, seen) = watch::channel((0, 0));
    let stack = service_fn(move |ask: Ask| {
        let count = count.clone();
        async move {
            count.send_modify(|(called, _)| *called += 1);
            let held = Held(count);
            if !stream {
                std::future::pending::<()>().await;
            }
            let first = futures_util::stream::iter([Ok(Event::Delta("first".into()))]);
            Ok(Answer::new(ask.id(), first.chain(futures_util::stream::pending())).map_stream(|events| {
                let held = held;
                events.inspect(move |_| {
                    let _ = &held;
                })
            }))
        }
    });
    (stack, seen)
}

#[tokio::test]
async fn over_tcp_a_connection_serves_several_answers() {
    let sources = Event::Sources(Arc::from([]));
    let leaf = Leaf::streaming([
        Step::Event(sources),
        Step::delta("a"),
        Step::Yield,
        Step::delta("b"),
        Step::Event(Event::Finished(Finish::Stop)),
    ]);
    let mut client = serve(leaf.clone()).await;
    for _ in 0..2 {
        send(&mut client, "text/event-stream").await;
        let response = read_until(&mut client, "\r\n0\r\n\r\n").await;
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert_eq!(body.matches("event: ").count(), 5, "{body}");
        // One HTTP chunk per event: nothing waits for what follows.
        assert!(body.contains("\r\nevent: delta\ndata: {\"text\":\"a\"}\n\n\r\n"), "{body}");
    }
    send(&mut client, "application/json").await;
    let response = read_until(&mut client, "\"tool_metadata\":{}}").await;
    assert!(response.contains("content-length: ") && response.contains("{\"answer\":\"ab\""), "{response}");
    assert_eq!(leaf.calls(), 3);
}

#[tokio::test]
async fn over_tcp_a_client_that_leaves_mid_stream_ends_the_ask() {
    let (stack, mut seen) = hanging(true);
    let mut client = serve(stack).await;
    send(&mut client, "text/event-stream").await;
    read_until(&mut client, "first").await;
    assert_eq!(*seen.borrow(), (1, 0));
    drop(client);
    seen.wait_for(|count| *count == (1, 1)).await.unwrap();
}

#[tokio::test]
async fn over_tcp_a_client_that_leaves_before_the_answer_ends_the_ask() {
    for stream in [false, true] {
        let (stack, mut seen) = hanging(stream);
        let mut client = serve(stack).await;
        send(&mut client, "application/json").await;
        seen.wait_for(|(called, _)| *called == 1).await.unwrap();
        drop(client);
        seen.wait_for(|count| *count == (1, 1)).await.unwrap();
    }
}
