//! A tenant's name or a grant in, a scope out: the one place where tests, benchmarks and examples mint.

use std::sync::Arc;

use crate::tenant::{CorpusId, Grant, TenantAuthority, TenantId, TenantScope};

/// A scope over the whole tenant of that name, as a member without a subject.
///
/// # Warning
/// Nobody's credential is looked at. Shipped code has no business here: it mints with
/// [`TenantAuthority::grant`] where it has just verified a credential, and says so.
#[must_use]
pub fn scope(tenant: &str) -> TenantScope {
    granted(TenantId::named(tenant))
}

/// A scope of that grant, or of the whole tenant of that id. The warning of [`scope`] holds.
#[must_use]
pub fn granted(grant: impl Into<Grant>) -> TenantScope {
    granted_with_shared(grant, [])
}

/// A scope of that grant that reads these shared corpora too. The warning of [`scope`] holds.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests have no credentials; shipped code does not call this")]
pub fn granted_with_shared(grant: impl Into<Grant>, shared: impl Into<Arc<[CorpusId]>>) -> TenantScope {
    TenantAuthority::new().with_shared(shared).grant(grant)
}
