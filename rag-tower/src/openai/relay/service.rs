//! `http::Request` in, [`Call`] out; a [`Reply`] in, `http::Response` out.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::ALLOW;
use http::{Request, Response};
use http_body::{Body, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;
use tower_layer::Layer;
use tower_service::Service;

use super::body::{Reply, ReplyBody};
use super::call::{Call, NotServed, Operation};
use crate::error::{BoxError, Error, ErrorKind, Stage};
use crate::http::{Problem, read_within};
use crate::tenant::{AuthFailure, TenantScope};
use crate::trace::{Outcome, TraceHandle};

/// The border between HTTP and calls: says what is served, reads the body within its limits, and takes the scope that a
/// [`ResolveTenantLayer`](crate::tenant::ResolveTenantLayer) has put among the extensions. Without one the answer is 401.
///
/// A [`TraceHandle`] among the extensions is joined; an error from inside is put on it, and becomes a
/// [`Problem`](crate::http::Problem).
///
/// - **Order**: innermost of the HTTP plane.
/// - **Readiness**: always ready; the inner service's is awaited inside the future, on a clone.
/// - **Cancellation**: dropping the future or the body drops the call, which closes the connection to the provider.
/// - **Panics**: pass through.
/// - **Errors**: none: whatever fails before a reply exists is a problem with its status. A reply that fails later ends with
///   an error of its body, as the provider's own connection did.
#[derive(Clone, Debug)]
pub struct RelayLayer {
    limits: Limits,
}

/// The service of [`RelayLayer`].
#[derive(Clone, Debug)]
pub struct Relay<S> {
    inner: S,
    limits: Limits,
}

#[derive(Clone, Debug)]
struct Limits {
    body_bytes: usize,
    body_time: Duration,
    /// Room for all bodies together, in KiB.
    room: Arc<Semaphore>,
}

/// Until there may be room again.
const ROOM_AGAIN: Duration = Duration::from_secs(1);

/// The future of [`Relay`].
#[must_use = "futures do nothing unless polled"]
pub struct RelayFuture(Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>);

// === impl RelayLayer ===

impl RelayLayer {
    /// Bodies of at most 16 MiB each and 256 MiB together, within 30 seconds.
    #[must_use]
    pub fn new() -> Self {
        let (body_bytes, body_time) = (16 * 1024 * 1024, Duration::from_secs(30));
        Self { limits: Limits { body_bytes, body_time, room: room(256 * 1024 * 1024) } }
    }

    /// Refuses longer bodies with 413. Default: 16 MiB, which is room for some pictures.
    #[must_use]
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.limits.body_bytes = bytes;
        self
    }

    /// The most memory for the bodies of all calls in flight: a body is read before the limits inside are asked, and is kept
    /// until its call has been answered. Beyond it a call is refused with 503. One that does not say how long it is takes as
    /// much as the longest may. Default: 256 MiB. Services that are made from then on share it.
    #[must_use]
    pub fn with_room(mut self, bytes: usize) -> Self {
        self.limits.room = room(bytes);
        self
    }

    /// Refuses bodies that take longer with 408. Default: 30 seconds.
    #[must_use]
    pub fn with_body_timeout(mut self, time: Duration) -> Self {
        self.limits.body_time = time;
        self
    }
}

impl Default for RelayLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for RelayLayer {
    type Service = Relay<S>;

    fn layer(&self, inner: S) -> Relay<S> {
        Relay { inner, limits: self.limits.clone() }
    }
}

// === impl Relay ===

impl<S, B> Service<Request<B>> for Relay<S>
where
    S: Service<Call, Response = Reply, Error = Error, Future: Send> + Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = RelayFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> RelayFuture {
        let (inner, limits) = (self.inner.clone(), self.limits.clone());
        RelayFuture(Box::pin(async move { Ok(handle(inner, limits, request).await) }))
    }
}

async fn handle<S, B>(inner: S, limits: Limits, request: Request<B>) -> Reply
where
    S: Service<Call, Response = Reply, Error = Error, Future: Send> + Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let (mut parts, body) = request.into_parts();
    let Some(scope) = parts.extensions.remove::<TenantScope>() else {
        return Problem::from(AuthFailure::Missing.refuse()).into_response();
    };
    let trace = parts.extensions.remove::<TraceHandle>().unwrap_or_default();
    let operation = match Operation::of(&parts.method, parts.uri.path()) {
        Ok(operation) => operation,
        Err(not_served) => return refuse(not_served),
    };
    let Some(room) = limits.make_room(&body.size_hint()) else {
        let full = "the server is reading as much as it may; try again in a second";
        let error = Error::new(ErrorKind::Overloaded, Stage::Http).with_message(full);
        return failed(&trace, error.with_retry_after(ROOM_AGAIN));
    };
    let body = match read_within(body, &parts.headers, limits.body_bytes, limits.body_time).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let call = Call::new((scope, trace.clone()), operation, parts, (body, room));
    match inner.oneshot(call).await {
        Ok(reply) => reply,
        Err(error) => failed(&trace, error),
    }
}

fn failed(trace: &TraceHandle, error: Error) -> Reply {
    trace.with(|facts| {
        facts.outcome = Some(Outcome::Failed(error.kind(), error.stage()));
        facts.error = Some(error.to_string().into());
    });
    Problem::from(error).into_response()
}

fn refuse(not_served: NotServed) -> Response<ReplyBody> {
    let allowed = not_served.allowed();
    let mut response = Problem::from(not_served).into_response();
    if let Some(method) = allowed {
        response.headers_mut().insert(ALLOW, method);
    }
    response
}

fn room(bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((bytes / 1024).min(Semaphore::MAX_PERMITS)))
}

// === impl Limits ===

impl Limits {
    /// Room for a body, as long as it says or as long as it may be.
    fn make_room(&self, length: &SizeHint) -> Option<OwnedSemaphorePermit> {
        let most = self.body_bytes as u64;
        let length = length.upper().unwrap_or(most).min(most);
        let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(kib).ok()
    }
}

// === impl RelayFuture ===

impl Future for RelayFuture {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for RelayFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayFuture")
    }
}
