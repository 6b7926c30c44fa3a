//! Where conversations are kept.

use std::future::Future;

use crate::ask::SessionId;
use crate::error::Error;
use crate::memory::{History, Turn};
use crate::tenant::TenantScope;

/// Where conversations are kept: what a backend implements.
pub trait MemoryStore: Send + Sync + 'static {
    /// What is known of a session; none when the scope's tenant has no such session, whoever else may have it.
    ///
    /// # Errors
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable).
    fn load(
        &self,
        scope: &TenantScope,
        session: SessionId,
    ) -> impl Future<Output = Result<Option<History>, Error>> + Send;

    /// Adds a turn, making the session when it is new, and folds what falls out of the recent messages into the
    /// summary.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when the session is another tenant's, and
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable).
    fn append(
        &self,
        scope: &TenantScope,
        session: SessionId,
        turn: Turn,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}
