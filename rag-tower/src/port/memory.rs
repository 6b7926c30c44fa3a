//! Where conversations are kept.

use std::future::Future;

use crate::ask::SessionId;
use crate::error::Error;
use crate::memory::{History, NewTurn, Turn};
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

    /// Adds turns of one tenant, in order: how many were kept, counted from the first, and what kept the next one from
    /// it. They are added one by one unless a backend does better.
    ///
    /// # Errors
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable) when nothing more was kept, so that it may be tried again,
    /// and [`Timeout`](crate::ErrorKind::Timeout) when that is not known; otherwise those of [`append`](Self::append).
    fn append_all(&self, turns: &[NewTurn]) -> impl Future<Output = (usize, Result<(), Error>)> + Send {
        async move {
            for (kept, NewTurn { scope, session, turn }) in turns.iter().enumerate() {
                if let Err(error) = self.append(scope, *session, turn.clone()).await {
                    return (kept, Err(error));
                }
            }
            (turns.len(), Ok(()))
        }
    }
}
