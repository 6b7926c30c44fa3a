//! The example, run as its users run it.

use std::process::Command;

use rag_tower_tests::example::Example;
use serde_json::json;

const KEY: &str = "acme-key-for-this-machine-only-0123456789";

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_who_has_the_key_as_json_and_as_events() {
    let example = Example::start(Command::new(env!("CARGO_BIN_EXE_hyper-only")));
    let question = json!({"question": "How much is a season ticket?"});
    let client = example.client().bearer(KEY);

    let answer = client.post("/", &question).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["answer"], "A season ticket is 120 euros. [1]");
    assert_eq!(answer["sources"][0]["file_name"], "pool.md");

    let events = client.events("/", &question).await;
    assert_eq!(events.status, 200);
    let mut names: Vec<_> = events.all().await.into_iter().map(|event| event.name).collect();
    names.dedup();
    assert_eq!(names, ["start", "sources", "delta", "end"]);

    for stranger in [example.client(), example.client().bearer("a-key-that-nobody-has-0123456789abcdef")] {
        assert_eq!(stranger.post("/", &question).await.status, 401);
    }
    assert!(example.interrupt().success());
}

#[test]
fn it_has_no_framework_in_it() {
    let crates = rag_tower_tests::example::crates("hyper-only");
    assert!(crates.iter().any(|name| name.starts_with("hyper ")), "{crates:?}");
    for other in ["axum ", "axum-core ", "sqlx ", "reqwest "] {
        assert!(!crates.iter().any(|name| name.starts_with(other)), "{other}");
    }
}
