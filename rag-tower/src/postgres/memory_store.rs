//! Conversations in `rag_tower.chat_sessions`.

use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::database::Database;
use super::error::DatabaseError;
use super::sql;
use super::tenant_tx::TenantTx;
use super::text::{clean, clean_json};
use crate::ask::SessionId;
use crate::error::{Error, ErrorKind, Stage};
use crate::memory::{Folding, History, Turn};
use crate::port::MemoryStore;
use crate::tenant::{TenantId, TenantScope};

/// Keeps conversations in Postgres.
///
/// The end of an answer waits for its turn to be kept, so that commit does not wait for the disk: when Postgres itself
/// crashes, the turns of its last moments (three times `wal_writer_delay`, 0.6 s) may be missing from conversations. What was
/// asked and answered is in the trace row, whose commit does wait.
#[derive(Clone, Debug)]
pub struct PgMemoryStore {
    database: Database,
    folding: Folding,
}

// === impl PgMemoryStore ===

impl PgMemoryStore {
    /// Keeps conversations in this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone(), folding: Folding::default() }
    }

    /// Sets how much a session remembers. Default: [`Folding::default`].
    #[must_use]
    pub fn with_folding(mut self, folding: Folding) -> Self {
        self.folding = folding;
        self
    }

    async fn load_row(
        &self,
        scope: &TenantScope,
        session: SessionId,
    ) -> Result<Option<History>, DatabaseError> {
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let row = sqlx::query(sql::LOAD_SESSION)
            .bind(scope.tenant().as_uuid())
            .bind(session.as_uuid())
            .fetch_optional(tx.connection())
            .await?;
        row.map(|row| history(session, &row)).transpose()
    }

    async fn append_row(
        &self,
        scope: &TenantScope,
        session: SessionId,
        turn: Turn,
    ) -> Result<(), DatabaseError> {
        let mut first = History::new(session, scope.tenant());
        self.folding.fold(&mut first, turn.clone());
        let (entities, summary, turns) = columns(first);
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let row = sqlx::query(sql::OPEN_SESSION)
            .bind(scope.tenant().as_uuid())
            .bind(session.as_uuid())
            .bind(scope.subject().map(|subject| &**subject))
            .bind(entities)
            .bind(summary)
            .bind(turns)
            .fetch_one(tx.connection())
            .await?;
        if !row.try_get::<bool, _>("new")? {
            let mut history = history(session, &row)?;
            self.folding.fold(&mut history, turn);
            let (entities, summary, turns) = columns(history);
            sqlx::query(sql::SAVE_SESSION)
                .bind(scope.tenant().as_uuid())
                .bind(session.as_uuid())
                .bind(entities)
                .bind(summary)
                .bind(turns)
                .execute(tx.connection())
                .await?;
        }
        tx.commit().await
    }
}

impl MemoryStore for PgMemoryStore {
    async fn load(&self, scope: &TenantScope, session: SessionId) -> Result<Option<History>, Error> {
        self.load_row(scope, session).await.map_err(|error| error.at(Stage::Memory))
    }

    async fn append(&self, scope: &TenantScope, session: SessionId, turn: Turn) -> Result<(), Error> {
        match self.append_row(scope, session, turn).await {
            // the policy hides the row that the id met: it is another tenant's
            Err(error) if error.is_row_security() => {
                Err(Error::new(ErrorKind::NotFound, Stage::Memory).with_source(error))
            }
            other => other.map_err(|error| error.at(Stage::Memory)),
        }
    }
}

/// A session as its three columns hold it.
fn columns(history: History) -> (Value, String, Value) {
    let turns = serde_json::to_value(&history.recent_messages_buffer).map_or(Value::Null, clean_json);
    (clean_json(Value::Object(history.entity_memory)), clean(&history.rolling_summary).into_owned(), turns)
}

fn history(session: SessionId, row: &PgRow) -> Result<History, DatabaseError> {
    Ok(History {
        session,
        tenant: TenantId::new(row.try_get::<Uuid, _>("tenant_id")?),
        entity_memory: row.try_get::<Json<Map<String, Value>>, _>("entity_memory")?.0,
        rolling_summary: row.try_get("rolling_summary")?,
        recent_messages_buffer: row.try_get::<Json<Vec<Turn>>, _>("recent_messages_buffer")?.0,
    })
}
