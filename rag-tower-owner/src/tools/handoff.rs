//! Where hand-off tickets are kept.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use rag_tower::tenant::BranchId;
use rag_tower::{AskId, Error, SessionId, TenantId, TenantScope};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A request for a person. The phone is personal data: `Debug` masks it, and shows no message.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewHandoff {
    /// Why: a short name such as `call_back`. With the session it says which ticket this is.
    pub reason: Arc<str>,
    /// The ask it came from.
    pub trace: Option<AskId>,
    /// The conversation.
    pub session: Option<SessionId>,
    /// The branch.
    pub branch: Option<BranchId>,
    /// Who asked, as the tenant knows them.
    pub user: Option<Arc<str>>,
    /// Where to call back.
    pub phone: Option<Arc<str>>,
    /// What they want.
    pub message: Arc<str>,
    /// Anything else.
    pub meta: Map<String, Value>,
}

/// A ticket that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Its id.
    pub id: Uuid,
    /// False when the conversation had an open ticket for the same reason, which was completed instead.
    pub new: bool,
}

/// Where hand-off tickets are kept: what a backend implements.
pub trait HandoffStore: Send + Sync + 'static {
    /// Opens a ticket of the scope's tenant, or completes the one that the same conversation has open for the same reason:
    /// what is given now replaces what was there.
    ///
    /// # Errors
    /// [`StoreUnavailable`](rag_tower::ErrorKind::StoreUnavailable).
    fn create(
        &self,
        scope: &TenantScope,
        handoff: NewHandoff,
    ) -> impl Future<Output = Result<Ticket, Error>> + Send;
}

/// Tickets in memory, lost at the end of the process: for tests, and for trying things without a database. Of more than
/// its limit the oldest are forgotten.
#[derive(Debug)]
pub struct InMemoryHandoffs {
    tickets: Mutex<VecDeque<(TenantId, Uuid, NewHandoff)>>,
    limit: usize,
}

// === impl NewHandoff ===

impl NewHandoff {
    /// A request with nothing but its reason.
    #[must_use]
    pub fn new(reason: impl Into<Arc<str>>) -> Self {
        Self {
            reason: reason.into(),
            trace: None,
            session: None,
            branch: None,
            user: None,
            phone: None,
            message: Arc::from(""),
            meta: Map::new(),
        }
    }
}

impl std::fmt::Debug for NewHandoff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewHandoff")
            .field("reason", &self.reason)
            .field("session", &self.session)
            .field("phone", &self.phone.as_deref().map(crate::masking::phone))
            .finish_non_exhaustive()
    }
}

// === impl InMemoryHandoffs ===

impl InMemoryHandoffs {
    /// A store of at most so many tickets.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { tickets: Mutex::default(), limit }
    }

    /// The tickets of the scope's tenant, oldest first.
    #[must_use]
    pub fn of(&self, scope: &TenantScope) -> Vec<(Uuid, NewHandoff)> {
        let tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let own = tickets.iter().filter(|(tenant, ..)| *tenant == scope.tenant());
        own.map(|(_, id, handoff)| (*id, handoff.clone())).collect()
    }
}

impl HandoffStore for InMemoryHandoffs {
    async fn create(&self, scope: &TenantScope, handoff: NewHandoff) -> Result<Ticket, Error> {
        let tenant = scope.tenant();
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &&mut (TenantId, Uuid, NewHandoff)| {
            handoff.session.is_some()
                && (kept.0, kept.2.session, &kept.2.reason) == (tenant, handoff.session, &handoff.reason)
        };
        if let Some((_, id, kept)) = tickets.iter_mut().find(same) {
            *kept = handoff;
            return Ok(Ticket { id: *id, new: false });
        }
        let id = Uuid::now_v7();
        tickets.push_back((tenant, id, handoff));
        if tickets.len() > self.limit {
            tickets.pop_front();
        }
        Ok(Ticket { id, new: true })
    }
}
