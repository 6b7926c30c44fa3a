//! The only mint of scopes.

use std::sync::Arc;

use super::{CorpusId, Grant, TenantId, TenantScope};

/// Turns a verified credential's grant into a [`TenantScope`].
///
/// Make one where credentials are verified and nowhere else: whoever holds an authority can become any tenant. The
/// workspace's lints name [`grant`](Self::grant) as disallowed, so each place that mints says why.
#[derive(Clone, Debug)]
pub struct TenantAuthority {
    shared: Arc<[CorpusId]>,
}

// === impl TenantAuthority ===

impl TenantAuthority {
    /// An authority whose scopes read no shared corpus.
    #[expect(clippy::new_without_default, reason = "an authority is made on purpose, never by default")]
    #[must_use]
    pub fn new() -> Self {
        Self { shared: Arc::from([]) }
    }

    /// Lets every scope it mints read these corpora too.
    #[must_use]
    pub fn with_shared(mut self, shared: impl Into<Arc<[CorpusId]>>) -> Self {
        self.shared = shared.into();
        self
    }

    /// Mints a scope from what a credential grants.
    #[expect(clippy::disallowed_methods, reason = "the mint itself; each caller of it says why it may")]
    #[must_use]
    pub fn grant(&self, grant: impl Into<Grant>) -> TenantScope {
        TenantScope::mint(grant.into().with_shared(Arc::clone(&self.shared)))
    }
}

impl From<TenantId> for Grant {
    /// All branches of the tenant, as a member.
    fn from(tenant: TenantId) -> Self {
        Self::new(tenant)
    }
}
