//! The tenants: how each is doing, and whether it may go on.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use http::HeaderMap;
use rag_tower::http::Problem;
use serde::Deserialize;
use time::OffsetDateTime;

use super::asked::{id, name, optional_text, params, rows, text};
use super::{conflict, not_found, problem};
use crate::app::App;
use crate::auth::OwnerScope;
use crate::http::read_json;
use crate::owner_store::{Standing, Stood, TenantDetail, TenantPage, Tenants};

/// How long a reason is, in characters.
const REASON: std::ops::RangeInclusive<usize> = 3..=500;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Suspend {
    reason: String,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resume {
    reason: Option<String>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    q: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// A page of them, by slug.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    asked: Result<Query<Params>, QueryRejection>,
) -> Result<Json<Tenants>, Problem> {
    let asked = params(asked, "q, limit and cursor")?;
    let mut page = TenantPage::first(rows(asked.limit.as_deref())?);
    page.text = name("q", asked.q.as_deref())?;
    page.after = name("cursor", asked.cursor.as_deref())?;
    Ok(Json(app.owner.tenants(&owner, &page, this_month(&app)).await.map_err(problem)?))
}

/// One in full.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(tenant): Path<String>,
) -> Result<Json<TenantDetail>, Problem> {
    let tenant = id(&tenant, "tenant")?;
    let tenant = app.owner.tenant(&owner, tenant, this_month(&app)).await.map_err(problem)?;
    tenant.map(Json).ok_or_else(|| not_found("tenant"))
}

/// Its credentials open nothing from now on.
pub(super) async fn suspend(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TenantDetail>, Problem> {
    let Suspend { reason } = read_json(&headers, body, r#"{"reason": "…"}"#).await?;
    let reason = text("reason", &reason, REASON)?;
    stand(&app, &owner, &tenant, Standing::Suspended, Some(reason)).await
}

/// Its credentials open what they did before.
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TenantDetail>, Problem> {
    let Resume { reason } = read_json(&headers, body, r#"{} or {"reason": "…"}"#).await?;
    let reason = optional_text("reason", reason.as_deref(), *REASON.end())?;
    stand(&app, &owner, &tenant, Standing::Active, reason).await
}

async fn stand(
    app: &App,
    owner: &OwnerScope,
    tenant: &str,
    to: Standing,
    reason: Option<&str>,
) -> Result<Json<TenantDetail>, Problem> {
    let tenant = id(tenant, "tenant")?;
    match app.owner.stand(owner, tenant, to, reason, this_month(app)).await.map_err(problem)? {
        Stood::Done(tenant) => Ok(Json(*tenant)),
        Stood::Stale(now) => Err(conflict(format!("the tenant is {now}"))),
        Stood::Missing => Err(not_found("tenant")),
    }
}

/// When this month began where reports are read.
fn this_month(app: &App) -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    let first = app.zone.date_of(now).replace_day(1).ok();
    first.and_then(|first| app.zone.start_of(first)).unwrap_or(now)
}
