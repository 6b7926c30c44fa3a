//! What has been done.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use rag_tower::http::Problem;
use serde::Deserialize;

use super::asked::{name, page, params, range, tenant};
use super::problem;
use crate::app::App;
use crate::auth::OwnerScope;
use crate::owner_store::{AuditFilter, AuditLine, List};

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    tenant_id: Option<String>,
    since: Option<String>,
    until: Option<String>,
    action: Option<String>,
    who: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
    cursor: Option<String>,
}

/// A page of the audit log, newest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<Params>, QueryRejection>,
) -> Result<Json<List<AuditLine>>, Problem> {
    let asked = params(asked, "tenant_id, since, until, action, who, limit, offset and cursor")?;
    let (since, until) = range(asked.since.as_deref(), asked.until.as_deref(), &app.zone)?;
    let filter = AuditFilter {
        since,
        until,
        action: name("action", asked.action.as_deref())?,
        who: name("who", asked.who.as_deref())?,
        tenant: tenant(asked.tenant_id.as_deref())?,
    };
    let page = page(asked.limit.as_deref(), asked.offset.as_deref(), asked.cursor.as_deref())?;
    Ok(Json(app.owner.audit(&owner, &filter, &page).await.map_err(problem)?))
}
