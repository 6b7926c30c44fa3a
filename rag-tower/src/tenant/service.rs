//! The service of [`ResolveTenantLayer`](super::ResolveTenantLayer).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;

use super::{ResolveTenant, TenantAuthority};
use crate::http::Problem;
use crate::trace::TraceHandle;

/// Resolves the tenant of each request before the inner service sees it.
pub struct ResolveTenantService<S, R> {
    inner: S,
    shared: Arc<(TenantAuthority, R)>,
}

/// The future of a [`ResolveTenantService`].
#[must_use = "futures do nothing unless polled"]
pub struct ResolveTenantFuture<T, E>(Pin<Box<dyn Future<Output = Result<T, E>> + Send>>);

// === impl ResolveTenantService ===

impl<S, R> ResolveTenantService<S, R> {
    pub(super) fn new(inner: S, shared: Arc<(TenantAuthority, R)>) -> Self {
        Self { inner, shared }
    }
}

impl<S, R, B, RB> Service<Request<B>> for ResolveTenantService<S, R>
where
    S: Service<Request<B>, Response = Response<RB>, Future: Send> + Clone + Send + 'static,
    R: ResolveTenant,
    B: Send + 'static,
    RB: From<Bytes>,
{
    type Response = Response<RB>;
    type Error = S::Error;
    type Future = ResolveTenantFuture<Response<RB>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let shared = Arc::clone(&self.shared);
        ResolveTenantFuture(Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let (authority, resolver) = &*shared;
            let grant = match resolver.resolve(&parts).await {
                Ok(grant) => grant,
                Err(error) => return Ok(Problem::from(error).into_response()),
            };
            #[expect(clippy::disallowed_methods, reason = "the resolver has just verified the credential")]
            let scope = authority.grant(grant);
            if let Some(handle) = parts.extensions.get::<TraceHandle>() {
                handle.set_tenant(&scope);
            }
            parts.extensions.insert(scope);
            inner.call(Request::from_parts(parts, body)).await
        }))
    }
}

impl<S: Clone, R> Clone for ResolveTenantService<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for ResolveTenantService<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolveTenantService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

// === impl ResolveTenantFuture ===

impl<T, E> Future for ResolveTenantFuture<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T, E> fmt::Debug for ResolveTenantFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResolveTenantFuture")
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{Layer, ServiceExt, service_fn};

    use super::*;
    use crate::tenant::{ApiKeyResolver, ConstantTenant, MemoryApiKeys, ResolveTenantLayer};
    use crate::{TenantId, TenantScope};

    /// A body that must not be touched: polling it ends the test.
    struct Untouchable;

    impl http_body::Body for Untouchable {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            panic!("the body was polled");
        }
    }

    async fn tenant_of<B>(request: Request<B>) -> Result<Response<Bytes>, Infallible> {
        let scope = request.extensions().get::<TenantScope>().expect("a scope");
        Ok(Response::new(scope.tenant().to_string().into()))
    }

    fn stranger() -> TenantScope {
        crate::test_util::scope("stranger")
    }

    #[tokio::test]
    async fn t102_without_a_credential_the_body_is_never_polled_and_nothing_inside_runs() {
        let inner = service_fn(|_: Request<Untouchable>| async {
            panic!("the inner service ran");
            #[expect(unreachable_code, reason = "gives the closure its type")]
            Ok::<Response<Bytes>, Infallible>(Response::new(Bytes::new()))
        });
        let layer =
            ResolveTenantLayer::new(TenantAuthority::new(), ApiKeyResolver::new(MemoryApiKeys::new()));
        let mut request = Request::new(Untouchable);
        request.headers_mut().insert("content-length", "1000000000".parse().unwrap());
        request.headers_mut().insert("x-tenant-id", "acme".parse().unwrap());
        request.extensions_mut().insert(stranger());
        let response = layer.layer(inner).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }

    #[tokio::test]
    async fn a_scope_that_was_there_is_replaced_and_the_trace_learns_the_tenant() {
        let acme = TenantId::named("acme");
        let layer = ResolveTenantLayer::new(TenantAuthority::new(), ConstantTenant::new(acme));
        let mut request = Request::new(Untouchable);
        let handle = TraceHandle::new();
        request.extensions_mut().insert(stranger());
        request.extensions_mut().insert(handle.clone());
        let response = layer.layer(service_fn(tenant_of)).oneshot(request).await.unwrap();
        assert_eq!(response.into_body(), acme.to_string());
        assert_eq!(handle.snapshot().scope.map(|scope| scope.tenant()), Some(acme));
    }
}
