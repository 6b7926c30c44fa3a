//! What has been done: a filter in, a page of the audit log out.

use rag_tower::postgres::DatabaseError;
use rag_tower::tenant::TenantId;
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OwnerStore;
use super::page::{Cursor, List, Listing, Page, Statement};
use crate::auth::OwnerScope;

/// The order of the parameters is that of [`AuditFilter`].
const AUDIT: Listing = Listing {
    columns: "r.id, r.ts, r.who, r.action, r.target, r.tenant_id, t.slug AS tenant, r.detail, r.client",
    table: "rag_tower.audit_log",
    id: "id",
    filter: "($1::timestamptz IS NULL OR r.ts >= $1) AND ($2::timestamptz IS NULL OR r.ts < $2)
        AND ($3::text IS NULL OR r.action = $3) AND ($4::text IS NULL OR r.who = $4)
        AND ($5::uuid IS NULL OR r.tenant_id = $5)",
    parameters: 5,
};

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// From this moment on.
    pub since: Option<OffsetDateTime>,
    /// Before this moment.
    pub until: Option<OffsetDateTime>,
    /// What was done, such as `handoff.reveal`.
    pub action: Option<String>,
    /// Who did it.
    pub who: Option<String>,
    /// To something of this tenant. Default: of anybody.
    pub tenant: Option<TenantId>,
}

/// An entry of the audit log.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct AuditLine {
    /// The entry.
    pub id: Uuid,
    /// When it was done.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub ts: OffsetDateTime,
    /// Who was logged in; empty for a refused login with another name.
    pub who: String,
    /// What was done.
    pub action: String,
    /// What it was done to: an id or a name.
    pub target: Option<String>,
    /// Whose that is.
    pub tenant_id: Option<Uuid>,
    /// The tenant's slug, when the registry knows it.
    pub tenant: Option<String>,
    /// Facts, by what was done.
    pub detail: Value,
    /// The address that it was done from.
    pub client: Option<String>,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// A page of the audit log.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn audit<'q>(
        &self,
        _: &OwnerScope,
        filter: &'q AuditFilter,
        page: &Page,
    ) -> Result<List<AuditLine>, DatabaseError> {
        let bind = |statement: Statement<'q>| {
            let statement = statement.bind(filter.since).bind(filter.until).bind(&filter.action);
            statement.bind(&filter.who).bind(filter.tenant.map(|tenant| tenant.as_uuid()))
        };
        let at = |line: &AuditLine| Cursor { ts: line.ts, id: line.id };
        self.page(&AUDIT, page, bind, at).await
    }
}
