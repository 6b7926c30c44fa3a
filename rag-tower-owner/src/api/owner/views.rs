//! Views that the owner keeps.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use rag_tower::http::Problem;
use serde::Deserialize;
use serde_json::{Value, json};

use super::asked::{id, text};
use super::{conflict, not_found, problem};
use crate::app::App;
use crate::auth::OwnerScope;
use crate::http::{invalid, read_json};
use crate::owner_store::{KeptView, MAX_VIEWS, SavedView};

/// The longest name of a view, in characters.
const MAX_NAME: usize = 80;
/// The longest query, in bytes.
const MAX_QUERY: usize = 2_000;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewView {
    screen: String,
    name: String,
    query: String,
}

/// Every one.
pub(super) async fn list(State(app): State<Arc<App>>, owner: OwnerScope) -> Result<Json<Value>, Problem> {
    let views = app.owner.views(&owner).await.map_err(problem)?;
    Ok(Json(json!({ "total": views.len(), "items": views, "next": null })))
}

/// Keeps one.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<SavedView>), Problem> {
    const EXPECTED: &str = r#"{"screen": "logs", "name": "…", "query": "status=ERROR"}"#;
    let NewView { screen, name, query } = read_json(&headers, body, EXPECTED).await?;
    let simple = |c: char| c.is_ascii_lowercase() || c == '-';
    if screen.is_empty() || screen.len() > 32 || !screen.chars().all(simple) {
        return Err(invalid(
            "`screen` cannot be used: expected the name of a screen, such as logs".to_owned(),
        ));
    }
    let name = text("name", &name, 1..=MAX_NAME)?;
    let query = query.trim_start_matches('?');
    if query.len() > MAX_QUERY || !query.chars().all(|c| c.is_ascii_graphic()) {
        return Err(invalid(format!(
            "`query` cannot be used: expected the query of an address as it stands there, at most {MAX_QUERY} bytes"
        )));
    }
    match app.owner.keep_view(&owner, &screen, name, query).await.map_err(problem)? {
        KeptView::Kept(view) => Ok((StatusCode::CREATED, Json(view))),
        KeptView::Twice => Err(conflict("the screen has a view of this name: choose another".to_owned())),
        KeptView::TooMany => Err(conflict(format!("there are {MAX_VIEWS} views: delete one first"))),
    }
}

/// Forgets one.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(view): Path<String>,
) -> Result<StatusCode, Problem> {
    let found = app.owner.forget_view(&owner, id(&view, "view")?).await.map_err(problem)?;
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(not_found("view")) }
}
