//! The price book, and what was used.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use rag_tower::http::Problem;
use rag_tower::postgres::Selection;
use serde::Deserialize;

use super::asked::{id, name, number, optional_text, page, params, range, tenant, text};
use super::file::{attachment, format};
use super::moment::{End, moment};
use super::{conflict, not_found, problem};
use crate::app::App;
use crate::auth::OwnerScope;
use crate::http::{invalid, read_json};
use crate::owner_store::{AddedPrice, MAX_PRICES, NewPrice, PriceLine, PriceList, Usage};
use crate::zone::Zone;

/// The longest name of a model and the longest note, in characters.
const MAX_MODEL: usize = 200;
const MAX_NOTE: usize = 500;
/// The highest price of a million tokens that is not a slip, in US dollars.
const MAX_PRICE: f64 = 1e6;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    model: String,
    effective_from: String,
    input_per_million: f64,
    output_per_million: f64,
    note: Option<String>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageParams {
    tenant_id: Option<String>,
    model: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportParams {
    tenant_id: Option<String>,
    model: Option<String>,
    since: Option<String>,
    until: Option<String>,
    format: Option<String>,
}

/// The book.
pub(super) async fn list(State(app): State<Arc<App>>, owner: OwnerScope) -> Result<Json<PriceList>, Problem> {
    Ok(Json(app.owner.prices(&owner).await.map_err(problem)?))
}

/// Adds a price.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<PriceLine>), Problem> {
    const EXPECTED: &str = r#"{"model": "…", "effective_from": "2026-01-31", "input_per_million": 0.15, "output_per_million": 0.6}"#;
    let asked: Asked = read_json(&headers, body, EXPECTED).await?;
    let effective_from = moment(End::Since, Some(&asked.effective_from), &app.zone).map_err(|_| {
        invalid(
            "`effective_from` cannot be used: expected a date such as 2026-01-31, a moment such as 2026-01-31T08:30:00Z, or \
             epoch seconds"
                .to_owned(),
        )
    });
    let effective_from =
        effective_from?.ok_or_else(|| invalid("`effective_from` is empty: expected a date".to_owned()))?;
    let new = NewPrice {
        model: text("model", &asked.model, 1..=MAX_MODEL)?,
        effective_from,
        input_per_million: price("input_per_million", asked.input_per_million)?,
        output_per_million: price("output_per_million", asked.output_per_million)?,
        note: optional_text("note", asked.note.as_deref(), MAX_NOTE)?,
    };
    match app.owner.add_price(&owner, new).await.map_err(problem)? {
        AddedPrice::Added(price) => Ok((StatusCode::CREATED, Json(price))),
        AddedPrice::Twice => Err(conflict(
            "the model has a price from this moment on: delete that one first, or choose another moment"
                .to_owned(),
        )),
        AddedPrice::TooMany => Err(conflict(format!("there are {MAX_PRICES} prices: delete one first"))),
    }
}

/// Takes a price out.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(price): Path<String>,
) -> Result<StatusCode, Problem> {
    let found = app.owner.drop_price(&owner, id(&price, "price")?).await.map_err(problem)?;
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(not_found("price")) }
}

/// What was used.
pub(super) async fn usage(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<UsageParams>, QueryRejection>,
) -> Result<Json<Usage>, Problem> {
    let asked = params(asked, "tenant_id, model, since, until, limit and offset")?;
    let which = which(&asked.tenant_id, &asked.model, (&asked.since, &asked.until), &app.zone)?;
    let limit = number("limit", asked.limit.as_deref(), 200)?.unwrap_or(50);
    let skip = page(None, asked.offset.as_deref(), None)?.offset;
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    Ok(Json(app.owner.usage(&owner, &which, &app.zone, (limit, skip)).await.map_err(problem)?))
}

/// The same as a file.
pub(super) async fn export(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<ExportParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = params(asked, "tenant_id, model, since, until and format")?;
    let which = which(&asked.tenant_id, &asked.model, (&asked.since, &asked.until), &app.zone)?;
    let format = format(asked.format.as_deref())?;
    let pieces = app.owner.export_usage(&owner, &which, &app.zone, format).await.map_err(problem)?;
    Ok(attachment("usage", format, Body::from_stream(pieces.map(Ok::<_, std::convert::Infallible>))))
}

fn which(
    tenant_id: &Option<String>,
    model: &Option<String>,
    (since, until): (&Option<String>, &Option<String>),
    zone: &Zone,
) -> Result<Selection, Problem> {
    let (since, until) = range(since.as_deref(), until.as_deref(), zone)?;
    Ok(Selection {
        tenant: tenant(tenant_id.as_deref())?,
        since,
        until,
        model: name("model", model.as_deref())?,
        ..Selection::default()
    })
}

/// A price in US dollars.
fn price(what: &str, dollars: f64) -> Result<f64, Problem> {
    let expected =
        format!("`{what}` cannot be used: expected US dollars for a million tokens, from 0 to {MAX_PRICE}");
    Some(dollars).filter(|dollars| (0.0..=MAX_PRICE).contains(dollars)).ok_or_else(|| invalid(expected))
}
