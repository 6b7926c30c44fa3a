//! What people thought of answers: a queue, and that somebody has looked at one of them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use http::HeaderMap;
use rag_tower::http::Problem;
use serde::Deserialize;

use super::asked::{id, one_of, optional_text, page, params, range, tenant};
use super::{not_found, problem};
use crate::app::App;
use crate::auth::OwnerScope;
use crate::http::read_json;
use crate::owner_store::{FeedbackFilter, FeedbackLine, List, ReviewState};

/// The longest note, in characters.
const MAX_NOTE: usize = 2_000;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    tenant_id: Option<String>,
    since: Option<String>,
    until: Option<String>,
    rating: Option<String>,
    state: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
    cursor: Option<String>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Review {
    state: ReviewState,
    note: Option<String>,
}

/// A page of them, newest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<Params>, QueryRejection>,
) -> Result<Json<List<FeedbackLine>>, Problem> {
    let asked = params(asked, "tenant_id, since, until, rating, state, limit, offset and cursor")?;
    let (since, until) = range(asked.since.as_deref(), asked.until.as_deref(), &app.zone)?;
    let rating = one_of("rating", asked.rating.as_deref(), &["up", "down"])?;
    let state = match one_of("state", asked.state.as_deref(), &["open", "done"])?.as_deref() {
        Some("open") => Some(ReviewState::Open),
        Some(_) => Some(ReviewState::Done),
        None => None,
    };
    let filter = FeedbackFilter { tenant: tenant(asked.tenant_id.as_deref())?, since, until, rating, state };
    let page = page(asked.limit.as_deref(), asked.offset.as_deref(), asked.cursor.as_deref())?;
    Ok(Json(app.owner.feedback(&owner, &filter, &page).await.map_err(problem)?))
}

/// Somebody has looked at one, or still has to.
pub(super) async fn review(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(opinion): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<FeedbackLine>, Problem> {
    const EXPECTED: &str = r#"{"state": "done" or "open", "note": "…"}, the note being optional"#;
    let opinion = id(&opinion, "feedback")?;
    let Review { state, note } = read_json(&headers, body, EXPECTED).await?;
    let note = optional_text("note", note.as_deref(), MAX_NOTE)?;
    let line = app.owner.review_feedback(&owner, opinion, state, note).await.map_err(problem)?;
    line.map(Json).ok_or_else(|| not_found("feedback"))
}
