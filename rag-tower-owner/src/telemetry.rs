//! What the server tells its operator: log lines on stderr, and Prometheus metrics for their own listener.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use rag_tower::metrics::Metric;
use tokio::time::MissedTickBehavior;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::isolation::CHECKS;
use crate::jobs;
use crate::tools::REASONS;

/// The label of what is not in a closed set.
const OTHER: &str = "other";

/// How often histograms are folded into their buckets; without it they would grow for ever.
const UPKEEP: Duration = Duration::from_secs(5);

/// Every metric of the server, beside those of the library.
const METRICS: &[Metric] = &[
    Metric::histogram(
        "http_server_request_duration_seconds",
        &["method", "route", "status"],
        "From the head of a request to the end of its response's body.",
    ),
    Metric::gauge("http_server_active_requests", &["method", "route"], "Requests in flight."),
    Metric::counter("rag_panics_total", &[], "Requests stopped by a panic in a handler."),
    Metric::counter(
        "rag_feedback_total",
        &["rating"],
        "Opinions on answers; one that is changed counts again.",
    ),
    Metric::counter(
        "rag_handoffs_total",
        &["status", "reason"],
        "Hand-off tickets that came into a state: `new` when they were opened here, the others when the owner moved them here.",
    ),
    Metric::gauge(
        "rag_handoffs_open",
        &["status"],
        "Hand-off tickets that are not closed, of all servers on the database.",
    ),
    Metric::gauge(
        "rag_ingest_jobs",
        &["state"],
        "Files and batches of files that wait to be taken in, or are being taken in.",
    ),
    Metric::histogram(
        "rag_ingest_job_duration_seconds",
        &["kind"],
        "Time to take in a file or a batch of files, or to remove a document, without the wait for its turn.",
    ),
    Metric::counter(
        "rag_ingest_failures_total",
        &["reason"],
        "Files that could not be taken in, and documents that could not be removed.",
    ),
    Metric::gauge(
        "rag_ingest_oldest_queued_seconds",
        &[],
        "For how long the oldest of those that wait has waited.",
    ),
    Metric::gauge(
        "rag_isolation_audit_ok",
        &["check"],
        "1 when the last look showed that tenants are kept apart, by what was looked at.",
    ),
    Metric::gauge(
        "rag_isolation_audit_timestamp_seconds",
        &["check"],
        "When that was; of canaries that have shown nothing yet, when the server started; 0 when they do not ask.",
    ),
    Metric::gauge("rag_alerts_firing", &[], "The owner's alerts that are firing."),
    Metric::counter(
        "rag_alert_deliveries_total",
        &["ok"],
        "Calls of alerts' webhooks, by whether they took it.",
    ),
    Metric::gauge(
        "rag_db_pool_connections",
        &["pool", "state"],
        "Connections to Postgres, by what they are for and whether one is in use.",
    ),
    Metric::gauge("rag_db_pool_max_connections", &["pool"], "How many there may be."),
    Metric::gauge("rag_dependency_up", &["dependency"], "1 when the dependency answers."),
    Metric::gauge("rag_build_info", &["version"], "1, with the version as a label."),
];

