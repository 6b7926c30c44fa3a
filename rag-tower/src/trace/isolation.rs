//! What a search was confined to in, and what the door said of what it found: the isolation receipt of a row out.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::filter::Filter;
use crate::passage::Passages;
use crate::tenant::{BranchId, Branches, CorpusId, TenantId, TenantScope};

/// What kept an ask's tenant apart while passages were looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IsolationReceipt {
    /// What the search was confined to.
    pub filter: Confines,
    /// How many passages the door let in.
    pub admitted: u32,
    /// What the door said.
    pub verdict: Verdict,
}

/// What a search was confined to: stores turn exactly this into their own condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Confines {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Documents of these branches, and those without one; none stands for every branch of the tenant.
    pub branches: Option<Vec<BranchId>>,
    /// Shared corpora beside the tenant's own documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<CorpusId>,
    /// What narrowed it further.
    #[serde(default, skip_serializing_if = "Filter::is_empty")]
    pub only: Filter,
}

/// What the one door said of what a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// Every passage was the tenant's own, or of a shared corpus that it may read.
    Passed,
    /// One was foreign: none was let in.
    Foreign,
    /// The search failed before anything came to the door.
    Failed,
}

// === impl IsolationReceipt ===

impl IsolationReceipt {
    /// Of a search and what came of it.
    pub(crate) fn new(filter: Confines, found: &Result<Passages, Error>) -> Self {
        let (admitted, verdict) = match found {
            Ok(passages) => (passages.len(), Verdict::Passed),
            Err(error) if error.kind() == ErrorKind::Isolation => (0, Verdict::Foreign),
            Err(_) => (0, Verdict::Failed),
        };
        Self { filter, admitted: u32::try_from(admitted).unwrap_or(u32::MAX), verdict }
    }
}

// === impl Confines ===

impl Confines {
    pub(crate) fn of(scope: &TenantScope, only: &Filter) -> Self {
        let branches = match scope.branches() {
            Branches::All => None,
            Branches::Only(branches) => Some(branches.to_vec()),
        };
        Self { tenant_id: scope.tenant(), branches, shared: scope.shared().to_vec(), only: only.clone() }
    }
}
