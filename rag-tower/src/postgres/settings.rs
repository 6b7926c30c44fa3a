//! What a tenant has configured: its course data and its routes.

use serde_json::Value;

use super::database::Database;
use super::error::DatabaseError;
use super::sql;
use super::tenant_tx::TenantTx;
use super::text::clean_json;
use crate::tenant::TenantScope;

/// Keeps tenants' settings in Postgres.
#[derive(Clone, Debug)]
pub struct PgSettings {
    database: Database,
}

/// One tenant's settings. Their form is the application's.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
#[non_exhaustive]
pub struct TenantSettings {
    /// Structured data that tools calculate with.
    pub courses: Value,
    /// Routes and what leads to them.
    pub routes: Value,
    /// Grows by one with each change.
    pub version: i64,
}

// === impl PgSettings ===

impl PgSettings {
    /// Keeps settings in this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }

    /// The tenant's settings; none when nothing was ever saved.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn load(&self, scope: &TenantScope) -> Result<Option<TenantSettings>, DatabaseError> {
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let settings = sqlx::query_as(sql::LOAD_SETTINGS)
            .bind(scope.tenant().as_uuid())
            .fetch_optional(tx.connection())
            .await?;
        Ok(settings)
    }

    /// Replaces the tenant's settings and returns their version.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn save(
        &self,
        scope: &TenantScope,
        courses: Value,
        routes: Value,
    ) -> Result<i64, DatabaseError> {
        let mut tx = TenantTx::begin(&self.database, scope).await?;
        let version = sqlx::query_scalar(sql::SAVE_SETTINGS)
            .bind(scope.tenant().as_uuid())
            .bind(clean_json(courses))
            .bind(clean_json(routes))
            .fetch_one(tx.connection())
            .await?;
        tx.commit().await?;
        Ok(version)
    }
}
