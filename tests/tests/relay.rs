//! Calls passed on to a model server that is slow, silent or away.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use rag_tower::openai::Endpoint;
use rag_tower::openai::relay::{RelayLayer, Reply, Upstream};
use rag_tower::{TraceHandle, test_util};
use rag_tower_tests::model_stub::{self as model, ModelStub, Reply as Scripted, Step};
use tower::{Layer, ServiceExt};

async fn pass(endpoint: &Endpoint, trace: &TraceHandle) -> Reply {
    let mut request = Request::post("/v1/chat/completions").body(Full::<Bytes>::from("{}")).unwrap();
    request.extensions_mut().insert(test_util::scope("acme"));
    request.extensions_mut().insert(trace.clone());
    RelayLayer::new().layer(Upstream::new(endpoint)).oneshot(request).await.unwrap()
}

fn kind(trace: &TraceHandle) -> String {
    format!("{:?}", trace.snapshot().outcome)
}

#[tokio::test]
async fn silence_ends_a_call_before_the_head_and_after_it() {
    let stub = ModelStub::start().await;
    let patience = Duration::from_millis(200);
    let endpoint =
        Endpoint::builder(stub.base_url()).with_first_event_timeout(patience).with_idle_timeout(patience);
    let endpoint = endpoint.build().unwrap();
    stub.script([Scripted::never()]);
    let trace = TraceHandle::new();
    let reply = pass(&endpoint, &trace).await;
    assert_eq!(reply.status(), 504);
    assert!(kind(&trace).contains("Timeout"), "{}", kind(&trace));
    stub.wait_for_aborts(1).await;

    stub.script([Scripted::steps([
        Step::Send(model::role()),
        Step::Pause(patience / 2),
        Step::Send(model::role()),
        Step::Hang,
    ])]);
    let mut body = pass(&endpoint, &TraceHandle::new()).await.into_body();
    for _ in 0..2 {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), model::role());
    }
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), rag_tower::ErrorKind::Timeout);
    stub.wait_for_aborts(2).await;
}

#[tokio::test]
async fn the_time_of_the_provider_is_on_the_trace_to_the_last_frame() {
    let stub = ModelStub::start().await;
    let endpoint = Endpoint::builder(stub.base_url()).build().unwrap();
    let pause = Duration::from_millis(50);
    stub.script([Scripted::steps([
        Step::Send(model::role()),
        Step::Pause(pause),
        Step::Send(model::done()),
    ])]);
    let trace = TraceHandle::new();
    let reply = pass(&endpoint, &trace).await;
    assert!(trace.snapshot().spans.is_empty(), "it has not ended");
    reply.into_body().collect().await.unwrap();
    let spans = trace.snapshot().spans;
    assert!(matches!(&spans[..], [span] if span.duration >= pause), "{spans:?}");
}
