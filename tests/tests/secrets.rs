//! Secrets and people's data: in through every input and every failure, and where they must not come out again.
//!
//! What is promised. What somebody *writes* (a question, an answer, a comment, a ticket, a document) is content: it is in the
//! row or table it belongs to, for its tenant and the owner, and nowhere else; telephone numbers and e-mail addresses in it are
//! masked in the owner's lists and exports. What somebody *presents* (a key, a token, a cookie, a password), and what the
//! server itself holds (a provider's key, a database's password), is in no row, log line, metric, answer or export at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use futures_util::{SinkExt, StreamExt};
use http::Method;
use http_body_util::Full;
use rag_tower_owner::routes::{Auth, Method as RouteMethod, ROUTES};
use rag_tower_tests::http::{Client, DEADLINE};
use rag_tower_tests::model_stub::{self, ModelStub, Reply, Step};
use rag_tower_tests::server::{DEMO_KEY, OWNER, PASSWORD, Server, Setup, shared};
use serde_json::json;
use sqlx::Row;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");

/// Held by the server.
const PROVIDER: &str = "sk-canary-of-the-provider-4f1d8a7be2";
/// Presented by callers.
const HEADER: &str = "sk-canary-in-a-header-7c0e55";
const BEARER: &str = "canary-bearer-token-5b2e91aa03";
const COOKIE: &str = "canary-cookie-77aa10f3";
const GUESS: &str = "canary-password-91cc4e";
const QUERY: &str = "canary-in-a-query-string-20ab";
const PATH: &str = "canary-in-a-path-31cd";
/// Written by people.
const WRITTEN: &str = "sk-canary-that-was-written-33dd";
const PHONE: &str = "0912345987";
const EMAIL: &str = "canary.person@example.com";

const PRESENTED: [&str; 7] = [PROVIDER, HEADER, BEARER, COOKIE, GUESS, QUERY, PATH];

fn all() -> impl Iterator<Item = &'static str> {
    PRESENTED.into_iter().chain([WRITTEN, PHONE, EMAIL, PASSWORD, DEMO_KEY])
}

/// That none of these is in a text.
fn free_of(place: &str, text: &str, canaries: impl IntoIterator<Item = &'static str>) {
    for canary in canaries {
        assert!(!text.contains(canary), "{canary} is in {place}:\n{text}");
    }
}

