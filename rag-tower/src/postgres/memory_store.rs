//! Conversations in `rag_tower.chat_sessions`.

use std::collections::BTreeMap;

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
use crate::memory::{Folding, History, NewTurn, Turn};
use crate::port::MemoryStore;
use crate::tenant::{TenantId, TenantScope};

/// Keeps conversations in Postgres.
///
/// A commit does not wait for the disk: when Postgres itself crashes, the turns of its last moments (three times `wal_writer_delay`, 0.6 s) may be missing from conversations. What was
/// asked and answered is in the trace row, whose commit does wait.
#[derive(Clone, Debug)]
pub struct PgMemoryStore {
    database: Database,
    writes: Database,
    folding: Folding,
}

// === impl PgMemoryStore ===

impl PgMemoryStore {
    /// Keeps conversations in this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone(), writes: database.clone(), folding: Folding::default() }
    }

    /// Sets where turns are written, such as [`Database::aside`]. Default: where they are read.
    #[must_use]
    pub fn with_writes_through(mut self, database: &Database) -> Self {
        self.writes = database.clone();
        self
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

    /// Adds the turns of one tenant, up to the commit.
    async fn append_rows(&self, turns: &[NewTurn]) -> Result<Option<TenantTx>, DatabaseError> {
        let Some(NewTurn { scope, .. }) = turns.first() else { return Ok(None) };
        // by id, so that nobody who does the same in another order is waited for in a circle
        let mut sessions: BTreeMap<Uuid, Vec<&NewTurn>> = BTreeMap::new();
        for new in turns {
            sessions.entry(new.session.as_uuid()).or_default().push(new);
        }
        let mut columns = Columns::default();
        let mut subjects = Vec::with_capacity(sessions.len());
        for turns in sessions.values() {
            let Some(first) = turns.first() else { continue };
            subjects.push(first.scope.subject().map(|subject| subject.to_string()));
            columns.push(self.folded(History::new(first.session, scope.tenant()), turns));
        }
        let mut tx = TenantTx::begin(&self.writes, scope).await?;
        let rows = sqlx::query(sql::OPEN_SESSIONS)
            .bind(scope.tenant().as_uuid())
            .bind(columns.ids)
            .bind(subjects)
            .bind(columns.entities)
            .bind(columns.summaries)
            .bind(columns.turns)
            .fetch_all(tx.connection())
            .await?;
        let mut known = Columns::default();
        for row in rows {
            let id: Uuid = row.try_get("id")?;
            if let (false, Some(turns)) = (row.try_get("new")?, sessions.get(&id)) {
                known.push(self.folded(history(SessionId::new(id), &row)?, turns));
            }
        }
        if !known.ids.is_empty() {
            sqlx::query(sql::SAVE_SESSIONS)
                .bind(scope.tenant().as_uuid())
                .bind(known.ids)
                .bind(known.entities)
                .bind(known.summaries)
                .bind(known.turns)
                .execute(tx.connection())
                .await?;
        }
        Ok(Some(tx))
    }

    fn folded(&self, mut history: History, turns: &[&NewTurn]) -> History {
        for new in turns {
            self.folding.fold(&mut history, new.turn.clone());
        }
        history
    }
}

impl MemoryStore for PgMemoryStore {
    async fn load(&self, scope: &TenantScope, session: SessionId) -> Result<Option<History>, Error> {
        self.load_row(scope, session).await.map_err(|error| error.at(Stage::Memory))
    }

    async fn append(&self, scope: &TenantScope, session: SessionId, turn: Turn) -> Result<(), Error> {
        self.append_all(&[NewTurn { scope: scope.clone(), session, turn }]).await.1
    }

    /// All of them or none.
    async fn append_all(&self, turns: &[NewTurn]) -> (usize, Result<(), Error>) {
        let written = match self.append_rows(turns).await {
            // the policy hides the row that an id met: it is another tenant's
            Err(error) if error.is_row_security() => {
                Err(Error::new(ErrorKind::NotFound, Stage::Memory).with_source(error))
            }
            Err(error) => Err(error.at(Stage::Memory)),
            Ok(None) => Ok(()),
            Ok(Some(tx)) => {
                let committed = tx.commit().await;
                committed.map_err(|error| Error::new(ErrorKind::Timeout, Stage::Memory).with_source(error))
            }
        };
        (if written.is_ok() { turns.len() } else { 0 }, written)
    }
}

/// Sessions as their columns hold them.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    entities: Vec<String>,
    summaries: Vec<String>,
    turns: Vec<String>,
}

// === impl Columns ===

impl Columns {
    fn push(&mut self, history: History) {
        let turns = serde_json::to_value(&history.recent_messages_buffer).map_or(Value::Null, clean_json);
        self.ids.push(history.session.as_uuid());
        self.entities.push(clean_json(Value::Object(history.entity_memory)).to_string());
        self.summaries.push(clean(&history.rolling_summary).into_owned());
        self.turns.push(turns.to_string());
    }
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
