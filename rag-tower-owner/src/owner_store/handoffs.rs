//! Tickets, as the owner sees them.

use rag_tower::masking;
use rag_tower::postgres::DatabaseError;
use rag_tower::tenant::TenantId;
use serde::Serialize;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OwnerStore;
use super::page::{Cursor, List, Listing, Page, Statement};
use crate::auth::OwnerScope;

/// The order of the parameters is that of [`HandoffFilter`].
const HANDOFFS: Listing = Listing {
    columns: "r.id, r.ts, r.tenant_id, t.slug AS tenant, r.branch_id, r.trace_id, r.user_id, r.phone, r.message, r.reason,
        r.status",
    table: "rag_tower.handoff_tickets",
    id: "id",
    filter: "($1::uuid IS NULL OR r.tenant_id = $1) AND ($2::timestamptz IS NULL OR r.ts >= $2)
        AND ($3::timestamptz IS NULL OR r.ts < $3) AND ($4::text IS NULL OR r.status = $4)",
    parameters: 4,
};

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
    pub async fn handoffs<'q>(
        &self,
        _: &OwnerScope,
        filter: &'q HandoffFilter,
        page: &Page,
    ) -> Result<List<HandoffLine>, DatabaseError> {
        let bind = |statement: Statement<'q>| {
            let tenant = filter.tenant.map(|tenant| tenant.as_uuid());
            statement.bind(tenant).bind(filter.since).bind(filter.until).bind(&filter.status)
        };
        let at = |line: &HandoffLine| Cursor { ts: line.ts, id: line.id };
        let mut list = self.page(&HANDOFFS, page, bind, at).await?;
        for line in &mut list.items {
            line.phone = line.phone.as_deref().map(masking::phone);
            line.message = masking::text(&line.message).into_owned();
        }
        Ok(list)
    }
}
