//! What was answered is in Postgres in the end: after `kill -9`, and after Postgres was away.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rag_tower_tests::http::{Client, DEADLINE};
use rag_tower_tests::model_stub::{self, ModelStub, Reply, Step};
use rag_tower_tests::server::{DEMO_KEY, Server, Setup};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::task::JoinSet;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");

/// The traces of asks whose whole answer came.
type Answered = Arc<Mutex<BTreeSet<String>>>;

/// The server's own database, as its superuser.
async fn admin(data: &Path) -> PgConnection {
    let postgres = data.join("postgres");
    let password = std::fs::read_to_string(postgres.join("admin.password")).unwrap();
    let options = PgConnectOptions::new().socket(postgres.join("run")).username("postgres");
    options.password(password.trim()).database("postgres").connect().await.unwrap()
}

/// Every trace as often as it is there.
async fn traces(data: &Path) -> Vec<String> {
    sqlx::query_scalar("SELECT trace_id::text FROM rag_tower.request_traces ORDER BY 1")
        .fetch_all(&mut admin(data).await)
        .await
        .unwrap()
}

/// Waits until all that was answered is there, and checks that it is there once.
async fn arrived(data: &Path, answered: &BTreeSet<String>) {
    let end = Instant::now() + DEADLINE;
    loop {
        let all = traces(data).await;
        let distinct: BTreeSet<String> = all.iter().cloned().collect();
        assert_eq!(all.len(), distinct.len(), "each once");
        let missing = answered.difference(&distinct).count();
        if missing == 0 {
            return;
        }
        assert!(Instant::now() < end, "{missing} of {} are missing", answered.len());
        tokio::task::yield_now().await;
    }
}

/// Asks one question after the other until the server is gone.
async fn ask_on(client: Client, name: String, answered: Answered) {
    for n in 0.. {
        let body = json!({"question": format!("Trung tâm có chính sách hoàn học phí không? {name} {n}")});
        let request = client
            .request(http::Method::POST, "/query")
            .header("content-type", "application/json")
            .body(body.to_string().into())
            .unwrap();
        let Some(answer) = client.try_send(request).await else { return };
        assert_eq!(answer.status, 200, "{}", answer.text());
        let trace = answer.json()["trace_id"].as_str().unwrap().to_owned();
        assert!(answered.lock().unwrap().insert(trace));
    }
}

/// Asks from several clients, and kills the server once so many answers have come.
async fn load_and_kill(server: Server, answers: usize, answered: &Answered) {
    let before = answered.lock().unwrap().len();
    let mut clients = JoinSet::new();
    for n in 0..8 {
        let client = Client::new(server.addr).bearer(DEMO_KEY);
        clients.spawn(ask_on(client, format!("{before} {n}"), Arc::clone(answered)));
    }
    let end = Instant::now() + 4 * DEADLINE;
    while answered.lock().unwrap().len() < before + answers {
        assert!(Instant::now() < end, "too slow");
        tokio::task::yield_now().await;
    }
    server.signal("KILL");
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    drop(server.wait());
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_under_load_loses_no_answered_ask() {
    let stub = ModelStub::start().await;
    stub.always(Reply::chat(&["Có, ", "theo chính sách [1]."]));
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    let start = |fsync: &str| {
        Setup::new(BINARY)
            .on(&data)
            .env("OPENAI_BASE_URL", stub.base_url())
            .env("OPENAI_API_KEY", "key-that-no-provider-knows")
            .env("OPENAI_MODEL", "stub")
            .env("RAG_TOWER_FSYNC", fsync)
            .start()
    };
    let answered = Answered::default();
    for fsync in ["never", "each", "interval"] {
        load_and_kill(start(fsync), 60, &answered).await;
    }
    let server = start("never");
    let answered = answered.lock().unwrap().clone();
    arrived(&data, &answered).await;
    let (status, output, _) = server.stop();
    assert!(status.success(), "{status}:\n{output}");
    let left = std::fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let left: Vec<_> = left.filter(|path| path.extension().is_some_and(|end| end == "rows")).collect();
    assert!(left.is_empty(), "all of it is in Postgres: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_end_while_postgres_is_away_arrive_when_it_is_back() {
    let stub = ModelStub::start().await;
    let server = Setup::new(BINARY)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_API_KEY", "key-that-no-provider-knows")
        .env("OPENAI_MODEL", "stub")
        .start();
    let data = server.data.clone();
    let first = [model_stub::role(), model_stub::text("Một")];
    let last =
        [model_stub::text(" hai."), model_stub::finish("stop"), model_stub::usage(10, 2), model_stub::done()];
    let pause = Step::Pause(Duration::from_secs(4));
    stub.always(Reply::steps(first.map(Step::Send).into_iter().chain([pause]).chain(last.map(Step::Send))));
    let mut answered = BTreeSet::new();
    let mut streams = Vec::new();
    for n in 0..12 {
        let question = json!({"question": format!("Trung tâm có chính sách hoàn học phí không? ({n})")});
        let mut events = server.tenant().events("/query", &question).await;
        let start = events.next().await.unwrap();
        assert!(answered.insert(start.data["trace_id"].as_str().unwrap().to_owned()), "{start:?}");
        streams.push(events);
    }
    signal_postgres(&data, "STOP");
    for events in streams {
        let end = events.all().await.pop().expect("the answer goes on without Postgres");
        assert_eq!(end.name, "end", "{end:?}");
    }
    signal_postgres(&data, "CONT");
    arrived(&data, &answered).await;
    let end = Instant::now() + DEADLINE;
    loop {
        let metrics = server.scrape().await;
        let value = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        assert_eq!(value("rag_trace_dropped_total "), Some("0"), "{metrics}");
        if value("rag_trace_spooled ") == Some("0") {
            break;
        }
        assert!(Instant::now() < end, "{metrics}");
    }
    let (status, output, _) = server.stop();
    assert!(status.success(), "{status}:\n{output}");
}

/// Sends a signal to the private Postgres and all its processes.
fn signal_postgres(data: &Path, name: &str) {
    let file = data.join("postgres/data/postmaster.pid");
    let pid = std::fs::read_to_string(file).expect("a running private Postgres");
    let pid = pid.lines().next().unwrap().to_owned();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let mut processes: Vec<&str> = children.split_whitespace().collect();
    processes.push(&pid);
    // a backend that has ended meanwhile is no matter
    let _ = Command::new("kill").arg(format!("-{name}")).args(processes).status().unwrap();
}
