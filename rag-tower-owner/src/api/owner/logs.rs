//! Asks: a list, how many there are of which kind, and one in full.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use rag_tower::AskId;
use rag_tower::http::Problem;
use rag_tower::postgres::SearchText;
use rag_tower::trace::Status;
use serde::Deserialize;

use super::asked::{given, name, one_of, page, params, range, tenant};
use super::{not_found, problem};
use crate::app::App;
use crate::auth::OwnerScope;
use crate::http::invalid;
use crate::owner_store::{LogFacets, LogFilter, LogPage, Page, TraceDetail};
use crate::zone::Zone;

/// The longest text to search for, in characters.
const MAX_TEXT: usize = 200;
/// The most matches of a text that a page may leave out.
const MAX_PASSED: u64 = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    tenant_id: Option<String>,
    since: Option<String>,
    until: Option<String>,
    route: Option<String>,
    status: Option<String>,
    channel: Option<String>,
    model: Option<String>,
    q: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
    cursor: Option<String>,
}

type Asked = Result<Query<Params>, QueryRejection>;

/// A page of them, newest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Asked,
) -> Result<Json<LogPage>, Problem> {
    let asked = Params::read(asked)?;
    let (filter, page) = (asked.filter(&app.zone)?, asked.page()?);
    if filter.text.is_some() && page.offset > MAX_PASSED {
        return Err(invalid(format!(
            "`offset` cannot be used: with `q`, at most {MAX_PASSED}; continue with `cursor` instead"
        )));
    }
    Ok(Json(app.owner.logs(&owner, &filter, &page).await.map_err(problem)?))
}

/// How many there are of which kind.
pub(super) async fn facets(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Asked,
) -> Result<Json<LogFacets>, Problem> {
    let filter = Params::read(asked)?.filter(&app.zone)?;
    Ok(Json(app.owner.log_facets(&owner, &filter).await.map_err(problem)?))
}

/// One in full.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(trace_id): Path<String>,
) -> Result<Json<TraceDetail>, Problem> {
    let id: AskId = trace_id.parse().map_err(|_| not_found("trace"))?;
    let trace = app.owner.trace(&owner, id).await.map_err(problem)?;
    trace.map(Json).ok_or_else(|| not_found("trace"))
}

// === impl Params ===

impl Params {
    fn read(asked: Asked) -> Result<Self, Problem> {
        params(asked, "tenant_id, since, until, route, status, channel, model, q, limit, offset and cursor")
    }

    fn filter(&self, zone: &Zone) -> Result<LogFilter, Problem> {
        let (since, until) = range(self.since.as_deref(), self.until.as_deref(), zone)?;
        let text = given(self.q.as_deref());
        if text.is_some_and(|text| text.chars().count() > MAX_TEXT) {
            return Err(invalid(format!("`q` is too long: at most {MAX_TEXT} characters")));
        }
        let nothing = || invalid("`q` cannot be used: there is nothing in it to look for".to_owned());
        Ok(LogFilter {
            tenant: tenant(self.tenant_id.as_deref())?,
            since,
            until,
            route: name("route", self.route.as_deref())?,
            status: one_of("status", self.status.as_deref(), &Status::ALL.map(Status::as_str))?,
            channel: name("channel", self.channel.as_deref())?,
            model: name("model", self.model.as_deref())?,
            text: text.map(|text| SearchText::new(text).ok_or_else(nothing)).transpose()?,
        })
    }

    fn page(&self) -> Result<Page, Problem> {
        page(self.limit.as_deref(), self.offset.as_deref(), self.cursor.as_deref())
    }
}
