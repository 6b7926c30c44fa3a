//! Replies that are given again, and to whom.

use rag_tower_tests::model_stub::{self as model, ModelStub, Reply};
use serde_json::{Value, json};

use crate::harness::{ACME, CHAT, Frames, GLOBEX, Gateway, Wire, post, tenant};

fn body(question: &str, temperature: f64, streamed: bool) -> String {
    let messages = [json!({"role": "user", "content": question})];
    json!({"model": "stub", "temperature": temperature, "stream": streamed, "messages": messages}).to_string()
}

async fn ask(gateway: &Gateway, key: &str, body: &str) -> Frames {
    Wire::to(gateway.addr).await.whole(post(key, CHAT, body.to_owned())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn t30_the_same_call_is_answered_again_to_its_own_tenant_alone() {
    let stub = ModelStub::start().await;
    let gateway = Gateway::before(&stub).await;
    for streamed in [true, false] {
        let calls = stub.calls();
        let body = body("what is it?", 0.0, streamed);
        let first = ask(&gateway, ACME, &body).await;
        let again = ask(&gateway, ACME, &body).await;
        assert_eq!(stub.calls(), calls + 1);
        assert_eq!((&again.frames, &again.headers["x-cache"]), (&first.frames, &"hit".parse().unwrap()));
        assert_eq!(again.headers["content-type"], first.headers["content-type"]);
        // The same words of another tenant's are another call.
        let foreign = ask(&gateway, GLOBEX, &body).await;
        assert!(!foreign.headers.contains_key("x-cache"));
        assert_eq!(stub.calls(), calls + 2);
    }
    let left = gateway.stop().await;
    let (hit, miss) = (json!("hit"), json!("miss"));
    let of = |name: &str| {
        left.rows.iter().map(|row| row["receipt"]["cache"][name].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(of("result"), [&miss, &hit, &miss, &miss, &hit, &miss].map(Value::clone));
    let owners: Vec<_> = of("partition").iter().map(|partition| partition["tenant_id"].clone()).collect();
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    assert_eq!(owners, [&acme, &acme, &globex, &acme, &acme, &globex].map(Value::clone));
    assert_eq!(left.column("input_tokens"), [11, 0, 11, 11, 0, 11], "a kept reply costs nothing");
    assert_eq!(left.column("answer")[..3], ["Hello from here."; 3]);
    assert_eq!(left.column("status"), ["SUCCESS"; 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn t33_only_whole_replies_of_repeatable_calls_are_kept() {
    let stub = ModelStub::start().await;
    let gateway = Gateway::before(&stub).await;
    let twice = async |body: &str| {
        let calls = stub.calls();
        ask(&gateway, ACME, body).await;
        ask(&gateway, ACME, body).await;
        stub.calls() - calls
    };
    assert_eq!(twice(&body("another each time", 0.7, false)).await, 2);
    let unsaid = json!({"model": "stub", "messages": [{"role": "user", "content": "unsaid"}]}).to_string();
    assert_eq!(twice(&unsaid).await, 2);
    let frames = || vec![model::text("a")];
    let end = |reason: &str| Reply::stream([frames(), vec![model::finish(reason), model::done()]].concat());
    for (name, reply) in [
        ("refused", Reply::refused(400, "no", "no")),
        ("failed", Reply::refused(500, "no", "no")),
        ("cut", Reply::stream(frames())),
        ("at the limit", end("length")),
        ("filtered", end("content_filter")),
        (
            "error",
            Reply::stream([model::text("a"), model::data(&json!({"error": {"code": "x"}})), model::done()]),
        ),
    ] {
        stub.script([reply.clone(), reply]);
        assert_eq!(twice(&body(name, 0.0, true)).await, 2, "{name}");
    }
    assert_eq!(twice(&body("kept", 0.0, true)).await, 1);
    // Whoever wants a fresh one says so.
    for directive in ["no-cache", "max-age=0, No-Store"] {
        let mut request = post(ACME, CHAT, body("kept", 0.0, true));
        request.headers_mut().insert("cache-control", directive.parse().unwrap());
        let calls = stub.calls();
        assert!(!Wire::to(gateway.addr).await.whole(request).await.headers.contains_key("x-cache"));
        assert_eq!(stub.calls(), calls + 1);
    }
    // Any byte of the body makes another call, and so does a header of the API's.
    let spaced = body("kept", 0.0, true).replace(':', ": ");
    assert_eq!(twice(&spaced).await, 1);
    let mut request = post(ACME, CHAT, body("kept", 0.0, true));
    request.headers_mut().insert("openai-beta", "x".parse().unwrap());
    assert!(!Wire::to(gateway.addr).await.whole(request).await.headers.contains_key("x-cache"));
}
