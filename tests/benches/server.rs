//! What the reference server adds to a model call: `/query` over a model that answers at once, with tracing on, beside a
//! bare axum proxy to the same model, in one run. Ends with one line `RESULT {json}`.
//!
//! `cargo bench -p rag-tower-tests --bench server`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use rag_tower_tests::load::{self, Report};
use rag_tower_tests::model_stub::ModelStub;
use rag_tower_tests::processor::{processor_us, resident_mb};
use rag_tower_tests::proxy::Proxy;
use rag_tower_tests::server::{DEMO_KEY, Setup};
use serde_json::json;

const CONNECTIONS: usize = 16;
const ROUND: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;
/// A question that goes through every stage: embedded, searched, reranked, prompted, generated.
const QUESTION: &str = "Trung tâm có chính sách hoàn học phí không?";

#[tokio::main]
async fn main() {
    Proxy::serve_if_asked().await;
    let stub = ModelStub::start_fast().await;
    eprintln!("starting the server (private Postgres, embedded engine, two tenants)…");
    let base = stub.base_url();
    let server = Setup::new(env!("CARGO_BIN_EXE_rag-tower-server"))
        .env("OPENAI_BASE_URL", &base)
        .env("OPENAI_API_KEY", "bench-key-that-no-provider-knows")
        .env("OPENAI_MODEL", "stub")
        .start();
    let idle = resident_mb(server.pid()).0;
    let proxy = Proxy::start(&base);

    // Each question of the whole run is another, or the server's cache would answer for the model.
    let asked = Arc::new(AtomicU64::new(0));
    let body = move || {
        let n = asked.fetch_add(1, Ordering::Relaxed);
        Bytes::from(json!({ "question": format!("{QUESTION} ({n})") }).to_string())
    };
    let request = |addr: std::net::SocketAddr| {
        let body = body.clone();
        move |_| {
            Request::post("/query")
                .header("host", addr.to_string())
                .header("content-type", "application/json")
                .header("authorization", format!("Bearer {DEMO_KEY}"))
                .body(body())
                .expect("request")
        }
    };
    let check = server.tenant().post_bytes("/query", body()).await;
    assert_eq!(check.status, StatusCode::OK, "{}", check.text());
    assert_eq!(check.json()["llm_model"], "stub", "the model is used: {}", check.text());

    // One connection gives the time that the server adds; many give what it sustains. Rounds alternate, so that both
    // sides see the same machine.
    let (mut bare, mut full, mut bare_one, mut full_one) = (vec![], vec![], vec![], vec![]);
    let (mut own, mut postgres, mut asks) = (0.0, 0.0, 0_usize);
    let (mut bare_cpu, mut bare_asks) = (0.0, 0_usize);
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        bare_one.push(load::run(proxy.addr, 1, ROUND, request(proxy.addr)).await);
        full_one.push(load::run(server.addr, 1, ROUND, request(server.addr)).await);
        let before = processor_us(proxy.pid()).0;
        bare.push(load::run(proxy.addr, CONNECTIONS, ROUND, request(proxy.addr)).await);
        bare_cpu += processor_us(proxy.pid()).0 - before;
        bare_asks += bare[round - 1].sent;
        let (before, machine_before) = (processor_us(server.pid()), machine_ticks());
        full.push(load::run(server.addr, CONNECTIONS, ROUND, request(server.addr)).await);
        let (after, machine_after) = (processor_us(server.pid()), machine_ticks());
        (own, postgres) = (own + after.0 - before.0, postgres + after.1 - before.1);
        let idle = share(machine_before, machine_after);
        asks += full[round - 1].sent;
        let rps = |reports: &[Report]| reports.last().map_or(f64::NAN, |report| report.rps);
        eprintln!(
            "  one connection {:.0} and {:.0} a second, {CONNECTIONS} connections {:.0} and {:.0} \
             (meanwhile the processors rested {:.0} % and belonged to others {:.0} %)",
            rps(&bare_one),
            rps(&full_one),
            rps(&bare),
            rps(&full),
            idle.0 * 100.0,
            idle.1 * 100.0,
        );
    }
    let busy = resident_mb(server.pid()).0;
    let (bare, full) = (median(bare), median(full));
    let (bare_one, full_one) = (median(bare_one), median(full_one));
    for (name, report) in [
        ("bare, 1 connection", &bare_one),
        ("server, 1 connection", &full_one),
        ("bare", &bare),
        ("server", &full),
    ] {
        eprintln!("{name:>22}: {:8.0} rps  p50 {:?}  p99 {:?}", report.rps, report.p50, report.p99);
        assert_eq!(report.failed, 0, "{name} had failures");
    }
    let result = json!({
        "rps": full.rps.round(),
        "rps_ratio_to_bare_proxy": (full.rps / bare.rps * 1000.0).round() / 1000.0,
        "added_p50_ms": milliseconds(full_one.p50) - milliseconds(bare_one.p50),
        "p99_ms": milliseconds(full.p99),
        "idle_rss_mb": idle,
        "busy_rss_mb": busy,
        "bare_rps": bare.rps.round(),
        "bare_cpu_us_per_ask": (bare_cpu / bare_asks as f64).round(),
        "server_cpu_us_per_ask": (own / asks as f64).round(),
        "postgres_cpu_us_per_ask": (postgres / asks as f64).round(),
    });
    drop(server);
    println!("RESULT {result}");
}

/// The round in the middle, by answers a second.
fn median(mut rounds: Vec<Report>) -> Report {
    rounds.sort_by(|a, b| a.rps.total_cmp(&b.rps));
    rounds.swap_remove(rounds.len() / 2)
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// What the machine's processors have done so far, in ticks: in all, nothing, and what another machine took of them.
fn machine_ticks() -> [f64; 3] {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> = stat
        .lines()
        .next()
        .map(|line| line.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect())
        .unwrap_or_default();
    let of = |at: usize| ticks.get(at).copied().unwrap_or_default();
    // user, nice, system, idle, waiting for a disk, interrupts, soft interrupts, stolen
    [ticks.iter().take(8).sum(), of(3) + of(4), of(7)]
}

/// The share of the time between that was nothing, and that was stolen.
fn share(before: [f64; 3], after: [f64; 3]) -> (f64, f64) {
    let all = after[0] - before[0];
    ((after[1] - before[1]) / all, (after[2] - before[2]) / all)
}
