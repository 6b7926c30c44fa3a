//! `/metrics` for Prometheus, on a listener of its own, where `GATEWAY_METRICS_ADDR` asks for it.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::settings::{Problem, announce, optional};

/// Upper bounds of latencies, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];
/// Upper bounds of what the layers themselves take, in seconds.
const OVERHEAD: [f64; 8] = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1];
/// Upper bounds of a call's tokens.
const TOKENS: [f64; 10] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0];
/// How often histograms are folded into their buckets; without it they would grow until somebody reads them.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves what the layers record, for as long as what it gives is kept. To be called before the stack is built: a layer
/// looks its series up once.
pub(crate) async fn serve() -> Result<JoinSet<()>, Problem> {
    let mut tasks = JoinSet::new();
    let Some(addr) = optional("GATEWAY_METRICS_ADDR")? else { return Ok(tasks) };
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("rag_overhead_seconds".to_owned()), &OVERHEAD)?
        .set_buckets_for_metric(Matcher::Full("gen_ai_client_token_usage".to_owned()), &TOKENS)?
        .install_recorder()?;
    rag_tower::metrics::describe();
    let listener = TcpListener::bind(addr).await?;
    announce("metrics on", listener.local_addr()?, "/metrics")?;
    tasks.spawn(upkeep(metrics.clone()));
    tasks.spawn(async move {
        let app = Router::new().route("/metrics", get(move || std::future::ready(metrics.render())));
        drop(axum::serve(listener, app).await);
    });
    Ok(tasks)
}

async fn upkeep(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}
