//! The queue of ended asks, and the task that sends their spans.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{Counter, counter};
use prost::Message;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::config::{OtlpConfig, Sampled};
use super::proto::{
    ExportRequest, ExportResponse, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, Span,
};
use super::spans::{Ended, is_sampled};
use crate::error::{Error, Stage};
use crate::tls;
use crate::trace::{TraceRow, TraceTap};

/// How often a batch is tried, and how long it waits before it is tried again: longer each time.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait that a collector may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The most of a collector's answer that is read, in bytes.
const MOST_SAID: usize = 64 * 1024;

/// Sees asks end, and queues their spans. Clones share the queue.
#[derive(Clone)]
pub struct SpanTap {
    asks: mpsc::Sender<Ended>,
    shared: Arc<Shared>,
}

/// The task that sends spans. Dropping it lets the task go on until the last [`SpanTap`] is gone.
#[derive(Debug)]
#[must_use = "spans that are queued at the end are sent by `shutdown`"]
pub struct SpanExporter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    shared: Arc<Shared>,
}

/// What has become of spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanStats {
    /// Taken by the collector.
    pub exported: usize,
    /// Refused by it, or not brought to it.
    pub failed: usize,
    /// Given up before they were sent, the queue being full or the time being up.
    pub dropped: usize,
}

struct Shared {
    sampled: Sampled,
    tenants: bool,
    most: usize,
    /// Spans that wait, those that are being sent included.
    queued: AtomicUsize,
    exported: Count,
    failed: Count,
    dropped: Count,
}

/// A figure and its series.
struct Count(AtomicUsize, Counter);

/// What the task holds.
struct Sending {
    asks: mpsc::Receiver<Ended>,
    /// What goes next.
    batch: Vec<Ended>,
    stop: Option<oneshot::Receiver<()>>,
    config: OtlpConfig,
    client: Client,
    resource: Resource,
    shared: Arc<Shared>,
}

/// Why a batch did not arrive.
enum Refused {
    /// It may arrive later.
    Later(Option<Duration>),
    /// It will not.
    Never,
}

/// Starts to send the spans of what a [`TraceSink`](crate::trace::TraceSink) with this tap sees. Must be called inside a Tokio
/// runtime.
///
/// # Errors
/// [`ErrorKind::Internal`](crate::ErrorKind::Internal) when the HTTP client cannot be made.
#[expect(clippy::disallowed_methods, reason = "the one task of spans; SpanExporter awaits it")]
pub fn spawn_span_exporter(config: OtlpConfig) -> Result<(SpanTap, SpanExporter), Error> {
    let secure = config.endpoint.scheme() == "https";
    let client = Client::builder()
        .tls_backend_preconfigured(tls::config(secure, Stage::Trace)?)
        .default_headers(config.headers.clone())
        // a redirect would carry the headers, and a key among them, to who knows where
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .timeout(config.timeout)
        .build()
        .map_err(|error| Error::internal(Stage::Trace, error))?;
    let (asks, receiver) = mpsc::channel(config.queue);
    let shared = Arc::new(Shared {
        sampled: config.sampled,
        tenants: config.tenants,
        most: config.queue,
        queued: AtomicUsize::new(0),
        exported: Count::new("exported"),
        failed: Count::new("failed"),
        dropped: Count::new("dropped"),
    });
    let (stop, stopped) = oneshot::channel();
    let sending = Sending {
        asks: receiver,
        batch: Vec::new(),
        stop: Some(stopped),
        resource: resource(&config),
        client,
        config,
        shared: Arc::clone(&shared),
    };
    let task = tokio::spawn(sending.run());
    Ok((SpanTap { asks, shared: Arc::clone(&shared) }, SpanExporter { stop, task, shared }))
}

fn resource(config: &OtlpConfig) -> Resource {
    let own = [
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", env!("CARGO_PKG_NAME")),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ];
    let given = config.resource.iter().map(|(key, value)| (&**key, &**value));
    Resource {
        attributes: own.into_iter().chain(given).map(|(key, value)| KeyValue::new(key, value)).collect(),
    }
}

// === impl SpanTap ===

impl TraceTap for SpanTap {
    fn ended(&self, row: &TraceRow) {
        let Self { asks, shared } = self;
        let Sampled { ratio, by_parent } = shared.sampled;
        if !row.channel.counts() || !is_sampled(row, ratio, by_parent) {
            return;
        }
        let ended = Ended::new(row, shared.tenants);
        let spans = ended.len();
        let before = shared.queued.fetch_add(spans, Ordering::AcqRel);
        // an ask with more spans than the queue may hold still goes when there is nothing else
        let fits = before == 0 || before + spans <= shared.most;
        if !fits || asks.try_send(ended).is_err() {
            shared.give_up(spans);
        }
    }
}

impl fmt::Debug for SpanTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanTap").field("stats", &self.shared.view()).finish_non_exhaustive()
    }
}

