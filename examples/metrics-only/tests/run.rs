//! The example, run as its users run it, and what it counts.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::process::Command;

use rag_tower_tests::example::{Example, crates};
use rag_tower_tests::http::Client;

/// The value of a series.
fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_stages_and_tokens_are_counted_from_the_first_on() {
    let example = Example::start(Command::new(env!("CARGO_BIN_EXE_metrics-only")));
    let page = example.said[0].strip_prefix("metrics on http://").unwrap().strip_suffix("/metrics").unwrap();
    let metrics = Client::new(page.parse().unwrap());
    let ok = r#"rag_requests_total{route="chat",status="SUCCESS",channel="api"}"#;
    let failed = r#"rag_requests_total{route="chat",status="ERROR",channel="api"}"#;

    let before = metrics.get("/metrics").await.text();
    assert_eq!((value(&before, ok), value(&before, failed)), (0.0, 0.0));

    let chat = example.client();
    for _ in 0..3 {
        let answer = chat.post_bytes("/", "twelve chars").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "twelve chars"));
    }
    assert_eq!(chat.post_bytes("/", "x".repeat(9 * 1024)).await.status, 400);

    let after = metrics.get("/metrics").await.text();
    assert_eq!((value(&after, ok), value(&after, failed)), (3.0, 1.0));
    let generate = r#"rag_stage_duration_seconds_bucket{stage="generate",le="+Inf"}"#;
    assert_eq!(value(&after, generate), 3.0);
    let quick = r#"rag_request_duration_seconds_bucket{route="chat",status="SUCCESS",le="0.005"}"#;
    assert_eq!(value(&after, quick), 0.0, "the model takes 5 ms");
    for kind in ["input", "output"] {
        let tokens = format!(r#"rag_tokens_total{{type="{kind}",model="parrot-1",estimated="true"}}"#);
        assert_eq!(value(&after, &tokens), 9.0);
    }
    // rows that nobody wants are not lost ones
    assert_eq!(value(&after, "rag_trace_dropped_total"), 0.0);
    assert!(example.interrupt().success());
}

#[test]
fn it_compiles_as_few_crates_as_its_readme_says() {
    let (mine, without) = (crates("metrics-only"), crates("rag-tower"));
    let said = include_str!("../README.md");
    let sentence = format!("{} crates in all: {} of rag-tower", mine.len(), without.len());
    assert!(said.contains(&sentence), "it is {sentence}");
    for other in ["axum ", "sqlx ", "reqwest "] {
        assert!(!mine.iter().any(|name| name.starts_with(other)), "{other}");
    }
}
