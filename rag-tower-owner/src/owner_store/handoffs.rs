//! Tickets, as the owner sees them.

use rag_tower::masking;
use rag_tower::postgres::{DatabaseError, OwnerTx};
use rag_tower::tenant::TenantId;
use serde::Serialize;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OwnerStore;
use super::page::{Cursor, List, Page};
use crate::auth::OwnerScope;

const LIST: &str = "SELECT h.id, h.ts, h.tenant_id, t.slug AS tenant, h.branch_id, h.trace_id, h.user_id, h.phone, h.message,
        h.reason, h.status
    FROM rag_tower.handoff_tickets h LEFT JOIN rag_tower.tenants t ON t.id = h.tenant_id
    WHERE ($1::uuid IS NULL OR h.tenant_id = $1) AND ($2::timestamptz IS NULL OR h.ts >= $2)
      AND ($3::timestamptz IS NULL OR h.ts < $3) AND ($4::text IS NULL OR h.status = $4)
      AND ($5::timestamptz IS NULL OR (h.ts, h.id) < ($5, $6))
    ORDER BY h.ts DESC, h.id DESC LIMIT $7 OFFSET $8";

const COUNT: &str = "SELECT count(*) FROM rag_tower.handoff_tickets h
    WHERE ($1::uuid IS NULL OR h.tenant_id = $1) AND ($2::timestamptz IS NULL OR h.ts >= $2)
      AND ($3::timestamptz IS NULL OR h.ts < $3) AND ($4::text IS NULL OR h.status = $4)";

/// Which tickets.
#[derive(Clone, Debug, Default)]
pub struct HandoffFilter {
    /// Of one tenant. Default: of all.
    pub tenant: Option<TenantId>,
    /// Opened from this moment on.
    pub since: Option<OffsetDateTime>,
    /// Opened before this moment.
    pub until: Option<OffsetDateTime>,
    /// `new`, `contacted` or `closed`.
    pub status: Option<String>,
}

/// A ticket in a list.
#[derive(Clone, Debug, Serialize, FromRow)]
#[non_exhaustive]
pub struct HandoffLine {
    /// The ticket.
    pub id: Uuid,
    /// When it was opened.
    #[serde(with = "time::serde::rfc3339")]
    pub ts: OffsetDateTime,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The tenant's slug, when the registry knows it.
    pub tenant: Option<String>,
    /// The branch.
    pub branch_id: Option<Uuid>,
    /// The ask it came from.
    pub trace_id: Option<Uuid>,
    /// Who asked, as the tenant knows them.
    pub user_id: Option<String>,
    /// Where to call back, masked.
    pub phone: Option<String>,
    /// What they want, masked.
    pub message: String,
    /// Why.
    pub reason: String,
    /// `new`, `contacted` or `closed`.
    pub status: String,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// A page of tickets.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn handoffs(
        &self,
        _: &OwnerScope,
        filter: &HandoffFilter,
        page: &Page,
    ) -> Result<List<HandoffLine>, DatabaseError> {
        let mut tx = OwnerTx::begin(&self.database).await?;
        let tenant = filter.tenant.map(|tenant| tenant.as_uuid());
        let mut lines: Vec<HandoffLine> = sqlx::query_as(LIST)
            .bind(tenant)
            .bind(filter.since)
            .bind(filter.until)
            .bind(&filter.status)
            .bind(page.after.map(|after| after.ts))
            .bind(page.after.map(|after| after.id))
            .bind(page.fetch())
            .bind(page.skip())
            .fetch_all(tx.connection())
            .await?;
        let total = match page.after {
            Some(_) => None,
            None => {
                let count = sqlx::query_scalar(COUNT)
                    .bind(tenant)
                    .bind(filter.since)
                    .bind(filter.until)
                    .bind(&filter.status);
                Some(count.fetch_one(tx.connection()).await?)
            }
        };
        tx.commit().await?;
        for line in &mut lines {
            line.phone = line.phone.as_deref().map(masking::phone);
            line.message = masking::text(&line.message).into_owned();
        }
        Ok(page.list(lines, total, |line| Cursor { ts: line.ts, id: line.id }))
    }
}
