//! The layers of calls, each alone: readiness, cancellation, and what is read of what passes.

use std::future::Ready;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::body::Tap;
use super::*;
use crate::admission::{AdmissionLayer, Hold};
use crate::answer::{Finish, Usage};
use crate::error::{Error, ErrorKind, Stage};
use crate::generate::Fallback;
use crate::http::Problem;
use crate::quota::{MemoryRateLimits, Quota, RateLimitLayer};
use crate::scoped::Scoped;
use crate::test_util::readiness;
use crate::trace::{Facts, Outcome, TraceHandle};

const ASKED: &str = r#"{"model":"m","temperature":0,"messages":[{"role":"user","content":"12345678"}]}"#;

fn call() -> Call {
    let request = Request::post("/v1/chat/completions").body(()).unwrap();
    let owner = (crate::test_util::scope("acme"), TraceHandle::new());
    let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let body = Bytes::from_static(ASKED.as_bytes());
    Call::new(owner, Operation::Chat, request.into_parts().0, (body, room))
}

fn reply(content_type: &'static str, frames: &[&'static str]) -> Reply {
    let frames = frames.iter().map(|frame| Bytes::from_static(frame.as_bytes())).collect();
    let mut reply = Response::new(ReplyBody::kept(frames));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// A provider that says the same to everybody.
fn saying(
    content_type: &'static str,
    frames: &'static [&'static str],
) -> impl Service<Call, Response = Reply, Error = Error, Future = Ready<Result<Reply, Error>>>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |_: Call| std::future::ready(Ok(reply(content_type, frames))))
}

