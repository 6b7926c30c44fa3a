//! The owner's live sessions in Postgres: they outlive a restart and are shared by replicas.

use std::time::Duration;

use rag_tower::postgres::{Database, DatabaseError, OwnerTx};
use rag_tower::{Error, Stage};

use super::change::{Entry, append};
use crate::auth::{AuthEvent, AuthEventKind, OwnerSessions};

/// What has ended by itself goes when the next session starts.
const SWEEP: &str = "DELETE FROM rag_tower.owner_sessions WHERE expires_at <= now()";
const START: &str =
    "INSERT INTO rag_tower.owner_sessions (jti, expires_at) VALUES ($1, now() + $2 * interval '1 second')
    ON CONFLICT (jti) DO UPDATE SET expires_at = excluded.expires_at";
const IS_LIVE: &str =
    "SELECT EXISTS (SELECT FROM rag_tower.owner_sessions WHERE jti = $1 AND expires_at > now())";
const END: &str = "DELETE FROM rag_tower.owner_sessions WHERE jti = $1";

/// Keeps the owner's sessions in Postgres.
#[derive(Clone, Debug)]
pub struct PgOwnerSessions {
    database: Database,
}

// === impl PgOwnerSessions ===

impl PgOwnerSessions {
    /// Keeps sessions in this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }

    async fn put(&self, id: &str, lifetime: Duration) -> Result<(), DatabaseError> {
        let mut tx = OwnerTx::change(&self.database).await?;
        sqlx::query(SWEEP).execute(tx.connection()).await?;
        sqlx::query(START).bind(id).bind(lifetime.as_secs_f64()).execute(tx.connection()).await?;
        tx.commit().await
    }

    async fn find(&self, id: &str) -> Result<bool, DatabaseError> {
        let mut tx = OwnerTx::begin(&self.database).await?;
        let live = sqlx::query_scalar(IS_LIVE).bind(id).fetch_one(tx.connection()).await?;
        tx.commit().await?;
        Ok(live)
    }

    async fn remove(&self, id: &str) -> Result<(), DatabaseError> {
        let mut tx = OwnerTx::change(&self.database).await?;
        sqlx::query(END).bind(id).execute(tx.connection()).await?;
        tx.commit().await
    }

    async fn append(&self, event: &AuthEvent) -> Result<(), DatabaseError> {
        let action = match event.what {
            AuthEventKind::Login => "owner.login",
            AuthEventKind::Refused => "owner.login_refused",
            AuthEventKind::Logout => "owner.logout",
        };
        let mut tx = OwnerTx::change(&self.database).await?;
        let who = event.username.as_deref().unwrap_or_default();
        append(tx.connection(), who, event.client, &Entry::new(action)).await?;
        tx.commit().await
    }
}

impl OwnerSessions for PgOwnerSessions {
    async fn start(&self, id: &str, lifetime: Duration) -> Result<(), Error> {
        self.put(id, lifetime).await.map_err(|error| error.at(Stage::Http))
    }

    async fn is_live(&self, id: &str) -> Result<bool, Error> {
        self.find(id).await.map_err(|error| error.at(Stage::Http))
    }

    async fn end(&self, id: &str) -> Result<(), Error> {
        self.remove(id).await.map_err(|error| error.at(Stage::Http))
    }

    async fn record(&self, event: &AuthEvent) -> Result<(), Error> {
        self.append(event).await.map_err(|error| error.at(Stage::Http))
    }
}
