//! What people thought of an answer.

use uuid::Uuid;

use super::database::Database;
use super::error::DatabaseError;
use super::sql;
use super::tenant_tx::TenantTx;
use super::text::clean;
use crate::ask::AskId;
use crate::tenant::TenantScope;

/// Keeps feedback in Postgres.
#[derive(Clone, Debug)]
pub struct PgFeedback {
    database: Database,
}

/// A thumb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rating {
    /// 👍, 1 on the wire.
    Up,
    /// 👎, -1 on the wire.
    Down,
}

// === impl PgFeedback ===

impl PgFeedback {
    /// Keeps feedback in this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }

    /// Notes what the scope's subject thought of an answer. One opinion per trace and subject: the last one wins. The
    /// trace need not have reached the database yet; feedback on another tenant's trace stays under this tenant and
    /// joins nothing.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn put(
        &self,
        scope: &TenantScope,
        trace: AskId,
        rating: Rating,
        comment: Option<&str>,
    ) -> Result<(), DatabaseError> {
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        sqlx::query(sql::PUT_FEEDBACK)
            .bind(scope.tenant().as_uuid())
            .bind(Uuid::now_v7())
            .bind(trace.as_uuid())
            .bind(scope.subject().map_or("", |subject| subject))
            .bind(rating.as_i16())
            .bind(comment.map(clean))
            .execute(tx.connection())
            .await?;
        tx.commit().await
    }
}

// === impl Rating ===

impl Rating {
    /// 1 or -1.
    #[must_use]
    pub const fn as_i16(self) -> i16 {
        match self {
            Self::Up => 1,
            Self::Down => -1,
        }
    }
}
