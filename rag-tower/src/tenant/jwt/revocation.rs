//! Tokens that count no more though they have not expired.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::get_current_timestamp;

use crate::error::Error;
use crate::tenant::TenantId;

/// Who a verified token is: what revocation is decided by. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenIdentity {
    /// The token's own id.
    pub jti: Arc<str>,
    /// Who holds it.
    pub subject: Arc<str>,
    /// The tenant it opens.
    pub tenant: TenantId,
    /// When it was issued.
    pub issued_at: u64,
    /// When it ends by itself.
    pub expires_at: u64,
}

/// Knows which tokens were revoked: by logout, a change of role, or a suspended tenant.
pub trait Revocations: Send + Sync + 'static {
    /// True when the token must not be accepted any more.
    ///
    /// # Errors
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable): the request is then refused, never let through.
    fn is_revoked(&self, token: &TokenIdentity) -> impl Future<Output = Result<bool, Error>> + Send;
}

/// No token is ever revoked: for short-lived tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRevocations;

/// Revoked tokens of one process, each kept until it would have expired.
#[derive(Clone, Default)]
pub struct MemoryRevocations(Arc<Mutex<HashMap<Arc<str>, u64>>>);

// === impl Revocations ===

impl<R: Revocations> Revocations for Arc<R> {
    fn is_revoked(&self, token: &TokenIdentity) -> impl Future<Output = Result<bool, Error>> + Send {
        (**self).is_revoked(token)
    }
}

// === impl NoRevocations ===

impl Revocations for NoRevocations {
    async fn is_revoked(&self, _: &TokenIdentity) -> Result<bool, Error> {
        Ok(false)
    }
}

// === impl MemoryRevocations ===

impl MemoryRevocations {
    /// Nothing is revoked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Revokes the token of that id, which ends by itself at `expires_at`, in Unix seconds.
    pub fn revoke(&self, jti: impl Into<Arc<str>>, expires_at: u64) {
        let now = get_current_timestamp();
        let mut revoked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // An entry outlives its token by the leeway, and by no more than that: the map stays as small as it can.
        revoked.retain(|_, until| until.saturating_add(super::LEEWAY.as_secs()) >= now);
        revoked.insert(jti.into(), expires_at);
    }
}

impl Revocations for MemoryRevocations {
    async fn is_revoked(&self, token: &TokenIdentity) -> Result<bool, Error> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&token.jti))
    }
}

impl fmt::Debug for MemoryRevocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryRevocations")
    }
}
