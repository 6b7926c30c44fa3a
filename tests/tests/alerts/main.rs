//! What operators are told: a real server is brought to what an alert is for, and a real Prometheus with the repository's rules
//! tells it. An hour of the rules is a minute here, so that nobody waits an hour for an alert that waits one.
//!
//! `promtool test rules` (`grafana/rules/tests`) shows for each alert when it fires and when it does not, and what it says; here
//! it is the conditions that are real. At first no alert fires; then a test goes on with what it does until all of its alerts have.

mod callers;
mod documents;
mod isolation;
mod models;
mod stores;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rag_tower_tests::http::{Answer, Client};
use rag_tower_tests::prometheus::{Prometheus, files, now};
use rag_tower_tests::server::{Server, Setup};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
/// What waits an hour waits a minute; the servers of other tests may be slow meanwhile.
const PATIENCE: Duration = Duration::from_secs(240);

/// What no server is brought to here, and why: these are shown by `promtool` alone.
const NOT_HERE: [(&str, &str); 5] = [
    ("HandlerPanicked", "no handler panics"),
    ("WebSocketsRefused", "5,000 connections of six tenants, and the demo has two"),
    ("TraceJournalFull", "1.7 GB of rows"),
    ("TraceRowsDropped", "16,384 rows on a full disk, and without Postgres, which is on it, nobody may ask"),
    ("TraceJournalTorn", "counted as a server starts, which has another address then, and so a new series"),
];

/// A server, and Prometheus before it.
struct Watched {
    server: Server,
    prometheus: Prometheus,
    /// When no alert was firing.
    quiet: f64,
}

// === impl Watched ===

impl Watched {
    async fn start(setup: Setup) -> Self {
        let server = setup.env("RATE_LIMIT_PER_MINUTE", "60000").start();
        Self::watch(server).await
    }

    async fn watch(server: Server) -> Self {
        let prometheus = Prometheus::quick(server.metrics).await;
        prometheus.scrapes(2).await;
        // before it looked for the first time there was no server
        prometheus.until("silence", Prometheus::is_quiet).await;
        Self { server, quiet: now(), prometheus }
    }

    /// Does it again and again, until each of the alerts has fired.
    async fn until(&self, alerts: &[&str], act: impl AsyncFnMut(usize)) {
        until(&self.prometheus, self.quiet, alerts, act).await;
    }
}

/// Does it again and again, until Prometheus has told each of the alerts since then.
async fn until(prometheus: &Prometheus, since: f64, alerts: &[&str], mut act: impl AsyncFnMut(usize)) {
    let end = Instant::now() + PATIENCE;
    for n in 0.. {
        let mut missing = Vec::new();
        for alert in alerts {
            if !prometheus.fired(alert, since).await {
                missing.push(*alert);
            }
        }
        if missing.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "{missing:?} did not fire");
        act(n).await;
    }
}

/// Half a second passes: time is what alerts are about.
async fn wait() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

async fn ask(client: &Client, question: &str) -> Answer {
    client.post("/query", &json!({"question": question, "channel": "web"})).await
}

/// Each alert of the rules has its place: in a test, or among those that no test can cause.
#[test]
fn every_alert_is_caused_by_a_test_or_there_is_a_reason() {
    let mut here = BTreeSet::new();
    let caused =
        [callers::ALERTS, documents::ALERTS, isolation::ALERTS, models::ALERTS, stores::ALERTS].concat();
    for alert in caused.into_iter().flatten().chain(NOT_HERE.iter().map(|(alert, _)| alert)) {
        let name = alert.split('{').next().unwrap();
        assert!(here.insert(name.to_owned()), "{name} twice");
    }
    let rules =
        files("rules", "yml").iter().map(|file| std::fs::read_to_string(file).unwrap()).collect::<String>();
    let all: BTreeSet<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    assert_eq!(here, all);
}
