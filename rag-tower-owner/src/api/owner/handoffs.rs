//! Requests for a person: a list, one in full, what becomes of it, and what is behind its mask.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use http::{HeaderMap, StatusCode};
use rag_tower::http::Problem;
use serde::Deserialize;

use super::asked::{id, one_of, optional_text, page, params, range, tenant, text};
use super::{conflict, not_found, problem};
use crate::app::App;
use crate::auth::OwnerScope;
use crate::http::{invalid, read_json};
use crate::owner_store::{
    HandoffDetail, HandoffEvent, HandoffFilter, HandoffPage, HandoffStatus, Moved, Revealed,
};

/// The states of a ticket.
const STATES: [&str; 3] = ["new", "contacted", "closed"];
/// The longest note, in characters.
const MAX_NOTE: usize = 2_000;
/// How long a reason is, in characters.
const REASON: std::ops::RangeInclusive<usize> = 3..=500;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
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

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Transition {
    from: HandoffStatus,
    to: HandoffStatus,
    note: Option<String>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    text: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reveal {
    reason: String,
}

/// A page of them, newest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<Params>, QueryRejection>,
) -> Result<Json<HandoffPage>, Problem> {
    let asked = params(asked, "tenant_id, since, until, status, limit, offset and cursor")?;
    let (since, until) = range(asked.since.as_deref(), asked.until.as_deref(), &app.zone)?;
    let status = match one_of("status", asked.status.as_deref(), &STATES)?.as_deref() {
        Some("new") => Some(HandoffStatus::New),
        Some("contacted") => Some(HandoffStatus::Contacted),
        Some(_) => Some(HandoffStatus::Closed),
        None => None,
    };
    let filter = HandoffFilter { tenant: tenant(asked.tenant_id.as_deref())?, since, until, status };
    let page = page(asked.limit.as_deref(), asked.offset.as_deref(), asked.cursor.as_deref())?;
    Ok(Json(app.owner.handoffs(&owner, &filter, &page).await.map_err(problem)?))
}

/// One in full.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(ticket): Path<String>,
) -> Result<Json<HandoffDetail>, Problem> {
    let ticket = app.owner.handoff(&owner, id(&ticket, "ticket")?).await.map_err(problem)?;
    ticket.map(Json).ok_or_else(|| not_found("ticket"))
}

/// Moves one on.
pub(super) async fn transition(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(ticket): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HandoffDetail>, Problem> {
    const EXPECTED: &str = r#"{"from": "new", "to": "contacted", "note": "…"}, the note being optional"#;
    let ticket = id(&ticket, "ticket")?;
    let Transition { from, to, note } = read_json(&headers, body, EXPECTED).await?;
    if !from.leads_to(to) {
        return Err(invalid(format!(
            "a ticket does not go from {} to {}: expected new to contacted, contacted to closed, or new to closed",
            from.as_str(),
            to.as_str()
        )));
    }
    let note = optional_text("note", note.as_deref(), MAX_NOTE)?;
    match app.owner.move_handoff(&owner, ticket, (from, to), note).await.map_err(problem)? {
        Moved::Done(ticket) => Ok(Json(*ticket)),
        Moved::Stale(now) => Err(conflict(format!(
            "the ticket is not {} any more, it is {now}: look at it again",
            from.as_str()
        ))),
        Moved::Missing => Err(not_found("ticket")),
    }
}

/// Adds a note to one.
pub(super) async fn note(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(ticket): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<HandoffEvent>), Problem> {
    let ticket = id(&ticket, "ticket")?;
    let Note { text: note } = read_json(&headers, body, r#"{"text": "…"}"#).await?;
    let note = text("text", &note, 1..=MAX_NOTE)?;
    let event = app.owner.note_handoff(&owner, ticket, note).await.map_err(problem)?;
    event.map(|event| (StatusCode::CREATED, Json(event))).ok_or_else(|| not_found("ticket"))
}

/// What is behind its mask.
pub(super) async fn reveal(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(ticket): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Revealed>, Problem> {
    let ticket = id(&ticket, "ticket")?;
    let Reveal { reason } = read_json(&headers, body, r#"{"reason": "…"}"#).await?;
    let reason = text("reason", &reason, REASON)?;
    let revealed = app.owner.reveal_handoff(&owner, ticket, reason).await.map_err(problem)?;
    revealed.map(Json).ok_or_else(|| not_found("ticket"))
}
