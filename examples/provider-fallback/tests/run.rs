//! The example, run as its users run it, with providers that fail in turn.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::time::{Duration, Instant};

use rag_tower_tests::example::{output, shown};
use rag_tower_tests::model_stub::{ModelStub, Reply};

/// An address that nothing listens on.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/v1", listener.local_addr().unwrap())
}

async fn run(first: String, second: String) -> String {
    let run = move || {
        let env = [
            ("OPENAI_BASE_URL", first.as_str()),
            ("FALLBACK_BASE_URL", second.as_str()),
            ("FALLBACK_MODEL", "spare"),
            ("FALLBACK_API_KEY", "sk-second"),
        ];
        output(env!("CARGO_BIN_EXE_provider-fallback"), &env)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_one_answers_when_it_can() {
    let (first, second) = (ModelStub::start().await, ModelStub::start().await);
    first.always(Reply::chat(&["120 ", "euros. [1]"]));
    let output = run(first.base_url(), second.base_url()).await;
    assert_eq!(output, "120 euros. [1]\nanswered by first, down: []\n");
    assert_eq!((first.calls(), second.calls()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_tried_again_and_then_the_second_one_is_asked() {
    let (first, second) = (ModelStub::start().await, ModelStub::start().await);
    first.always(Reply::refused(503, "overloaded", "come back later"));
    second.always(Reply::chat(&["120 euros, says the spare. [1]"]));
    let output = run(first.base_url(), second.base_url()).await;
    assert_eq!(output, "120 euros, says the spare. [1]\nanswered by second, down: []\n");
    assert_eq!((first.calls(), second.calls()), (3, 1));
    let asked = &second.requests()[0];
    assert_eq!(asked.body["model"], "spare");
    assert_eq!(asked.headers["authorization"], "Bearer sk-second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_tried_again() {
    let (first, second) = (ModelStub::start().await, ModelStub::start().await);
    first.always(Reply::refused(401, "invalid_api_key", "no such key"));
    run(first.base_url(), second.base_url()).await;
    assert_eq!((first.calls(), second.calls()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_longer_than_our_patience_goes_to_the_second_at_once() {
    let (first, second) = (ModelStub::start().await, ModelStub::start().await);
    first.always(Reply::refused(429, "rate_limited", "slow down").with_header("retry-after", "60"));
    run(first.base_url(), second.base_url()).await;
    assert_eq!((first.calls(), second.calls()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_never_begins_is_left_in_time() {
    let (first, second) = (ModelStub::start().await, ModelStub::start().await);
    first.always(Reply::never());
    let began = Instant::now();
    run(first.base_url(), second.base_url()).await;
    assert!(began.elapsed() >= Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!((first.calls(), second.calls()), (1, 1), "a timeout is not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_both_down_the_documents_answer_and_the_readme_shows_it() {
    let output = run(nowhere(), nowhere()).await;
    assert_eq!(
        output,
        "A season ticket is 120 euros. [1]\nanswered by extractive, down: [\"first\", \"second\"]\n"
    );
    assert_eq!(shown(include_str!("../README.md")), output);
}
