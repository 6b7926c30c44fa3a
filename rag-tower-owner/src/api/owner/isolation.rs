//! Whether tenants are kept apart: what was found last, looking again, and answers that were withheld for it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use rag_tower::http::Problem;
use serde::{Deserialize, Serialize};

use super::asked::{params, range};
use super::{conflict, problem};
use crate::app::App;
use crate::auth::OwnerScope;
use crate::isolation::Found;
use crate::owner_store::FailedClosed;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    since: Option<String>,
    until: Option<String>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Isolation {
    #[serde(flatten)]
    found: Found,
    #[serde(flatten)]
    failed: FailedClosed,
}

/// What was found last, and what was withheld in a range.
pub(super) async fn state(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<Params>, QueryRejection>,
) -> Result<Json<Isolation>, Problem> {
    let asked = params(asked, "since and until")?;
    let (since, until) = range(asked.since.as_deref(), asked.until.as_deref(), &app.zone)?;
    let failed = app.owner.failed_closed(&owner, since, until).await.map_err(problem)?;
    Ok(Json(Isolation { found: app.isolation.found(), failed }))
}

/// Looks now.
pub(super) async fn check(State(app): State<Arc<App>>, owner: OwnerScope) -> Result<Json<Found>, Problem> {
    let found = app.isolation.look().await.map_err(problem)?;
    let found = found.ok_or_else(|| conflict("it is being looked at: wait for that".to_owned()))?;
    let (audit, probe, canary) = (found.audit.ok, found.probe.ok, found.canary.ok);
    app.owner.note_isolation_check(&owner, audit, probe, canary).await.map_err(problem)?;
    Ok(Json(found))
}
