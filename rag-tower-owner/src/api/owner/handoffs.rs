//! Requests for a person.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use rag_tower::http::Problem;
use serde::Deserialize;

use super::asked::{one_of, page, params, range, tenant};
use super::problem;
use crate::app::App;
use crate::auth::OwnerScope;
use crate::owner_store::{HandoffFilter, HandoffLine, List};

/// The states of a ticket.
const STATES: [&str; 3] = ["new", "contacted", "closed"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    tenant_id: Option<String>,
    since: Option<String>,
    until: Option<String>,
    status: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
    cursor: Option<String>,
}

/// A page of them, newest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<Params>, QueryRejection>,
) -> Result<Json<List<HandoffLine>>, Problem> {
    let asked = params(asked, "tenant_id, since, until, status, limit, offset and cursor")?;
    let (since, until) = range(asked.since.as_deref(), asked.until.as_deref(), &app.zone)?;
    let status = one_of("status", asked.status.as_deref(), &STATES)?;
    let filter = HandoffFilter { tenant: tenant(asked.tenant_id.as_deref())?, since, until, status };
    let page = page(asked.limit.as_deref(), asked.offset.as_deref(), asked.cursor.as_deref())?;
    Ok(Json(app.owner.handoffs(&owner, &filter, &page).await.map_err(problem)?))
}
