//! From a request's head to what its credential grants.

use std::future::Future;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::credential::AuthFailure;
use super::{Grant, TenantId};
use crate::error::Error;

/// The header that names a tenant, unless another name is configured.
pub const TENANT_HEADER: HeaderName = HeaderName::from_static("x-tenant-id");

/// Verifies who asks, from the request's head alone: bodies are never read for it.
///
/// An implementation answers with what the credential *grants*; the layer turns that into a scope. It fails closed:
/// when it cannot tell, it refuses.
pub trait ResolveTenant: Send + Sync + 'static {
    /// What the request's credential grants.
    ///
    /// # Errors
    /// [`AuthFailure::refuse`] where there is no valid credential, and
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable) where that cannot be found out.
    fn resolve(&self, parts: &Parts) -> impl Future<Output = Result<Grant, Error>> + Send;
}

/// Turns the name in a tenant header, an id or a slug, into an id. It grants nothing.
pub trait TenantNames: Send + Sync + 'static {
    /// The tenant of that name; none when there is none.
    ///
    /// # Errors
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable).
    fn id_of(&self, name: &str) -> impl Future<Output = Result<Option<TenantId>, Error>> + Send;
}

/// A UUID is an id, any other name is [`TenantId::named`]: for programs whose ids come from their slugs. It knows
/// no list, so every name has an id.
#[derive(Clone, Copy, Debug, Default)]
pub struct DerivedNames;

/// Every request belongs to one fixed tenant: for an application that has a single one.
///
/// # Warning
/// It asks for no credential. Put your own authentication in front of it where strangers can reach the program.
#[derive(Clone, Debug)]
pub struct ConstantTenant(Grant);

/// Compares the tenant header with what the credential grants: an assertion, never an authority.
///
/// Without the header nothing changes; a header that names another tenant, or none that exists, is
/// [`Forbidden`](crate::ErrorKind::Forbidden). Without a valid credential the header counts for nothing.
#[derive(Clone, Debug)]
pub struct Asserted<R, N = DerivedNames> {
    resolver: R,
    header: HeaderName,
    names: N,
}

/// Takes the tenant from the header, without any credential.
///
/// # Warning
/// Whoever can reach the program can be any tenant. Use it only where a gateway authenticates every request,
/// overwrites the header, and is the only way in.
#[derive(Clone, Debug)]
pub struct TrustedGateway<N = DerivedNames> {
    header: HeaderName,
    names: N,
}

// === impl ResolveTenant ===

impl<R: ResolveTenant> ResolveTenant for Arc<R> {
    fn resolve(&self, parts: &Parts) -> impl Future<Output = Result<Grant, Error>> + Send {
        (**self).resolve(parts)
    }
}

// === impl TenantNames ===

impl<N: TenantNames> TenantNames for Arc<N> {
    fn id_of(&self, name: &str) -> impl Future<Output = Result<Option<TenantId>, Error>> + Send {
        (**self).id_of(name)
    }
}

// === impl DerivedNames ===

impl TenantNames for DerivedNames {
    async fn id_of(&self, name: &str) -> Result<Option<TenantId>, Error> {
        Ok(Some(name.parse().unwrap_or_else(|_| TenantId::named(name))))
    }
}

// === impl ConstantTenant ===

impl ConstantTenant {
    /// Every request is granted this.
    #[must_use]
    pub fn new(grant: impl Into<Grant>) -> Self {
        Self(grant.into())
    }
}

impl ResolveTenant for ConstantTenant {
    async fn resolve(&self, _: &Parts) -> Result<Grant, Error> {
        Ok(self.0.clone())
    }
}

// === impl Asserted ===

impl<R> Asserted<R> {
    /// Compares [`TENANT_HEADER`] with what `resolver` grants.
    #[must_use]
    pub fn new(resolver: R) -> Self {
        Self { resolver, header: TENANT_HEADER, names: DerivedNames }
    }
}

impl<R, N> Asserted<R, N> {
    /// Names the header. Default: [`TENANT_HEADER`].
    #[must_use]
    pub fn with_header(mut self, header: HeaderName) -> Self {
        self.header = header;
        self
    }

    /// Looks slugs up elsewhere. Default: [`DerivedNames`].
    #[must_use]
    pub fn with_names<M>(self, names: M) -> Asserted<R, M> {
        Asserted { resolver: self.resolver, header: self.header, names }
    }
}

