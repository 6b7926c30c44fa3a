//! The layer and its service.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::future::HttpTraceFuture;
use crate::ask::{AskId, Channel};
use crate::metrics::Labels;
use crate::tenant::TenantScope;
use crate::trace::guard::Guard;
use crate::trace::meter::Meter;
use crate::trace::{Entry, Parent, Prices, TraceHandle, TraceSink};

/// Writes one [`TraceRow`](crate::trace::TraceRow) per HTTP request. See the [module](super).
#[derive(Clone, Debug)]
pub struct HttpTraceLayer {
    sink: TraceSink,
    meter: Arc<Meter>,
    channel: Channel,
}

/// The service of [`HttpTraceLayer`].
#[derive(Clone, Debug)]
pub struct HttpTrace<S> {
    inner: S,
    layer: HttpTraceLayer,
}

/// The header with the caller's own id for a request.
const REQUEST_ID: &str = "x-request-id";
/// The longest request id that is kept, in bytes.
const MAX_REQUEST_ID: usize = 128;

// === impl HttpTraceLayer ===

impl HttpTraceLayer {
    /// A layer that hands rows to `sink`.
    #[must_use]
    pub fn new(sink: TraceSink) -> Self {
        Self { sink, meter: Arc::default(), channel: Channel::default() }
    }

    /// Names the routes and models that may become metric labels. Default: none, so that each one counts as `other`.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.meter = Arc::new(Meter::new(labels, self.meter.prices().clone()));
        self
    }

    /// The prices by which `rag_cost_usd_total` counts asks whose cost nobody has set. The row stays as it is: its store prices
    /// it. Default: none, so that tokens of models count as unpriced.
    #[must_use]
    pub fn with_prices(mut self, prices: Prices) -> Self {
        self.meter = Arc::new(Meter::new(self.meter.labels().clone(), prices));
        self
    }

    /// The channel of requests whose handler names none. Default: [`Channel::Api`].
    #[must_use]
    pub fn with_channel(mut self, channel: Channel) -> Self {
        self.channel = channel;
        self
    }
}

impl<S> Layer<S> for HttpTraceLayer {
    type Service = HttpTrace<S>;

    fn layer(&self, inner: S) -> HttpTrace<S> {
        HttpTrace { inner, layer: self.clone() }
    }
}

// === impl HttpTrace ===

impl<S, B, R> Service<Request<B>> for HttpTrace<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<super::TracedBody<R>>;
    type Error = S::Error;
    type Future = HttpTraceFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let HttpTraceLayer { sink, meter, channel } = &self.layer;
        let handle = request.extensions().get::<TraceHandle>().cloned().unwrap_or_default();
        if let Some(parent) = Parent::of(request.headers()) {
            handle.set_parent(parent);
        }
        let id = AskId::generate();
        let entry =
            Entry { channel: *channel, request_id: request_id(request.headers()), ..Entry::default() };
        let scope = request.extensions().get::<TenantScope>().cloned();
        let mut guard = Guard::new(sink, meter, handle.clone(), id, scope, entry);
        if guard.writes() {
            handle.with(|facts| facts.id = Some(id));
            request.extensions_mut().insert(handle);
        }
        let head = request.method() == Method::HEAD;
        let inner = &mut self.inner;
        let running = guard.watch(|| inner.call(request));
        HttpTraceFuture::new(running, guard, head)
    }
}

/// The caller's id, when it is short and of visible ASCII: it goes into logs and rows.
fn request_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let fits = !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| id.into())
}
