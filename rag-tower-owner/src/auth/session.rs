//! Which of the owner's sessions are live.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rag_tower::Error;
use tokio::time::Instant;

use super::event::AuthEvent;

/// More sessions than this at once are not a person's: the one that would end first gives way.
const MAX_SESSIONS: usize = 1_024;

/// Where live sessions are known. Only what was [started](Self::start) and neither ended nor expired is live: a signed
/// token alone is not enough.
pub trait OwnerSessions: Send + Sync + 'static {
    /// Starts a session.
    ///
    /// # Errors
    /// [`StoreUnavailable`](rag_tower::ErrorKind::StoreUnavailable): the login then fails.
    fn start(&self, id: &str, lifetime: Duration) -> impl Future<Output = Result<(), Error>> + Send;

    /// True while the session is live.
    ///
    /// # Errors
    /// [`StoreUnavailable`](rag_tower::ErrorKind::StoreUnavailable): the request is then refused, never let through.
    fn is_live(&self, id: &str) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Ends a session; nothing happens when there is none.
    ///
    /// # Errors
    /// [`StoreUnavailable`](rag_tower::ErrorKind::StoreUnavailable): the session may still be live.
    fn end(&self, id: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Keeps a record of what happened at the door. Default: none is kept.
    ///
    /// A login is recorded before its token is handed out, so that nobody comes in without a record.
    ///
    /// # Errors
    /// [`StoreUnavailable`](rag_tower::ErrorKind::StoreUnavailable): a login then fails; a refusal and a logout stand.
    fn record(&self, event: &AuthEvent) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = event;
        std::future::ready(Ok(()))
    }
}

/// Sessions of one process. They end with it: after a restart the owner logs in again.
#[derive(Clone, Default)]
pub struct MemorySessions(Arc<Mutex<HashMap<Box<str>, Instant>>>);

// === impl MemorySessions ===

impl MemorySessions {
    /// No sessions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn live(&self) -> MutexGuard<'_, HashMap<Box<str>, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OwnerSessions for MemorySessions {
    async fn start(&self, id: &str, lifetime: Duration) -> Result<(), Error> {
        let now = Instant::now();
        let mut live = self.live();
        live.retain(|_, ends| *ends > now);
        if live.len() >= MAX_SESSIONS
            && let Some(first) = live.iter().min_by_key(|(_, ends)| **ends).map(|(id, _)| id.clone())
        {
            live.remove(&first);
        }
        live.insert(id.into(), now + lifetime);
        Ok(())
    }

    async fn is_live(&self, id: &str) -> Result<bool, Error> {
        Ok(self.live().get(id).is_some_and(|ends| *ends > Instant::now()))
    }

    async fn end(&self, id: &str) -> Result<(), Error> {
        self.live().remove(id);
        Ok(())
    }
}

impl fmt::Debug for MemorySessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemorySessions({} live)", self.live().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_lives_until_its_time_or_its_end() {
        let sessions = MemorySessions::new();
        sessions.start("a", Duration::from_secs(10)).await.unwrap();
        sessions.start("b", Duration::from_secs(20)).await.unwrap();
        assert!(sessions.is_live("a").await.unwrap());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!sessions.is_live("a").await.unwrap());
        assert!(sessions.is_live("b").await.unwrap());
        sessions.end("b").await.unwrap();
        assert!(!sessions.is_live("b").await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_too_many() {
        let sessions = MemorySessions::new();
        for n in 0..=MAX_SESSIONS as u64 {
            sessions.start(&n.to_string(), Duration::from_secs(60 + n)).await.unwrap();
        }
        assert_eq!(sessions.live().len(), MAX_SESSIONS);
        assert!(!sessions.is_live("0").await.unwrap(), "the one that would have ended first");
    }
}
