//! The server with its vectors in a Qdrant server: while it is there, when it goes, and when it never was.

use rag_tower_tests::http::DEADLINE;
use rag_tower_tests::qdrant::Qdrant;
use rag_tower_tests::server::Setup;
use serde_json::json;
use tokio::time::Instant;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_from_it_and_without_it_nothing_is_made_up() {
    let qdrant = Qdrant::start().await;
    let url = qdrant.url();
    let server = Setup::new(BINARY).env("QDRANT_URL", &url).start();
    let client = server.tenant();
    let ask = async |question: &str| {
        let answer = client.post("/query", &json!({ "question": question })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let body = ask("Trung tâm có chính sách hoàn học phí không?").await;
    assert!(!body["sources"].as_array().unwrap().is_empty(), "{body}");
    assert!(qdrant.called().iter().any(|method| method.starts_with("query")), "{:?}", qdrant.called());

    drop(qdrant);
    let body = ask("Trung tâm có chính sách bảo lưu không?").await;
    assert!(body["sources"].as_array().unwrap().is_empty(), "{body}");
    let owner = server.owner().await;
    let path = format!("/owner/api/logs/{}", body["trace_id"].as_str().unwrap());
    let end = Instant::now() + DEADLINE;
    let row = loop {
        let answer = owner.get(&path).await;
        if answer.status == 200 || Instant::now() > end {
            break answer.json();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (&row["status"], &row["reason"]),
        (&json!("FAIL_CLOSED"), &json!("store_unavailable")),
        "{row}"
    );

    let failed = Setup::new(BINARY).env("QDRANT_URL", &url).try_start().map(|_| ()).expect_err("no Qdrant");
    assert!(failed.output.contains("QDRANT_URL") && failed.output.contains("6334"), "{}", failed.output);
}
