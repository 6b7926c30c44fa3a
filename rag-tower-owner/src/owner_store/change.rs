//! Changes by the owner: what is done and its entry in the audit log in, both or neither in the database out.
//!
//! Reads run in a [`OwnerTx::begin`], in which Postgres refuses to change anything. A [`Change`] takes an [`Entry`] to be
//! committed, and there is no other way to commit it.

use std::net::IpAddr;

use rag_tower::postgres::{DatabaseError, OwnerTx};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::OwnerStore;
use crate::auth::OwnerScope;

const APPEND: &str = "INSERT INTO rag_tower.audit_log (id, who, action, target, tenant_id, detail, client) VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// A change on its way. Dropping it undoes what was done.
#[must_use = "a change that is dropped is undone"]
pub(crate) struct Change<'o> {
    tx: OwnerTx,
    owner: &'o OwnerScope,
}

/// What the audit log will say was done. It is shown as it is: mask what people wrote before it goes in.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    action: &'static str,
    target: Option<String>,
    tenant: Option<Uuid>,
    detail: Value,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// Begins a change.
    pub(crate) async fn change<'o>(&self, owner: &'o OwnerScope) -> Result<Change<'o>, DatabaseError> {
        Ok(Change { tx: OwnerTx::change(&self.database).await?, owner })
    }
}

// === impl Change ===

impl Change<'_> {
    /// Runs SQL in it.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.tx.connection()
    }

    /// Commits what was done, together with what the audit log says of it.
    pub(crate) async fn commit(mut self, entry: Entry) -> Result<(), DatabaseError> {
        append(self.tx.connection(), self.owner.username(), self.owner.client(), &entry).await?;
        self.tx.commit().await
    }
}

// === impl Entry ===

impl Entry {
    /// Something was done: a group and a verb, such as `handoff.reveal`.
    pub(crate) fn new(action: &'static str) -> Self {
        Self { action, target: None, tenant: None, detail: json!({}) }
    }

    /// To this.
    pub(crate) fn of(mut self, target: impl ToString) -> Self {
        self.target = Some(target.to_string());
        self
    }

    /// Which is this tenant's.
    pub(crate) fn tenant(mut self, tenant: Uuid) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// With these facts, an object.
    pub(crate) fn detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }
}

/// Appends to the audit log.
pub(super) async fn append(
    connection: &mut PgConnection,
    who: &str,
    client: Option<IpAddr>,
    entry: &Entry,
) -> Result<(), DatabaseError> {
    sqlx::query(APPEND)
        .bind(Uuid::now_v7())
        .bind(who)
        .bind(entry.action)
        .bind(&entry.target)
        .bind(entry.tenant)
        .bind(&entry.detail)
        .bind(client.map(|client| client.to_string()))
        .execute(connection)
        .await?;
    Ok(())
}
