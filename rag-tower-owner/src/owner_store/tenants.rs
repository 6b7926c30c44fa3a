//! The tenants of the platform.

use rag_tower::postgres::{DatabaseError, OwnerTx};
use serde::Serialize;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OwnerStore;
use crate::auth::OwnerScope;

const LIST: &str =
    "SELECT t.id, t.slug, t.name, t.status, t.created_at, coalesce(c.documents, 0) AS documents,
        coalesce(c.chunks, 0) AS chunks
    FROM rag_tower.tenants t LEFT JOIN rag_tower.corpora c ON c.tenant_id = t.id ORDER BY t.slug";

/// A tenant in a list.
#[derive(Clone, Debug, Serialize, FromRow)]
#[non_exhaustive]
pub struct TenantLine {
    /// The tenant.
    pub id: Uuid,
    /// Its slug.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// `active`, `suspended` or `archived`.
    pub status: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// How many documents it has.
    pub documents: i64,
    /// How many chunks they have.
    pub chunks: i64,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// Every tenant, by slug.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn tenants(&self, _: &OwnerScope) -> Result<Vec<TenantLine>, DatabaseError> {
        let mut tx = OwnerTx::begin(&self.database).await?;
        let tenants = sqlx::query_as(LIST).fetch_all(tx.connection()).await?;
        tx.commit().await?;
        Ok(tenants)
    }
}
