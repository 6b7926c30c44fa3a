#![doc = include_str!("../README.md")]

mod chat;

use std::convert::Infallible;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use rag_tower::metrics::Labels;
use rag_tower::tenant::{ConstantTenant, ResolveTenantLayer};
use rag_tower::trace::{TraceSink, http::HttpTraceLayer};
use rag_tower::{BoxError, TenantAuthority, TenantId};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::{Service, ServiceBuilder, service_fn};

const SECONDS: [f64; 7] = [0.001, 0.005, 0.01, 0.05, 0.1, 1.0, 10.0];

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // first the exporter, then the layers, which look their series up once
    let buckets = Matcher::Suffix("_seconds".to_owned());
    let exporter = PrometheusBuilder::new().set_buckets_for_metric(buckets, &SECONDS)?.install_recorder()?;
    rag_tower::metrics::describe();
    let labels = Labels::new().with_routes(["chat"]).with_models([chat::MODEL]);
    labels.touch();

    let chat = ServiceBuilder::new()
        // counts and times each request to the end of its answer; its row goes nowhere
        .layer(HttpTraceLayer::new(TraceSink::discarding()).with_labels(labels))
        // everybody is the one tenant that there is
        .layer(ResolveTenantLayer::new(TenantAuthority::new(), ConstantTenant::new(TenantId::named("us"))))
        // the service as it was
        .service(service_fn(chat::chat));
    let page = exporter.clone();
    let metrics = service_fn(move |_: Request<Incoming>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(page.render()))))
    });

    let (public, private) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    writeln!(std::io::stdout(), "metrics on http://{}/metrics", private.local_addr()?)?;
    writeln!(std::io::stdout(), "listening on http://{}", public.local_addr()?)?;
    let mut upkeep = tokio::time::interval(Duration::from_secs(5));
    let mut servers = JoinSet::new();
    servers.spawn(serve(public, chat));
    servers.spawn(serve(private, metrics));
    let mut end = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            _ = upkeep.tick() => exporter.run_upkeep(), // without it histograms grow
            _ = &mut end => return Ok(()),
        }
    }
}

/// Serves HTTP/1 until it is dropped.
async fn serve<S, B>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else { continue };
        let service = TowerToHyperService::new(service.clone());
        connections.spawn(http.serve_connection(TokioIo::new(stream), service));
    }
}
