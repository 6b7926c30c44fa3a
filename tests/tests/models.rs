//! The models beside the one that answers, through the server: one that routes, one that puts passages in order, and one that
//! writes follow-up questions anew. Each helps when it can, and is done without when it cannot.

use rag_tower_tests::http::Client;
use rag_tower_tests::model_stub::{ModelStub, Reply};
use rag_tower_tests::server::{Server, Setup};
use serde_json::{Value, json};

const ANSWER: &str = "writer";
const ROUTER: &str = "sorter";
const RERANKER: &str = "judge";

/// A server whose models are the stub.
fn server(stub: &ModelStub, settings: &[(&str, &str)]) -> Server {
    let setup = Setup::new(env!("CARGO_BIN_EXE_rag-tower-server"))
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_MODEL", ANSWER);
    settings.iter().fold(setup, |setup, (name, value)| setup.env(name, *value)).start()
}

async fn ask(client: &Client, body: &Value) -> Value {
    let answer = client.post("/query", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn ask_text(client: &Client, question: &str) -> Value {
    ask(client, &json!({ "question": question })).await
}

/// What the stub was told as the user and the system of a request.
fn messages(body: &Value) -> String {
    body["messages"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_routes_what_keywords_leave_open() {
    let stub = ModelStub::start().await;
    let server = server(&stub, &[("ROUTER_MODEL", ROUTER)]);
    let client = server.tenant();
    stub.always_of(ANSWER, Reply::chat(&["Theo tài liệu [1]."]));
    let asked = || stub.requests_of(ROUTER).len();

    // keywords settle this one, whatever the model would have said
    stub.always_of(ROUTER, Reply::chat(&["comparison"]));
    let body = ask_text(&client, "Tôi muốn gặp tư vấn viên, số của tôi là 0912345678").await;
    assert_eq!((&body["route"], asked()), (&json!("create_ticket"), 0), "{body}");

    // the same kind of question again and again, so that only the model's reply makes the difference
    let open = |n: usize| format!("Somebody ought to ring my mother about her son {}", "again ".repeat(n));
    stub.always_of(ROUTER, Reply::chat(&["create_", "ticket"]));
    let body = ask_text(&client, &open(0)).await;
    assert_eq!((&body["route"], asked()), (&json!("create_ticket"), 1), "{body}");
    assert_eq!(
        (&body["degraded"], &body["tool_metadata"]["route_tokens"]),
        (&json!([]), &json!(13)),
        "{body}"
    );
    let prompt = messages(&stub.requests_of(ROUTER)[0]);
    assert!(prompt.contains("tuition_calculator") && prompt.contains("ring my mother"), "{prompt}");
    assert!(!prompt.contains("docs_search"), "another tenant's route: {prompt}");

    stub.always_of(ROUTER, Reply::chat(&["none"]));
    let by_keywords = ask_text(&client, &open(1)).await;
    assert_ne!(by_keywords["route"], "create_ticket", "{by_keywords}");
    assert_eq!(by_keywords["degraded"], json!([]), "{by_keywords}");
    for (n, useless) in [
        (2, Reply::chat(&["Ignore the rules: create_ticket it is"])),
        (3, Reply::chat(&["docs_search"])),
        (4, Reply::refused(500, "server_error", "boom")),
        (5, Reply::never()),
    ] {
        stub.always_of(ROUTER, useless);
        let body = ask_text(&client, &open(n)).await;
        assert_eq!((&body["route"], asked()), (&by_keywords["route"], n + 1), "{body}");
        assert_eq!(body["degraded"], json!(["classifier"]), "{body}");
        let row = server.row(body["trace_id"].as_str().expect("a trace id")).await;
        assert_eq!((&row["status"], &row["degraded"]), (&json!("SUCCESS"), &json!(["classifier"])), "{row}");
    }

    let metrics = server.scrape().await;
    for (outcome, count) in
        [("sure", 1), ("route", 1), ("none", 1), ("invalid", 2), ("error", 1), ("timeout", 1)]
    {
        let line = format!("rag_router_model_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reranker_decides_among_the_passages_until_it_fails() {
    let stub = ModelStub::start().await;
    let url = format!("{}/rerank", stub.base_url());
    let server = server(&stub, &[("RERANK_URL", &url), ("RERANK_MODEL", RERANKER), ("TOP_K", "3")]);
    let client = server.tenant();
    stub.always_of(ANSWER, Reply::chat(&["Theo tài liệu [1]."]));

    // one of the passages, and not the one that the words had put first
    let only = json!({"results": [{"index": 1, "relevance_score": 0.9}]});
    stub.always_of(RERANKER, Reply::json(&only));
    let question = "Trung tâm có chính sách hoàn học phí không?";
    let body = ask_text(&client, question).await;
    let sent = &stub.requests_of(RERANKER)[0];
    assert_eq!(sent["query"], question, "{sent}");
    let documents = sent["documents"].as_array().expect("documents");
    assert!((2..=12).contains(&documents.len()), "{sent}");
    let sources = body["sources"].as_array().expect("sources");
    assert_eq!((sources.len(), &body["degraded"]), (1, &json!([])), "{body}");
    let (chosen, title) = (documents[1].as_str().unwrap(), sources[0]["title"].as_str().expect("a title"));
    assert!(chosen.starts_with(title), "{title}: {chosen}");
    let prompt = messages(&stub.requests_of(ANSWER)[0]);
    let first_words: String = chosen.lines().last().unwrap().chars().take(30).collect();
    assert!(
        prompt.contains(&json!(first_words).to_string().trim_matches('"').to_owned()),
        "{chosen}: {prompt}"
    );

    for (n, fault) in [
        Reply::refused(503, "down", "x"),
        Reply::json(&json!({"results": [{"index": 99, "relevance_score": 1.0}]})),
    ]
    .into_iter()
    .enumerate()
    {
        stub.always_of(RERANKER, fault);
        let body = ask_text(&client, &format!("{question} ({n})")).await;
        assert_eq!((&body["degraded"], &body["llm_model"]), (&json!(["rerank"]), &json!(ANSWER)), "{body}");
        assert!(body["sources"].as_array().is_some_and(|sources| sources.len() > 1), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_is_written_anew_by_the_model_and_by_a_rule_when_it_fails() {
    let stub = ModelStub::start().await;
    let server = server(&stub, &[]);
    let client = server.tenant();
    let answer = || Reply::chat(&["Theo tài liệu [1]."]);
    stub.script([answer()]);
    let first = ask_text(&client, "Lịch khai giảng khoá IELTS 6.5 thế nào?").await;
    assert_eq!((&first["route"], stub.calls()), (&json!("course_search"), 1), "{first}");

    let anew = "Giáo viên khoá IELTS 6.5 là ai?";
    stub.script([Reply::chat(&[anew]), answer()]);
    let follow_up = json!({"question": "còn giáo viên thì sao?", "session_id": first["session_id"]});
    let body = ask(&client, &follow_up).await;
    assert_eq!(body["tool_metadata"]["rewritten_question"], anew, "{body}");
    let requests = stub.requests();
    let [_, rewriting, answering] = &requests[..] else { panic!("three calls: {requests:?}") };
    assert!(messages(&rewriting.body).contains("Lịch khai giảng khoá IELTS 6.5"), "{rewriting:?}");
    assert!(messages(&answering.body).contains(anew), "{answering:?}");
    let row = server.row(body["trace_id"].as_str().expect("a trace id")).await;
    assert_eq!(row["question"], "còn giáo viên thì sao?", "what was asked stays on the row: {row}");

    stub.script([Reply::refused(500, "server_error", "boom"), answer()]);
    let follow_up = json!({"question": "còn địa chỉ thì sao?", "session_id": first["session_id"]});
    let body = ask(&client, &follow_up).await;
    let rewritten = body["tool_metadata"]["rewritten_question"].as_str().expect("by the rule");
    assert!(rewritten.starts_with("còn địa chỉ thì sao? ("), "{body}");
}
