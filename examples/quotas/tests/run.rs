//! The example, run as its users run it: what each limit says, and to whom.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::process::Command;

use rag_tower_tests::example::{Example, shown};
use rag_tower_tests::http::Answer;
use rag_tower_tests::model_stub::{ModelStub, Reply, Step, done, finish, text, usage};
use serde_json::json;

const ACME: &str = "acme-key-for-this-machine-only-0123456789";
const GLOBEX: &str = "globex-key-for-this-machine-only-0123456789";

/// A refusal's status, kind and `Retry-After`.
fn refusal(answer: &Answer) -> (u16, String, u64) {
    let wait = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    (answer.status.as_u16(), answer.json()["kind"].as_str().unwrap().to_owned(), wait)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_refuses_the_tenant_that_is_over_it_and_no_other() {
    let model = ModelStub::start().await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotas"));
    command.env("OPENAI_BASE_URL", model.base_url());
    let example = Example::start(command);
    let (acme, globex) = (example.client().bearer(ACME), example.client().bearer(GLOBEX));
    let question = json!({"question": "When does the pool open?"});
    assert_eq!(example.client().post("/query", &question).await.status, 401);

    // at once: two answers that have not ended, and a third is refused
    model.always(Reply::steps([Step::Send(text("At ")), Step::Hang]));
    let mut running = Vec::new();
    for _ in 0..2 {
        let mut events = acme.events("/query", &question).await;
        while events.next().await.expect("the answer goes on").name != "delta" {}
        running.push(events);
    }
    let third = acme.post("/query", &question).await;
    assert_eq!(refusal(&third), (503, "overloaded".to_owned(), 1), "{}", third.text());
    model.always(Reply::chat(&["At 6."]));
    assert_eq!(globex.post("/query", &question).await.status, 200);
    drop(running);
    model.wait_for_aborts(2).await;

    // tokens: one dear answer, and the next is refused until tomorrow
    model.always(Reply::stream([text("At 6."), finish("stop"), usage(9_000, 2_000), done()]));
    let dear = acme.post("/query", &question).await;
    assert_eq!(dear.status, 200, "{}", dear.text());
    assert_eq!(dear.json()["usage"]["input_tokens"], 9_000);
    let (status, kind, wait) = refusal(&acme.post("/query", &question).await);
    assert_eq!((status, kind.as_str()), (402, "over_budget"));
    assert!((86_000..=86_400).contains(&wait), "{wait}");

    // a minute: that were five questions, and refused ones count; after the sixth it is a 429
    assert_eq!(acme.post("/query", &question).await.status, 402);
    let (status, kind, wait) = refusal(&acme.post("/query", &question).await);
    assert_eq!((status, kind.as_str()), (429, "rate_limited"));
    assert!((1..=10).contains(&wait), "{wait}");

    assert_eq!(globex.post("/query", &question).await.status, 200);
    assert!(example.interrupt().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_the_documents_answer_and_the_seventh_has_to_wait() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotas"));
    command.env_remove("OPENAI_BASE_URL");
    let example = Example::start(command);
    let client = example.client().bearer(ACME);
    let question = json!({"question": "How much is a season ticket?"});
    let mut seen = String::new();
    for _ in 0..7 {
        let answer = client.post("/query", &question).await;
        seen += &format!("HTTP/1.1 {}\n", answer.status);
        match answer.headers.get("retry-after") {
            Some(wait) => {
                // ten seconds after the first, less what the six have taken
                let wait: u64 = wait.to_str().unwrap().parse().unwrap();
                assert!((1..=10).contains(&wait), "{wait}");
                seen += "retry-after: 10\n";
            }
            None => assert_eq!(answer.json()["answer"], "A season ticket is 120 euros. [1]"),
        }
    }
    assert_eq!(seen, shown(include_str!("../README.md")));
}