// === impl SpanExporter ===

impl SpanExporter {
    /// Takes no more spans and sends those that are queued, for at most `grace`. What is left then is dropped.
    pub async fn shutdown(mut self, grace: Duration) -> SpanStats {
        // a task that has ended has nothing to be told
        let _ = self.stop.send(());
        if timeout(grace, &mut self.task).await.is_err() {
            self.task.abort();
            // until it has let go of them
            let _ = (&mut self.task).await;
        }
        self.shared.view()
    }
}

// === impl Shared ===

impl Shared {
    fn view(&self) -> SpanStats {
        SpanStats { exported: self.exported.get(), failed: self.failed.get(), dropped: self.dropped.get() }
    }

    /// So many of a batch have arrived, the rest has not.
    fn settle(&self, spans: usize, arrived: usize) {
        self.queued.fetch_sub(spans, Ordering::AcqRel);
        self.exported.add(arrived);
        self.failed.add(spans - arrived);
    }

    /// So many are not sent.
    fn give_up(&self, spans: usize) {
        self.queued.fetch_sub(spans, Ordering::AcqRel);
        self.dropped.add(spans);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("stats", &self.view()).finish_non_exhaustive()
    }
}

// === impl Count ===

impl Count {
    fn new(result: &'static str) -> Self {
        Self(AtomicUsize::new(0), counter!("rag_otel_spans_total", "result" => result))
    }

    fn add(&self, spans: usize) {
        self.0.fetch_add(spans, Ordering::Relaxed);
        self.1.increment(spans as u64);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Sending ===

impl Sending {
    async fn run(mut self) {
        let mut failing = false;
        while self.fill().await {
            let spans: usize = self.batch.iter().map(Ended::len).sum();
            let sent = self.send().await;
            self.batch.clear();
            match sent {
                Ok(rejected) => {
                    self.shared.settle(spans, spans.saturating_sub(rejected));
                    if failing {
                        tracing::info!("spans reach the collector again");
                    }
                    failing = false;
                }
                Err(why) => {
                    self.shared.settle(spans, 0);
                    if !failing {
                        tracing::warn!(why, "spans do not reach the collector");
                    }
                    failing = true;
                }
            }
        }
    }

    /// Fills the batch with as many as fit, or those that have come in time. False when nothing comes any more.
    async fn fill(&mut self) -> bool {
        let Some(first) = self.ask(None).await else { return false };
        let mut spans = first.len();
        self.batch.push(first);
        let by = Instant::now() + self.config.delay;
        while spans < self.config.batch {
            let Some(ask) = self.ask(Some(by)).await else { break };
            spans += ask.len();
            self.batch.push(ask);
        }
        true
    }

    /// The next that ends; none when nothing comes any more, or when it has not come in time. At the end what is queued is not
    /// waited for: it is there.
    async fn ask(&mut self, by: Option<Instant>) -> Option<Ended> {
        let Self { asks, stop, .. } = self;
        loop {
            let by = by.filter(|_| !asks.is_closed());
            let told = async {
                match &mut *stop {
                    Some(stop) => stop.await.is_ok(),
                    None => pending().await,
                }
            };
            let late = async {
                match by {
                    Some(by) => sleep_until(by).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                ask = asks.recv() => return ask,
                () = late => return None,
                told = told => {
                    *stop = None;
                    // an exporter that is dropped leaves the task to the taps
                    if told {
                        asks.close();
                    }
                }
            }
        }
    }

    /// Brings a batch to the collector; how many spans of it are not taken, or why none is.
    async fn send(&self) -> Result<usize, &'static str> {
        let spans: Vec<Span> = self.batch.iter().flat_map(Ended::spans).collect();
        let scope = Scope { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() };
        let request = ExportRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
            }],
        };
        let body = bytes::Bytes::from(request.encode_to_vec());
        let mut wait = FIRST_WAIT;
        for left in (0..TRIES).rev() {
            match self.post(body.clone()).await {
                Ok(rejected) => return Ok(rejected),
                Err(Refused::Never) => return Err("the collector refuses them"),
                Err(Refused::Later(_)) if left == 0 => break,
                Err(Refused::Later(after)) => {
                    sleep(after.unwrap_or(wait).min(LONGEST_WAIT)).await;
                    wait *= 2;
                }
            }
        }
        Err("the collector is away or overloaded")
    }

    async fn post(&self, body: bytes::Bytes) -> Result<usize, Refused> {
        let sending = self
            .client
            .post(self.config.endpoint.clone())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(body);
        let response = sending.send().await.map_err(|error| {
            tracing::debug!(error = %error.without_url(), "a batch of spans could not be sent");
            Refused::Later(None)
        })?;
        match response.status() {
            status if status.is_success() => Ok(rejected(response).await),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let after =
                    response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
                Err(Refused::Later(after.map(Duration::from_secs)))
            }
            _ => Err(Refused::Never),
        }
    }
}

