//! What the owner wants to be told of.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use http::{HeaderMap, StatusCode};
use rag_tower::http::Problem;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use uuid::Uuid;

use super::asked::{given, id, page, params, text};
use super::{conflict, not_found, problem};
use crate::alerts::is_webhook;
use crate::app::App;
use crate::auth::OwnerScope;
use crate::http::{invalid, read_json};
use crate::owner_store::{
    AlertEvent, AlertLine, AlertRule, Comparison, Delivery, KeptAlert, List, MAX_ALERTS, Metric,
    WebhookChange,
};
use crate::secret::Secret;

const EXPECTED: &str = r#"{"name": "…", "metric": "error_rate", "tenant_id": null, "route": null, "window_min": 15, "comparison": "above", "threshold": 0.05, "min_requests": 20, "webhook": "https://…", "enabled": true}"#;
/// The longest name, in characters.
const MAX_NAME: usize = 80;
/// The longest route, in characters.
const MAX_ROUTE: usize = 100;
/// The longest address, in bytes.
const MAX_WEBHOOK: usize = 2_000;
/// A week.
const MAX_WINDOW: i32 = 7 * 24 * 60;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    limit: Option<String>,
    offset: Option<String>,
    cursor: Option<String>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    name: String,
    metric: Metric,
    tenant_id: Option<Uuid>,
    route: Option<String>,
    window_min: i32,
    comparison: Comparison,
    threshold: f64,
    #[serde(default)]
    min_requests: i64,
    /// Left out it stays, null takes it away.
    #[serde(default, deserialize_with = "said")]
    webhook: Option<Option<String>>,
    #[serde(default = "yes")]
    enabled: bool,
}

/// Every one.
pub(super) async fn list(State(app): State<Arc<App>>, owner: OwnerScope) -> Result<Json<Value>, Problem> {
    let alerts = app.owner.alerts(&owner).await.map_err(problem)?;
    Ok(Json(json!({ "total": alerts.len(), "items": alerts, "next": null })))
}

/// Makes one.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<AlertLine>), Problem> {
    let (rule, webhook) = read_json::<Asked>(&headers, body, EXPECTED).await?.checked()?;
    let address = match &webhook {
        WebhookChange::Set(address) => Some(address),
        WebhookChange::Keep | WebhookChange::Remove => None,
    };
    let kept = app.owner.make_alert(&owner, &rule, address).await.map_err(problem)?;
    Ok((StatusCode::CREATED, Json(read(kept)?)))
}

/// Changes one as a whole; a webhook that is left out stays.
pub(super) async fn replace(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(alert): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<AlertLine>, Problem> {
    let alert = id(&alert, "alert")?;
    let (rule, webhook) = read_json::<Asked>(&headers, body, EXPECTED).await?.checked()?;
    let kept = app.owner.change_alert(&owner, alert, &rule, &webhook).await.map_err(problem)?;
    Ok(Json(read(kept)?))
}

/// Forgets one.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(alert): Path<String>,
) -> Result<StatusCode, Problem> {
    let found = app.owner.forget_alert(&owner, id(&alert, "alert")?).await.map_err(problem)?;
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(not_found("alert")) }
}

/// Tells its webhook that this is a test, now and once.
pub(super) async fn test(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(alert): Path<String>,
) -> Result<Json<Delivery>, Problem> {
    let notice = app.owner.test_notice(&owner, id(&alert, "alert")?).await.map_err(problem)?;
    let notice = notice.ok_or_else(|| not_found("alert"))?;
    if notice.webhook().is_none() {
        return Err(conflict("the alert has no webhook to be tried".to_owned()));
    }
    let done = app.webhooks.tell(&notice).await;
    app.owner.settle_notice(&notice, &done).await.map_err(problem)?;
    Ok(Json(done))
}

/// What became of one, the newest first.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(alert): Path<String>,
    asked: Result<Query<Params>, QueryRejection>,
) -> Result<Json<List<AlertEvent>>, Problem> {
    let alert = id(&alert, "alert")?;
    let asked = params(asked, "limit, offset and cursor")?;
    let page = page(asked.limit.as_deref(), asked.offset.as_deref(), asked.cursor.as_deref())?;
    let events = app.owner.alert_events(&owner, alert, &page).await.map_err(problem)?;
    events.map(Json).ok_or_else(|| not_found("alert"))
}

fn read(kept: KeptAlert) -> Result<AlertLine, Problem> {
    match kept {
        KeptAlert::Kept(alert) => Ok(*alert),
        KeptAlert::NoTenant => Err(invalid("`tenant_id` cannot be used: there is no such tenant".to_owned())),
        KeptAlert::TooMany => Err(conflict(format!("there are {MAX_ALERTS} alerts: delete one first"))),
        KeptAlert::Missing => Err(not_found("alert")),
    }
}

// === impl Asked ===

impl Asked {
    fn checked(self) -> Result<(AlertRule, WebhookChange), Problem> {
        if !(1..=MAX_WINDOW).contains(&self.window_min) {
            return Err(invalid(format!("`window_min` cannot be used: expected 1 to {MAX_WINDOW} minutes")));
        }
        if !self.threshold.is_finite() {
            return Err(invalid("`threshold` cannot be used: expected a number".to_owned()));
        }
        if self.min_requests < 0 {
            return Err(invalid("`min_requests` cannot be used: expected a whole number from 0".to_owned()));
        }
        let route =
            given(self.route.as_deref()).map(|route| text("route", route, 1..=MAX_ROUTE)).transpose()?;
        let rule = AlertRule {
            name: text("name", &self.name, 1..=MAX_NAME)?.to_owned(),
            metric: self.metric,
            tenant: self.tenant_id,
            route: route.map(str::to_owned),
            window_min: self.window_min,
            comparison: self.comparison,
            threshold: self.threshold,
            min_requests: self.min_requests,
            enabled: self.enabled,
        };
        let webhook = match &self.webhook {
            None => WebhookChange::Keep,
            Some(address) => match given(address.as_deref()) {
                None => WebhookChange::Remove,
                Some(address) if address.len() <= MAX_WEBHOOK && is_webhook(address) => {
                    WebhookChange::Set(Secret::new(address))
                }
                // what was sent is not repeated: it may hold a secret
                Some(_) => {
                    return Err(invalid(format!(
                        "`webhook` cannot be used: expected an address with http:// or https:// and a host, at most \
                         {MAX_WEBHOOK} bytes"
                    )));
                }
            },
        };
        Ok((rule, webhook))
    }
}

const fn yes() -> bool {
    true
}

/// Tells null apart from what was left out.
fn said<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}
