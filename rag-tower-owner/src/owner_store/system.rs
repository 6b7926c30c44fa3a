//! What the database knows of itself: migrations that have been applied, and what trace rows take.

use std::time::Duration;

use rag_tower::postgres::{DatabaseError, OwnerTx, migrations};
use serde::Serialize;

use super::OwnerStore;
use crate::auth::OwnerScope;

const APPLIED: &str = "SELECT version FROM rag_tower._migrations WHERE success ORDER BY version";
/// Sizes are asked of the file system.
const BYTES: &str =
    "SELECT coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint FROM pg_catalog.pg_inherits i
    WHERE i.inhparent = 'rag_tower.request_traces'::regclass";
/// A partition that somebody has for itself, such as to drop it, is waited for no longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far a set of migrations has been applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct MigrationState {
    /// The set.
    pub set: &'static str,
    /// The newest of it that the database has; none when it has none.
    pub version: Option<i64>,
    /// The newest of it that this program has.
    pub latest: Option<i64>,
    /// How many of it the database lacks.
    pub missing: usize,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// How far each set of migrations has been applied.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn migrations(&self, _: &OwnerScope) -> Result<Vec<MigrationState>, DatabaseError> {
        let mut tx = OwnerTx::begin(&self.database).await?;
        let applied: Vec<i64> = sqlx::query_scalar(APPLIED).fetch_all(tx.connection()).await?;
        let state = |(set, known): (&'static str, Vec<i64>)| MigrationState {
            set,
            version: applied.iter().rev().find(|version| known.contains(version)).copied(),
            latest: known.last().copied(),
            missing: known.iter().filter(|version| !applied.contains(version)).count(),
        };
        Ok(migrations().into_iter().map(state).collect())
    }

    /// What trace rows and their indexes take, in bytes.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn trace_bytes(&self, _: &OwnerScope) -> Result<i64, DatabaseError> {
        let mut tx = OwnerTx::begin(&self.database).await?;
        tx.bound(PATIENCE).await?;
        Ok(sqlx::query_scalar(BYTES).fetch_one(tx.connection()).await?)
    }
}
