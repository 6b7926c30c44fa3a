//! axum extractors for the scope and the trace handle.

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;

use super::TenantScope;
use crate::http::Problem;
use crate::trace::TraceHandle;

/// The scope that a [`ResolveTenantLayer`](super::ResolveTenantLayer) has resolved. Without that layer the request
/// ends with a 500 and an error in the log that says so: a handler never runs without a tenant.
impl<S: Sync> FromRequestParts<S> for TenantScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| not_layered("TenantScope", "ResolveTenantLayer"))
    }
}

/// The handle of the row that an HTTP trace layer writes. Without that layer the request ends with a 500 and an error
/// in the log that says so.
impl<S: Sync> FromRequestParts<S> for TraceHandle {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| not_layered("TraceHandle", "HttpTraceLayer"))
    }
}

fn not_layered(wanted: &'static str, layer: &'static str) -> Problem {
    tracing::error!(wanted, layer, "a handler extracts what no layer provides: add the layer to this route");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this route is not set up correctly")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http::Request;
    use tower::ServiceExt;

    use crate::tenant::{ConstantTenant, ResolveTenantLayer, TenantAuthority, TenantId, TenantScope};
    use crate::trace::TraceHandle;

    async fn status(router: Router) -> u16 {
        router.oneshot(Request::new(Body::empty())).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_handler_runs_with_its_tenant_or_not_at_all() {
        let router =
            || Router::new().route("/", get(|scope: TenantScope| async move { scope.tenant().to_string() }));
        let resolver = ConstantTenant::new(TenantId::named("acme"));
        let layer = ResolveTenantLayer::new(TenantAuthority::new(), resolver);
        assert_eq!(status(router().layer(layer)).await, 200);
        assert_eq!(status(router()).await, 500);
        let traced = Router::new().route("/", get(|_: TraceHandle| async {}));
        assert_eq!(status(traced).await, 500);
    }
}
