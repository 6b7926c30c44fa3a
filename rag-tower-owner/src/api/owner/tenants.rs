//! The tenants.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use rag_tower::http::Problem;
use serde_json::{Value, json};

use super::problem;
use crate::app::App;
use crate::auth::OwnerScope;

/// Every tenant.
pub(super) async fn list(State(app): State<Arc<App>>, owner: OwnerScope) -> Result<Json<Value>, Problem> {
    let tenants = app.owner.tenants(&owner).await.map_err(problem)?;
    Ok(Json(json!({ "total": tenants.len(), "items": tenants, "next": null })))
}
