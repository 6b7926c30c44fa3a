//! What each row says of its isolation, over HTTP: of a search, a tool, a fixed answer, the cache, an answer withheld, and
//! of a database that is somebody else.

use std::sync::Arc;

use rag_tower_tests::http::Client;
use rag_tower_tests::postgres::{STRANGER, open_hole};
use rag_tower_tests::server::{Server, Setup, shared};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");

fn server() -> Arc<Server> {
    shared(BINARY)
}

/// Asks, and gives the answer and its row.
async fn ask(server: &Server, client: &Client, question: &str) -> (Value, Value) {
    ask_with(server, client, json!({ "question": question })).await
}

async fn ask_with(server: &Server, client: &Client, body: Value) -> (Value, Value) {
    let answer = client.post("/query", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let row = server.row(answer["trace_id"].as_str().expect("a trace id")).await;
    (answer, row)
}

/// A client of the other demo tenant.
async fn other(server: &Server) -> Client {
    let token = server.client().post("/demo/token", &json!({"tenant": "docs"})).await.json();
    server.client().bearer(token["token"].as_str().expect("a token"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_says_its_filter_its_counts_and_who_the_database_was() {
    let server = server();
    let (_, row) = ask(&server, &server.tenant(), "Trung tâm hoàn học phí trong trường hợp nào?").await;
    let (receipt, tenant) = (&row["receipt"], &row["tenant_id"]);
    assert_eq!(receipt["verdict"], "passed", "{row}");
    assert_eq!(receipt["filter"], json!({"tenant_id": tenant, "branches": null}));
    let received = receipt["received"].as_u64().unwrap();
    assert!(received > 0, "{row}");
    assert_eq!((&receipt["admitted"], &receipt["dropped"]), (&json!(received), &json!(0)));
    assert_eq!(receipt["database"], json!({"role": "rag_tenant", "tenant_setting": tenant}));
    assert_eq!(receipt["cache"]["result"], "miss");
    let partition = &receipt["cache"]["partition"];
    assert_eq!((&partition["tenant_id"], &partition["role"]), (tenant, &json!("member")), "{row}");

    // the other tenant's row says the same of itself
    let (_, other) = ask(&server, &other(&server).await, "How do I add a rate limit?").await;
    assert_ne!(other["tenant_id"], *tenant);
    assert_eq!(other["receipt"]["database"]["tenant_setting"], other["tenant_id"], "{other}");
    assert_eq!(other["receipt"]["cache"]["partition"]["tenant_id"], other["tenant_id"], "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_cache_says_from_which_part_of_it() {
    let server = server();
    let question = "Chính sách bảo lưu khóa học thế nào?";
    let (made, before) = ask(&server, &server.tenant(), question).await;
    let (again, row) = ask(&server, &server.tenant(), question).await;
    assert_eq!(again["answer"], made["answer"]);
    let receipt = &row["receipt"];
    assert_eq!((&receipt["cache"]["result"], &receipt["verdict"]), (&json!("hit"), &json!("not_searched")));
    assert_eq!(receipt["cache"]["partition"], before["receipt"]["cache"]["partition"]);
    assert_eq!((&receipt["filter"], &receipt["database"]), (&Value::Null, &Value::Null), "{row}");

    // the same words of another tenant are another question
    let (_, other) = ask(&server, &other(&server).await, question).await;
    assert_ne!(other["receipt"]["cache"]["result"], "hit", "{other}");
    // and in a conversation nobody looks
    let next = json!({"question": question, "session_id": again["session_id"]});
    let (_, next) = ask_with(&server, &server.tenant(), next).await;
    assert_eq!(next["receipt"]["cache"], json!({"result": "bypass", "partition": null}), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_searched_nothing_says_so() {
    let server = server();
    for (question, route) in
        [("So sánh khóa IELTS 5.5 và IELTS 6.0", "comparison"), ("Giá vàng hôm nay ra sao?", "out_of_domain")]
    {
        let (_, row) = ask(&server, &server.tenant(), question).await;
        assert_eq!(row["route"], route, "{row}");
        let receipt = &row["receipt"];
        assert_eq!(receipt["verdict"], "not_searched", "{row}");
        assert_eq!((&receipt["filter"], &receipt["database"]), (&Value::Null, &Value::Null), "{row}");
        assert_eq!((&receipt["received"], &receipt["admitted"]), (&json!(0), &json!(0)), "{row}");
        assert_eq!(receipt["cache"]["partition"]["tenant_id"], row["tenant_id"], "{row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_withheld_for_want_of_knowledge_was_searched_for() {
    let server = server();
    let (_, row) =
        ask(&server, &other(&server).await, "How is the server installed on Windows with Docker swarm?")
            .await;
    assert_eq!(row["status"], "ABSTAINED", "{row}");
    let receipt = &row["receipt"];
    assert_eq!((&receipt["verdict"], &receipt["dropped"]), (&json!("passed"), &json!(0)), "{row}");
    assert_eq!(receipt["filter"]["tenant_id"], row["tenant_id"], "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_another_tenant_fails_closed_and_says_who_it_was() {
    let server = Setup::new(BINARY).start();
    let (_, fine) = ask(&server, &server.tenant(), "Trung tâm hoàn học phí trong trường hợp nào?").await;
    // it opens while the server runs
    open_hole(&mut server.database().await).await;
    let (answer, row) =
        ask(&server, &server.tenant(), "Trung tâm hoàn phí trong những trường hợp nào?").await;
    assert_eq!((&row["status"], &row["reason"]), (&json!("FAIL_CLOSED"), &json!("isolation")), "{row}");
    assert_eq!(answer["sources"], json!([]), "{answer}");
    let receipt = &row["receipt"];
    assert_eq!(receipt["verdict"], "foreign", "{row}");
    assert_eq!(receipt["database"], json!({"role": "rag_tenant", "tenant_setting": STRANGER}), "{row}");
    assert_eq!(
        (&receipt["received"], &receipt["admitted"]),
        (&json!(0), &json!(0)),
        "nothing came to the door"
    );
    assert_eq!(receipt["filter"]["tenant_id"], fine["tenant_id"], "{row}");
    let metrics = server.scrape().await;
    assert!(metrics.contains("rag_isolation_violations_total{layer=\"database\"} 1"), "{metrics}");
}
