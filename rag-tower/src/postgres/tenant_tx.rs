//! Transactions: the only way to data.

use std::fmt;
use std::time::Duration;

use sqlx::{PgConnection, Postgres, Transaction};

use super::database::{Database, Role};
use super::error::DatabaseError;
use super::sql;
use crate::tenant::{TenantId, TenantScope};

/// A transaction that sees one tenant's rows.
///
/// Its first statement sets the role and the tenant, both for this transaction only, so nothing of it is left on the
/// connection, however it ends: committed, rolled back, dropped half-way or lost to a panic. Dropping it rolls back, which
/// is also how one that only read ends: nobody waits for that.
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    tenant: TenantId,
}

/// A transaction of the platform's owner: it sees every tenant's traces, feedback, tickets and registry.
pub struct OwnerTx {
    tx: Transaction<'static, Postgres>,
}

// === impl TenantTx ===

impl TenantTx {
    /// Opens a transaction for the scope's tenant.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when no connection can be had in time.
    pub async fn begin(database: &Database, scope: &TenantScope) -> Result<Self, DatabaseError> {
        let tenant = scope.tenant();
        Ok(Self { tx: database.begin(Role::Tenant, Some(tenant.as_uuid())).await?, tenant })
    }

    /// Whose rows it sees.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Runs SQL in it, an application's own included. Tables of yours are kept apart as ours are when they carry the
    /// same policy: `tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid`, enabled and forced.
    ///
    /// # Warning
    /// Setting `role` or `rag.tenant_id` yourself undoes what the type promises.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Commits.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`]; whether the commit took place is then unknown.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        Ok(self.tx.commit().await?)
    }
}

impl fmt::Debug for TenantTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantTx").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

// === impl OwnerTx ===

impl OwnerTx {
    /// Opens a transaction as the owner, in which Postgres refuses to change anything.
    ///
    /// # Warning
    /// Nothing here proves that the caller is the owner. Call it only behind a type that does.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when no connection can be had in time.
    pub async fn begin(database: &Database) -> Result<Self, DatabaseError> {
        Ok(Self { tx: database.begin(Role::Owner, None).await? })
    }

    /// As [`begin`](Self::begin), for a change. It is a way of its own so that no change is made in passing: what the owner of
    /// a platform changes belongs into an audit log, in the same transaction.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn change(database: &Database) -> Result<Self, DatabaseError> {
        Ok(Self { tx: database.begin(Role::OwnerChange, None).await? })
    }

    /// As [`begin`](Self::begin), for several reads of one moment: it sees nothing that is committed after the first.
    ///
    /// Each statement is planned for its own parameters. A plan for any would be one over every partition, which takes
    /// longer to make than most reads take, and each connection would make it once.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn snapshot(database: &Database) -> Result<Self, DatabaseError> {
        let mut tx = database.begin(Role::Owner, None).await?;
        sqlx::raw_sql(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL plan_cache_mode = force_custom_plan",
        )
        .execute(&mut *tx)
        .await?;
        Ok(Self { tx })
    }

    /// Stops each further statement that takes longer than this, at least a millisecond.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`]. A statement that is stopped is a [`DatabaseError::TooLong`], and ends the transaction.
    pub async fn bound(&mut self, each: Duration) -> Result<(), DatabaseError> {
        sqlx::raw_sql(sql::statement_timeout(each)).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Runs SQL in it.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Commits.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`]; whether the commit took place is then unknown.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        Ok(self.tx.commit().await?)
    }
}

impl fmt::Debug for OwnerTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerTx").finish_non_exhaustive()
    }
}
