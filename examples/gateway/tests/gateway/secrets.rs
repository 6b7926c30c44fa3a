//! What is presented, and what the gateway holds, is nowhere.

use http_body_util::Full;
use rag_tower_tests::model_stub::{self as model, ModelStub, Reply};
use serde_json::json;

use crate::harness::{ACME, CHAT, GLOBEX, Gateway, UPSTREAM, chat};

#[tokio::test(flavor = "multi_thread")]
async fn t100_no_key_goes_where_it_does_not_belong() {
    let (first, second) = (ModelStub::start().await, ModelStub::start().await);
    let gateway = Gateway::before_two(&first.base_url(), &second).await;
    let echo = format!("Incorrect API key provided: {UPSTREAM}.");
    let heard = |status| {
        Reply::refused(status, "invalid_api_key", &echo).with_header("x-echo", format!("Bearer {UPSTREAM}"))
    };
    let mut answers = Vec::new();
    for status in [400, 401, 403, 404, 422, 429, 500, 307] {
        first.script([heard(status)]);
        second.script([heard(status)]);
        answers.push(gateway.client(ACME).post(CHAT, &chat("hello", false)).await);
    }
    let polite = Reply::chat(&["hi"]).with_header("x-echo", format!("Bearer {UPSTREAM}"));
    first.script([polite, Reply::stream([model::text("x")])]);
    answers.push(gateway.client(GLOBEX).post(CHAT, &chat("hello", true)).await);
    let client = gateway.client(ACME);
    let both =
        client.request(http::Method::POST, CHAT).header("x-api-key", ACME).body(Full::default()).unwrap();
    answers.push(client.send(both).await);
    for answer in &answers {
        let told = format!("{:?} {}", answer.headers, answer.text());
        assert!(!told.contains(UPSTREAM) && !told.contains("Incorrect"), "{told}");
        assert!(!told.contains(ACME) && !told.contains(GLOBEX), "{told}");
    }
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [502, 502, 502, 502, 502, 503, 502, 502, 200, 401]);
    for sent in first.requests().iter().chain(&second.requests()) {
        let sent = format!("{:?} {}", sent.headers, sent.body);
        assert!(!sent.contains(ACME) && !sent.contains(GLOBEX), "{sent}");
    }
    let left = gateway.stop().await;
    let written = format!("{}{}", json!(left.rows), left.printed);
    for secret in [ACME, GLOBEX, UPSTREAM, "Incorrect"] {
        assert!(!written.contains(secret), "{secret} in {written}");
    }
    assert_eq!(left.rows.len(), 9);
}
