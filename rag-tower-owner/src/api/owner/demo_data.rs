//! `/owner/api/demo-data`: thirty days of traffic of the demo tenants made, looked at and removed again.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use rag_tower::http::Problem;
use serde::Serialize;
use serde_json::json;

use super::{conflict, problem};
use crate::app::App;
use crate::auth::OwnerScope;
use crate::demo_data::{self, Refusal, Status, What};
use crate::http::nothing;
use crate::owner_store::Entry;

/// What there is, and of whom.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct DemoData {
    #[serde(flatten)]
    status: Status,
    /// The slugs of the tenants that are filled; none outside demo mode, where nothing can be filled.
    tenants: Vec<String>,
}

/// How far it is.
pub(super) async fn read(State(app): State<Arc<App>>, _: OwnerScope) -> Result<Json<DemoData>, Problem> {
    let status = demo_data::status(&app.database).await.map_err(problem)?;
    Ok(Json(DemoData { status, tenants: tenants(&app) }))
}

/// Begins to fill the demo tenants, or goes on where it broke off.
pub(super) async fn fill(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    body: Body,
) -> Result<(StatusCode, Json<DemoData>), Problem> {
    nothing(body).await?;
    if app.demo.is_none() {
        return Err(conflict(
            "demo data is for the demo tenants, and these are there in demo mode only: without DATABASE_URL and with a \
             loopback RAG_TOWER_ADDR"
                .to_owned(),
        ));
    }
    begin(&owner, &app, What::Fill).await
}

/// Begins to remove what was filled.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    body: Body,
) -> Result<(StatusCode, Json<DemoData>), Problem> {
    nothing(body).await?;
    begin(&owner, &app, What::Remove).await
}

async fn begin(owner: &OwnerScope, app: &App, what: What) -> Result<(StatusCode, Json<DemoData>), Problem> {
    let place = app.demo_desk.place().ok_or_else(|| conflict(Refusal::Busy.said().to_owned()))?;
    let mut change = app.owner.change(owner).await.map_err(problem)?;
    let work = demo_data::begin(change.connection(), what).await.map_err(problem)?;
    let work = work.map_err(|refusal| conflict(refusal.said().to_owned()))?;
    let action = match what {
        What::Fill => "demo_data.fill",
        What::Remove => "demo_data.remove",
    };
    let detail = json!({ "rows": work.rows, "days": work.days });
    change.commit(Entry::new(action).detail(detail)).await.map_err(problem)?;
    place.leave(work);
    let status = demo_data::status(&app.database).await.map_err(problem)?;
    Ok((StatusCode::ACCEPTED, Json(DemoData { status, tenants: tenants(app) })))
}

fn tenants(app: &App) -> Vec<String> {
    app.demo
        .as_ref()
        .map(|demo| demo.tenants.iter().map(|tenant| tenant.slug.clone()).collect())
        .unwrap_or_default()
}
