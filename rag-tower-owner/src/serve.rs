//! `serve`: everything up, in order; then everything down, in order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use http::{HeaderValue, StatusCode, Version, header};
use metrics_exporter_prometheus::PrometheusHandle;
use rag_tower::postgres::Upkeep;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::alerts;
use crate::app::{self, App};
use crate::banner::Banner;
use crate::config::Config;
use crate::data_dir::{Announced, DataDir};
use crate::demo_data::{self, Desk};
use crate::failure::Failure;
use crate::gauges;
use crate::isolation;
use crate::partitions;
use crate::platform::Platform;
use crate::prices;
use crate::rollups;
use crate::secrets::{OwnerSecret, Secrets};
use crate::shared::Shared;
use crate::telemetry;

/// How long answers in flight may go on after the first signal.
const DRAIN: Duration = Duration::from_secs(20);
/// How long the trace writer may take after that.
const WRITER_GRACE: Duration = Duration::from_secs(5);

/// Runs the server until a signal stops it.
///
/// Down, after the first SIGINT or SIGTERM: not ready; go on answering for `RAG_TOWER_STOP_DELAY`, and say with each answer that
/// the connection ends with it; stop accepting, and close WebSockets on which nothing is answered; let answers in flight end,
/// for at most 20 s, and close the other WebSockets; remove what the canaries have; deliver what the trace writer holds; fold
/// the rollups; flush the vector index; close the database; stop the private cluster. A second signal skips to the end.
pub(crate) async fn serve(config: Config) -> Result<(), Failure> {
    let began = Instant::now();
    let metrics = telemetry::metrics()?;
    let data = DataDir::open(&config.data)?;
    let lock = data.lock("serve")?;
    let secrets = Secrets::load(&config, &data)?;
    let owner = OwnerSecret::load(&config, &data)?;
    // taken before anything slow is started
    let listener = bind("RAG_TOWER_ADDR", config.addr).await?;
    let metrics_listener = bind("RAG_TOWER_METRICS_ADDR", config.metrics_addr).await?;
    let addresses = (address(&listener, config.addr), address(&metrics_listener, config.metrics_addr));

    let (stop, stopping) = watch::channel(false);
    let ready = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    tasks.spawn(telemetry::upkeep(metrics.clone()));
    tasks.spawn(serve_metrics(metrics_listener, metrics, Arc::clone(&ready)));

    let mut signals = Signals::new()?;
    let up = async {
        let shared = Shared::open(&config).await?;
        let platform = Platform::start_with(&config, &data, shared).await?;
        let demo = platform.fill(&config, &secrets).await?;
        let (desk, orders) = Desk::new();
        let app = App::new(&config, (&secrets, &owner), &platform, (demo, desk))?;
        Ok::<_, Failure>((platform, app, orders))
    };
    let (platform, app, orders) = tokio::select! {
        up = up => up?,
        () = signals.next() => return Ok(()),
    };

    tasks.spawn(rollups::keep_folded(platform.rollups.clone(), stopping.clone()));
    tasks.spawn(demo_data::work_at(orders, platform.aside.clone(), stopping.clone()));
    let prices = prices::keep_priced(platform.price_store.clone(), platform.prices.clone());
    tasks.spawn(until(stopping.clone(), prices));
    let upkeep = Upkeep::new().keep_days(config.trace_retention);
    tasks.spawn(until(stopping.clone(), partitions::keep_partitions(platform.partitions.clone(), upkeep)));
    tasks.spawn(until(stopping.clone(), alerts::keep_watching(app.owner.clone(), app.webhooks.clone())));
    let banner = Banner::new(&config, (&secrets, &owner), addresses, app.demo.as_ref(), began.elapsed());
    let announced = Announced { address: reachable(addresses.0), key: app.operator.secret().clone() };
    let (closing, sockets) = (app.closing.clone(), app.sockets.clone());
    let isolation = Arc::clone(&app.isolation);
    tasks.spawn(until(stopping.clone(), isolation::keep_proven(Arc::clone(&isolation))));
    let app = Arc::new(app);
    let pools = [("asks", &platform.database), ("background", &platform.aside), ("owner", &platform.owners)];
    let pools = pools.map(|(pool, database)| (pool, database.clone()));
    // once before anybody can ask for it
    gauges::sample(&app, &pools).await;
    tasks.spawn(until(stopping.clone(), gauges::keep_sampled(Arc::clone(&app), pools)));
    let router = app::build(app).layer(from_fn_with_state(Arc::clone(&ready), leave));
    let server =
        axum::serve(listener.tap_io(no_delay), router.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(told(stopping));
    let mut server = pin!(async { server.await });
    lock.announce(&announced)?;
    // before it says so: who reads that it is up may ask whether it is ready at once
    ready.store(true, Ordering::Release);
    banner.print()?;

    let ended = tokio::select! {
        ended = &mut server => Some(ended),
        () = signals.next() => None,
    };
    ready.store(false, Ordering::Release);
    if let Some(ended) = ended {
        return ended.map_err(|error| Failure::because("the server stopped", &error));
    }
    tracing::info!("stopping: answers in flight may end; a second signal stops at once");
    let down = async {
        let goes_on = tokio::time::timeout(config.stop_delay, &mut server).await.is_err();
        let _ = stop.send(true);
        closing.cancel();
        let answering = async { !goes_on || tokio::time::timeout(DRAIN, server).await.is_ok() };
        if tokio::join!(answering, sockets.leave(DRAIN)) != (true, true) {
            tracing::warn!("some answers were still in flight after {DRAIN:?}");
        }
        isolation.leave().await;
        platform.stop(WRITER_GRACE).await;
    };
    tokio::select! {
        () = down => {}
        () = signals.next() => tracing::warn!("stopped at once"),
    }
    tasks.shutdown().await;
    drop(lock);
    Ok(())
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

// === impl Signals ===

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::because("signals cannot be received", &error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

async fn bind(name: &str, addr: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(addr).await.map_err(|error| {
        let port = addr.port().checked_add(1).unwrap_or(0);
        let other = SocketAddr::new(addr.ip(), port);
        let mend = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("Another program has it. Stop that one, or choose another address: {name}={other}")
            }
            std::io::ErrorKind::PermissionDenied => {
                format!("Ports below 1024 need more rights. Choose another address: {name}=127.0.0.1:8080")
            }
            _ => format!("Set {name} to an address of this machine."),
        };
        Failure::because(format!("{addr} cannot be listened on"), &error).mend(mend)
    })
}

/// Port 0 asks the system for a free one: this is which.
fn address(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

/// Where this machine reaches a listener: one on every address is on this machine's own too.
pub(crate) fn reachable(mut listener: SocketAddr) -> SocketAddr {
    match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listener.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listener.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listener
}

/// Pieces of an answer go out at once, each.
fn no_delay(stream: &mut tokio::net::TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
}

/// Once the server is not ready, each answer says that its connection ends with it: none is idle when the server goes, so that
/// no caller sends a question into a connection that is just being closed. HTTP/2 says that by itself.
async fn leave(State(ready): State<Arc<AtomicBool>>, request: Request, next: Next) -> Response {
    let version = request.version();
    let mut response = next.run(request).await;
    if version < Version::HTTP_2
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
        && !ready.load(Ordering::Acquire)
    {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn told(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// A job that may be dropped wherever it is when the server stops.
async fn until(stopping: watch::Receiver<bool>, job: impl Future<Output = ()>) {
    tokio::select! {
        () = job => {}
        () = told(stopping) => {}
    }
}

/// `/metrics`, `/livez` and `/readyz`, and nothing else.
async fn serve_metrics(listener: TcpListener, metrics: PrometheusHandle, ready: Arc<AtomicBool>) {
    let exposition = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let readiness = move || {
        let ready = ready.load(Ordering::Acquire);
        async move {
            if ready { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
        }
    };
    let router = Router::new()
        .route("/metrics", get(move || async move { (exposition, telemetry::exposition(&metrics)) }))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readiness));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the metrics listener stopped");
    }
}
