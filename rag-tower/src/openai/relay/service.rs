//! `http::Request` in, [`Call`] out; a [`Reply`] in, `http::Response` out.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::ALLOW;
use http::{Request, Response};
use http_body::Body;
use tower::ServiceExt;
use tower_layer::Layer;
use tower_service::Service;

use super::body::{Reply, ReplyBody};
use super::call::{Call, NotServed, Operation};
use crate::error::{BoxError, Error};
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
#[derive(Clone, Copy, Debug)]
pub struct RelayLayer {
    limits: Limits,
}

/// The service of [`RelayLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Relay<S> {
    inner: S,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    body_bytes: usize,
    body_time: Duration,
}

/// The future of [`Relay`].
#[must_use = "futures do nothing unless polled"]
pub struct RelayFuture(Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>);

// === impl RelayLayer ===

impl RelayLayer {
    /// Bodies of at most 16 MiB, within 30 seconds.
    #[must_use]
    pub fn new() -> Self {
        Self { limits: Limits { body_bytes: 16 * 1024 * 1024, body_time: Duration::from_secs(30) } }
    }

    /// Refuses longer bodies with 413. Default: 16 MiB, which is room for some pictures. Each call in flight may hold as much.
    #[must_use]
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.limits.body_bytes = bytes;
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
        Relay { inner, limits: self.limits }
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
        let (inner, limits) = (self.inner.clone(), self.limits);
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
    let body = match read_within(body, &parts.headers, limits.body_bytes, limits.body_time).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let call = Call::new((scope, trace.clone()), operation, parts, body);
    match inner.oneshot(call).await {
        Ok(reply) => reply,
        Err(error) => {
            trace.with(|facts| {
                facts.outcome = Some(Outcome::Failed(error.kind(), error.stage()));
                facts.error = Some(error.to_string().into());
            });
            Problem::from(error).into_response()
        }
    }
}

fn refuse(not_served: NotServed) -> Response<ReplyBody> {
    let allowed = not_served.allowed();
    let mut response = Problem::from(not_served).into_response();
    if let Some(method) = allowed {
        response.headers_mut().insert(ALLOW, method);
    }
    response
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
