//! What the owner wants to be told of: rules in, their state and what became of them out.
//!
//! A rule compares a figure of the last minutes with a threshold. [`judge`] does that for all of them, [`outbox`] holds what has to
//! be told until somebody has heard it.

mod judge;
mod outbox;

use std::fmt;

use rag_tower::postgres::{DatabaseError, OwnerTx};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use self::outbox::{Delivery, Notice};
use super::OwnerStore;
use super::change::Entry;
use super::page::{Cursor, List, Page};
use crate::auth::OwnerScope;
use crate::secret::Secret;

/// The most rules: each is a read of figures a minute.
pub const MAX_ALERTS: i64 = 100;

/// What is shown of a rule.
macro_rules! lines {
    ($which:literal) => {
        concat!(
            "SELECT a.id, a.name, a.metric, a.tenant_id, t.slug AS tenant, a.route, a.window_min, a.comparison, a.threshold,
                 a.min_requests, a.webhook, a.enabled, a.state, a.since, a.last_value, a.evaluated_at, a.created_at,
                 e.attempted_at, e.ok, e.status, e.error
             FROM rag_tower.alerts a LEFT JOIN rag_tower.tenants t ON t.id = a.tenant_id
             LEFT JOIN LATERAL (SELECT * FROM rag_tower.alert_events e WHERE e.alert_id = a.id AND e.attempted_at IS NOT NULL
                 ORDER BY e.ts DESC, e.id DESC LIMIT 1) e ON true ",
            $which
        )
    };
}

const LIST: &str = lines!("ORDER BY a.name, a.id");
const ONE: &str = lines!("WHERE a.id = $1");
/// One at a time, so that there are never too many.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('rag_tower.alerts.make'))";
const COUNT: &str = "SELECT count(*) FROM rag_tower.alerts";
const TENANT: &str = "SELECT EXISTS (SELECT FROM rag_tower.tenants WHERE id = $1 AND NOT synthetic)";
const MAKE: &str = "INSERT INTO rag_tower.alerts
         (id, name, metric, tenant_id, route, window_min, comparison, threshold, min_requests, enabled, webhook)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
/// A changed rule has not been judged yet.
const CHANGE: &str =
    "UPDATE rag_tower.alerts SET name = $2, metric = $3, tenant_id = $4, route = $5, window_min = $6,
         comparison = $7, threshold = $8, min_requests = $9, enabled = $10,
         webhook = CASE WHEN $12 THEN webhook ELSE $11 END,
         version = version + 1, state = 'no_data', since = now(), last_value = NULL, evaluated_at = NULL
     WHERE id = $1 RETURNING id";
const DROP: &str = "DELETE FROM rag_tower.alerts WHERE id = $1 RETURNING name";
const IS_THERE: &str = "SELECT EXISTS (SELECT FROM rag_tower.alerts WHERE id = $1)";
const EVENTS: &str = "SELECT e.id, e.ts, e.kind, e.value, e.threshold, e.attempts, e.attempted_at, e.ok, e.status, e.error
     FROM rag_tower.alert_events e
     WHERE e.alert_id = $1 AND ($2::timestamptz IS NULL OR (e.ts, e.id) < ($2, $3)) ORDER BY e.ts DESC, e.id DESC
     LIMIT $4 OFFSET $5";
const COUNT_EVENTS: &str = "SELECT count(*) FROM rag_tower.alert_events WHERE alert_id = $1";

/// A figure that a rule watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Asks that failed or failed closed, of all: 0 to 1.
    ErrorRate,
    /// Asks that failed closed.
    FailClosed,
    /// The smallest latency that 95 % of the asks do not exceed, in milliseconds.
    P95Ms,
    /// The smallest time to the first piece of text that 95 % of the asks do not exceed, in milliseconds.
    TtftP95Ms,
    /// Asks that were not answered for want of knowledge, of all: 0 to 1.
    AbstainRate,
    /// Thumbs up, of all thumbs: 0 to 1.
    Satisfaction,
    /// What the asks cost whose price is known, in US dollars.
    CostUsd,
    /// Asks.
    Requests,
    /// Tickets that are not closed, whenever they were opened.
    HandoffsOpen,
}

/// On which side of its threshold a figure is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// When it is above.
    Above,
    /// When it is below.
    Below,
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRule {
    /// What the owner calls it.
    pub name: String,
    /// What it watches.
    pub metric: Metric,
    /// Of one tenant. Default: of all together.
    pub tenant: Option<Uuid>,
    /// Of what this route answered. Default: of all.
    pub route: Option<String>,
    /// The last so many minutes.
    pub window_min: i32,
    /// On which side.
    pub comparison: Comparison,
    /// Of what.
    pub threshold: f64,
    /// A rate or a percentile of fewer asks says nothing.
    pub min_requests: i64,
    /// False while nobody wants to know.
    pub enabled: bool,
}

