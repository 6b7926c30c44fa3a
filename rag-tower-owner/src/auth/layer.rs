//! Request → the same request with an [`OwnerScope`](super::OwnerScope) among its extensions, or a problem.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use rag_tower::http::Problem;
use tower_layer::Layer;
use tower_service::Service;

use super::session::{MemorySessions, OwnerSessions};
use super::settings::OwnerAuth;

/// Lets the owner past and nobody else.
///
/// - **Order**: outside everything that only the owner may see, and outside everything that reads bodies.
/// - **Readiness**: the inner service's.
/// - **Cancellation**: dropping the future drops the check and the request.
/// - **Panics**: none of its own.
/// - **Errors**: its refusals are problems: 401 without a live session, 403 for a request from another site that would
///   change something, 503 when sessions cannot be looked up. The inner service's errors pass.
#[derive(Debug)]
pub struct OwnerAuthLayer<S = MemorySessions> {
    auth: OwnerAuth<S>,
}

/// The service of an [`OwnerAuthLayer`].
#[derive(Debug)]
pub struct OwnerAuthService<I, S = MemorySessions> {
    inner: I,
    auth: OwnerAuth<S>,
}

/// The future of an [`OwnerAuthService`].
#[must_use = "futures do nothing unless polled"]
pub struct OwnerAuthFuture<T, E>(Pin<Box<dyn Future<Output = Result<T, E>> + Send>>);

// === impl OwnerAuthLayer ===

impl<S> OwnerAuthLayer<S> {
    /// A layer over shared settings and sessions.
    #[must_use]
    pub fn new(auth: OwnerAuth<S>) -> Self {
        Self { auth }
    }
}

impl<S> Clone for OwnerAuthLayer<S> {
    fn clone(&self) -> Self {
        Self { auth: self.auth.clone() }
    }
}

impl<I, S> Layer<I> for OwnerAuthLayer<S> {
    type Service = OwnerAuthService<I, S>;

    fn layer(&self, inner: I) -> Self::Service {
        OwnerAuthService { inner, auth: self.auth.clone() }
    }
}

// === impl OwnerAuthService ===

impl<I, S, B, RB> Service<Request<B>> for OwnerAuthService<I, S>
where
    I: Service<Request<B>, Response = Response<RB>, Future: Send> + Clone + Send + 'static,
    S: OwnerSessions,
    B: Send + 'static,
    RB: From<Bytes>,
{
    type Response = Response<RB>;
    type Error = I::Error;
    type Future = OwnerAuthFuture<Response<RB>, I::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let auth = self.auth.clone();
        OwnerAuthFuture(Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match auth.authorise(&parts).await {
                Ok(scope) => parts.extensions.insert(scope),
                Err(error) => return Ok(Problem::from(error).into_response()),
            };
            inner.call(Request::from_parts(parts, body)).await
        }))
    }
}

impl<I: Clone, S> Clone for OwnerAuthService<I, S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), auth: self.auth.clone() }
    }
}

// === impl OwnerAuthFuture ===

impl<T, E> Future for OwnerAuthFuture<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T, E> fmt::Debug for OwnerAuthFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerAuthFuture")
    }
}
