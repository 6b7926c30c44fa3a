//! Where counts are kept: what a shared store implements.

use std::future::Future;
use std::sync::Arc;

use super::{Quota, Verdict};
use crate::error::Error;
use crate::tenant::{TenantId, TenantScope};

/// Whose allowance an ask is taken from. It can only be made from a scope, and always holds the tenant, so that equal
/// key names of two tenants never share an allowance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RateKey {
    tenant: TenantId,
    subject: Option<Arc<str>>,
}

/// Takes asks from allowances. One replica keeps them in memory; several share a store.
pub trait RateLimitStore: Send + Sync + 'static {
    /// Takes one ask from the allowance of `key`, or says how long to wait; both in one step, see [`Quota::step`].
    ///
    /// # Errors
    /// When the store cannot be asked. The ask runs then.
    fn take(&self, key: &RateKey, quota: Quota) -> impl Future<Output = Result<Verdict, Error>> + Send;
}

// === impl RateKey ===

impl RateKey {
    /// The allowance that all credentials of the tenant share.
    #[must_use]
    pub fn of_tenant(scope: &TenantScope) -> Self {
        Self { tenant: scope.tenant(), subject: None }
    }

    /// The allowance of the credential, when it has a name.
    #[must_use]
    pub fn of_key(scope: &TenantScope) -> Option<Self> {
        scope.subject().map(|subject| Self { tenant: scope.tenant(), subject: Some(Arc::clone(subject)) })
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The credential, when the allowance is one credential's.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
}
