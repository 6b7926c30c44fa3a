//! What was answered is in Postgres in the end: after `kill -9`, and after Postgres was away.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rag_tower::postgres::{Count, Database, DatabaseOptions, OwnerTx, PgRollups};
use rag_tower_owner::cluster::Cluster;
use rag_tower_tests::http::{Client, DEADLINE};
use rag_tower_tests::model_stub::{self, ModelStub, Reply, Step};
use rag_tower_tests::postgres::TestDatabase;
use rag_tower_tests::server::{DEMO_KEY, Server, Setup};
use serde_json::json;
use time::OffsetDateTime;
use tokio::task::JoinSet;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
const KEY: &str = "key-of-acme-that-is-long-enough-0123456789";

/// The traces of asks whose whole answer came.
type Answered = Arc<Mutex<BTreeSet<String>>>;

/// The private database of a server that runs, through the server's own login.
async fn database_of(data: &Path) -> Database {
    let url = Cluster::running(&data.join("postgres"), "postgres").unwrap().expect("a running Postgres");
    Database::connect(&DatabaseOptions::new(url).max_connections(1)).await.unwrap()
}

/// Every trace as often as it is there.
async fn traces(database: &Database) -> Vec<String> {
    let mut tx = OwnerTx::begin(database).await.unwrap();
    sqlx::query_scalar("SELECT trace_id::text FROM rag_tower.request_traces ORDER BY 1")
        .fetch_all(tx.connection())
        .await
        .unwrap()
}

/// Waits until all that was answered is there, and checks that it is there once, and that the rollups say so too.
async fn arrived(database: &Database, answered: &BTreeSet<String>) {
    let end = Instant::now() + DEADLINE;
    loop {
        let all = traces(database).await;
        let distinct: BTreeSet<String> = all.iter().cloned().collect();
        assert_eq!(all.len(), distinct.len(), "each once");
        let missing = answered.difference(&distinct).count();
        if missing == 0 {
            break;
        }
        assert!(Instant::now() < end, "{missing} of {} are missing", answered.len());
        tokio::task::yield_now().await;
    }
    let rollups = PgRollups::new(database);
    let now = OffsetDateTime::now_utc();
    let (differences, asks) = rollups.check(now - time::Duration::DAY, now).await.unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
    let counted = rollups.totals(None, None, None).await.unwrap()[Count::Requests];
    // asks that were cut off may still be arriving
    assert!(answered.len() as i64 <= asks && asks <= counted, "{} {asks} {counted}", answered.len());
}

/// Asks one question after the other until the server is gone, or it is told to stop. Without Postgres it gets refusals
/// and time-outs.
async fn ask_on(client: Client, name: String, answered: Answered, stop: Arc<AtomicBool>) {
    for n in 0.. {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let body = json!({"question": format!("Trung tâm có chính sách hoàn học phí không? {name} {n}")});
        let request = client
            .request(http::Method::POST, "/query")
            .header("content-type", "application/json")
            .body(body.to_string().into())
            .unwrap();
        let Some(answer) = client.try_send(request).await else { return };
        assert!([200, 503, 504].contains(&answer.status.as_u16()), "{}", answer.text());
        match answer.json()["trace_id"].as_str() {
            // a failure that names its trace has a row like any other
            Some(trace) => assert!(answered.lock().unwrap().insert(trace.to_owned())),
            None => assert_eq!(answer.status, 503, "{}", answer.text()),
        }
    }
}

/// Clients that ask the server from now on, until it is gone or they are told to stop.
struct Load {
    clients: JoinSet<()>,
    answered: Answered,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn on(server: &Server, key: &str, answered: &Answered) -> Self {
        let before = answered.lock().unwrap().len();
        let (mut clients, stop) = (JoinSet::new(), Arc::<AtomicBool>::default());
        for n in 0..8 {
            let client = Client::new(server.addr).bearer(key);
            let name = format!("{} {before} {n}", server.pid());
            clients.spawn(ask_on(client, name, Arc::clone(answered), Arc::clone(&stop)));
        }
        Self { clients, answered: Arc::clone(answered), stop }
    }

