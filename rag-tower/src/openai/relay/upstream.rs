//! [`Call`] in, a provider's own reply out: the leaf.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use super::super::{Endpoint, refusal};
use super::body::{Reply, ReplyBody};
use super::call::Call;
use super::headers;
use super::metered::{CallMeters, Metered, SharedReading};
use super::patient::Patient;
use crate::admission::Hold;
use crate::error::{Error, ErrorKind, Stage};
use crate::metrics::Labels;
use crate::scoped::Scoped;
use crate::stage::ResponseFuture;

/// A provider that calls are passed on to, with its key in the place of the client's.
///
/// Connections are kept and used again. Of the [`Endpoint`] it takes address, key, name and patience: the time to the
/// first event is that to the reply's head (of a reply that is not streamed, the time to all of it). What is passed and
/// what is not is in the [module](super).
///
/// Each call is measured in `gen_ai_client_operation_duration_seconds`, with an `error_type` when it was refused, failed, cut
/// off or dropped; what the provider reports of tokens in `gen_ai_client_token_usage`; and the pieces of a stream in
/// `gen_ai_client_operation_time_to_first_chunk_seconds` and `gen_ai_client_operation_time_per_output_chunk_seconds`. The
/// labels are the operation, the provider's name, and a model that [`with_labels`](Self::with_labels) knows.
///
/// **Readiness:** always ready. **Cancellation:** dropping the future or the reply closes the connection, which stops the
/// generation. **Panics:** none of its own.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    /// The one that every call is for.
    model: Option<Arc<str>>,
    labels: Labels,
    meters: CallMeters,
}

/// Among a reply's extensions: the provider refused or failed, and said so itself.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    kind: ErrorKind,
    message: Arc<str>,
}

/// As much of a refusal as is passed on, in bytes.
const MOST_REFUSAL: usize = 256 * 1024;
/// How long a refusal's body may take.
const REFUSAL_TIME: Duration = Duration::from_secs(10);
/// A shorter key is no secret, and would be found in any text.
const SHORTEST_SECRET: usize = 8;

// === impl Upstream ===

impl Upstream {
    /// A provider. Nothing is sent yet.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> Self {
        Self::of(endpoint, None, Labels::new())
    }

    /// Sends every call for this model, whichever the client names: for a second provider, which has other models.
    /// Default: the client's.
    #[must_use]
    pub fn with_model(self, model: impl Into<Arc<str>>) -> Self {
        let Inner { endpoint, labels, .. } = &*self.0;
        Self::of(endpoint, Some(model.into()), labels.clone())
    }

    /// The models that may become metric labels, as [`Labels::with_models`] names them: another one that a client names is
    /// `other`, so that no client makes a series. A [model for every call](Self::with_model) is one without being named.
    /// Default: no models.
    #[must_use]
    pub fn with_labels(self, labels: Labels) -> Self {
        let Inner { endpoint, model, .. } = &*self.0;
        Self::of(endpoint, model.clone(), labels)
    }

    fn of(endpoint: &Endpoint, model: Option<Arc<str>>, labels: Labels) -> Self {
        let known = match &model {
            Some(model) => Labels::new().with_models([Arc::clone(model)]),
            None => labels.clone(),
        };
        let meters = CallMeters::new(endpoint.name(), known);
        Self(Arc::new(Inner { endpoint: endpoint.clone(), model, labels, meters }))
    }
}

impl Service<Call> for Upstream {
    type Response = Reply;
    type Error = Error;
    type Future = ResponseFuture<Reply>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let inner = Arc::clone(&self.0);
        ResponseFuture::new(async move { inner.send(call).await })
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("endpoint", &self.0.endpoint)
            .field("model", &self.0.model)
            .finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    /// Passes a call on, and measures it: a future or a reply that is dropped is one that was cancelled.
    async fn send(&self, call: Call) -> Result<Reply, Error> {
        let model = self.model.as_ref().or(call.model());
        let mut meter = self.meters.start(call.operation(), model.map(|model| &**model));
        let reply = self.pass(call).await;
        let refused = match &reply {
            Ok(reply) => reply.extensions().get::<Refused>().map(Refused::kind),
            Err(error) => Some(error.kind()),
        };
        if let (Some(kind), Some(meter)) = (refused, &mut meter) {
            meter.failed(kind);
        }
        let mut reply = reply?;
        if refused.is_none() {
            let reading = SharedReading::of(reply.headers());
            reply.extensions_mut().insert(reading.clone());
            reply = reply.map(|body| body.tap(Metered::new(meter, reading, self.endpoint.name())));
        }
        Ok(reply)
    }

    async fn pass(&self, call: Call) -> Result<Reply, Error> {
        let timer = call.trace().time(Stage::Generate);
        let provider = self.endpoint.name();
        if let Some(model) = self.model.as_ref().or(call.model()) {
            call.trace().set_provider(Arc::clone(provider), Arc::clone(model));
        }
        let request = self.request(&call)?;
        drop(call);
        let response = self.endpoint.send(request, self.endpoint.first_by(), Stage::Generate).await?;
        if !response.status().is_success() {
            return self.refused(response).await;
        }
        let (parts, body) = response.into_parts();
        let patient = Patient::new(body, Arc::clone(provider), self.endpoint.idle());
        Ok(self.reply(&parts, ReplyBody::live(patient)).hold(timer))
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, Error> {
        let body = match &self.model {
            Some(model) => call.body_for(model),
            None => call.body().clone(),
        };
        let mut request = self.endpoint.request(call.method().clone(), call.rest(), body)?;
        let ours = std::mem::replace(request.headers_mut(), headers::to_provider(call.headers()));
        request.headers_mut().extend(ours);
        Ok(request)
    }

    /// What a client gets to see of a provider's head.
    fn reply(&self, parts: &http::response::Parts, body: ReplyBody) -> Reply {
        let mut reply = Response::new(body);
        *reply.status_mut() = parts.status;
        *reply.headers_mut() = headers::to_client(&parts.headers, |value| self.quotes_key(value));
        reply
    }

    /// A status that is not success: the provider's own words, unless they are about our key.
    async fn refused(&self, response: Response<Incoming>) -> Result<Reply, Error> {
        let (parts, body) = response.into_parts();
        let reading = Limited::new(body, MOST_REFUSAL).collect();
        let body = match timeout_at(Instant::now() + REFUSAL_TIME, reading).await {
            Ok(Ok(body)) => Some(body.to_bytes()),
            _ => None,
        };
        let error = refusal::of(
            self.endpoint.name(),
            Stage::Generate,
            (parts.status, &parts.headers),
            body.as_deref().unwrap_or_default(),
            SystemTime::now(),
        );
        let ours = matches!(parts.status.as_u16(), 300..=399 | 401 | 403 | 407);
        match body.filter(|body| !ours && !self.quotes_key(body)) {
            Some(body) => {
                let mut reply = self.reply(&parts, ReplyBody::from(body));
                let refused = Refused { kind: error.kind(), message: error.to_string().into() };
                reply.extensions_mut().insert(refused);
                Ok(reply)
            }
            None => Err(error),
        }
    }

    fn quotes_key(&self, text: &[u8]) -> bool {
        let bearer = self.endpoint.authorization().map_or(&b""[..], HeaderValue::as_bytes);
        let key = bearer.strip_prefix(b"Bearer ").unwrap_or_default();
        key.len() >= SHORTEST_SECRET && text.windows(key.len()).any(|window| window == key)
    }
}

// === impl Refused ===

impl Refused {
    pub(super) fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(super) fn message(&self) -> &Arc<str> {
        &self.message
    }
}
