//! Where hand-off tickets are kept.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Mutex, PoisonError};

use rag_tower::postgres::{NewHandoff, Opened, PgHandoffs};
use rag_tower::{Error, Stage, TenantId, TenantScope};
use uuid::Uuid;

use crate::telemetry;

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
    ) -> impl Future<Output = Result<Opened, Error>> + Send;
}

/// Tickets in memory, lost at the end of the process: for tests, and for trying things without a database. Of more than
/// its limit the oldest are forgotten.
#[derive(Debug)]
pub struct InMemoryHandoffs {
    tickets: Mutex<VecDeque<(TenantId, Uuid, NewHandoff)>>,
    limit: usize,
}

impl HandoffStore for PgHandoffs {
    async fn create(&self, scope: &TenantScope, handoff: NewHandoff) -> Result<Opened, Error> {
        let opened = self.open(scope, &handoff).await.map_err(|error| error.at(Stage::Tool))?;
        if opened.new {
            telemetry::handoff("new", &handoff.reason);
        }
        Ok(opened)
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
    async fn create(&self, scope: &TenantScope, handoff: NewHandoff) -> Result<Opened, Error> {
        let tenant = scope.tenant();
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &&mut (TenantId, Uuid, NewHandoff)| {
            handoff.session.is_some()
                && (kept.0, kept.2.session, &kept.2.reason) == (tenant, handoff.session, &handoff.reason)
        };
        if let Some((_, id, kept)) = tickets.iter_mut().find(same) {
            *kept = handoff;
            return Ok(Opened { id: *id, new: false });
        }
        let id = Uuid::now_v7();
        tickets.push_back((tenant, id, handoff));
        if tickets.len() > self.limit {
            tickets.pop_front();
        }
        Ok(Opened { id, new: true })
    }
}
