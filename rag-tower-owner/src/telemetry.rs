//! What the server tells its operator: log lines on stderr, and Prometheus metrics for their own listener.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::MissedTickBehavior;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::isolation::CHECKS;

/// How often histograms are folded into their buckets; without it they would grow for ever.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds of latencies, in seconds: from a tool's answer to a slow model's.
const SECONDS: [f64; 15] =
    [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
/// Upper bounds of what the layers themselves take, in seconds.
const OVERHEAD: [f64; 12] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.1, 1.0];
/// Upper bounds of counts of passages.
const PASSAGES: [f64; 9] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
/// Upper bounds of scores, on whichever scale a source has.
const SCORES: [f64; 14] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 5.0, 10.0, 25.0];
/// Upper bounds of tokens.
const TOKENS: [f64; 10] = [16.0, 64.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 32_768.0, 131_072.0];

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
        (full("gen_ai_client_operation_time_per_output_chunk_seconds"), &SECONDS[..]),
        (full("rag_overhead_seconds"), &OVERHEAD[..]),
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
    metrics::describe_histogram!(
        "http_server_request_duration_seconds",
        metrics::Unit::Seconds,
        "From the head of a request to the end of its response's body, by method, route and status."
    );
    metrics::describe_gauge!("http_server_active_requests", "Requests in flight, by method and route.");
    metrics::describe_gauge!("rag_build_info", "1, with the version as a label.");
    metrics::describe_gauge!("rag_alerts_firing", "The owner's alerts that are firing.");
    metrics::describe_counter!(
        "rag_alert_deliveries_total",
        "Calls of alerts' webhooks, by whether they took it."
    );
    metrics::describe_gauge!(
        "rag_isolation_audit_ok",
        "1 when the last look showed that tenants are kept apart, by what was looked at."
    );
    metrics::describe_gauge!(
        "rag_isolation_audit_timestamp_seconds",
        metrics::Unit::Seconds,
        "When that was; of canaries that have shown nothing yet, when the server started; 0 when they do not ask."
    );
    metrics::describe_gauge!("rag_dependency_up", "1 when the dependency answers.");
    metrics::gauge!("rag_alerts_firing").set(0.0);
    for check in CHECKS {
        metrics::gauge!("rag_isolation_audit_ok", "check" => check).set(0.0);
        metrics::gauge!("rag_isolation_audit_timestamp_seconds", "check" => check).set(0.0);
    }
    metrics::counter!("rag_isolation_violations_total", "layer" => "canary").increment(0);
    metrics::gauge!("rag_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
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