/// What the trace knows after the whole reply has passed.
async fn recorded(content_type: &'static str, frames: &'static [&'static str]) -> Facts {
    let (call, service) = (call(), RecordLayer::new().layer(saying(content_type, frames)));
    let trace = call.trace().clone();
    let passed = service.oneshot(call).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(passed, frames.concat());
    trace.snapshot()
}

#[tokio::test]
async fn events_are_read_however_they_are_cut() {
    let facts = recorded(
        "text/event-stream; charset=utf-8",
        &[
            ": hello\n\nda",
            "ta: {\"choices\":[{\"delta\":{\"content\":\"ch\u{e0}\"}}]}\r\n",
            "\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"o\"},\"finish_reason\":\"stop\"}]}\n\ndata: not JSON\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
        ],
    )
    .await;
    assert_eq!(facts.answer.as_deref(), Some("ch\u{e0}o"));
    assert_eq!(facts.question.as_deref(), Some("12345678"));
    assert_eq!(facts.usage, Some(Usage { input_tokens: 7, output_tokens: 2, estimated: false }));
    assert_eq!(facts.outcome, Some(Outcome::Completed(Finish::Stop)));
    assert!(facts.ttft.is_some());
}

#[tokio::test]
async fn a_document_is_read_whole_and_the_older_kind_too() {
    let facts =
        recorded("application/json", &["{\"choices\":[{\"text\":\"a\",", "\"finish_reason\":\"length\"}]}"])
            .await;
    assert_eq!(facts.answer.as_deref(), Some("a"));
    assert_eq!(facts.usage, Some(Usage { input_tokens: 3, output_tokens: 1, estimated: true }));
    assert_eq!(facts.outcome, Some(Outcome::Completed(Finish::Length)));
    let opaque = recorded("audio/mpeg", &["\u{1}"]).await;
    assert_eq!((opaque.outcome, opaque.answer), (Some(Outcome::Completed(Finish::Stop)), None));
}

#[tokio::test]
async fn without_texts_tokens_are_counted_all_the_same() {
    let (call, layer) = (call(), RecordLayer::new().with_texts(false));
    let trace = call.trace().clone();
    let service = layer.layer(saying(
        "text/event-stream",
        &["data: {\"choices\":[{\"delta\":{\"content\":\"12345\"}}]}\n\n"],
    ));
    service.oneshot(call).await.unwrap().into_body().collect().await.unwrap();
    let facts = trace.snapshot();
    assert_eq!((facts.question, facts.answer), (None, None));
    assert_eq!(facts.usage.map(|usage| usage.output_tokens), Some(2));
    assert_eq!(facts.outcome, Some(Outcome::Truncated));
}

#[tokio::test]
async fn a_reply_that_is_dropped_leaves_what_had_passed() {
    let frames = &["data: {\"choices\":[{\"delta\":{\"content\":\"1234\"}}]}\n\n", "data: [DONE]\n\n"];
    let call = call();
    let trace = call.trace().clone();
    let mut body = RecordLayer::new()
        .layer(saying("text/event-stream", frames))
        .oneshot(call)
        .await
        .unwrap()
        .into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let facts = trace.snapshot();
    assert_eq!((facts.outcome, facts.answer.as_deref()), (None, Some("1234")));
    assert_eq!(facts.usage, Some(Usage { input_tokens: 3, output_tokens: 1, estimated: true }));
}

#[tokio::test]
async fn a_guard_goes_with_the_last_frame_and_not_before() {
    let guard = Arc::new(());
    let held = || Arc::strong_count(&guard) - 1;
    let mut body = reply("text/plain", &["a", "b"]).hold(Arc::clone(&guard)).into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(held(), 1);
    body.frame().await.unwrap().unwrap();
    assert_eq!(held(), 0, "nobody polls once more when the length is known");
    drop(reply("text/plain", &["a"]).hold(Arc::clone(&guard)));
    assert_eq!(held(), 0);
    drop(Response::new(ReplyBody::from(Bytes::new())).hold(Arc::clone(&guard)));
    assert_eq!(held(), 0);
}

#[tokio::test]
async fn a_tap_sees_each_frame_and_one_end() {
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);
    impl Tap for Seen {
        fn data(&mut self, bytes: &Bytes) {
            self.0.lock().unwrap().push(String::from_utf8_lossy(bytes).into_owned());
        }
        fn end(&mut self, failure: Option<&Error>) {
            self.0.lock().unwrap().push(format!("end {:?}", failure.map(Error::kind)));
        }
    }
    struct Failing(u8);
    impl http_body::Body for Failing {
        type Data = Bytes;
        type Error = Error;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
            self.0 += 1;
            std::task::Poll::Ready(Some(match self.0 {
                1 => Ok(http_body::Frame::data(Bytes::from_static(b"a"))),
                _ => Err(Error::new(ErrorKind::Truncated, Stage::Generate)),
            }))
        }
    }
    let seen = Seen::default();
    let mut body = ReplyBody::live(Failing(0)).tap(seen.clone());
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none(), "an error is the end");
    assert_eq!(*seen.0.lock().unwrap(), ["a", "end Some(Truncated)"]);
}

#[tokio::test]
async fn errors_from_inside_are_problems_and_openai_s_objects() {
    let failing = service_fn(|_: Call| async {
        Err::<Reply, _>(Error::new(ErrorKind::Overloaded, Stage::Admission).with_source("hunter2"))
    });
    let stack = OpenAiErrorsLayer::new().layer(RelayLayer::new().layer(failing));
    let trace = TraceHandle::new();
    let request = |scoped: bool| {
        let mut request = Request::post("/v1/embeddings").body(Full::<Bytes>::from("{}")).unwrap();
        request.extensions_mut().insert(trace.clone());
        if scoped {
            request.extensions_mut().insert(crate::test_util::scope("acme"));
        }
        request
    };
    let refused = stack.oneshot(request(true)).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["type"], "server_error");
    assert!(body["error"]["code"] == "overloaded" && !body.to_string().contains("hunter2"), "{body}");
    let facts = trace.snapshot();
    assert_eq!(facts.outcome, Some(Outcome::Failed(ErrorKind::Overloaded, Stage::Admission)));
    let nobody = RelayLayer::new().layer(saying("text/plain", &[])).oneshot(request(false)).await.unwrap();
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
    assert!(nobody.extensions().get::<Problem>().is_some());
}

