//! Asks: a list, how many there are of which kind, a file of them, and one in full.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use futures_util::{StreamExt, TryStreamExt, stream};
use rag_tower::AskId;
use rag_tower::http::Problem;
use rag_tower::postgres::SearchText;
use serde::Deserialize;

use super::asked::{filtered, given, name, one_of, page, params};
use super::file::{attachment, format};
use super::{not_found, problem};
use crate::app::App;
use crate::auth::OwnerScope;
use crate::http::invalid;
use crate::owner_store::{
    Cache, Columns, Fine, LOG_COLUMNS, LogFacets, LogFilter, LogPage, Page, Spans, Thumbs, TraceDetail,
    USUAL_LOG_COLUMNS,
};
use crate::zone::Zone;

/// The longest text to search for, in characters.
const MAX_TEXT: usize = 200;
/// The most matches of a text that a page may leave out.
const MAX_PASSED: u64 = 10_000;
const THUMBS: [(&str, Thumbs); 4] =
    [("up", Thumbs::Up), ("down", Thumbs::Down), ("any", Thumbs::Any), ("none", Thumbs::None)];
const CACHES: [(&str, Cache); 2] = [("hit", Cache::Hit), ("miss", Cache::Miss)];
const TICKETS: [(&str, bool); 2] = [("yes", true), ("no", false)];

/// Parameters of a filter for asks, and more.
macro_rules! asks {
    ($name:ident { $($more:ident),* }) => {
        filtered!($name {
            q, reason, feedback, handoff, cache, min_ms, max_ms, min_cost, max_cost, min_tokens, max_tokens
            $(, $more)*
        });

        impl $name {
            fn filter(&self, zone: &Zone) -> Result<LogFilter, Problem> {
                Ok(LogFilter {
                    which: self.which(zone)?,
                    text: text(self.q.as_deref())?,
                    fine: Fine {
                        reason: name("reason", self.reason.as_deref())?,
                        feedback: choice("feedback", self.feedback.as_deref(), &THUMBS)?,
                        handoff: choice("handoff", self.handoff.as_deref(), &TICKETS)?,
                        cache: choice("cache", self.cache.as_deref(), &CACHES)?,
                        min_ms: number("min_ms", "milliseconds, such as 250 or 2.5", self.min_ms.as_deref())?,
                        max_ms: number("max_ms", "milliseconds, such as 250 or 2.5", self.max_ms.as_deref())?,
                        min_cost: number("min_cost", "US dollars, such as 0.05", self.min_cost.as_deref())?,
                        max_cost: number("max_cost", "US dollars, such as 0.05", self.max_cost.as_deref())?,
                        min_tokens: whole("min_tokens", self.min_tokens.as_deref())?,
                        max_tokens: whole("max_tokens", self.max_tokens.as_deref())?,
                    },
                })
            }
        }
    };
}

asks!(ListParams { limit, offset, cursor });
asks!(ExportParams { format, columns });

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SpanParams {
    limit: Option<String>,
    offset: Option<String>,
}

/// A page of them, newest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<ListParams>, QueryRejection>,
) -> Result<Json<LogPage>, Problem> {
    let asked = ListParams::read(asked)?;
    let (filter, page) = (asked.filter(&app.zone)?, asked.page()?);
    let passes = filter.text.is_some() || filter.fine != Fine::default();
    if passes && page.offset > MAX_PASSED {
        return Err(invalid(format!(
            "`offset` cannot be used: with `q`, or a filter that looks at each request, at most {MAX_PASSED}; continue with \
             `cursor` instead"
        )));
    }
    Ok(Json(app.owner.logs(&owner, &filter, &page).await.map_err(problem)?))
}

/// How many there are of which kind.
pub(super) async fn facets(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<ListParams>, QueryRejection>,
) -> Result<Json<LogFacets>, Problem> {
    let filter = ListParams::read(asked)?.filter(&app.zone)?;
    Ok(Json(app.owner.log_facets(&owner, &filter).await.map_err(problem)?))
}

/// All of them as a file, which is made while it is sent.
pub(super) async fn export(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<ExportParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = ExportParams::read(asked)?;
    let (filter, format) = (asked.filter(&app.zone)?, format(asked.format.as_deref())?);
    let columns = Columns::read(given(asked.columns.as_deref()), &LOG_COLUMNS, USUAL_LOG_COLUMNS);
    let columns = columns.map_err(|expected| invalid(format!("`columns` cannot be used: {expected}")))?;
    let mut pieces = Box::pin(app.owner.export_logs(owner, filter, columns, format));
    // what is too costly is said before the file begins
    let first = pieces.try_next().await.map_err(problem)?;
    let pieces = stream::iter(first.map(Ok)).chain(pieces);
    Ok(attachment("requests", format, Body::from_stream(pieces)))
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

/// The stages of one.
pub(super) async fn spans(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(trace_id): Path<String>,
    asked: Result<Query<SpanParams>, QueryRejection>,
) -> Result<Json<Spans>, Problem> {
    let asked = params(asked, "limit and offset")?;
    let page = page(asked.limit.as_deref(), asked.offset.as_deref(), None)?;
    let id: AskId = trace_id.parse().map_err(|_| not_found("trace"))?;
    let offset = u32::try_from(page.offset).unwrap_or(u32::MAX);
    let spans = app.owner.spans(&owner, id, offset, page.limit).await.map_err(problem)?;
    spans.map(Json).ok_or_else(|| not_found("trace"))
}

/// `q`.
fn text(q: Option<&str>) -> Result<Option<SearchText>, Problem> {
    let Some(text) = given(q) else { return Ok(None) };
    if text.chars().count() > MAX_TEXT {
        return Err(invalid(format!("`q` is too long: at most {MAX_TEXT} characters")));
    }
    let nothing = || invalid("`q` cannot be used: there is nothing in it to look for".to_owned());
    SearchText::new(text).ok_or_else(nothing).map(Some)
}

/// One of the choices that have a name.
fn choice<T: Copy>(what: &str, asked: Option<&str>, choices: &[(&str, T)]) -> Result<Option<T>, Problem> {
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let name = one_of(what, asked, &names)?;
    Ok(choices.iter().find(|(known, _)| name.as_deref() == Some(known)).map(|(_, choice)| *choice))
}

/// A whole number from 0.
fn whole(what: &str, asked: Option<&str>) -> Result<Option<i64>, Problem> {
    let expected = || invalid(format!("`{what}` cannot be used: expected a whole number from 0"));
    let number =
        given(asked).map(|text| text.parse().ok().filter(|number| *number >= 0).ok_or_else(expected));
    number.transpose()
}

/// A number from 0 of something, said with an example.
fn number(what: &str, of: &str, asked: Option<&str>) -> Result<Option<f64>, Problem> {
    let expected = || invalid(format!("`{what}` cannot be used: expected {of}"));
    let fits = |number: &f64| number.is_finite() && *number >= 0.0;
    given(asked).map(|text| text.parse().ok().filter(fits).ok_or_else(expected)).transpose()
}

// === impl ListParams ===

impl ListParams {
    fn page(&self) -> Result<Page, Problem> {
        page(self.limit.as_deref(), self.offset.as_deref(), self.cursor.as_deref())
    }
}
