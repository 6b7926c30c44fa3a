//! The tenant as a capability.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::beside::Beside;
use super::{BranchId, CorpusId, TenantId};
use crate::error::{Error, ErrorKind, Stage};
use crate::passage::Origin;

/// Proof that a request may touch one tenant's data.
///
/// There is no `Default`, no `Deserialize`, no `From` and no `FromStr`: a scope is minted by
/// [`TenantAuthority::grant`](super::TenantAuthority::grant) and by nothing else. Every store and retriever asks
/// for one. Cloning is one atomic increment.
#[derive(Clone, PartialEq, Eq)]
pub struct TenantScope(Arc<Grant>);

/// What a verified credential grants. Plain data: it opens nothing until an authority turns it into a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    tenant: TenantId,
    branches: Branches,
    subject: Option<Arc<str>>,
    role: Role,
    shared: Arc<[CorpusId]>,
    beside: Beside,
}

/// The branches of the tenant that a credential opens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Branches {
    /// Every branch, those made later included.
    All,
    /// These and no others. An empty set sees only documents without a branch.
    Only(Arc<[BranchId]>),
}

/// What a credential may do inside its tenant, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Asks questions.
    Member,
    /// Answers hand-offs.
    Agent,
    /// Manages the tenant's documents, keys and settings.
    Admin,
}

// === impl TenantScope ===

impl TenantScope {
    pub(super) fn mint(grant: Grant) -> Self {
        Self(Arc::new(grant))
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.0.tenant
    }

    /// The branches this scope may read.
    #[must_use]
    pub fn branches(&self) -> &Branches {
        &self.0.branches
    }

    /// Who holds the credential: an API key's id or a token's `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&Arc<str>> {
        self.0.subject.as_ref()
    }

    /// What the credential may do.
    #[must_use]
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Shared corpora this scope may read beside the tenant's own documents.
    #[must_use]
    pub fn shared(&self) -> &[CorpusId] {
        &self.0.shared
    }

    /// True when this scope may see something of that origin.
    #[must_use]
    pub fn admits(&self, origin: Origin) -> bool {
        match origin {
            Origin::Tenant { tenant, branch } => {
                tenant == self.0.tenant && branch.is_none_or(|branch| self.0.branches.contains(branch))
            }
            Origin::Shared(corpus) => self.0.shared.contains(&corpus),
        }
    }

    /// The same scope, cut down to one branch.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the credential does not grant the branch: a foreign branch and an unknown one
    /// look the same.
    #[expect(clippy::disallowed_methods, reason = "made from a scope and smaller than it")]
    pub fn narrow(&self, branch: BranchId) -> Result<Self, Error> {
        if !self.0.branches.contains(branch) {
            return Err(Error::new(ErrorKind::NotFound, Stage::Tenant).with_message("no such branch"));
        }
        let mut grant = (*self.0).clone();
        grant.branches = Branches::Only(Arc::from([branch]));
        grant.beside = self.0.beside.take().map(Beside::new).unwrap_or_default();
        Ok(Self::mint(grant))
    }

    /// What the store of the credential found beside it, if it is such a thing. The first who asks gets it, and everybody else
    /// finds out for themselves.
    #[cfg(feature = "postgres")]
    pub(crate) fn take_beside<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.beside.take()?.downcast().ok()
    }
}

impl fmt::Debug for TenantScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TenantScope").field(&self.0.tenant).finish()
    }
}

// === impl Grant ===

impl Grant {
    /// A grant of a whole tenant to a member: all branches, no shared corpora, no subject.
    #[must_use]
    pub fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            branches: Branches::All,
            subject: None,
            role: Role::Member,
            shared: Arc::from([]),
            beside: Beside::default(),
        }
    }

    /// Cuts the grant down to some branches. Default: all.
    #[must_use]
    pub fn with_branches(mut self, branches: Branches) -> Self {
        self.branches = branches;
        self
    }

    /// Names the holder. Default: none.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<Arc<str>>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets the role. Default: [`Role::Member`].
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// The tenant that the grant names.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The branches that the grant opens.
    #[must_use]
    pub fn branches(&self) -> &Branches {
        &self.branches
    }

    /// Who holds the credential.
    #[must_use]
    pub fn subject(&self) -> Option<&Arc<str>> {
        self.subject.as_ref()
    }

    /// What the credential may do.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Takes along what a store found while it looked the credential up, for the first read with the scope.
    #[cfg(feature = "postgres")]
    pub(crate) fn with_beside<T: Send + Sync + 'static>(mut self, found: Arc<T>) -> Self {
        self.beside = Beside::new(found);
        self
    }

    pub(super) fn with_shared(mut self, shared: Arc<[CorpusId]>) -> Self {
        self.shared = shared;
        self
    }
}

// === impl Branches ===

impl Branches {
    /// True when `branch` is among them.
    #[must_use]
    pub fn contains(&self, branch: BranchId) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.contains(&branch),
        }
    }
}

// === impl Role ===

impl Role {
    /// The name in tokens and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Agent => "agent",
            Self::Admin => "admin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(branches: Branches) -> TenantScope {
        crate::test_util::granted(Grant::new(TenantId::named("a")).with_branches(branches))
    }

    #[test]
    fn admits_its_own_and_granted_branches_only() {
        let (tenant, other) = (TenantId::named("a"), TenantId::named("b"));
        let (north, south) = (BranchId::named(tenant, "north"), BranchId::named(tenant, "south"));
        let all = scope(Branches::All);
        let one = scope(Branches::Only(Arc::from([north])));
        assert!(all.admits(Origin::Tenant { tenant, branch: Some(south) }));
        assert!(!all.admits(Origin::Tenant { tenant: other, branch: None }));
        assert!(one.admits(Origin::Tenant { tenant, branch: None }));
        assert!(one.admits(Origin::Tenant { tenant, branch: Some(north) }));
        assert!(!one.admits(Origin::Tenant { tenant, branch: Some(south) }));
        assert!(!all.admits(Origin::Shared(CorpusId::new(tenant.as_uuid()))));
    }

    #[test]
    fn narrowing_never_widens() {
        let tenant = TenantId::named("a");
        let (north, south) = (BranchId::named(tenant, "north"), BranchId::named(tenant, "south"));
        let one = scope(Branches::Only(Arc::from([north])));
        assert_eq!(one.narrow(south).map_err(|error| error.kind()), Err(ErrorKind::NotFound));
        assert_eq!(one.narrow(north).unwrap(), one);
    }
}
