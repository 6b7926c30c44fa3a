//! Conversations in this process.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::{Folding, History, Turn};
use crate::ask::SessionId;
use crate::error::{Error, ErrorKind, Stage};
use crate::port::MemoryStore;
use crate::tenant::TenantScope;

/// Keeps a bounded number of sessions in memory: for tests, and for programs that may forget on restart.
///
/// When it is full, the session that was used least recently is forgotten, whoever's it is.
#[derive(Debug)]
pub struct InMemoryStore {
    sessions: Mutex<LruCache<SessionId, History>>,
    folding: Folding,
}

// === impl InMemoryStore ===

impl InMemoryStore {
    /// A store of at most `max_sessions` sessions (at least 1).
    #[must_use]
    pub fn new(max_sessions: usize) -> Self {
        let most = NonZeroUsize::new(max_sessions).unwrap_or(NonZeroUsize::MIN);
        Self { sessions: Mutex::new(LruCache::new(most)), folding: Folding::default() }
    }

    /// How turns are folded. Default: [`Folding::default`].
    #[must_use]
    pub fn with_folding(mut self, folding: Folding) -> Self {
        self.folding = folding;
        self
    }

    fn sessions(&self) -> MutexGuard<'_, LruCache<SessionId, History>> {
        // A panic while folding leaves one session with a part of its turn.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryStore for InMemoryStore {
    async fn load(&self, scope: &TenantScope, session: SessionId) -> Result<Option<History>, Error> {
        let mut sessions = self.sessions();
        // A look by another tenant must not keep the session from being forgotten.
        let own = sessions.peek(&session).is_some_and(|history| history.tenant == scope.tenant());
        Ok(if own { sessions.get(&session).cloned() } else { None })
    }

    async fn append(&self, scope: &TenantScope, session: SessionId, turn: Turn) -> Result<(), Error> {
        let mut sessions = self.sessions();
        let history = sessions.get_or_insert_mut(session, || History::new(session, scope.tenant()));
        if history.tenant != scope.tenant() {
            return Err(Error::new(ErrorKind::NotFound, Stage::Memory).with_message("no such session"));
        }
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
    async fn t14_a_session_is_its_tenants_alone() {
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
    }
}
