//! `/owner/api/*`: what happened, for the owner of the platform. Personal data is masked where it is read.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use rag_tower::http::Problem;
use rag_tower::postgres::{DatabaseError, SearchText};
use rag_tower::tenant::TenantId;
use rag_tower::trace::Status;
use rag_tower::{AskId, Stage};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::params::{End, limit, moment, offset};
use crate::app::App;
use crate::auth::OwnerScope;
use crate::http::invalid;
use crate::owner_store::{
    Cursor, Figures, HandoffFilter, HandoffLine, List, LogFacets, LogFilter, LogPage, Page, TraceDetail,
};
use crate::zone::Zone;

/// The states of a ticket.
const HANDOFFS: [&str; 3] = ["new", "contacted", "closed"];
/// The longest text to search for, in characters.
const MAX_TEXT: usize = 200;
/// The most matches of a text that a page may leave out.
const MAX_PASSED: u64 = 10_000;

/// Every parameter that a list takes; an empty one is none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
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

/// Figures of a range, of one tenant or of all.
pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Asked,
) -> Result<Json<Figures>, Problem> {
    let asked = params(asked)?;
    let (since, until) = asked.range(&app.zone)?;
    let figures = app.owner.figures(&owner, asked.tenant()?, since, until).await.map_err(problem)?;
    Ok(Json(figures))
}

/// Asks, newest first.
pub(crate) async fn logs(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Asked,
) -> Result<Json<LogPage>, Problem> {
    let asked = params(asked)?;
    let (filter, page) = (asked.logs(&app.zone)?, asked.page()?);
    if filter.text.is_some() && page.offset > MAX_PASSED {
        return Err(invalid(format!(
            "`offset` cannot be used: with `q`, at most {MAX_PASSED}; continue with `cursor` instead"
        )));
    }
    Ok(Json(app.owner.logs(&owner, &filter, &page).await.map_err(problem)?))
}

/// How many asks there are of which kind.
pub(crate) async fn log_facets(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Asked,
) -> Result<Json<LogFacets>, Problem> {
    let filter = params(asked)?.logs(&app.zone)?;
    Ok(Json(app.owner.log_facets(&owner, &filter).await.map_err(problem)?))
}

/// One ask in full.
pub(crate) async fn log(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(trace_id): Path<String>,
) -> Result<Json<TraceDetail>, Problem> {
    let not_found = || Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such trace");
    let id: AskId = trace_id.parse().map_err(|_| not_found())?;
    let trace = app.owner.trace(&owner, id).await.map_err(problem)?;
    trace.map(Json).ok_or_else(not_found)
}

/// Requests for a person, newest first.
pub(crate) async fn handoffs(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Asked,
) -> Result<Json<List<HandoffLine>>, Problem> {
    let asked = params(asked)?;
    let (since, until) = asked.range(&app.zone)?;
    let status = one_of("status", asked.status.as_deref(), &HANDOFFS)?;
    let filter = HandoffFilter { tenant: asked.tenant()?, since, until, status };
    Ok(Json(app.owner.handoffs(&owner, &filter, &asked.page()?).await.map_err(problem)?))
}

/// Every tenant.
pub(crate) async fn tenants(State(app): State<Arc<App>>, owner: OwnerScope) -> Result<Json<Value>, Problem> {
    let tenants = app.owner.tenants(&owner).await.map_err(problem)?;
    Ok(Json(json!({ "total": tenants.len(), "items": tenants, "next": null })))
}

// === impl Params ===

impl Params {
    fn tenant(&self) -> Result<Option<TenantId>, Problem> {
        given(self.tenant_id.as_deref())
            .map(str::parse)
            .transpose()
            .map_err(|_| invalid("`tenant_id` cannot be used: expected a tenant's id, a UUID".to_owned()))
    }

    fn range(
        &self,
        zone: &Zone,
    ) -> Result<(Option<time::OffsetDateTime>, Option<time::OffsetDateTime>), Problem> {
        let (since, until) = (self.since.as_deref(), self.until.as_deref());
        Ok((moment(End::Since, since, zone)?, moment(End::Until, until, zone)?))
    }

    fn logs(&self, zone: &Zone) -> Result<LogFilter, Problem> {
        let (since, until) = self.range(zone)?;
        let text = given(self.q.as_deref());
        if text.is_some_and(|text| text.chars().count() > MAX_TEXT) {
            return Err(invalid(format!("`q` is too long: at most {MAX_TEXT} characters")));
        }
        let nothing = || invalid("`q` cannot be used: there is nothing in it to look for".to_owned());
        Ok(LogFilter {
            tenant: self.tenant()?,
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
        let page = Page::first(limit(self.limit.as_deref())?).skipping(offset(self.offset.as_deref())?);
        let Some(cursor) = given(self.cursor.as_deref()) else { return Ok(page) };
        let cursor: Cursor =
            cursor.parse().map_err(|expected| invalid(format!("`cursor` cannot be used: {expected}")))?;
        Ok(page.after(cursor))
    }
}

fn params(asked: Asked) -> Result<Params, Problem> {
    asked.map(|Query(params)| params).map_err(|_| {
        invalid(
            "the query cannot be used: expected tenant_id, since, until, route, status, channel, model, q, limit, offset and cursor, each at most once"
                .to_owned(),
        )
    })
}

fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn one_of(name: &str, text: Option<&str>, known: &[&str]) -> Result<Option<String>, Problem> {
    let Some(text) = given(text) else { return Ok(None) };
    if known.contains(&text) {
        return Ok(Some(text.to_owned()));
    }
    Err(invalid(format!("`{name}` cannot be used: expected one of {}", known.join(", "))))
}

/// A name that a row may have.
fn name(what: &str, text: Option<&str>) -> Result<Option<String>, Problem> {
    let text = given(text);
    if text.is_some_and(|text| text.contains('\0')) {
        return Err(invalid(format!("`{what}` cannot be used: it holds a NUL character, which no name has")));
    }
    Ok(text.map(str::to_owned))
}

fn problem(error: DatabaseError) -> Problem {
    if let DatabaseError::TooLong(_) = error {
        return Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "too_costly",
            "this takes longer than it may: choose a shorter time, a tenant, a route or a status, or look for more letters",
        );
    }
    Problem::from(error.at(Stage::Http))
}
