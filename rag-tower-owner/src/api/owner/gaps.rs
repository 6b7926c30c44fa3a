//! What the knowledge base lacks: a list, a file of it, and that the owner has taken care of one of them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::HeaderMap;
use rag_tower::AskId;
use rag_tower::http::Problem;
use serde::Deserialize;
use uuid::Uuid;

use super::asked::{given, number, one_of, optional_text, params, range, tenant};
use super::file::{attachment, format};
use super::{conflict, not_found, problem};
use crate::app::App;
use crate::auth::OwnerScope;
use crate::http::{invalid, read_json};
use crate::owner_store::{GapCursor, GapFilter, GapPage, GapReason, GapStanding, GapState, Reopened};
use crate::zone::Zone;

/// The gaps of a page, unless asked otherwise, and at most.
const LIMIT: usize = 50;
const MOST: usize = 200;
/// The longest note, in characters.
const MAX_NOTE: usize = 2_000;

/// Parameters of a filter for gaps, and more.
macro_rules! gaps {
    ($name:ident { $($more:ident),* }) => {
        #[derive(Debug, Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            tenant_id: Option<String>,
            since: Option<String>,
            until: Option<String>,
            reason: Option<String>,
            state: Option<String>,
            $($more: Option<String>,)*
        }

        // === impl $name ===

        impl $name {
            fn read(asked: Result<Query<Self>, QueryRejection>) -> Result<Self, Problem> {
                params(asked, concat!("tenant_id, since, until, reason, state" $(, ", ", stringify!($more))*))
            }

            fn filter(&self, zone: &Zone) -> Result<GapFilter, Problem> {
                let (since, until) = range(self.since.as_deref(), self.until.as_deref(), zone)?;
                let reason = one_of("reason", self.reason.as_deref(), &GapReason::ALL.map(GapReason::as_str))?;
                let state = one_of("state", self.state.as_deref(), &GapState::ALL.map(GapState::as_str))?;
                Ok(GapFilter {
                    tenant: tenant(self.tenant_id.as_deref())?,
                    since,
                    until,
                    reason: GapReason::ALL.into_iter().find(|one| reason.as_deref() == Some(one.as_str())),
                    state: GapState::ALL.into_iter().find(|one| state.as_deref() == Some(one.as_str())),
                })
            }
        }
    };
}

gaps!(ListParams { limit, cursor });
gaps!(ExportParams { format });

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resolve {
    /// An ask of the gap.
    trace_id: Uuid,
    note: Option<String>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reopen {
    /// An ask of the gap.
    trace_id: Uuid,
}

/// A page of them.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<ListParams>, QueryRejection>,
) -> Result<Json<GapPage>, Problem> {
    let asked = ListParams::read(asked)?;
    let filter = asked.filter(&app.zone)?;
    let limit = number("limit", asked.limit.as_deref(), MOST)?.unwrap_or(LIMIT);
    let after = given(asked.cursor.as_deref())
        .map(str::parse::<GapCursor>)
        .transpose()
        .map_err(|expected| invalid(format!("`cursor` cannot be used: {expected}")))?;
    Ok(Json(app.owner.gaps(&owner, &filter, limit, after).await.map_err(problem)?))
}

/// All of them as a file.
pub(super) async fn export(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<ExportParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = ExportParams::read(asked)?;
    let (filter, format) = (asked.filter(&app.zone)?, format(asked.format.as_deref())?);
    let file = app.owner.export_gaps(&owner, &filter, format).await.map_err(problem)?;
    Ok(attachment("gaps", format, Body::from(file)))
}

/// One is closed.
pub(super) async fn resolve(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<GapStanding>, Problem> {
    const EXPECTED: &str = r#"{"trace_id": "an ask of the gap", "note": "…"}, the note being optional"#;
    let Resolve { trace_id, note } = read_json(&headers, body, EXPECTED).await?;
    let note = optional_text("note", note.as_deref(), MAX_NOTE)?;
    let standing = app.owner.resolve_gap(&owner, AskId::new(trace_id), note).await.map_err(problem)?;
    standing.map(Json).ok_or_else(|| not_found("gap"))
}

/// One is not.
pub(super) async fn reopen(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<GapStanding>, Problem> {
    const EXPECTED: &str = r#"{"trace_id": "an ask of the gap"}"#;
    let Reopen { trace_id } = read_json(&headers, body, EXPECTED).await?;
    match app.owner.reopen_gap(&owner, AskId::new(trace_id)).await.map_err(problem)? {
        Reopened::Done(standing) => Ok(Json(standing)),
        Reopened::NotResolved => Err(conflict("it is open already".to_owned())),
        Reopened::Missing => Err(not_found("gap")),
    }
}
