//! The owner as a capability.

use std::net::IpAddr;
use std::sync::Arc;

/// Proof that a request comes from the platform's owner. Made by the
/// [`OwnerAuthLayer`](super::OwnerAuthLayer) and by nothing else; it opens no tenant's data by itself.
///
/// It does not stand for a tenant:
///
/// ```compile_fail,E0308
/// fn ask(owner: rag_tower_owner::auth::OwnerScope, question: rag_tower::Question) -> rag_tower::Ask {
///     rag_tower::Ask::new(owner, question)
/// }
/// ```
///
/// An ask takes the scope that a tenant's credential was granted:
///
/// ```
/// fn ask(tenant: rag_tower::TenantScope, question: rag_tower::Question) -> rag_tower::Ask {
///     rag_tower::Ask::new(tenant, question)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerScope {
    username: Arc<str>,
    session: Arc<str>,
    client: Option<IpAddr>,
}

// === impl OwnerScope ===

impl OwnerScope {
    pub(super) fn mint(username: Arc<str>, session: Arc<str>, client: Option<IpAddr>) -> Self {
        Self { username, session, client }
    }

    #[cfg(all(test, feature = "server"))]
    pub(crate) fn for_test() -> Self {
        Self::mint("owner".into(), "session".into(), Some(IpAddr::from([192, 0, 2, 1])))
    }

    /// Who logged in.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The id of the session: for an audit, never a credential.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The address that the request came from, when the connection's is known.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }
}

/// The scope that an [`OwnerAuthLayer`](super::OwnerAuthLayer) has put into the extensions. Without that layer the
/// request ends with a 500 and an error in the log that says so.
#[cfg(feature = "server")]
impl<S: Sync> axum::extract::FromRequestParts<S> for OwnerScope {
    type Rejection = rag_tower::http::Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!(
                "a handler extracts the owner's scope, but no OwnerAuthLayer is around this route"
            );
            rag_tower::http::Problem::new(
                http::StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "this route is not set up correctly",
            )
        })
    }
}
