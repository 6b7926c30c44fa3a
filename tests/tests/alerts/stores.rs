//! Postgres that is slow, locked, away, or has no room; and a server without time, or that is gone.

use std::process::Command;
use std::time::Duration;

use rag_tower_tests::http::Client;
use rag_tower_tests::postgres::run;
use rag_tower_tests::processor::descendants;
use rag_tower_tests::server::{Server, Setup, assert_mounted, fill};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{BINARY, Watched, ask, now, until, wait};

pub(super) const ALERTS: &[&[&str]] =
    &[DEEP, LOCKED, FORGETFUL, REFUSED, PILED, CROWDED, SLOW, STARVED, AWAY, GONE, NOBODY, FULL, TOMORROW];

const DEEP: &[&str] = &["TraceQueueDeep", "ConversationQueueDeep"];
const LOCKED: &[&str] = &["TraceRowsWait"];
const FORGETFUL: &[&str] = &["ConversationsNotKept"];
const REFUSED: &[&str] = &["TraceRowsRefused"];
const PILED: &[&str] = &["RequestsPileUp"];
const CROWDED: &[&str] = &["DatabasePoolExhausted"];
const SLOW: &[&str] = &["TraceWritesSlow"];
const STARVED: &[&str] = &["LayersSlow"];
/// The catalog is looked at each real hour, but canaries ask each second until they cannot.
const AWAY: &[&str] =
    &["DependencyDown", "RollupsBehind", "IsolationCanaryStale", "IsolationAuditStale{check=\"canary\"}"];
const GONE: &[&str] = &["ServerDown"];
const NOBODY: &[&str] = &["NoServer"];
const FULL: &[&str] = &["TraceJournalCannotBeWritten"];
const TOMORROW: &[&str] = &["TracePartitionMissing"];

const QUESTION: &str = "Học phí khóa IELTS 6.5 là bao nhiêu?";

/// So many at once, each with the same body.
async fn asks(tenant: &Client, each: usize, at_once: usize, body: &Value) {
    let mut asks = JoinSet::new();
    for _ in 0..at_once {
        let (tenant, body) = (tenant.clone(), body.clone());
        asks.spawn(async move {
            for _ in 0..each {
                tenant.post("/query", &body).await;
            }
        });
    }
    asks.join_all().await;
}

/// Processes that do not run until this is dropped.
struct Stopped(Vec<u32>);

impl Stopped {
    /// The server's own Postgres, all of it.
    fn postgres(server: &Server) -> Self {
        let file = server.own_data().join("postgres/data/postmaster.pid");
        let own = std::fs::read_to_string(file).unwrap().lines().next().unwrap().parse().unwrap();
        // first the one that starts others
        signal("STOP", &[own]);
        let others = descendants(own);
        signal("STOP", &others);
        Self([vec![own], others].concat())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("CONT", &self.0);
    }
}

