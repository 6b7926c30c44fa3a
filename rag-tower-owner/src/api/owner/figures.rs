//! Figures: which asks in, what happened out, in one, over time, and by kind.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use rag_tower::http::Problem;
use rag_tower::postgres::Facet;

use super::asked::{filtered, number, one_of};
use super::problem;
use crate::app::App;
use crate::auth::OwnerScope;
use crate::http::invalid;
use crate::owner_store::{Breakdown, Heatmap, Overview, Timeseries};

/// The most buckets of a chart, and how many unless asked otherwise.
const POINTS: (usize, usize) = (400, 96);
/// The most columns of a heatmap, which is what there are unless asked otherwise.
const COLUMNS: usize = 96;
/// The most kinds of a breakdown, and how many unless asked otherwise.
const KINDS: (usize, usize) = (200, 10);
/// What kinds can be told apart by.
const FACETS: [(&str, Facet); 5] = [
    ("tenant", Facet::Tenant),
    ("route", Facet::Route),
    ("status", Facet::Status),
    ("channel", Facet::Channel),
    ("model", Facet::Model),
];

filtered!(OverviewParams {});
filtered!(ChartParams { points });
filtered!(BreakdownParams { by, limit });

/// Figures of a range, and of the time before it.
pub(super) async fn metrics(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<OverviewParams>, QueryRejection>,
) -> Result<Json<Overview>, Problem> {
    let which = OverviewParams::read(asked)?.which(&app.zone)?;
    Ok(Json(app.owner.overview(&owner, &which, &app.zone).await.map_err(problem)?))
}

/// Figures over time.
pub(super) async fn timeseries(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<ChartParams>, QueryRejection>,
) -> Result<Json<Timeseries>, Problem> {
    let asked = ChartParams::read(asked)?;
    let which = asked.which(&app.zone)?;
    let points = number("points", asked.points.as_deref(), POINTS.0)?.unwrap_or(POINTS.1);
    Ok(Json(app.owner.timeseries(&owner, &which, &app.zone, points).await.map_err(problem)?))
}

/// Latencies over time.
pub(super) async fn heatmap(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<ChartParams>, QueryRejection>,
) -> Result<Json<Heatmap>, Problem> {
    let asked = ChartParams::read(asked)?;
    let which = asked.which(&app.zone)?;
    let points = number("points", asked.points.as_deref(), COLUMNS)?.unwrap_or(COLUMNS);
    Ok(Json(app.owner.heatmap(&owner, &which, &app.zone, points).await.map_err(problem)?))
}

/// Figures by kind.
pub(super) async fn breakdown(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<BreakdownParams>, QueryRejection>,
) -> Result<Json<Breakdown>, Problem> {
    let asked = BreakdownParams::read(asked)?;
    let which = asked.which(&app.zone)?;
    let limit = number("limit", asked.limit.as_deref(), KINDS.0)?.unwrap_or(KINDS.1);
    let by = one_of("by", asked.by.as_deref(), &FACETS.map(|(name, _)| name))?;
    let facet = FACETS.into_iter().find(|(name, _)| by.as_deref() == Some(name)).map(|(_, facet)| facet);
    let facet = facet.ok_or_else(|| {
        invalid("`by` is missing: expected one of tenant, route, status, channel, model".to_owned())
    })?;
    Ok(Json(app.owner.breakdown(&owner, &which, facet, limit).await.map_err(problem)?))
}
