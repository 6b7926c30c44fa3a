//! Bad input and faults: each gets a clear typed error or a degraded answer that says so, and nothing is lost.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rag_tower_tests::http::{Answer, Client, DEADLINE};
use rag_tower_tests::model_stub::{self, ModelStub, Reply, Step};
use rag_tower_tests::server::{Server, Setup, shared};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
const QUESTION: &str = "Trung tâm có chính sách hoàn học phí không?";

fn server() -> Arc<Server> {
    shared(BINARY)
}

/// A server whose answers come from the stub. Each question is its own, so that no cache answers for the model.
fn with_model(stub: &ModelStub) -> Server {
    Setup::new(BINARY)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_API_KEY", "sk-test-canary-that-must-not-be-seen")
        .env("OPENAI_MODEL", "stub")
        .start()
}

fn problem(answer: &Answer, status: u16, kind: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let body = answer.json();
    assert_eq!((&body["status"], &body["kind"]), (&json!(status), &json!(kind)), "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "says what to do: {body}");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_questions_are_told_what_is_wrong() {
    let server = server();
    let client = server.tenant();
    for (body, says) in [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "object"),
        ("{}", "question"),
        (r#"{"question": 3}"#, "question"),
        (r#"{"question": "  "}"#, "empty"),
        (r#"{"question": "a", "session_id": "x"}"#, "session_id"),
        (r#"{"question": "a", "channel": "fax"}"#, "channel"),
        (r#"{"question": "a", "tenant_id": "x"}"#, "tenant_id"),
    ] {
        let body = problem(&client.post_bytes("/query", body).await, 400, "invalid_input");
        assert!(body["detail"].as_str().unwrap().contains(says), "{says}: {body}");
    }
    let long = json!({"question": "a".repeat(9_000)});
    problem(&client.post("/query", &long).await, 400, "invalid_input");
    let utf8 = client.post_bytes("/query", &b"{\"question\": \"\xff\xfe\"}"[..]).await;
    problem(&utf8, 400, "invalid_input");
    let megabyte = json!({"question": "a".repeat(1 << 20)});
    let answer = client.post("/query", &megabyte).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
}

/// Whose a question is, and where its documents are, is the credential's to say.
#[tokio::test(flavor = "multi_thread")]
async fn t13_a_body_that_names_a_tenant_or_a_collection_is_refused() {
    let server = server();
    let ask = async |body: Value| server.tenant().post("/query", &body).await;
    assert_eq!(ask(json!({"question": QUESTION})).await.status, 200);
    for name in ["tenant_id", "tenant", "collection", "index", "scope", "branches", "role", "filter"] {
        let mut body = json!({"question": QUESTION});
        body[name] = json!("language-centre");
        let body = problem(&ask(body).await, 400, "invalid_input");
        assert!(body["detail"].as_str().unwrap().contains(name), "{name}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_credentials_cost_nothing() {
    let server = server();
    let question = json!({"question": QUESTION});
    let anonymous = server.client();
    problem(&anonymous.post("/query", &question).await, 401, "unauthenticated");
    for token in
        ["nonsense", "a-key-that-nobody-was-ever-given-0123456789", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."]
    {
        problem(&anonymous.clone().bearer(token).post("/query", &question).await, 401, "unauthenticated");
    }
    // The owner's session opens no tenant.
    problem(&server.owner().await.post("/query", &question).await, 401, "unauthenticated");
    // A tenant's key does not open the owner's side.
    problem(&server.tenant().get("/owner/api/logs").await, 401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_the_tenant_header_asserts_and_never_grants() {
    let server = server();
    let question = json!({"question": QUESTION});
    let anonymous = server.client();
    let header = |client: &Client, tenant: &str| {
        let request = client.request(http::Method::POST, "/query").header("content-type", "application/json");
        request.header("x-tenant-id", tenant).body(question.to_string().into()).unwrap()
    };
    let client = server.tenant();
    problem(&anonymous.send(header(&anonymous, "language-centre")).await, 401, "unauthenticated");
    problem(&client.send(header(&client, "docs")).await, 403, "forbidden");
    problem(&client.send(header(&client, "no-such-tenant")).await, 403, "forbidden");
    assert_eq!(client.send(header(&client, "language-centre")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_fails_leaves_a_row_and_a_clear_answer() {
    let stub = ModelStub::start().await;
    let server = with_model(&stub);
    let client = server.tenant();
    let half = || [model_stub::role(), model_stub::text("Nửa câu")].map(Step::Send);
    let faults = [
        ("500", Reply::refused(500, "server_error", "boom")),
        ("401", Reply::refused(401, "invalid_api_key", "Incorrect API key provided: sk-test-canary")),
        ("garbage", Reply::stream([bytes::Bytes::from_static(b"data: <html>\n\n")])),
        ("cut", Reply::steps(half().into_iter().chain([Step::Cut]))),
    ];
    for (n, (name, fault)) in faults.into_iter().enumerate() {
        stub.always(fault);
        let answer = client.post("/query", &json!({"question": format!("{QUESTION} ({n})")})).await;
        let body = answer.json();
        assert!(!answer.text().contains("canary"), "{name}: {body}");
        let row = server.row(body["trace_id"].as_str().unwrap_or_else(|| panic!("{name}: {body}"))).await;
        if answer.status == 200 {
            assert!(!body["degraded"].as_array().unwrap().is_empty(), "{name}: a stand-in says so: {body}");
        } else {
            assert!(answer.status.is_server_error(), "{name}: {body}");
            assert_eq!(row["status"], "ERROR", "{name}: {row}");
        }
        assert!(!row.to_string().contains("canary"), "{name}: {row}");
    }

    // Asked to slow down, the server waits as long as it was told to and gets its answer.
    stub.always(Reply::chat(&["Có, ", "theo chính sách [1]."]));
    stub.script([Reply::refused(429, "rate_limit", "slow down").with_header("retry-after", "1")]);
    let body = client.post("/query", &json!({"question": format!("{QUESTION} (429)")})).await.json();
    assert_eq!(
        (&body["answer"], &body["llm_model"]),
        (&json!("Có, theo chính sách [1]."), &json!("stub")),
        "{body}"
    );

    stub.always(Reply::chat(&["Chậm."]).after(Duration::from_secs(1)));
    let body = client.post("/query", &json!({"question": format!("{QUESTION} (slow)")})).await.json();
    assert_eq!(body["answer"], "Chậm.", "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_mid_stream_frees_the_model_and_leaves_a_row() {
    let stub = ModelStub::start().await;
    let server = with_model(&stub);
    let frames = [model_stub::role(), model_stub::text("Một"), model_stub::text(" hai")].map(Step::Send);
    stub.always(Reply::steps(frames.into_iter().chain([Step::Hang])));
    let mut events = server.tenant().events("/query", &json!({"question": QUESTION})).await;
    let start = events.next().await.unwrap();
    while events.next().await.unwrap().name != "delta" {}
    drop(events);
    tokio::time::timeout(DEADLINE, stub.wait_for_aborts(1))
        .await
        .expect("the model's stream goes with the client");
    let row = server.row(start.data["trace_id"].as_str().unwrap()).await;
    assert_eq!(row["status"], "CANCELLED", "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t115_an_answer_that_ends_while_postgres_is_away_is_written_when_it_is_back() {
    let stub = ModelStub::start().await;
    let server = with_model(&stub);
    let data = server.data.clone();
    let pause = Step::Pause(Duration::from_secs(2));
    let (first, last) = (
        [model_stub::role(), model_stub::text("Một")],
        [model_stub::text(" hai."), model_stub::finish("stop"), model_stub::usage(10, 2), model_stub::done()],
    );
    let steps = first.map(Step::Send).into_iter().chain([pause]).chain(last.map(Step::Send));
    stub.always(Reply::steps(steps));
    let mut events = server.tenant().events("/query", &json!({"question": QUESTION})).await;
    let start = events.next().await.unwrap();
    while events.next().await.unwrap().name != "delta" {}
    take_postgres(&data);
    let end = events.all().await.pop().expect("the answer goes on without Postgres");
    assert_eq!(end.name, "end", "{end:?}");

    // Without Postgres nobody can be told apart: refused, with a hint to come back.
    let refused = server.tenant().post("/query", &json!({"question": QUESTION})).await;
    assert_eq!(refused.status, 503, "{}", refused.text());

    let (_, output, keep) = server.stop();
    give_postgres_back(&data);
    let server = Setup::new(BINARY).on(&data).start();
    let row = server.row(start.data["trace_id"].as_str().unwrap()).await;
    assert_eq!((&row["status"], &row["answer"]), (&json!("SUCCESS"), &json!("Một hai.")), "{row}\n{output}");
    drop((server, keep));
}

/// Stops the private Postgres behind the server's back, and hides its data, so that it cannot be started again until it
/// is given back.
fn take_postgres(data: &Path) {
    let file = data.join("postgres/data/postmaster.pid");
    let pid = std::fs::read_to_string(file).expect("a running private Postgres");
    let pid = pid.lines().next().unwrap().to_owned();
    std::fs::rename(data.join("postgres/data"), data.join("postgres/hidden")).unwrap();
    assert!(Command::new("kill").args(["-QUIT", &pid]).status().unwrap().success());
    let end = std::time::Instant::now() + DEADLINE;
    while Path::new("/proc").join(&pid).exists() && !is_zombie(&pid) {
        assert!(std::time::Instant::now() < end, "Postgres did not stop");
        std::thread::yield_now();
    }
}

fn is_zombie(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z"))
}

fn give_postgres_back(data: &Path) {
    std::fs::rename(data.join("postgres/hidden"), data.join("postgres/data")).unwrap();
}
