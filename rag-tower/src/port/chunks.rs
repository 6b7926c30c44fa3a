//! The text behind hits.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use super::Hit;
use crate::error::Error;
use crate::passage::Passage;
use crate::tenant::TenantScope;
use crate::trace::DatabaseIdentity;

/// Where the text of chunks is kept: the authority on whose a chunk is.
///
/// It reads origins from its own rows and never copies them from the hits, so that the check at the door compares two
/// independent witnesses rather than the index with itself.
pub trait ChunkStore: Send + Sync + 'static {
    /// The passages of these hits, in the hits' order, each found by `source` with the hit's rank and score. A hit
    /// without a row (deleted meanwhile) is left out.
    ///
    /// A store whose database keeps tenants apart by who reads says in the answer who it was, as the database itself says
    /// in the same transaction, never as the store had asked for.
    ///
    /// # Errors
    /// [`Isolation`](crate::ErrorKind::Isolation) when a hit claims an origin that the scope does not admit, and when the
    /// store finds itself to be another than the scope's tenant ([`WrongIdentity`] as the source puts that on the
    /// receipt); [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable).
    fn passages(
        &self,
        scope: &TenantScope,
        source: &Arc<str>,
        hits: Vec<Hit>,
    ) -> impl Future<Output = Result<ReadPassages, Error>> + Send;
}

/// Passages as a store read them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadPassages {
    /// The passages.
    pub passages: Vec<Passage>,
    /// Who the store was while it read; none where that is no question, such as in memory.
    pub identity: Option<DatabaseIdentity>,
}

/// A database that was another than the one who asked: the source of an error of kind
/// [`Isolation`](crate::ErrorKind::Isolation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongIdentity(pub DatabaseIdentity);

// === impl ReadPassages ===

impl From<Vec<Passage>> for ReadPassages {
    /// Of a store that has no identities.
    fn from(passages: Vec<Passage>) -> Self {
        Self { passages, identity: None }
    }
}

impl Deref for ReadPassages {
    type Target = [Passage];

    fn deref(&self) -> &[Passage] {
        &self.passages
    }
}

// === impl WrongIdentity ===

impl fmt::Display for WrongIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(DatabaseIdentity { role, tenant_setting }) = self;
        write!(f, "the database was the role {role:?} and the tenant {tenant_setting:?}")
    }
}

impl std::error::Error for WrongIdentity {}