impl Drop for Sending {
    /// What is left is not sent: the time is up, or the runtime is gone.
    fn drop(&mut self) {
        self.asks.close();
        let queued = std::iter::from_fn(|| self.asks.try_recv().ok());
        let left = self.batch.drain(..).chain(queued).map(|ask| ask.len()).sum();
        self.shared.give_up(left);
    }
}

/// How many spans the collector has taken the batch without.
async fn rejected(mut response: Response) -> usize {
    let mut said = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if said.len() + chunk.len() > MOST_SAID {
            break;
        }
        said.extend_from_slice(&chunk);
    }
    let answer = ExportResponse::decode(&*said).unwrap_or_default();
    answer.partial_success.map_or(0, |part| usize::try_from(part.rejected_spans).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::ask::{AskId, Channel};
    use crate::tenant::TenantId;
    use crate::trace::{Outcome, Span as Stages};

    fn row(stages: usize) -> TraceRow {
        let mut row = TraceRow::new(
            AskId::generate(),
            TenantId::named("a"),
            Outcome::Truncated,
            Duration::from_millis(1),
        );
        let stage = Stages { stage: Stage::Embed, start: Duration::ZERO, duration: Duration::ZERO };
        row.spans = vec![stage; stages];
        row
    }

    fn config(addr: std::net::SocketAddr) -> OtlpConfig {
        OtlpConfig::new(&format!("http://{addr}/v1/traces")).unwrap()
    }

    #[tokio::test]
    async fn a_full_queue_and_a_silent_collector_hold_nobody_up() {
        // takes the connection and says nothing
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = config(listener.local_addr().unwrap()).with_queue(10).with_delay(Duration::ZERO);
        let (tap, exporter) = spawn_span_exporter(config).unwrap();
        for _ in 0..5 {
            tap.ended(&row(3));
        }
        let mut canary = row(3);
        canary.channel = Channel::Canary;
        tap.ended(&canary);
        assert_eq!(tap.shared.view().dropped, 12, "two of four spans each fit");
        let stats = exporter.shutdown(Duration::from_millis(50)).await;
        assert_eq!(stats, SpanStats { exported: 0, failed: 0, dropped: 20 });
        tap.ended(&row(0));
        assert_eq!(tap.shared.view().dropped, 21, "after the end nothing is taken");
        assert_eq!(tap.shared.queued.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn what_a_collector_leaves_out_has_failed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut collector = JoinSet::new();
        collector.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            // the head, and then as many bytes as it says
            let (head, length) = loop {
                seen.push(stream.read_u8().await.unwrap());
                if let Some(head) = seen.strip_suffix(b"\r\n\r\n") {
                    let head = String::from_utf8(head.to_vec()).unwrap().to_ascii_lowercase();
                    let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
                    break (head.clone(), length.parse::<usize>().unwrap());
                }
            };
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let part = super::super::proto::PartialSuccess { rejected_spans: 3 };
            let said = ExportResponse { partial_success: Some(part) }.encode_to_vec();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", said.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.write_all(&said).await.unwrap();
            (head, ExportRequest::decode(&*body).unwrap())
        });
        let (tap, exporter) = spawn_span_exporter(config(addr)).unwrap();
        tap.ended(&row(7));
        let stats = exporter.shutdown(Duration::from_secs(10)).await;
        assert_eq!(stats, SpanStats { exported: 5, failed: 3, dropped: 0 });
        let (head, request) = collector.join_next().await.unwrap().unwrap();
        assert!(head.starts_with("post /v1/traces ") && head.contains("application/x-protobuf"), "{head}");
        assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 8);
    }

    #[tokio::test]
    async fn an_exporter_that_is_dropped_leaves_its_task_to_the_taps() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tap, exporter) = spawn_span_exporter(config(listener.local_addr().unwrap())).unwrap();
        let shared = Arc::clone(&exporter.shared);
        drop(exporter);
        tokio::task::yield_now().await;
        tap.ended(&row(0));
        assert_eq!(shared.view().dropped, 0, "it is still taken");
    }
}