impl<R: ResolveTenant, N: TenantNames> ResolveTenant for Asserted<R, N> {
    async fn resolve(&self, parts: &Parts) -> Result<Grant, Error> {
        let grant = self.resolver.resolve(parts).await?;
        for name in names(&parts.headers, &self.header) {
            let named = match name {
                Some(name) => self.names.id_of(name).await?,
                None => None,
            };
            if named != Some(grant.tenant()) {
                return Err(AuthFailure::TenantMismatch.refuse());
            }
        }
        Ok(grant)
    }
}

// === impl TrustedGateway ===

impl TrustedGateway {
    /// Believes [`TENANT_HEADER`].
    #[expect(clippy::new_without_default, reason = "trust is given on purpose, never by default")]
    #[must_use]
    pub fn new() -> Self {
        Self { header: TENANT_HEADER, names: DerivedNames }
    }
}

impl<N> TrustedGateway<N> {
    /// Names the header. Default: [`TENANT_HEADER`].
    #[must_use]
    pub fn with_header(mut self, header: HeaderName) -> Self {
        self.header = header;
        self
    }

    /// Looks slugs up elsewhere. Default: [`DerivedNames`].
    #[must_use]
    pub fn with_names<M>(self, names: M) -> TrustedGateway<M> {
        TrustedGateway { header: self.header, names }
    }
}

impl<N: TenantNames> ResolveTenant for TrustedGateway<N> {
    async fn resolve(&self, parts: &Parts) -> Result<Grant, Error> {
        let mut found = names(&parts.headers, &self.header);
        // Two headers may be a client's beside the gateway's: which is which cannot be told.
        let (Some(Some(name)), None) = (found.next(), found.next()) else {
            return Err(AuthFailure::UnknownTenant.refuse());
        };
        match self.names.id_of(name).await? {
            Some(tenant) => Ok(Grant::new(tenant)),
            None => Err(AuthFailure::UnknownTenant.refuse()),
        }
    }
}

/// The header's values; `None` for one that is empty or not plain text.
fn names<'a>(headers: &'a HeaderMap, header: &HeaderName) -> impl Iterator<Item = Option<&'a str>> + Send {
    headers
        .get_all(header)
        .iter()
        .map(|value| value.to_str().ok().map(str::trim).filter(|name| !name.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn parts(headers: &[(&'static str, &str)]) -> Parts {
        let mut request = http::Request::new(());
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request.into_parts().0
    }

    fn constant() -> Asserted<ConstantTenant> {
        Asserted::new(ConstantTenant::new(TenantId::named("acme")))
    }

    #[tokio::test]
    async fn t06_the_header_asserts_by_id_or_slug() {
        let id = TenantId::named("acme").to_string();
        for headers in [&[][..], &[("x-tenant-id", "acme")], &[("x-tenant-id", &id)]] {
            assert!(constant().resolve(&parts(headers)).await.is_ok(), "{headers:?}");
        }
        let foreign = [("x-tenant-id", "acme"), ("x-tenant-id", "rival")];
        for headers in [&[("x-tenant-id", "rival")][..], &[("x-tenant-id", "")], &foreign] {
            let error = constant().resolve(&parts(headers)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Forbidden, "{headers:?}");
        }
    }

    #[tokio::test]
    async fn t06_a_configured_header_is_the_one_that_counts() {
        let resolver = constant().with_header(HeaderName::from_static("x-school"));
        assert!(resolver.resolve(&parts(&[("x-tenant-id", "rival")])).await.is_ok());
        assert!(resolver.resolve(&parts(&[("x-school", "rival")])).await.is_err());
    }

    #[tokio::test]
    async fn t06_a_gateway_must_name_exactly_one_tenant() {
        let gateway = TrustedGateway::new();
        let grant = gateway.resolve(&parts(&[("x-tenant-id", "acme")])).await.unwrap();
        assert_eq!(grant.tenant(), TenantId::named("acme"));
        for headers in [&[][..], &[("x-tenant-id", " ")], &[("x-tenant-id", "acme"), ("x-tenant-id", "acme")]]
        {
            let error = gateway.resolve(&parts(headers)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{headers:?}");
        }
    }
}
