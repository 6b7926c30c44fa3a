//! Figures: a range in, what happened in it out.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use rag_tower::http::Problem;
use serde::Deserialize;

use super::asked::{params, range, tenant};
use super::problem;
use crate::app::App;
use crate::auth::OwnerScope;
use crate::owner_store::Figures;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    tenant_id: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

/// Figures of a range, of one tenant or of all.
pub(super) async fn metrics(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<Params>, QueryRejection>,
) -> Result<Json<Figures>, Problem> {
    let asked = params(asked, "tenant_id, since and until")?;
    let (since, until) = range(asked.since.as_deref(), asked.until.as_deref(), &app.zone)?;
    let tenant = tenant(asked.tenant_id.as_deref())?;
    Ok(Json(app.owner.figures(&owner, tenant, since, until).await.map_err(problem)?))
}