    /// Waits for so many answers more.
    async fn answers(&self, more: usize) {
        let before = self.answered.lock().unwrap().len();
        let end = Instant::now() + 4 * DEADLINE;
        while self.answered.lock().unwrap().len() < before + more {
            assert!(Instant::now() < end, "too slow");
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the clients have ended.
    async fn end(mut self) {
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
    }
}

/// Kills the server once so many answers have come.
async fn load_and_kill(server: Server, answers: usize, answered: &Answered) {
    let load = Load::on(&server, DEMO_KEY, answered);
    load.answers(answers).await;
    server.signal("KILL");
    load.end().await;
    drop(server.wait());
}

#[tokio::test(flavor = "multi_thread")]
async fn t115_kill_9_under_load_loses_no_answered_ask() {
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
    let database = database_of(&data).await;
    arrived(&database, &answered).await;
    database.close().await;
    let (status, output, _) = server.stop();
    assert!(status.success(), "{status}:\n{output}");
    let left = std::fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let left: Vec<_> = left.filter(|path| path.extension().is_some_and(|end| end == "rows")).collect();
    assert!(left.is_empty(), "all of it is in Postgres: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t115_answers_that_end_while_postgres_is_away_arrive_when_it_is_back() {
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
    arrived(&database_of(&data).await, &answered).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_postgres_under_load_loses_no_answered_ask() {
    let stub = ModelStub::start().await;
    stub.always(Reply::chat(&["Có, ", "theo chính sách [1]."]));
    let server = Setup::new(BINARY)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_API_KEY", "key-that-no-provider-knows")
        .env("OPENAI_MODEL", "stub")
        .start();
    let data = server.data.clone();
    let answered = Answered::default();
    let load = Load::on(&server, DEMO_KEY, &answered);
    for _ in 0..3 {
        load.answers(30).await;
        signal_postgres(&data, "KILL");
    }
    load.answers(30).await;
    load.stop.store(true, Ordering::Release);
    load.end().await;
    let answered = answered.lock().unwrap().clone();
    let database = database_of(&data).await;
    arrived(&database, &answered).await;
    database.close().await;
    let (status, output, _) = server.stop();
    assert!(status.success(), "{status}:\n{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_postgres_count_each_ask_once_though_one_is_killed() {
    let database = TestDatabase::migrated().await;
    database.register("acme", KEY).await;
    database.run_as_admin("SELECT rag_tower.ensure_partitions('2026-01-01', 3)").await;
    let setup = || {
        Setup::new(BINARY).env("DATABASE_URL", database.app_url()).env("RAG_TOWER_TRACE_RETENTION_DAYS", "30")
    };
    let (first, second) = (setup().start(), setup().start());
    let data = first.data.clone();
    let answered = Answered::default();
    let (one, two) = (Load::on(&first, KEY, &answered), Load::on(&second, KEY, &answered));
    one.answers(60).await;
    first.signal("KILL");
    one.end().await;
    let (_, _, keep) = first.wait();
    let first = setup().on(&data).start();
    let one = Load::on(&first, KEY, &answered);
    one.answers(60).await;
    for load in [one, two] {
        load.stop.store(true, Ordering::Release);
        load.end().await;
    }
    let pool = database.database().await;
    let answered = answered.lock().unwrap().clone();
    arrived(&pool, &answered).await;
    days_are_kept(&[&first, &second], &database).await;
    for server in [first, second] {
        let (status, output, _) = server.stop();
        assert!(status.success(), "{status}:\n{output}");
    }
    arrived(&pool, &answered).await;
    let waiting = PgRollups::new(&pool).lag().await.unwrap();
    assert_eq!(waiting.deltas, 0, "all is folded at a clean end");
    drop(keep);
}

/// Waits until days to come are there, days of January are gone, and every server says so.
async fn days_are_kept(servers: &[&Server], database: &TestDatabase) {
    // a drop that others were in the way of is tried again after a minute
    let end = Instant::now() + 4 * DEADLINE;
    for server in servers {
        loop {
            let metrics = server.scrape().await;
            let value = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let value = |name| value(name).expect(name).parse::<f64>().unwrap();
            let tomorrow_ends = OffsetDateTime::now_utc().unix_timestamp() as f64 + 86_400.0;
            if value("rag_trace_partitions_until_timestamp_seconds ") > tomorrow_ends
                && value("rag_rollup_lag_seconds ") < 60.0
            {
                break;
            }
            assert!(Instant::now() < end, "{metrics}");
        }
    }
    let old =
        "SELECT count(*) FROM pg_class WHERE relname LIKE 'request\\_traces\\_202601__' AND relkind = 'r'";
    let mut admin = database.admin().await;
    while sqlx::query_scalar::<_, i64>(old).fetch_one(&mut admin).await.unwrap() > 0 {
        assert!(Instant::now() < end, "old days are still there");
        tokio::task::yield_now().await;
    }
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
