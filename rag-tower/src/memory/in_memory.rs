//! Conversations in this process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Folding, History, Turn};
use crate::ask::SessionId;
use crate::error::{Error, ErrorKind, Stage};
use crate::port::MemoryStore;
use crate::tenant::{TenantId, TenantScope};

/// Keeps a bounded number of sessions in memory: for tests, and for programs that may forget on restart.
///
/// When it is full, the session that was used least recently is forgotten, whoever's it is.
#[derive(Debug)]
pub struct InMemoryStore {
    sessions: Mutex<Sessions>,
    folding: Folding,
    max_sessions: usize,
}

#[derive(Debug, Default)]
struct Sessions {
    /// Keyed by tenant too: a foreign id is an unknown one.
    by_id: HashMap<(TenantId, SessionId), (u64, History)>,
    /// Whose a session is, so that no tenant can begin one under another's id.
    owners: HashMap<SessionId, TenantId>,
    uses: u64,
}

// === impl InMemoryStore ===

impl InMemoryStore {
    /// A store of at most `max_sessions` sessions (at least 1).
    #[must_use]
    pub fn new(max_sessions: usize) -> Self {
        Self { sessions: Mutex::default(), folding: Folding::default(), max_sessions: max_sessions.max(1) }
    }

    /// How turns are folded. Default: [`Folding::default`].
    #[must_use]
    pub fn with_folding(mut self, folding: Folding) -> Self {
        self.folding = folding;
        self
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // Each change below is complete or not begun when it can panic.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryStore for InMemoryStore {
    async fn load(&self, scope: &TenantScope, session: SessionId) -> Result<Option<History>, Error> {
        let mut sessions = self.sessions();
        sessions.uses += 1;
        let now = sessions.uses;
        Ok(sessions.by_id.get_mut(&(scope.tenant(), session)).map(|(used, history)| {
            *used = now;
            history.clone()
        }))
    }

    async fn append(&self, scope: &TenantScope, session: SessionId, turn: Turn) -> Result<(), Error> {
        let tenant = scope.tenant();
        let mut sessions = self.sessions();
        let Sessions { by_id, owners, uses } = &mut *sessions;
        if owners.get(&session).is_some_and(|owner| *owner != tenant) {
            return Err(Error::new(ErrorKind::NotFound, Stage::Memory).with_message("no such session"));
        }
        *uses += 1;
        if by_id.len() >= self.max_sessions
            && !by_id.contains_key(&(tenant, session))
            && let Some(oldest) = by_id.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key)
        {
            by_id.remove(&oldest);
            owners.remove(&oldest.1);
        }
        owners.insert(session, tenant);
        let (used, history) =
            by_id.entry((tenant, session)).or_insert_with(|| (0, History::new(session, tenant)));
        *used = *uses;
        self.folding.fold(history, turn);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing::scope;

    fn turn(question: &str) -> Turn {
        Turn { question: question.into(), answer: "a".into(), route: None, pending: None }
    }

    #[tokio::test]
    async fn a_session_is_its_tenants_alone() {
        let store = InMemoryStore::new(10);
        let session = SessionId::generate();
        store.append(&scope("a"), session, turn("mine")).await.unwrap();
        assert_eq!(store.load(&scope("b"), session).await.unwrap(), None);
        let error = store.append(&scope("b"), session, turn("canary")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let mine = store.load(&scope("a"), session).await.unwrap().unwrap();
        assert_eq!(mine.recent_messages_buffer, [turn("mine")]);
    }

    #[tokio::test]
    async fn when_full_the_least_recently_used_goes() {
        let store = InMemoryStore::new(2);
        let (a, [one, two, three]) = (scope("a"), std::array::from_fn(|_| SessionId::generate()));
        store.append(&a, one, turn("1")).await.unwrap();
        store.append(&a, two, turn("2")).await.unwrap();
        store.load(&a, one).await.unwrap();
        store.append(&a, three, turn("3")).await.unwrap();
        assert!(store.load(&a, one).await.unwrap().is_some());
        assert!(store.load(&a, two).await.unwrap().is_none());
        // Forgotten for good: its id binds nobody, and nothing is kept for it.
        assert_eq!(store.sessions().owners.len(), 2);
    }
}
