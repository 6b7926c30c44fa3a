//! Request → the same request with a [`TenantScope`](super::TenantScope) among its extensions, or a problem.

use std::sync::Arc;

use http::HeaderName;
use tower_layer::Layer;

use super::TenantAuthority;
use super::resolve::{Asserted, DerivedNames, TrustedGateway};
use super::service::ResolveTenantService;

/// Puts the credential's scope into the request's extensions. What has no valid credential never gets further.
///
/// - **Order**: outside everything that asks for a scope and outside everything that reads bodies; inside request
///   ids and the HTTP trace layer, whose handle it tells the tenant.
/// - **Readiness**: the inner service's.
/// - **Cancellation**: dropping the future drops the resolution and the request.
/// - **Panics**: none of its own.
/// - **Errors**: its own refusals are responses (401, 403, or 503 when a store is away), as
///   [`Problem`](crate::http::Problem)s; the inner service's errors pass. No refusal polls the request's body.
///
/// A scope that is in the extensions already is replaced, never believed.
///
/// ```
/// use rag_tower::tenant::{ConstantTenant, ResolveTenantLayer};
/// use rag_tower::{TenantAuthority, TenantId};
///
/// let layer = ResolveTenantLayer::new(TenantAuthority::new(), ConstantTenant::new(TenantId::named("acme")));
/// ```
#[derive(Debug)]
pub struct ResolveTenantLayer<R> {
    shared: Arc<(TenantAuthority, R)>,
}

// === impl ResolveTenantLayer ===

impl<R> ResolveTenantLayer<Asserted<R>> {
    /// Verifies requests with `resolver`, and compares the header
    /// [`TENANT_HEADER`](super::TENANT_HEADER) with what it grants.
    #[must_use]
    pub fn new(authority: TenantAuthority, resolver: R) -> Self {
        Self::of(authority, Asserted::new(resolver))
    }
}

impl<R, N> ResolveTenantLayer<Asserted<R, N>> {
    /// Verifies requests with a resolver whose tenant header or names are configured.
    #[must_use]
    pub fn asserted(authority: TenantAuthority, resolver: Asserted<R, N>) -> Self {
        Self::of(authority, resolver)
    }
}

impl ResolveTenantLayer<TrustedGateway<DerivedNames>> {
    /// Believes the header `header` without any credential.
    ///
    /// # Warning
    /// Whoever can reach the program can be any tenant: see [`TrustedGateway`].
    #[must_use]
    pub fn trust_gateway(authority: TenantAuthority, header: HeaderName) -> Self {
        Self::of(authority, TrustedGateway::new().with_header(header))
    }
}

impl<N> ResolveTenantLayer<TrustedGateway<N>> {
    /// Believes a header whose names are looked up.
    ///
    /// # Warning
    /// Whoever can reach the program can be any tenant: see [`TrustedGateway`].
    #[must_use]
    pub fn trust_gateway_with(authority: TenantAuthority, gateway: TrustedGateway<N>) -> Self {
        Self::of(authority, gateway)
    }
}

impl<R> ResolveTenantLayer<R> {
    fn of(authority: TenantAuthority, resolver: R) -> Self {
        Self { shared: Arc::new((authority, resolver)) }
    }
}

impl<R> Clone for ResolveTenantLayer<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S, R> Layer<S> for ResolveTenantLayer<R> {
    type Service = ResolveTenantService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        ResolveTenantService::new(inner, Arc::clone(&self.shared))
    }
}
