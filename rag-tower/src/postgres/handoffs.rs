//! People who asked for a person.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::database::Database;
use super::error::DatabaseError;
use super::sql;
use super::tenant_tx::TenantTx;
use super::text::{clean, clean_json};
use crate::ask::{AskId, SessionId};
use crate::masking;
use crate::tenant::{BranchId, TenantScope};

/// Keeps hand-off tickets in Postgres.
#[derive(Clone, Debug)]
pub struct PgHandoffs {
    database: Database,
}

/// A request for a person. `Debug` masks the phone and shows no message.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewHandoff {
    /// Why: a short name such as `asked_for_a_person`. With the session it says which ticket this is.
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
pub struct Opened {
    /// Its id.
    pub id: Uuid,
    /// False when the conversation had an open ticket for the same reason, which was completed instead.
    pub new: bool,
}

// === impl NewHandoff ===

impl NewHandoff {
    /// A request with nothing but its reason.
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

impl fmt::Debug for NewHandoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewHandoff")
            .field("reason", &self.reason)
            .field("session", &self.session)
            .field("phone", &self.phone.as_deref().map(masking::phone))
            .finish_non_exhaustive()
    }
}

// === impl PgHandoffs ===

impl PgHandoffs {
    /// Keeps tickets in this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }

    /// Opens a ticket, or completes the one that the conversation has open for the same reason: a phone number, a
    /// message or facts that are given now replace what was there, what is not given stays.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn open(&self, scope: &TenantScope, handoff: &NewHandoff) -> Result<Opened, DatabaseError> {
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let (id, new) = sqlx::query_as(sql::OPEN_TICKET)
            .bind(scope.tenant().as_uuid())
            .bind(Uuid::now_v7())
            .bind(handoff.branch.map(|branch| branch.as_uuid()))
            .bind(handoff.trace.map(|trace| trace.as_uuid()))
            .bind(handoff.session.map(|session| session.as_uuid()))
            .bind(handoff.user.as_deref().map(clean))
            .bind(handoff.phone.as_deref().map(clean))
            .bind(clean(&handoff.message))
            .bind(clean(&handoff.reason))
            .bind(clean_json(Value::Object(handoff.meta.clone())))
            .fetch_one(tx.connection())
            .await?;
        tx.commit().await?;
        Ok(Opened { id, new })
    }
}