/// Upper bounds of latencies, in seconds: from a tool's answer to a slow model's.
const SECONDS: [f64; 15] =
    [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
/// Upper bounds of what the layers themselves take, in seconds.
const OVERHEAD: [f64; 12] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.1, 1.0];
/// Upper bounds of the time that documents take, in seconds: from a note to a manual through a remote embedder.
const INGEST: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];
/// Upper bounds of counts of passages.
const PASSAGES: [f64; 9] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
/// Upper bounds of scores, on whichever scale a source has.
const SCORES: [f64; 14] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 5.0, 10.0, 25.0];
/// Upper bounds of a model's time, in seconds, of that to its first piece and between two, and of its tokens: those that
/// OpenTelemetry's conventions advise.
const MODEL: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_CHUNK: [f64; 16] =
    [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const PER_CHUNK: [f64; 13] = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Libraries that speak up only when something is wrong.
const QUIET: &str = "sqlx=warn,hyper=warn,h2=warn,tower=warn,qdrant_edge=warn,segment=warn";

/// One recorder a process, however many servers it runs.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Sends log lines to stderr, as text or as JSON. A second call changes nothing.
///
/// # Errors
/// [`Failure`] when the filter cannot be understood.
pub(crate) fn logging(filter: &str, json: bool) -> Result<(), Failure> {
    // what libraries tell of their routine is noise, unless it is asked for
    let spelt = if filter.contains('=') { filter.to_owned() } else { format!("{filter},{QUIET}") };
    let filter = EnvFilter::try_new(spelt).map_err(|error| {
        Failure::because(format!("RAG_TOWER_LOG is {filter:?}, which is not a filter"), &error)
            .mend("Expected a level, such as info, or target=level pairs, such as info,rag_tower=debug.")
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // a failure means that there is a subscriber already
    let _ = if json {
        lines.json().try_init()
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        lines.with_ansi(colours).with_target(false).try_init()
    };
    Ok(())
}

/// Installs the recorder of metrics, with histograms in buckets, and makes every series of the library exist.
///
/// # Errors
/// [`Failure`] when another recorder is installed already.
pub(crate) fn metrics() -> Result<PrometheusHandle, Failure> {
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let suffix = |name: &str| Matcher::Suffix(name.to_owned());
    let full = |name: &str| Matcher::Full(name.to_owned());
    let buckets = [
        (suffix("_seconds"), &SECONDS[..]),
        (full("rag_overhead_seconds"), &OVERHEAD[..]),
        (full("rag_ingest_job_duration_seconds"), &INGEST[..]),
        (full("gen_ai_client_operation_duration_seconds"), &MODEL[..]),
        (full("gen_ai_client_operation_time_to_first_chunk_seconds"), &FIRST_CHUNK[..]),
        (full("gen_ai_client_operation_time_per_output_chunk_seconds"), &PER_CHUNK[..]),
        (full("rag_retrieved_passages"), &PASSAGES[..]),
        (full("rag_retrieval_top_score"), &SCORES[..]),
        (full("gen_ai_client_token_usage"), &TOKENS[..]),
    ];
    let mut builder = PrometheusBuilder::new();
    for (metric, bounds) in buckets {
        builder = builder
            .set_buckets_for_metric(metric, bounds)
            .map_err(|error| Failure::because("the metrics' buckets cannot be set", &error))?;
    }
    let handle = builder
        .install_recorder()
        .map_err(|error| Failure::because("metrics cannot be collected", &error))?;
    let handle = RECORDER.get_or_init(|| handle).clone();
    rag_tower::metrics::describe();
    METRICS.iter().for_each(Metric::describe);
    touch();
    Ok(handle)
}

/// Makes the series of the server exist at 0 whose labels are known, so that a rate over the first event is not lost.
fn touch() {
    metrics::gauge!("rag_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::gauge!("rag_alerts_firing").set(0.0);
    metrics::counter!("rag_panics_total").increment(0);
    for ok in ["true", "false"] {
        metrics::counter!("rag_alert_deliveries_total", "ok" => ok).increment(0);
    }
    for check in CHECKS {
        metrics::gauge!("rag_isolation_audit_ok", "check" => check).set(0.0);
        metrics::gauge!("rag_isolation_audit_timestamp_seconds", "check" => check).set(0.0);
    }
    metrics::counter!("rag_isolation_violations_total", "layer" => "canary").increment(0);
    for rating in ["up", "down"] {
        metrics::counter!("rag_feedback_total", "rating" => rating).increment(0);
    }
    for status in ["new", "contacted", "closed"] {
        for reason in [REASONS[0], REASONS[1], OTHER] {
            metrics::counter!("rag_handoffs_total", "status" => status, "reason" => reason).increment(0);
        }
    }
    jobs::touch();
}

/// Counts a ticket that has come into a state.
pub(crate) fn handoff(status: &'static str, reason: &str) {
    let reason = REASONS.into_iter().find(|known| *known == reason).unwrap_or(OTHER);
    metrics::counter!("rag_handoffs_total", "status" => status, "reason" => reason).increment(1);
}

/// What Prometheus reads.
pub(crate) fn exposition(handle: &PrometheusHandle) -> String {
    // the facade's counters hold whole numbers, and this one grows by parts of a dollar
    handle.render().replace("# TYPE rag_cost_usd_total gauge\n", "# TYPE rag_cost_usd_total counter\n")
}

/// Folds histograms into their buckets until it is dropped.
pub(crate) async fn upkeep(handle: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        handle.run_upkeep();
    }
}
