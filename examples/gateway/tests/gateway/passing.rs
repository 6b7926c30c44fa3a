//! What passes, byte for byte.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use rag_tower_tests::model_stub::{self as model, ModelStub, Reply};
use serde_json::json;

use crate::harness::{ACME, CHAT, Gateway, UPSTREAM, Wire, chat, post, tenant};

fn addr(stub: &ModelStub) -> SocketAddr {
    let base = stub.base_url();
    base.trim_start_matches("http://").trim_end_matches("/v1").parse().unwrap()
}

/// The headers that pass; what is of one hop or of one moment does not. Nor does the stub say how long its bodies are, while a
/// refusal's length is known by the time it is passed on.
fn kept(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut kept: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| {
            !["transfer-encoding", "content-length", "date", "set-cookie"].contains(&name.as_str())
        })
        .collect();
    kept.sort();
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_passes_as_it_is_frame_for_frame() {
    let stub = ModelStub::start().await;
    let gateway = Gateway::before(&stub).await;
    let odd = [
        Bytes::from_static(b": OPENROUTER PROCESSING\n\n"),
        model::role(),
        // two events in one frame, one event in two, and line ends of another kind
        [model::text("Xin "), model::text("ch\u{e0}o")].concat().into(),
        model::text("!").slice(..40),
        model::text("!").slice(40..),
        Bytes::from_static(b"event: ping\r\nid: 7\r\ndata: {}\r\n\r\n"),
        Bytes::from_static(b"data: {\"vendor\": [1, 2.50, \"\\u00e9\"]}\n\n"),
        model::finish("stop"),
        model::usage(3, 4),
        model::done(),
        Bytes::from_static(b": after the end\n\n"),
    ];
    let odd =
        Reply::stream(odd).with_header("x-request-id", "req_1").with_header("openai-processing-ms", "12");
    let odd = odd.with_header("set-cookie", "__cf_bm=1").with_header("x-ratelimit-remaining-requests", "9");
    let whole = Reply::json(&json!({"id": "x", "choices": [{"message": {"content": "hi", "audio": null}}]}));
    let refused =
        Reply::refused(400, "context_length_exceeded", "too long").with_header("x-request-id", "req_2");
    let slow_down = Reply::refused(429, "rate_limit_exceeded", "slow down").with_header("retry-after", "7");
    for (reply, streamed) in [(odd, true), (whole, false), (refused, false), (slow_down, true)] {
        stub.script([reply.clone(), reply]);
        let body = chat("hello", streamed).to_string();
        let direct = Wire::to(addr(&stub)).await.whole(post(ACME, CHAT, body.clone())).await;
        let passed = Wire::to(gateway.addr).await.whole(post(ACME, CHAT, body)).await;
        assert_eq!(passed.status, direct.status);
        assert_eq!(passed.frames, direct.frames);
        assert_eq!(kept(&passed.headers), kept(&direct.headers));
        assert!(!passed.headers.contains_key("set-cookie"));
    }
    let left = gateway.stop().await;
    assert_eq!(left.column("status"), ["SUCCESS", "SUCCESS", "ERROR", "ERROR"]);
    assert_eq!(left.column("answer"), [json!("Xin ch\u{e0}o!"), json!("hi"), json!(null), json!(null)]);
    assert_eq!(
        left.column("error_kind"),
        [json!(null), json!(null), json!("provider_rejected"), json!("provider_rate_limited")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_passes_as_it_is_but_for_who_sent_it() {
    let stub = ModelStub::start().await;
    let gateway = Gateway::before(&stub).await;
    let body = r#"{ "model":"stub" ,"messages":[{"role":"user","content":[{"type":"text","text":"what is\u0020this?"},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}],
        "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}], "seed":12345678901234567890,
        "response_format":{"type":"json_schema","json_schema":{"strict":true}}, "temperature":0.10, "not_invented_yet":[null] }"#;
    let request = Request::post(format!("{CHAT}?api-version=1"))
        .header("host", "gateway.test")
        .header("content-type", "application/json; charset=utf-8")
        .header("x-api-key", ACME)
        .header("cookie", "session=1")
        .header("accept-encoding", "gzip")
        .header("connection", "x-one-hop")
        .header("x-one-hop", "1")
        .header("x-forwarded-for", "10.0.0.1")
        .header("openai-organization", "org-of-somebody")
        .header("openai-beta", "assistants=v2")
        .header("x-stainless-lang", "python")
        .header("user-agent", "OpenAI/Python 2.0")
        .header("x-request-id", "mine-1")
        .body(Full::from(body))
        .unwrap();
    assert_eq!(Wire::to(gateway.addr).await.whole(request).await.status, 200);

    let seen = &stub.requests()[0];
    assert_eq!(seen.bytes, body);
    assert_eq!(seen.headers["authorization"], format!("Bearer {UPSTREAM}"));
    let mut names: Vec<_> = seen.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let passed = ["authorization", "content-length", "content-type", "host", "openai-beta", "user-agent"];
    assert_eq!(names, [&passed[..], &["x-request-id", "x-stainless-lang"]].concat());
    assert_eq!(seen.headers["host"], addr(&stub).to_string());

    let left = gateway.stop().await;
    let row = left.row();
    assert_eq!((&row["tenant_id"], &row["route"]), (&tenant("acme"), &json!("chat")));
    assert_eq!((&row["question"], &row["answer"]), (&json!("what is this?"), &json!("Hello from here.")));
    assert_eq!((&row["llm_provider"], &row["llm_model"]), (&json!("first"), &json!("stub")));
    assert_eq!((&row["request_id"], &row["subject"]), (&json!("mine-1"), &json!("acme-1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_and_models_pass_too() {
    let stub = ModelStub::start().await;
    let gateway = Gateway::before(&stub).await;
    let body = json!({"model": "stub", "input": ["one", "two"], "encoding_format": "float"}).to_string();
    for (path, body) in [("/v1/embeddings", Some(body)), ("/v1/models", None)] {
        let request = |body: Option<String>| match body {
            Some(body) => post(ACME, path, body),
            None => {
                let request = Request::get(path).header("host", "gateway.test");
                request.header("authorization", format!("Bearer {ACME}")).body(Full::default()).unwrap()
            }
        };
        let direct = Wire::to(addr(&stub)).await.whole(request(body.clone())).await;
        let passed = Wire::to(gateway.addr).await.whole(request(body)).await;
        assert_eq!((passed.status.as_u16(), &passed.frames), (200, &direct.frames), "{path}");
    }
    let left = gateway.stop().await;
    assert_eq!(left.column("route"), ["embeddings", "models"]);
    assert_eq!(left.column("input_tokens"), [json!(1), json!(null)]);
    assert_eq!(left.column("output_tokens"), [json!(0), json!(null)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_read_on_the_way_and_priced() {
    let stub = ModelStub::start().await;
    let gateway = Gateway::before(&stub).await;
    let silent = Reply::stream([model::role(), model::text("12345"), model::finish("length"), model::done()]);
    let called = Reply::json(&json!({
        "choices": [{"message": {"content": null, "tool_calls": [{"id": "1"}]}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 6},
    }));
    stub.script([Reply::chat(&["a", "b"]), Reply::whole("c"), silent, called]);
    let client = gateway.client(ACME);
    for streamed in [true, false, true, false] {
        assert_eq!(client.post(CHAT, &chat("how much?", streamed)).await.status, 200);
    }
    let left = gateway.stop().await;
    assert_eq!(left.column("input_tokens"), [11, 11, 3, 5]);
    assert_eq!(left.column("output_tokens"), [2, 1, 2, 6]);
    assert_eq!(left.column("estimated"), [false, false, true, false]);
    assert_eq!(left.column("finish"), ["stop", "stop", "length", "stop"]);
    let costs: Vec<_> = left.column("cost_estimate").iter().map(|cost| cost.as_f64().unwrap()).collect();
    assert_eq!(costs, [15.0, 13.0, 7.0, 17.0]);
    let first_text: Vec<_> = left.column("ttft_us").iter().map(|ttft| ttft.is_u64()).collect();
    assert_eq!(first_text, [true, false, true, false], "what comes whole has no first piece");
}
