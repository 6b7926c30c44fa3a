//! Questions to a running server: answers with citations, one row each, and metrics.

use std::sync::Arc;
use std::time::Duration;

use rag_tower_tests::http::{Answer, Client, DEADLINE, Event};
use rag_tower_tests::server::{Server, Setup, shared};
use serde_json::{Value, json};
use tokio::time::Instant;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");

fn server() -> Arc<Server> {
    shared(BINARY)
}

async fn ask(client: &Client, question: &str) -> Value {
    let answer = client.post("/query", &json!({ "question": question })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_cites_its_sources_and_leaves_one_row() {
    let server = server();
    let body = ask(&server.tenant(), "Học phí khóa IELTS 6.5 là bao nhiêu và học trong mấy tuần?").await;
    let answer = body["answer"].as_str().unwrap();
    assert!(answer.contains("[1]") || body["route"] == "tuition_calculator", "{body}");
    assert!(!body["sources"].as_array().unwrap().is_empty(), "{body}");

    let row = server.row(body["trace_id"].as_str().expect("a trace id")).await;
    assert_eq!(row["status"], "SUCCESS", "{row}");
    assert_eq!(row["answer"], body["answer"]);
    assert_eq!(row["channel"], "api");
    assert!(row["latency_ms"].as_i64().is_some(), "{row}");
    assert!(row["sources"].as_array().is_some_and(|sources| !sources.is_empty()), "{row}");
    assert!(row["spans"].as_array().is_some_and(|spans| !spans.is_empty()), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_starts_cites_speaks_and_ends() {
    let server = server();
    let body = json!({"question": "Trung tâm có chính sách hoàn học phí không?", "channel": "web"});
    let events = server.tenant().events("/query", &body).await.all().await;
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names[0], "start");
    assert_eq!(names[1], "sources");
    assert_eq!(names.last(), Some(&"end"));
    assert!(names[2..names.len() - 1].iter().all(|name| *name == "delta") && names.len() > 3, "{names:?}");
    let end: &Event = events.last().unwrap();
    assert_eq!(end.data["trace_id"], events[0].data["trace_id"]);
    assert_eq!(end.data["llm_provider"], "extractive");
    assert_eq!(end.data["finish"], "stop");
    assert!(end.data["usage"]["estimated"].as_bool().unwrap());
    let row = server.row(end.data["trace_id"].as_str().expect("a trace id")).await;
    assert_eq!((&row["channel"], &row["llm_provider"]), (&json!("web"), &json!("extractive")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_routes_work() {
    let server = server();
    let client = server.tenant();
    for (question, route) in [
        ("Lịch khai giảng các khóa IELTS thế nào?", "course_search"),
        ("Tính học phí cho 2 học viên khóa IELTS 6.5", "tuition_calculator"),
        ("So sánh khóa IELTS 6.5 và IELTS 7.0", "comparison"),
        ("Tôi muốn gặp tư vấn viên, số của tôi là 0912345678", "create_ticket"),
        ("Hôm nay giá vàng bao nhiêu?", "out_of_domain"),
    ] {
        let body = ask(&client, question).await;
        assert_eq!(body["route"], route, "{question}: {body}");
        let row = server.row(body["trace_id"].as_str().expect("a trace id")).await;
        assert_eq!((&row["route"], &row["status"]), (&json!(route), &json!("SUCCESS")), "{row}");
        match route {
            "tuition_calculator" | "comparison" => {
                assert!(body["tool_metadata"].as_object().is_some_and(|facts| !facts.is_empty()), "{body}");
            }
            "create_ticket" => {
                assert!(body["tool_metadata"]["ticket_id"].is_string(), "{body}");
                assert!(!body["answer"].as_str().unwrap().contains("0912345678"), "a phone number is masked");
            }
            _ => {}
        }
    }
    let tickets = server.owner().await.get("/owner/api/handoffs?status=new").await.json();
    assert!(!tickets["items"].as_array().unwrap().is_empty(), "{tickets}");
    assert!(!tickets.to_string().contains("0912345678"), "a phone number is masked: {tickets}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_without_a_phone_is_completed_on_the_next_turn() {
    let server = server();
    let client = server.tenant();
    let first = ask(&client, "Tôi muốn gặp tư vấn viên").await;
    assert_eq!(first["route"], "create_ticket", "{first}");
    assert!(first["tool_metadata"]["ticket_id"].is_null(), "{first}");
    let next = json!({"question": "0987 654 321", "session_id": first["session_id"]});
    let second = client.post("/query", &next).await.json();
    assert_eq!(second["route"], "create_ticket", "{second}");
    assert!(second["tool_metadata"]["ticket_id"].is_string(), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_is_the_last_word_and_counts() {
    let server = server();
    let client = server.tenant();
    let body = ask(&client, "Giờ mở cửa của trung tâm?").await;
    for rating in [-1, 1] {
        let feedback = json!({"trace_id": body["trace_id"], "rating": rating, "comment": "cảm ơn"});
        let answer = client.post("/feedback", &feedback).await;
        assert!(answer.status.is_success(), "{}", answer.text());
    }
    let row = server.row(body["trace_id"].as_str().expect("a trace id")).await;
    assert_eq!(row["feedback"].as_array().unwrap().len(), 1, "{row}");
    assert_eq!(row["feedback"][0]["rating"], 1);
    let metrics = server.owner().await.get("/owner/api/metrics").await.json();
    assert!(metrics["feedback_total"].as_i64().unwrap() >= 1, "{metrics}");
    let bad = client.post("/feedback", &json!({"trace_id": body["trace_id"], "rating": 5})).await;
    assert_eq!(bad.status, 400, "{}", bad.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_a_session_is_its_tenants_own() {
    let server = server();
    let own = ask(&server.tenant(), "Khóa IELTS nào phù hợp người mới?").await;
    let answer = server.client().post("/demo/token", &json!({"tenant": "docs"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let other = server.client().bearer(answer.json()["token"].as_str().unwrap());
    let shape = |answer: Answer| {
        (answer.status, {
            let mut body = answer.json();
            body.as_object_mut().unwrap().remove("trace_id");
            body
        })
    };
    let foreign =
        shape(other.post("/query", &json!({"question": "hi", "session_id": own["session_id"]})).await);
    let unknown =
        shape(other.post("/query", &json!({"question": "hi", "session_id": uuid::Uuid::now_v7()})).await);
    assert_eq!(foreign, unknown);
    assert_eq!(foreign.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_tenants_answer_from_their_own_documents_only() {
    let server = server();
    let token = server.client().post("/demo/token", &json!({"tenant": "docs"})).await.json();
    let docs = server.client().bearer(token["token"].as_str().unwrap());
    let body = ask(&docs, "Học phí khóa IELTS 6.5 là bao nhiêu?").await;
    for source in body["sources"].as_array().unwrap() {
        assert!(!source["file_name"].as_str().unwrap().contains("ielts"), "{body}");
    }
    assert!(!body["answer"].as_str().unwrap().contains("đồng"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_on_the_metrics_listener_and_nothing_else_is() {
    let server = server();
    ask(&server.tenant(), "Địa chỉ các cơ sở?").await;
    let end = Instant::now() + DEADLINE;
    loop {
        let text = server.scrape().await;
        let asked = text.lines().any(|line| {
            line.starts_with("rag_requests_total{")
                && line.contains("status=\"SUCCESS\"")
                && line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).is_some_and(|n| n > 0.0)
        });
        if asked {
            assert!(text.contains("rag_isolation_violations_total{layer=\"retrieve\"} 0"), "{text}");
            assert!(text.contains("rag_request_duration_seconds_bucket"), "histograms have buckets");
            assert!(!text.contains("Địa chỉ"), "no content in a metric");
            break;
        }
        assert!(Instant::now() < end, "{text}");
        tokio::task::yield_now().await;
    }
    let metrics = Client::new(server.metrics);
    assert_eq!(metrics.get("/livez").await.status, 200);
    assert_eq!(metrics.get("/readyz").await.status, 200);
    assert_eq!(metrics.get("/owner").await.status, 404);
    assert_eq!(server.client().get("/metrics").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn t103_a_tenant_is_a_label_where_that_is_asked_for_and_the_next_is_not_named() {
    let server = Setup::new(BINARY).env("RAG_TOWER_METRICS_TENANTS", "1").start();
    let docs = server.client().post("/demo/token", &json!({"tenant": "docs"})).await.json();
    let docs = server.client().bearer(docs["token"].as_str().unwrap());
    ask(&server.tenant(), "Địa chỉ các cơ sở?").await;
    ask(&docs, "How do I start the server?").await;
    let tenants = server.owner().await.get("/owner/api/tenants").await.json();
    let id = |slug: &str| {
        let tenant = tenants["items"].as_array().unwrap().iter().find(|tenant| tenant["slug"] == slug);
        tenant.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let text = server.scrape().await;
    let asked = |tenant: &str| -> f64 {
        let label = format!("tenant=\"{tenant}\"");
        let lines =
            text.lines().filter(|line| line.starts_with("rag_requests_total{") && line.contains(&label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    assert_eq!((asked(&id("language-centre")), asked("other")), (1.0, 1.0), "{text}");
    assert!(!text.contains(&id("docs")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_can_be_read_within_a_second() {
    let server = server();
    let owner = server.owner().await;
    let body = ask(&server.tenant(), "Có lớp cuối tuần không?").await;
    let path = format!("/owner/api/logs/{}", body["trace_id"].as_str().unwrap());
    let end = Instant::now() + Duration::from_secs(1);
    while owner.get(&path).await.status != 200 {
        assert!(Instant::now() < end, "the row took more than a second");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_lists_filters_and_pages() {
    let server = server();
    let client = server.tenant();
    for question in ["Có học thử không?", "Có học bổng không?", "Có lớp trực tuyến không?"]
    {
        let body = ask(&client, question).await;
        server.row(body["trace_id"].as_str().expect("a trace id")).await;
    }
    let owner = server.owner().await;
    let first = owner.get("/owner/api/logs?limit=2").await.json();
    assert_eq!(first["items"].as_array().unwrap().len(), 2, "{first}");
    let next = first["next"].as_str().expect("a cursor");
    let second = owner.get(&format!("/owner/api/logs?limit=2&cursor={next}")).await.json();
    assert_ne!(first["items"][0]["trace_id"], second["items"][0]["trace_id"]);
    let found = owner.get("/owner/api/logs?q=h%E1%BB%8Dc%20b%E1%BB%95ng").await.json();
    assert!(!found["items"].as_array().unwrap().is_empty(), "{found}");
    let item = &found["items"][0];
    for field in
        ["trace_id", "ts", "tenant_id", "route", "status", "latency_ms", "sources_count", "question_preview"]
    {
        assert!(item.get(field).is_some(), "{field}: {item}");
    }
    let metrics = owner.get("/owner/api/metrics").await.json();
    assert!(metrics["total_requests"].as_i64().unwrap() >= 3, "{metrics}");
    for field in [
        "error_requests",
        "avg_time_ms",
        "p50_ms",
        "p95_ms",
        "satisfaction_rate",
        "handoff_count",
        "handoff_rate",
    ] {
        assert!(metrics.get(field).is_some(), "{field}: {metrics}");
    }
    let nonsense = owner.get("/owner/api/metrics?since=yesterday").await;
    assert_eq!(nonsense.status, 400, "{}", nonsense.text());
    let empty = owner.get("/owner/api/logs?since=1999-01-01&until=1999-12-31").await.json();
    assert_eq!(empty["items"], json!([]));
    // without marks, and with what is not there
    let found = owner.get("/owner/api/logs?q=HOC%20bong").await.json();
    assert_eq!((&found["complete"], &found["total_is_capped"]), (&json!(true), &json!(false)), "{found}");
    assert!(!found["items"].as_array().unwrap().is_empty(), "{found}");
    let facets = owner.get("/owner/api/logs/facets?status=SUCCESS").await.json();
    assert_eq!(facets["exact"], json!(true), "{facets}");
    assert!(
        facets["total"].as_u64().unwrap() >= 1 && !facets["route"].as_array().unwrap().is_empty(),
        "{facets}"
    );
    let facets = owner.get("/owner/api/logs/facets?q=hoc%20bong").await.json();
    assert!(facets["total"].as_u64().unwrap() >= 1, "{facets}");
    for nonsense in ["q=%CC%81", "route=%00", "status=FINE", "q=a&offset=10001", "cursor=1"] {
        let refused = owner.get(&format!("/owner/api/logs?{nonsense}")).await;
        assert_eq!(refused.status, 400, "{nonsense}: {}", refused.text());
    }
    let long = owner.get(&format!("/owner/api/logs?q={}", "x".repeat(201))).await;
    assert_eq!(long.status, 400, "{}", long.text());
}
