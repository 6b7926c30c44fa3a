//! What keeping tenants apart costs an ask: the server as it is, and a copy of it without row-level security, identity,
//! receipt and the check of origins, asked in turn in one run. Ends with one line `RESULT {json}`.
//!
//! `cargo bench -p rag-tower-tests --bench isolation`
//!
//! The copy is made in the target directory and built there with the dependencies that are built already. There is no
//! switch for any of this in the server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use rag_tower_tests::load::{self, Report};
use rag_tower_tests::model_stub::ModelStub;
use rag_tower_tests::processor::processor_us;
use rag_tower_tests::server::{DEMO_KEY, Server, Setup};
use rag_tower_tests::undefended;
use serde_json::json;

const ROUND: Duration = Duration::from_secs(4);
const ROUNDS: usize = 10;
/// The most that may be added to an ask at p50.
const GOAL_MS: f64 = 0.5;
/// A question that goes through every stage: embedded, searched, reranked, prompted, generated.
const QUESTION: &str = "Trung tâm có chính sách hoàn học phí không?";

#[tokio::main]
async fn main() {
    eprintln!("building the server without them…");
    let without = undefended::build();
    let stub = ModelStub::start_fast().await;
    eprintln!("starting both servers (private Postgres, embedded engine, two tenants each)…");
    let servers = [start(Path::new(env!("CARGO_BIN_EXE_rag-tower-server")), &stub), start(&without, &stub)];

    // Each question of the whole run is another, or the servers' caches would answer for the model.
    let asked = Arc::new(AtomicU64::new(0));
    let body = move || {
        let n = asked.fetch_add(1, Ordering::Relaxed);
        Bytes::from(json!({ "question": format!("{QUESTION} ({n})") }).to_string())
    };
    for (server, receipt) in servers.iter().zip([true, false]) {
        let answer = server.tenant().post_bytes("/query", body()).await.json();
        assert_eq!(answer["llm_model"], "stub", "the model is used: {answer}");
        let row = server.row(answer["trace_id"].as_str().expect("a trace id")).await;
        assert_eq!(row["receipt"].is_object(), receipt, "each server is what it is meant to be: {row}");
    }

    let (mut reports, mut own, mut postgres) = ([vec![], vec![]], [0.0; 2], [0.0; 2]);
    for round in 0..ROUNDS {
        // who is first changes each time
        for side in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let server = &servers[side];
            let (addr, body, before) = (server.addr, body.clone(), processor_us(server.pid()));
            let request = move |_| {
                Request::post("/query")
                    .header("host", addr.to_string())
                    .header("content-type", "application/json")
                    .header("authorization", format!("Bearer {DEMO_KEY}"))
                    .body(body())
                    .expect("request")
            };
            reports[side].push(load::run(addr, 1, ROUND, request).await);
            let after = processor_us(server.pid());
            own[side] += after.0 - before.0;
            postgres[side] += after.1 - before.1;
        }
        let [with, without] = reports.each_ref().map(|reports| reports[round].p50);
        eprintln!("round {} of {ROUNDS}: p50 {with:?} with, {without:?} without", round + 1);
    }
    let asks =
        reports.each_ref().map(|reports| reports.iter().map(|report| report.sent).sum::<usize>() as f64);
    let failed: usize = reports.iter().flatten().map(|report| report.failed).sum();
    assert_eq!(failed, 0, "asks failed");
    let p50 = reports.each_ref().map(|reports| median(reports.iter().map(|report| report.p50)));
    let p99 = reports.each_ref().map(|reports| median(reports.iter().map(|report| report.p99)));
    let mut added: Vec<f64> = pairs(&reports).collect();
    added.sort_by(f64::total_cmp);
    eprintln!("{:>22} {:>10} {:>10} {:>14} {:>14}", "", "p50 ms", "p99 ms", "server µs", "Postgres µs");
    for (side, name) in ["with", "without"].into_iter().enumerate() {
        eprintln!(
            "{name:>22} {:>10.3} {:>10.3} {:>14.0} {:>14.0}",
            p50[side],
            p99[side],
            own[side] / asks[side],
            postgres[side] / asks[side]
        );
    }
    let added_p50 = p50[0] - p50[1];
    eprintln!(
        "added at p50: {added_p50:.3} ms (goal < {GOAL_MS}), in single rounds {:.3} to {:.3} ms",
        added[0],
        added[ROUNDS - 1]
    );
    drop(servers);
    let round = |n: f64| (n * 1000.0).round() / 1000.0;
    let result = json!({
        "isolation_added_p50_ms": round(added_p50),
        "goal_ms": GOAL_MS,
        "added_p50_ms_of_rounds": [round(added[0]), round(added[ROUNDS - 1])],
        "with_p50_ms": round(p50[0]),
        "without_p50_ms": round(p50[1]),
        "with_p99_ms": round(p99[0]),
        "without_p99_ms": round(p99[1]),
        "with_server_cpu_us_per_ask": (own[0] / asks[0]).round(),
        "without_server_cpu_us_per_ask": (own[1] / asks[1]).round(),
        "with_postgres_cpu_us_per_ask": (postgres[0] / asks[0]).round(),
        "without_postgres_cpu_us_per_ask": (postgres[1] / asks[1]).round(),
        "asks": asks,
    });
    println!("RESULT {result}");
}

fn start(binary: &Path, stub: &ModelStub) -> Server {
    Setup::new(binary)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_API_KEY", "bench-key-that-no-provider-knows")
        .env("OPENAI_MODEL", "stub")
        .start()
}

/// What each round added at p50, in milliseconds.
fn pairs(reports: &[Vec<Report>; 2]) -> impl Iterator<Item = f64> {
    let [with, without] = reports;
    with.iter().zip(without).map(|(with, without)| milliseconds(with.p50) - milliseconds(without.p50))
}

/// The one in the middle, in milliseconds.
fn median(times: impl Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    milliseconds(times[times.len() / 2])
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