/// Everything that a caller may say about itself without being anybody.
async fn presents(server: &Server) {
    let client = server.client();
    for (method, path) in [
        (Method::POST, "/query".to_owned()),
        (Method::POST, format!("/query?token={QUERY}&api_key={QUERY}")),
        (Method::GET, format!("/ws/query?token={QUERY}")),
        (Method::GET, format!("/ws/query?user_id={QUERY}")),
        (Method::GET, format!("/ws/query?ticket={QUERY}")),
        (Method::GET, format!("/owner/api/logs?q={QUERY}&cursor={QUERY}")),
        (Method::POST, "/owner/auth/logout".to_owned()),
        (Method::GET, format!("/static/{PATH}.js")),
        (Method::GET, format!("/{PATH}?{QUERY}={QUERY}")),
        (Method::DELETE, format!("/owner/api/views/{PATH}")),
        (Method::POST, "/operator/documents".to_owned()),
        (Method::from_bytes(b"CANARY").unwrap(), "/query".to_owned()),
    ] {
        let request = client
            .request(method.clone(), &path)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {BEARER}"))
            .header("x-api-key", HEADER)
            .header("x-tenant-id", HEADER)
            .header("cookie", format!("owner_token={COOKIE}; __Host-owner_token={COOKIE}"))
            .header("user-agent", HEADER)
            .header("referer", format!("http://localhost/?token={QUERY}"))
            .header("x-forwarded-for", HEADER)
            .header("traceparent", HEADER)
            .header("accept-language", HEADER);
        let answer = client.send(request.body(Full::from(r#"{"question": "?"}"#)).unwrap()).await;
        // a session that is none has ended
        let fine = answer.status.is_client_error() || path.ends_with("/logout");
        assert!(fine, "{method} {path}: {}", answer.status);
        free_of(&format!("the answer to {method} {path}"), &answer.text(), all());
        free_of("its headers", &format!("{:?}", answer.headers), all());
    }
    // a tenant's own owner's cookie, a tenant that it is not, and logins
    let tenant = server.tenant().request(Method::POST, "/query").header("x-tenant-id", QUERY);
    let tenant = tenant.header("content-type", "application/json");
    let answer = server.client().send(tenant.body(Full::from(r#"{"question": "?"}"#)).unwrap()).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    free_of("a refused assertion", &answer.text(), all());
    for login in [
        json!({"username": OWNER, "password": GUESS}),
        json!({"username": GUESS, "password": PASSWORD}),
        json!({"username": EMAIL, "password": GUESS}),
        json!({"username": OWNER, "password": [GUESS]}),
    ] {
        let answer = server.client().post("/owner/auth/login", &login).await;
        assert!(answer.status.is_client_error(), "{}", answer.status);
        free_of("the answer to a login", &answer.text(), all());
    }
}

/// Everything that people write.
async fn writes(server: &Server) -> String {
    let tenant = server.tenant();
    let question =
        format!("My key is {WRITTEN}, write to {EMAIL} or call {PHONE}: which IELTS courses are there?");
    let answer = tenant.post("/query", &json!({ "question": question, "session_id": null })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let id = answer.json()["trace_id"].as_str().unwrap().to_owned();
    let comment = json!({ "trace_id": id, "rating": -1, "comment": question });
    assert_eq!(tenant.post("/feedback", &comment).await.status, 204);
    // a person is asked to call back
    let ticket = json!({ "question": format!("Tôi muốn gặp tư vấn viên, số của tôi là {PHONE}, thư {EMAIL}, {WRITTEN}") });
    let ticket = tenant.post("/query", &ticket).await;
    assert_eq!(
        (ticket.status.as_u16(), &ticket.json()["route"]),
        (200, &json!("create_ticket")),
        "{}",
        ticket.text()
    );
    // what cannot be used is not repeated
    for wrong in [
        json!({ "question": "?", "session_id": WRITTEN }),
        json!({ "question": "?", "branch_id": WRITTEN }),
        json!({ "question": "?", "mail": EMAIL, "note": WRITTEN }),
        json!({ "question": [EMAIL, PHONE, WRITTEN] }),
        json!({ "question": format!("{WRITTEN}\u{0} {PHONE}") }),
    ] {
        let answer = tenant.post("/query", &wrong).await;
        assert!(answer.status.is_client_error(), "{wrong}: {}", answer.status);
        free_of("a refusal", &answer.text(), all());
    }
    // over a socket, also what is no frame of ours
    let mut request = format!("ws://{}/ws/query", server.addr).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {DEMO_KEY}").parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    socket.send(Message::text(json!({ "message": question }).to_string())).await.unwrap();
    loop {
        let frame = tokio::time::timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap();
        if frame.to_text().unwrap().contains("\"type\":\"end\"") {
            break;
        }
    }
    let wrong = json!({ "message": 1, "session_id": WRITTEN, "token": BEARER, "mail": EMAIL }).to_string();
    socket.send(Message::text(wrong)).await.unwrap();
    while let Some(Ok(frame)) = tokio::time::timeout(DEADLINE, socket.next()).await.unwrap() {
        free_of("a frame of refusal", &format!("{frame:?}"), all());
        if frame.is_close() || frame.to_text().is_ok_and(|text| text.contains("error")) {
            break;
        }
    }
    id
}

/// Documents that are taken in, and one that cannot be.
async fn takes_in(server: &Server) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, fine) in [
        ("note.md", format!("# Contact\n\nWrite to {EMAIL} or call {PHONE}. The key is {WRITTEN}.\n"), true),
        ("broken.jsonl", format!("{{\"{WRITTEN}\": {EMAIL} {PHONE}\n"), false),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let mut command = Setup::new(BINARY).on(&server.data).command(&[
            "ingest",
            file.to_str().unwrap(),
            "--tenant",
            "language-centre",
        ]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.success(), fine, "{said}");
        free_of("what ingesting says", &said, all());
    }
}

/// A provider that repeats what it was sent, in every place where an error may have text.
async fn upstream_fails(server: &Server, stub: &ModelStub) -> Vec<String> {
    let echo = format!(
        "Incorrect API key provided: {PROVIDER}. You sent Authorization: Bearer {PROVIDER}, {EMAIL}, {PHONE}"
    );
    let cut = Reply::steps([Step::Send(model_stub::text("half")), Step::Cut]);
    let mid = Reply::steps([
        Step::Send(model_stub::text("half")),
        Step::Send(model_stub::data(
            &json!({"error": {"message": echo, "type": PROVIDER, "code": PROVIDER}}),
        )),
    ]);
    let mut ids = Vec::new();
    for (n, reply) in [
        Reply::refused(401, PROVIDER, &echo),
        Reply::refused(400, "invalid_api_key", &echo).with_header("x-request-id", PROVIDER),
        Reply::refused(500, "server_error", &echo),
        Reply::stream([echo.clone().into()]),
        Reply::json(&json!({ "choices": echo })),
        cut,
        mid,
    ]
    .into_iter()
    .enumerate()
    {
        stub.always(reply);
        let question = format!("Học phí lớp IELTS {n} là bao nhiêu, và lịch học thế nào?");
        let answer = server.tenant().post("/query", &json!({ "question": question })).await;
        free_of("the answer of a failed provider", &answer.text(), [PROVIDER]);
        ids.push(
            answer.json()["trace_id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned(),
        );
        let question = format!("Lịch khai giảng của lớp giao tiếp số {n} ra sao?");
        let events = server.tenant().events("/query", &json!({ "question": question })).await.all().await;
        free_of("the events of a failed provider", &format!("{events:?}"), [PROVIDER]);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn t100_what_is_presented_is_nowhere_and_what_is_written_is_in_its_row_alone() {
    let stub = ModelStub::start().await;
    let server = Setup::new(BINARY)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_MODEL", "stub")
        .env("OPENAI_API_KEY", PROVIDER)
        .start();
    presents(&server).await;
    let written = writes(&server).await;
    takes_in(&server).await;
    let failed = upstream_fails(&server, &stub).await;
    for id in failed.iter().chain([&written]) {
        server.row(id).await;
    }

    // every row's own account of itself
    let mut database = server.database().await;
    let rows = sqlx::query(
        "SELECT concat_ws(' ', channel, route, status, finish, reason, error_kind, error_stage, error, degraded, spans,
                          receipt, llm_provider, llm_model, subject),
                concat_ws(' ', to_jsonb(r) - 'question' - 'answer' - 'search_text' - 'sources' - 'hits')
         FROM rag_tower.request_traces r",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    assert!(rows.len() > 10);
    for row in &rows {
        free_of("errors and spans of a row", &row.get::<String, _>(0), all());
        free_of("a row", &row.get::<String, _>(1), PRESENTED);
    }
    // nothing presented is in any table, content included
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE relnamespace = 'rag_tower'::regnamespace
         AND relkind = 'r' AND relname <> '_migrations'",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    for table in tables {
        let sql =
            sqlx::AssertSqlSafe(format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t"));
        let all_of_it: String = sqlx::query_scalar(sql).fetch_one(&mut database).await.unwrap();
        free_of(&table, &all_of_it, PRESENTED.into_iter().chain([PASSWORD, DEMO_KEY]));
    }
    drop(database);

    // the export: masked, and the texts that people wrote only where they are asked for
    let owner = server.owner().await;
    let every = "trace_id,ts,tenant,channel,route,status,reason,error_kind,llm_model,session_id,error";
    let bare = owner.get(&format!("/owner/api/logs/export?format=csv&columns={every}")).await;
    assert_eq!(bare.status, 200, "{}", bare.text());
    assert!(bare.text().contains(&written), "{}", bare.text());
    free_of("an export", &bare.text(), all());
    let whole =
        owner.get(&format!("/owner/api/logs/export?format=csv&columns={every},question,answer")).await;
    assert!(whole.text().contains(WRITTEN), "a question is content: {}", whole.text());
    free_of("an export with questions", &whole.text(), PRESENTED.into_iter().chain([PHONE, EMAIL]));
    for list in [
        "/owner/api/logs",
        "/owner/api/feedback",
        "/owner/api/handoffs",
        "/owner/api/audit",
        "/owner/api/system",
    ] {
        let list_of = owner.get(list).await;
        assert_eq!(list_of.status, 200, "{list}");
        free_of(list, &list_of.text(), PRESENTED.into_iter().chain([PHONE, EMAIL, PASSWORD, DEMO_KEY]));
    }
    free_of("the metrics", &server.scrape().await, all());

    let banner = server.banner.clone();
    let (status, output, _kept) = server.stop();
    assert!(status.success(), "{output}");
    free_of("the log", &output, all().filter(|canary| *canary != DEMO_KEY));
    // the demo's key is in the line to paste that a start in demo mode shows, and nowhere after it
    let log = output.strip_prefix(&banner).expect("what it said while it started comes first");
    free_of("the log after the start", log, [DEMO_KEY]);
}

/// What is said of a database that cannot be used holds no password, whatever is wrong with it.
#[tokio::test(flavor = "multi_thread")]
async fn t100_a_database_s_password_is_in_no_error() {
    let secret = "canary-password-of-the-database";
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [
        format!("postgres://rag_app:{secret}@{nobody}/db"),
        format!("postgres://rag_app:{secret}@no-such-host.invalid/db"),
        format!("postgres://rag_app:{secret}@[bad/db"),
        format!("mysql://rag_app:{secret}@localhost/db"),
        format!("rag_app:{secret}"),
    ] {
        for arguments in [&[][..], &["migrate"], &["doctor"], &["--print-config"]] {
            let setup = Setup::new(BINARY)
                .env("DATABASE_URL", &url)
                .env("DATABASE_ADMIN_URL", &url)
                .env("OPENAI_API_KEY", PROVIDER);
            let mut command = setup.command(arguments);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(!said.is_empty(), "{url} {arguments:?}");
            assert!(!said.contains(secret) && !said.contains(PROVIDER), "{url} {arguments:?}: {said}");
        }
    }
}

/// How a server took a body of a gigabyte that came from nobody.
struct Taken {
    status: u16,
    sent: usize,
    closed: bool,
}

const GIGABYTE: usize = 1 << 30;
/// What may be on its way in the buffers of a connection's two ends.
const IN_FLIGHT: usize = 24 * 1024 * 1024;

/// Sends as much of it as the server takes.
async fn send_a_gigabyte(server: &Server, method: &str, path: &str, chunked: bool) -> Taken {
    let (mut reader, mut writer) = TcpStream::connect(server.addr).await.unwrap().into_split();
    let length =
        if chunked { "transfer-encoding: chunked".into() } else { format!("content-length: {GIGABYTE}") };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\norigin: http://{}\r\ncontent-type: application/json\r\n{length}\r\n\r\n",
        server.addr, server.addr
    );
    writer.write_all(head.as_bytes()).await.unwrap();
    let sending = async move {
        let piece = vec![b'['; 64 * 1024];
        let frame = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        let mut sent = 0;
        while sent < GIGABYTE {
            if writer.write_all(if chunked { &frame } else { &piece }).await.is_err() {
                return (sent, true);
            }
            sent += piece.len();
        }
        (sent, false)
    };
    let answering = async {
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
            match reader.read(&mut buffer).await.unwrap() {
                0 => panic!("{method} {path}: closed without an answer"),
                n => answer.extend_from_slice(&buffer[..n]),
            }
        }
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let both = async { tokio::join!(answering, sending) };
    let (status, (sent, closed)) =
        tokio::time::timeout(DEADLINE, both).await.expect("an answer at once, and an end");
    Taken { status, sent, closed }
}

#[tokio::test(flavor = "multi_thread")]
async fn t102_who_is_nobody_is_refused_before_the_body_is_read_and_a_model_is_called() {
    let stub = ModelStub::start().await;
    let server = Setup::new(BINARY)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_MODEL", "stub")
        .env("EMBEDDING_MODEL", "stub-embedding")
        .start();
    let before = stub.calls();
    assert!(before > 0, "the demo's documents were embedded by the stub");
    let guarded = ROUTES.iter().filter(|route| {
        route.method != RouteMethod::Get && matches!(route.auth, Auth::Tenant | Auth::Owner | Auth::Operator)
    });
    let mut seen = 0;
    for route in guarded {
        let path = route.path.replace(['{', '}'], "");
        for chunked in [false, true] {
            let taken = send_a_gigabyte(&server, route.method.as_str(), &path, chunked).await;
            let place = format!("{} {path}, chunked: {chunked}", route.method.as_str());
            assert_eq!(taken.status, 401, "{place}");
            assert!(taken.closed && taken.sent < IN_FLIGHT, "{place}: {} bytes were taken", taken.sent);
        }
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
    assert_eq!(stub.calls(), before, "nobody's question is embedded or answered");
    // and somebody's is
    let answer = server.tenant().post("/query", &json!({"question": "Trung tâm mở cửa mấy giờ?"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(stub.calls() > before);
}

/// Where SQL is put together at run time, how many times in that file, and why nothing of a caller's is in its text.
const PUT_TOGETHER: &[(&str, usize, &str)] = &[
    (
        "rag-tower/src/postgres/bootstrap.rs",
        1,
        "names and literals are quoted by Postgres itself, with format()",
    ),
    ("rag-tower/src/postgres/rollups/check.rs", 1, "a line of a report, which is no statement"),
    (
        "rag-tower/src/postgres/sql.rs",
        2,
        "a role of ours, a UUID and a number; a simple query takes no parameters",
    ),
    (
        "rag-tower-owner/src/owner_store/page.rs",
        1,
        "fragments that are constants; every value is a parameter",
    ),
    (
        "rag-tower-owner/src/owner_store/logs/filter.rs",
        6,
        "constants beside each other; every value is pushed as a parameter",
    ),
    (
        "rag-tower-owner/src/owner_store/logs/select.rs",
        11,
        "column lists of ours; every value is pushed as a parameter",
    ),
];

/// The library's and the server's own sources, without tests.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![root.join("rag-tower/src"), root.join("rag-tower-owner/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            if path.is_dir() {
                folders.extend((!name.ends_with("/tests")).then_some(path));
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap().to_owned();
                found.insert(name, code);
            }
        }
    }
    found
}

/// Code without comments.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| if line.trim_start().starts_with("//") { "" } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The driver takes text that is known when it is compiled, and nothing else, unless one of these says that it is safe.
#[test]
fn t102_no_statement_is_made_of_what_somebody_sent() {
    let sources = sources();
    assert!(sources.len() > 200);
    let mut found = BTreeMap::new();
    for (name, text) in &sources {
        let text = code(text);
        let sql = text.contains("sqlx");
        let ways = ["AssertSqlSafe(", "QueryBuilder::new(", ".push(format!", ".push(&format!"];
        let times: usize = ways.iter().filter(|_| sql).map(|way| text.matches(way).count()).sum();
        if times > 0 {
            found.insert(name.as_str(), times);
        }
        // the other ways to make a text look as if it had been known
        for trick in [".leak()", "String::leak", "Box::leak", "QueryBuilder::with_arguments"] {
            assert!(!(sql && text.contains(trick)), "{name} has {trick} beside SQL");
        }
    }
    let reviewed: BTreeMap<_, _> = PUT_TOGETHER.iter().map(|(name, times, _)| (*name, *times)).collect();
    assert_eq!(
        found, reviewed,
        "a statement that is put together needs a line here, with the reason why it is safe"
    );
    // inside the database, names go through format() with %I and %L
    for set in ["trace", "server"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(set);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            for (at, _) in text.match_indices("EXECUTE ") {
                let rest = &text[at + "EXECUTE ".len()..];
                let fine = ["format(", "ON FUNCTION", "ON ROUTINE", "FUNCTION "]
                    .iter()
                    .any(|start| rest.starts_with(start));
                assert!(fine, "{}: EXECUTE {}", path.display(), rest.lines().next().unwrap_or_default());
            }
        }
    }
}

/// One line of the exposition: its labels by name.
fn labels(line: &str) -> Vec<(String, String)> {
    let Some((_, rest)) = line.split_once('{') else { return Vec::new() };
    let inside = rest.rsplit_once('}').map_or("", |(inside, _)| inside);
    inside
        .split("\",")
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn t103_metrics_have_no_name_that_somebody_chose() {
    let stub = ModelStub::start().await;
    let server =
        Setup::new(BINARY).env("OPENAI_BASE_URL", stub.base_url()).env("OPENAI_MODEL", "known-model").start();
    // a model that the provider names, and nobody configured
    stub.always(Reply::stream([
        model_stub::data(&json!({
            "id": "x", "object": "chat.completion.chunk", "created": 1, "model": "strangers-model",
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello."}, "finish_reason": null}],
        })),
        model_stub::finish("stop"),
        model_stub::usage(3, 4),
        model_stub::done(),
    ]));
    presents(&server).await;
    let tenant = server.tenant();
    for n in 0..5 {
        let body = json!({ "question": format!("{EMAIL} {PHONE} strangers-question {n}: Học phí IELTS?") });
        let answer = tenant.post("/query", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        tenant.get(&format!("/strangers-address-{n}")).await;
    }
    let metrics = server.scrape().await;
    assert!(!metrics.to_lowercase().contains("stranger"), "{metrics}");
    free_of("the metrics", &metrics, all());
    assert!(metrics.contains("route=\"none\"") && metrics.contains("method=\"other\""), "{metrics}");
    assert!(metrics.contains("model=\"other\"") || metrics.contains("model=\"known-model\""), "{metrics}");
    // no label is for a person or a request, and no value is an id, an address or a number to call
    let of_somebody = [
        "user",
        "username",
        "subject",
        "session",
        "session_id",
        "client",
        "ip",
        "address",
        "email",
        "phone",
        "key",
        "token",
        "question",
        "query",
        "path",
        "uri",
        "url",
        "host",
        "user_agent",
        "trace_id",
        "request_id",
        "error",
    ];
    let mut labelled = 0;
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        for (name, value) in labels(line) {
            assert!(!of_somebody.contains(&name.as_str()), "label {name}: {line}");
            assert!(!value.contains('@') && value.parse::<uuid::Uuid>().is_err(), "{line}");
            assert!(
                name == "le" || value.bytes().filter(u8::is_ascii_digit).count() < 7 || value.contains(':'),
                "{line}"
            );
            labelled += 1;
        }
    }
    assert!(labelled > 100, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t103_the_metrics_listener_serves_three_addresses_and_nothing_else() {
    let server = shared(BINARY);
    let client = Client::new(server.metrics).bearer(DEMO_KEY);
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let request = client.request(method.clone(), path).body(Full::from("{}")).unwrap();
            assert_eq!(client.send(request).await.status, 405, "{method} {path}");
        }
    }
    let others = ["/metrics/", "/metrics/x", "/debug/pprof", "/config", "/env", "/..%2fetc/passwd"];
    for path in ROUTES.iter().map(|route| route.path).chain(others) {
        let path = path.replace("{*file}", "chat.js").replace(['{', '}'], "");
        let answer = client.get(&path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.is_empty(), "{path}: {}", answer.text());
    }
    // and the server itself shows no metrics
    assert_eq!(server.client().get("/metrics").await.status, 404);
    // nobody elsewhere can connect unless it is told to let them
    let mut printed = Setup::new(BINARY).command(&["--print-config"]);
    printed.env_remove("RAG_TOWER_METRICS_ADDR").stdout(Stdio::piped()).stderr(Stdio::piped());
    let printed = tokio::task::spawn_blocking(move || printed.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    let line =
        text.lines().find(|line| line.contains("rag_tower_metrics_addr")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("127.0.0.1:"), "{line}");
}