/// What becomes of a rule's webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookChange {
    /// It stays what it is.
    Keep,
    /// There is none any more.
    Remove,
    /// It is this.
    Set(Secret),
}

/// A rule in a list, and how it is.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct AlertLine {
    #[serde(flatten)]
    row: AlertRow,
    /// The webhook's host and the beginning of its path; what follows may be a secret.
    webhook: Option<String>,
    /// What came of telling the webhook last.
    last_delivery: Option<LastDelivery>,
}

#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
struct AlertRow {
    id: Uuid,
    name: String,
    metric: String,
    tenant_id: Option<Uuid>,
    tenant: Option<String>,
    route: Option<String>,
    window_min: i32,
    comparison: String,
    threshold: f64,
    min_requests: i64,
    enabled: bool,
    state: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    since: OffsetDateTime,
    last_value: Option<f64>,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    evaluated_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    created_at: OffsetDateTime,
}

#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
struct LastDelivery {
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    ts: OffsetDateTime,
    ok: bool,
    status: Option<i32>,
    error: Option<String>,
}

/// What became of a rule, once.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct AlertEvent {
    /// The event.
    pub id: Uuid,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub ts: OffsetDateTime,
    /// `firing`, `resolved`, `no_data` or `test`.
    pub kind: String,
    /// The figure.
    pub value: Option<f64>,
    /// The threshold of that time.
    pub threshold: f64,
    /// How often the webhook was called; 0 when there was none.
    pub attempts: i32,
    /// When it was called last.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub attempted_at: Option<OffsetDateTime>,
    /// Whether it took it.
    pub ok: Option<bool>,
    /// The status it answered with.
    pub status: Option<i32>,
    /// Why it did not take it.
    pub error: Option<String>,
}

/// What came of keeping a rule.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeptAlert {
    /// It is kept.
    Kept(Box<AlertLine>),
    /// There is no such tenant.
    NoTenant,
    /// There are [`MAX_ALERTS`].
    TooMany,
    /// There is no such rule.
    Missing,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// Every rule, by name.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn alerts(&self, _: &OwnerScope) -> Result<Vec<AlertLine>, DatabaseError> {
        let mut tx = OwnerTx::begin(&self.database).await?;
        let rows = sqlx::query(LIST).fetch_all(tx.connection()).await?;
        Ok(rows.iter().map(AlertLine::from_row).collect::<Result<_, _>>()?)
    }

    /// Makes a rule.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn make_alert(
        &self,
        owner: &OwnerScope,
        rule: &AlertRule,
        webhook: Option<&Secret>,
    ) -> Result<KeptAlert, DatabaseError> {
        let mut change = self.change(owner).await?;
        sqlx::query(LOCK).execute(change.connection()).await?;
        let rules: i64 = sqlx::query_scalar(COUNT).fetch_one(change.connection()).await?;
        if rules >= MAX_ALERTS {
            return Ok(KeptAlert::TooMany);
        }
        if !rule.tenant_is_there(change.connection()).await? {
            return Ok(KeptAlert::NoTenant);
        }
        let id = Uuid::now_v7();
        rule.bind(sqlx::query(MAKE).bind(id))
            .bind(webhook.map(Secret::expose))
            .execute(change.connection())
            .await?;
        change.commit(rule.entry("alert.create", id)).await?;
        self.kept(id).await
    }

    /// Changes a rule as a whole. It is judged anew.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn change_alert(
        &self,
        owner: &OwnerScope,
        id: Uuid,
        rule: &AlertRule,
        webhook: &WebhookChange,
    ) -> Result<KeptAlert, DatabaseError> {
        let mut change = self.change(owner).await?;
        if !rule.tenant_is_there(change.connection()).await? {
            return Ok(KeptAlert::NoTenant);
        }
        let address = match webhook {
            WebhookChange::Set(address) => Some(address.expose()),
            WebhookChange::Keep | WebhookChange::Remove => None,
        };
        let changed =
            rule.bind(sqlx::query(CHANGE).bind(id)).bind(address).bind(*webhook == WebhookChange::Keep);
        if changed.fetch_optional(change.connection()).await?.is_none() {
            return Ok(KeptAlert::Missing);
        }
        change.commit(rule.entry("alert.update", id)).await?;
        self.kept(id).await
    }

    /// Forgets a rule and its events; false when there is none.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn forget_alert(&self, owner: &OwnerScope, id: Uuid) -> Result<bool, DatabaseError> {
        let mut change = self.change(owner).await?;
        let name: Option<String> =
            sqlx::query_scalar(DROP).bind(id).fetch_optional(change.connection()).await?;
        let Some(name) = name else { return Ok(false) };
        change.commit(Entry::new("alert.delete").of(id).detail(json!({ "name": name }))).await?;
        Ok(true)
    }

    /// A page of what became of a rule; none when there is no such rule.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn alert_events(
        &self,
        _: &OwnerScope,
        id: Uuid,
        page: &Page,
    ) -> Result<Option<List<AlertEvent>>, DatabaseError> {
        let mut tx = OwnerTx::begin(&self.database).await?;
        if !sqlx::query_scalar(IS_THERE).bind(id).fetch_one(tx.connection()).await? {
            return Ok(None);
        }
        let events = sqlx::query_as(EVENTS)
            .bind(id)
            .bind(page.after.map(|after| after.ts))
            .bind(page.after.map(|after| after.id))
            .bind(page.fetch())
            .bind(page.skip())
            .fetch_all(tx.connection())
            .await?;
        let total = match page.after {
            Some(_) => None,
            None => Some(sqlx::query_scalar(COUNT_EVENTS).bind(id).fetch_one(tx.connection()).await?),
        };
        let at = |event: &AlertEvent| Cursor { ts: event.ts, id: event.id };
        Ok(Some(page.list(events, total, at)))
    }

    async fn kept(&self, id: Uuid) -> Result<KeptAlert, DatabaseError> {
        let mut tx = OwnerTx::begin(&self.database).await?;
        let row = sqlx::query(ONE).bind(id).fetch_optional(tx.connection()).await?;
        let Some(row) = row else { return Ok(KeptAlert::Missing) };
        Ok(KeptAlert::Kept(Box::new(AlertLine::from_row(&row)?)))
    }
}