fn signal(name: &str, processes: &[u32]) {
    // one that has ended meanwhile needs none
    let _ = Command::new("kill").arg(format!("-{name}")).args(processes.iter().map(u32::to_string)).status();
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_locked_and_rows_that_are_refused() {
    let watched = Watched::start(Setup::new(BINARY)).await;
    let tenant = watched.server.tenant();
    let mut admin = watched.server.database().await;
    let session = ask(&tenant, QUESTION).await.json()["session_id"].clone();

    let refuse =
        "ALTER TABLE rag_tower.request_traces ADD CONSTRAINT no_cats CHECK (question NOT LIKE '%mèo%')";
    run(&mut admin, refuse).await;
    watched
        .until(REFUSED, async |n| {
            assert_eq!(ask(&tenant, &format!("Có lớp nào cho mèo không? ({n})")).await.status, 200);
            wait().await;
        })
        .await;
    run(&mut admin, "ALTER TABLE rag_tower.request_traces DROP CONSTRAINT no_cats").await;

    // writes end before they are given up, and rows come faster
    let lock = "BEGIN; LOCK TABLE rag_tower.request_traces, rag_tower.chat_sessions IN ACCESS EXCLUSIVE MODE";
    let slow = format!("{lock}; SELECT pg_sleep(8); ROLLBACK");
    // the same question is answered by the cache, and is a row and a turn as any other
    let question = json!({ "question": QUESTION });
    let deep = watched.until(DEEP, async |_| asks(&tenant, 15, 32, &question).await);
    tokio::select! {
        () = deep => {}
        () = async { loop { run(&mut admin, &slow).await } } => unreachable!("it goes on"),
    }

    let mut admin = watched.server.database().await;
    run(&mut admin, lock).await;
    watched
        .until(FORGETFUL, async |_| {
            asks(&tenant, 1, 10, &json!({"question": QUESTION, "session_id": session})).await
        })
        .await;
    let owner = watched.server.owner().await;
    watched
        .until(CROWDED, async |_| {
            let mut looks = JoinSet::new();
            for _ in 0..32 {
                let owner = owner.clone();
                looks.spawn(async move { owner.get("/owner/api/logs").await.status });
            }
            looks.join_all().await;
        })
        .await;
    watched.until(LOCKED, async |_| asks(&tenant, 1, 8, &question).await).await;
    run(&mut admin, "ROLLBACK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_slow_and_a_server_without_time() {
    let watched = Watched::start(Setup::new(BINARY)).await;
    let (server, tenant) = (&watched.server, watched.server.tenant());
    let mut admin = server.database().await;
    let question = json!({ "question": QUESTION });
    let slow =
        "BEGIN; LOCK TABLE rag_tower.request_traces IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1.5); ROLLBACK";
    watched
        .until(SLOW, async |_| {
            tokio::join!(run(&mut admin, slow), asks(&tenant, 1, 8, &question));
        })
        .await;

    run(&mut admin, "BEGIN; LOCK TABLE rag_tower.api_keys IN ACCESS EXCLUSIVE MODE").await;
    let mut piled = JoinSet::new();
    for _ in 0..220 {
        let (tenant, question) = (tenant.clone(), question.clone());
        piled.spawn(async move { tenant.post("/query", &question).await.status });
    }
    watched.until(PILED, async |_| wait().await).await;
    run(&mut admin, "ROLLBACK").await;
    piled.join_all().await;

    let own = [server.pid()];
    watched
        .until(STARVED, async |n| {
            let other = json!({"question": format!("{QUESTION} ({n})")});
            let starved = async {
                for _ in 0..4 {
                    signal("STOP", &own);
                    tokio::time::sleep(Duration::from_millis(250)).await;
                    signal("CONT", &own);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::join!(asks(&tenant, 4, 4, &other), starved);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_is_away_and_then_the_server_too() {
    let watched = Watched::start(Setup::new(BINARY).env("RAG_TOWER_CANARY_INTERVAL", "1")).await;
    // long enough for the canaries to have asked
    let checked = "rag_isolation_audit_timestamp_seconds{check=\"canary\"} > 0";
    watched.prometheus.until("a canary", async |own| !own.at(checked, now()).await.is_empty()).await;

    let stopped = Stopped::postgres(&watched.server);
    watched.until(AWAY, async |_| wait().await).await;
    drop(stopped);
    let Watched { server, prometheus, quiet } = watched;
    let (status, output, _) = server.stop();
    assert!(status.success(), "{output}");
    until(&prometheus, quiet, GONE, async |_| wait().await).await;
    prometheus.forget();
    until(&prometheus, quiet, NOBODY, async |_| wait().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room() {
    let server = Setup::new(BINARY).on_disk("size=400m").try_start().unwrap_or_else(|failed| {
        assert_mounted(&failed.output);
        panic!("{}", failed.output)
    });
    let watched = Watched::watch(server).await;
    let tenant = watched.server.tenant();
    fill(&watched.server.own_data().parent().unwrap().join("ballast"), 0);
    watched
        .until(FULL, async |_| {
            ask(&tenant, QUESTION).await;
            wait().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tomorrow_that_nobody_prepares() {
    let server = Setup::new(BINARY).start();
    let mut admin = server.database().await;
    let forget = "CREATE OR REPLACE FUNCTION rag_tower.ensure_partitions(first date, days integer) RETURNS integer
         LANGUAGE sql AS 'SELECT 0';
         DO $$ DECLARE day record; BEGIN
             FOR day IN SELECT inhrelid::regclass AS name FROM pg_inherits
                 WHERE inhparent = 'rag_tower.request_traces'::regclass
                   AND inhrelid::regclass::text > 'rag_tower.request_traces_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
             LOOP EXECUTE format('DROP TABLE %s', day.name); END LOOP;
         END $$";
    run(&mut admin, forget).await;
    drop(admin);
    let (status, output, data) = server.stop();
    assert!(status.success(), "{output}");
    let data = data.unwrap();
    let watched = Watched::watch(Setup::new(BINARY).on(&data.path().join("data")).start()).await;
    watched.until(TOMORROW, async |_| wait().await).await;
}