#[tokio::test]
async fn bodies_in_flight_have_so_much_room_together() {
    let waiting = Arc::new(tokio::sync::Notify::new());
    let hanging = {
        let waiting = Arc::clone(&waiting);
        service_fn(move |call: Call| {
            let waiting = Arc::clone(&waiting);
            async move {
                waiting.notified().await;
                drop(call);
                Ok(reply("text/plain", &["a"]))
            }
        })
    };
    let relay = RelayLayer::new().with_room(3 * 1024).layer(hanging);
    let trace = TraceHandle::new();
    let pass = |length: usize| {
        let mut request =
            Request::post("/v1/embeddings").body(Full::<Bytes>::from(vec![b' '; length])).unwrap();
        request.extensions_mut().insert(crate::test_util::scope("acme"));
        request.extensions_mut().insert(trace.clone());
        relay.clone().oneshot(request)
    };
    let (mut first, mut second) = (Box::pin(pass(1025)), Box::pin(pass(2)));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    assert_eq!(pass(1).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(trace.snapshot().outcome, Some(Outcome::Failed(ErrorKind::Overloaded, Stage::Http)));
    waiting.notify_waiters();
    assert!(first.await.unwrap().status() == 200 && second.await.unwrap().status() == 200);
    waiting.notify_one();
    assert_eq!(pass(3 * 1024).await.unwrap().status(), 200, "there is room again");
}

#[tokio::test]
async fn limits_of_asks_limit_calls() {
    let limits = RateLimitLayer::new(MemoryRateLimits::default()).per_tenant(Quota::per_minute(2));
    let admission = AdmissionLayer::new(1);
    let provider = saying("text/plain", &["a", "b"]);
    let service = limits.layer(admission.layer(Fallback::new("only", provider)));
    let first = service.clone().oneshot(call()).await.unwrap();
    assert_eq!(admission.in_use(), (1, 1));
    assert_eq!(service.clone().oneshot(call()).await.unwrap_err().kind(), ErrorKind::Overloaded);
    first.into_body().collect().await.unwrap();
    assert_eq!(admission.in_use(), (0, 0));
    assert_eq!(service.oneshot(call()).await.unwrap_err().kind(), ErrorKind::RateLimited);
}

#[tokio::test]
async fn readiness_is_the_inner_service_s() {
    let ready = |_: Call| reply("text/plain", &["a"]);
    let fail = || Error::new(ErrorKind::Overloaded, Stage::Admission);
    assert!(readiness(RecordLayer::new(), call, ready, fail).await.unwrap() > 0);
    assert!(readiness(ReplyCacheLayer::new(ReplyCache::default()), call, ready, fail).await.unwrap() > 0);
    let request = || Request::post("/").body(()).unwrap();
    let answer = |_: Request<()>| Response::new(Bytes::new());
    assert!(readiness(OpenAiErrorsLayer::new(), request, answer, fail).await.unwrap() > 0);
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_can_be_forgotten() {
    let frames = &[
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: [DONE]\n\n",
    ];
    let cache = ReplyCache::default();
    let service = ReplyCacheLayer::new(cache.clone()).layer(saying("text/event-stream", frames));
    let ask = async || {
        service.clone().oneshot(call()).await.unwrap().into_body().collect().await.unwrap().to_bytes()
    };
    assert_eq!(ask().await, frames.concat());
    assert_eq!(cache.len(), 1);
    assert_eq!(ask().await, frames.concat());
    cache.purge(&crate::test_util::scope("globex"));
    assert_eq!(cache.len(), 1);
    cache.purge(&crate::test_util::scope("acme"));
    assert!(cache.is_empty());

    let small = ReplyCache::new(crate::cache::CacheOptions { max_entry_bytes: 100, ..Default::default() });
    let service = ReplyCacheLayer::new(small.clone()).layer(saying("text/event-stream", frames));
    service.oneshot(call()).await.unwrap().into_body().collect().await.unwrap();
    assert!(small.is_empty());
}
