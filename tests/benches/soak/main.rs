//! The reference server under mixed load for as long as is asked: asks, conversations, streams, streams that are left, feedback,
//! hand-offs and the owner's reads, of four tenants. Fails when memory grows, when the slowest answers get slower, when an
//! ask has not exactly one row, or when a request fails. Ends with a table of its minutes and one line `RESULT {json}`.
//!
//! `cargo bench -p rag-tower-tests --bench soak -- --minutes 30`
//!
//! First come as many questions as the server's caches keep, which is what makes it grow at the start, and a minute of the load,
//! which is not judged. What is judged are the minutes after that.

mod clients;
mod judge;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rag_tower::tenant::{KeyHash, TenantId};
use rag_tower_tests::corpus::Corpus;
use rag_tower_tests::figures::{short, table};
use rag_tower_tests::model_stub::{ModelStub, Reply, Step, done, finish, role, text, usage};
use rag_tower_tests::processor::{machine, resident_mb, shared_out_mb};
use rag_tower_tests::server::{DEMO_KEY, Server, Setup};
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::clients::{Seen, World};
use crate::judge::{Minute, Verdict};

/// More than the answers and the vectors that the server keeps.
const FILL: usize = 12_000;
/// Chunks of each tenant that is made for this.
const CHUNKS: usize = 100;
/// Tenants that are made for this, beside the two of the demo.
const TENANTS: [&str; 2] = ["soak-one", "soak-two"];
/// How long rows may be on their way when the load has ended.
const SETTLE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let minutes = minutes(std::env::args().skip(1)).unwrap_or_else(|error| panic!("{error}"));
    let stub = ModelStub::start_fast().await;
    stub.always(reply());
    let base = stub.base_url();
    let with = |setup: Setup| {
        setup
            .env("OPENAI_BASE_URL", &base)
            .env("OPENAI_API_KEY", "bench-key-that-no-provider-knows")
            .env("OPENAI_MODEL", "stub")
    };
    let binary = env!("CARGO_BIN_EXE_rag-tower-server");
    eprintln!("starting the server…");
    let server = with(Setup::new(binary)).start();
    let keys = tenants(&server, &with(Setup::new(binary)).on(&server.data)).await;
    let world = Arc::new(World::new(server.addr, keys, server.owner().await));
    let seen = Arc::new(Seen::default());

    eprintln!("filling the server's caches with {FILL} questions…");
    clients::fill(&world, &seen, FILL).await;
    let clients = clients::start(&world, &seen);
    let mut table_of = Vec::new();
    // the first is not judged
    for minute in 0..=minutes {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let its = seen.take();
        let one = Minute {
            p50_ms: its.quantile(0.5),
            p99_ms: its.quantile(0.99),
            asks: its.asks,
            streams: its.streams,
            left: its.left,
            others: its.others,
            server_mb: resident_mb(server.pid()).0,
            postgres_mb: shared_out_mb(server.pid()).1,
            failed: its.failed,
        };
        eprintln!("minute {minute}: {one:?}");
        table_of.push(one);
    }
    clients.stop().await;
    let rows = rows(&server, &seen).await;
    drop(server);

    println!("{}; {minutes} minutes\n", machine());
    println!("{}", minutes_table(&table_of));
    let verdict = Verdict::of(&table_of[1..], rows);
    println!("{}", verdict.table());
    println!("RESULT {}", verdict.json());
    verdict.insist();
}

/// What each minute was like.
fn minutes_table(minutes: &[Minute]) -> String {
    let head = ["minute", "asks", "streams", "left", "others", "p50", "p99", "server", "Postgres", "failed"];
    let row = |(n, minute): (usize, &Minute)| {
        vec![
            if n == 0 { "(warm-up)".to_owned() } else { n.to_string() },
            minute.asks.to_string(),
            minute.streams.to_string(),
            minute.left.to_string(),
            minute.others.to_string(),
            format!("{} ms", short(minute.p50_ms)),
            format!("{} ms", short(minute.p99_ms)),
            format!("{} MB", short(minute.server_mb)),
            format!("{} MB", short(minute.postgres_mb)),
            minute.failed.to_string(),
        ]
    };
    table(&head, &minutes.iter().enumerate().map(row).collect::<Vec<_>>())
}

/// The tenants and their keys: the demo's first, its second under a new key, and some more with documents of their own.
async fn tenants(server: &Server, same: &Setup) -> Vec<String> {
    let mut keys = vec![DEMO_KEY.to_owned()];
    let mut corpus = Corpus::new(7);
    for slug in ["docs"].into_iter().chain(TENANTS) {
        let key = format!("soak-key-of-{slug}-0123456789-0123456789");
        let hash: String = KeyHash::of(&key).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let (tenant, id) = (TenantId::named(slug), uuid::Uuid::now_v7());
        let sql = format!(
            "INSERT INTO rag_tower.tenants (id, slug, name) VALUES ('{tenant}', '{slug}', '{slug}') ON CONFLICT DO NOTHING;
             INSERT INTO rag_tower.api_keys (id, tenant_id, hash, name, role)
             VALUES ('{id}', '{tenant}', '\\x{hash}', 'soak', 'member')"
        );
        let made = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut server.database().await).await;
        made.expect("a tenant with a key");
        if TENANTS.contains(&slug) {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let file = folder.path().join("documents.jsonl");
            let lines: String =
                (0..CHUNKS).map(|_| format!("{}\n", json!({"text": corpus.document(1).concat()}))).collect();
            std::fs::write(&file, lines).expect("a file");
            let out = same.command(&["ingest", &file.to_string_lossy(), "--tenant", slug]).output();
            let out = out.expect("ingest");
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        }
        keys.push(key);
    }
    keys
}

/// An answer in pieces with a little time between, so that there is something to leave.
fn reply() -> Reply {
    let mut steps = vec![Step::Send(role())];
    for n in 0..8 {
        steps.push(Step::Send(text(&format!("piece {n} of the answer [1]. "))));
        if n % 4 == 0 {
            steps.push(Step::Pause(Duration::from_millis(2)));
        }
    }
    steps.extend([finish("stop"), usage(400, 64), done()].map(Step::Send));
    Reply::steps(steps)
}

/// How often each ask has a row, once all rows have come or should have: none, one, several, of those that were accepted and of
/// those of which nothing is known.
async fn rows(server: &Server, seen: &Seen) -> judge::Rows {
    let end = Instant::now() + SETTLE;
    loop {
        let found: Vec<(String, i64)> = sqlx::query_as(
            "SELECT request_id, count(*) FROM rag_tower.request_traces WHERE request_id LIKE 'soak-%' GROUP BY request_id",
        )
        .fetch_all(&mut server.database().await)
        .await
        .expect("the rows");
        let rows = seen.compare(found.iter().map(|(id, count)| (id.as_str(), *count)));
        if rows.lost == 0 || Instant::now() > end {
            return rows;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn minutes(mut given: impl Iterator<Item = String>) -> Result<usize, String> {
    let mut minutes = 30;
    while let Some(argument) = given.next() {
        match argument.as_str() {
            // what cargo says to every benchmark
            "--bench" => {}
            "--minutes" => {
                let value = given.next().ok_or("--minutes takes a number")?;
                minutes = value.parse().map_err(|error| format!("--minutes {value}: {error}"))?;
            }
            other => return Err(format!("{other} is not known: --minutes N is")),
        }
    }
    if minutes >= 1 { Ok(minutes) } else { Err("--minutes is at least 1".to_owned()) }
}