// === impl AlertRule ===

impl AlertRule {
    fn bind<'q>(&'q self, statement: super::page::Statement<'q>) -> super::page::Statement<'q> {
        statement
            .bind(&self.name)
            .bind(self.metric.as_str())
            .bind(self.tenant)
            .bind(&self.route)
            .bind(self.window_min)
            .bind(self.comparison.as_str())
            .bind(self.threshold)
            .bind(self.min_requests)
            .bind(self.enabled)
    }

    async fn tenant_is_there(&self, connection: &mut PgConnection) -> Result<bool, DatabaseError> {
        let Some(tenant) = self.tenant else { return Ok(true) };
        Ok(sqlx::query_scalar(TENANT).bind(tenant).fetch_one(connection).await?)
    }

    /// What the audit log says. The webhook's address stays out of it.
    fn entry(&self, action: &'static str, id: Uuid) -> Entry {
        let entry = Entry::new(action).of(id).detail(json!({
            "name": self.name, "metric": self.metric, "route": self.route, "window_min": self.window_min,
            "comparison": self.comparison, "threshold": self.threshold, "min_requests": self.min_requests,
            "enabled": self.enabled,
        }));
        match self.tenant {
            Some(tenant) => entry.tenant(tenant),
            None => entry,
        }
    }
}

// === impl AlertLine ===

impl AlertLine {
    fn from_row(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        let webhook: Option<String> = row.try_get("webhook")?;
        let at: Option<OffsetDateTime> = row.try_get("attempted_at")?;
        let last_delivery = match at {
            None => None,
            Some(ts) => Some(LastDelivery {
                ts,
                ok: row.try_get::<Option<bool>, _>("ok")?.unwrap_or_default(),
                status: row.try_get("status")?,
                error: row.try_get("error")?,
            }),
        };
        Ok(Self { row: AlertRow::from_row(row)?, webhook: webhook.as_deref().map(shown), last_delivery })
    }

    /// The rule.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.row.id
    }

    /// `ok`, `firing` or `no_data`.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.row.state
    }
}

/// The host of an address and the first part of its path. The rest may be a secret, as with chat services.
fn shown(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return "…".to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let more = if path.is_empty() && !address.contains('?') { "" } else { "/…" };
    match path.split_once('/') {
        Some((first, _)) => format!("{scheme}://{host}/{first}/…"),
        None => format!("{scheme}://{host}{more}"),
    }
}

// === impl Metric ===

impl Metric {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ErrorRate => "error_rate",
            Self::FailClosed => "fail_closed",
            Self::P95Ms => "p95_ms",
            Self::TtftP95Ms => "ttft_p95_ms",
            Self::AbstainRate => "abstain_rate",
            Self::Satisfaction => "satisfaction",
            Self::CostUsd => "cost_usd",
            Self::Requests => "requests",
            Self::HandoffsOpen => "handoffs_open",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Comparison ===

impl Comparison {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_an_address_is_not_shown() {
        for (address, expected) in [
            ("https://hooks.example.com/services/T0/B0/s3cret", "https://hooks.example.com/services/…"),
            ("https://example.com/s3cret", "https://example.com/…"),
            ("https://example.com?token=s3cret", "https://example.com/…"),
            ("https://example.com/a/b?token=s3cret", "https://example.com/a/…"),
            ("http://user:s3cret@127.0.0.1:9000/", "http://127.0.0.1:9000"),
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ] {
            assert_eq!(shown(address), expected);
        }
    }
}
