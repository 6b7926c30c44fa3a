//! An OpenTelemetry collector that keeps what it is sent, as OpenTelemetry's own types read it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::http::DEADLINE;

/// The running collector; dropping it closes it.
pub struct Collector {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// Aborted when dropped.
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    /// What the next requests get in place of 200.
    refusals: Mutex<VecDeque<StatusCode>>,
    received: Mutex<Vec<ResourceSpans>>,
    headers: Mutex<Vec<HeaderMap>>,
    changed: Notify,
}

// === impl Collector ===

impl Collector {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound address");
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.expect("the collector serves") });
        Self { addr, shared, _server: server }
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` takes.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Refuses the next requests so.
    pub fn refuse(&self, statuses: impl IntoIterator<Item = StatusCode>) {
        lock(&self.shared.refusals).extend(statuses);
    }

    /// The headers of each request so far.
    #[must_use]
    pub fn headers(&self) -> Vec<HeaderMap> {
        lock(&self.shared.headers).clone()
    }

    /// Every span so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let all = self.batches();
        all.into_iter().flat_map(|batch| batch.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// What came so far, by request.
    #[must_use]
    pub fn batches(&self) -> Vec<ResourceSpans> {
        lock(&self.shared.received).clone()
    }

    /// Waits until it has been asked so often; panics when that takes too long.
    pub async fn wait_for_requests(&self, n: usize) {
        self.wait(|| self.headers().len() >= n).await;
    }

    /// The spans of the ask with this id, once its own has come; panics when that takes too long.
    pub async fn ask(&self, id: &str) -> Vec<Span> {
        let of = |span: &&Span| text(&span.attributes, "rag.ask.id").as_deref() == Some(id);
        self.wait(|| self.spans().iter().any(|span| of(&span))).await;
        let all = self.spans();
        let root = all.iter().find(of).expect("it has come").clone();
        let below = all.into_iter().filter(|span| span.parent_span_id == root.span_id);
        let below: Vec<Span> = below.collect();
        [vec![root], below].concat()
    }

    async fn wait(&self, done: impl Fn() -> bool) {
        let waiting = async {
            loop {
                let changed = self.shared.changed.notified();
                if done() {
                    return;
                }
                changed.await;
            }
        };
        timeout(DEADLINE, waiting).await.expect("the collector should have got more");
    }
}

/// The value of an attribute.
#[must_use]
pub fn value(attributes: &[KeyValue], key: &str) -> Option<Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.clone()?.value
}

/// The value of an attribute that is text.
#[must_use]
pub fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    match value(attributes, key)? {
        Value::StringValue(text) => Some(text),
        other => panic!("{key} is no text: {other:?}"),
    }
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let refused = lock(&shared.refusals).pop_front();
    if refused.is_none() {
        let request = ExportTraceServiceRequest::decode(body).expect("what OpenTelemetry calls a request");
        lock(&shared.received).extend(request.resource_spans);
    }
    lock(&shared.headers).push(headers);
    shared.changed.notify_waiters();
    refused.unwrap_or(StatusCode::OK)
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
