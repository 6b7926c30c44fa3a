//! All rules in, the state of each out, and an event for each that has changed.

use rag_tower::postgres::{Count, DatabaseError, OwnerTx, PgRollups, Selection, Tally};
use rag_tower::tenant::TenantId;
use sqlx::FromRow;
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::OwnerStore;
use super::{Comparison, Metric};

/// One process of several judges at a time.
const LOCK: &str = "SELECT pg_try_advisory_xact_lock(hashtext('rag_tower.alerts.judge'))";
const RULES: &str =
    "SELECT id, version, metric, tenant_id, route, window_min, comparison, threshold, min_requests, state,
         webhook IS NOT NULL AS told
     FROM rag_tower.alerts WHERE enabled ORDER BY id";
/// Nothing, when the rule was changed meanwhile.
const JUDGED: &str = "UPDATE rag_tower.alerts SET last_value = $3, evaluated_at = now(),
         since = CASE WHEN state = $4 THEN since ELSE now() END, state = $4
     WHERE id = $1 AND version = $2 RETURNING id";
const EVENT: &str = "INSERT INTO rag_tower.alert_events (id, alert_id, kind, value, threshold, next_attempt)
     VALUES ($1, $2, $3, $4, $5, CASE WHEN $6 THEN now() END)";
/// Events are kept for a quarter of a year.
const SWEEP: &str = "DELETE FROM rag_tower.alert_events WHERE ts < now() - interval '90 days'";
const OPEN_TICKETS: &str = "SELECT count(*) FROM rag_tower.handoff_tickets
     WHERE status <> 'closed' AND ($1::uuid IS NULL OR tenant_id = $1)";
const FIRING: &str = "SELECT count(*) FROM rag_tower.alerts WHERE enabled AND state = 'firing'";
/// Figures that take longer are left for the next time.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(FromRow)]
struct Rule {
    id: Uuid,
    version: i64,
    metric: String,
    tenant_id: Option<Uuid>,
    route: Option<String>,
    window_min: i32,
    comparison: String,
    threshold: f64,
    min_requests: i64,
    state: String,
    told: bool,
}

/// How a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    Firing,
    NoData,
}

/// A figure, and how many asks it is of; none when that plays no part.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    value: Option<f64>,
    of: Option<i64>,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// Judges every rule that is enabled, and says how many; none when another process is at it.
    pub(crate) async fn judge_alerts(&self) -> Result<Option<usize>, DatabaseError> {
        let mut tx = OwnerTx::change(&self.database).await?;
        let ours: bool = sqlx::query_scalar(LOCK).fetch_one(tx.connection()).await?;
        if !ours {
            return Ok(None);
        }
        let rules: Vec<Rule> = sqlx::query_as(RULES).fetch_all(tx.connection()).await?;
        let judged = rules.len();
        for rule in rules {
            // one of another version of this program is judged by that
            let Some(metric) = rule.metric() else { continue };
            let reading = match self.read(metric, rule.selection()).await {
                Ok(reading) => reading,
                Err(DatabaseError::TooLong(_)) => {
                    tracing::warn!(alert = %rule.id, "an alert's figure takes too long: it stays as it is");
                    continue;
                }
                Err(error) => return Err(error),
            };
            let state = rule.judge(reading);
            let update =
                sqlx::query(JUDGED).bind(rule.id).bind(rule.version).bind(reading.value).bind(state.as_str());
            let kept = update.fetch_optional(tx.connection()).await?.is_some();
            let Some(kind) = rule.event(state).filter(|_| kept) else { continue };
            sqlx::query(EVENT)
                .bind(Uuid::now_v7())
                .bind(rule.id)
                .bind(kind)
                .bind(reading.value)
                .bind(rule.threshold)
                .bind(rule.told)
                .execute(tx.connection())
                .await?;
        }
        sqlx::query(SWEEP).execute(tx.connection()).await?;
        tx.commit().await?;
        Ok(Some(judged))
    }

    /// How many rules are firing, whoever judged them.
    pub(crate) async fn alerts_firing(&self) -> Result<i64, DatabaseError> {
        let mut tx = OwnerTx::begin(&self.database).await?;
        Ok(sqlx::query_scalar(FIRING).fetch_one(tx.connection()).await?)
    }

    /// A figure.
    async fn read(&self, metric: Metric, which: Selection) -> Result<Reading, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(PATIENCE).await?;
        if metric == Metric::HandoffsOpen {
            let tenant = which.tenant.map(|tenant| tenant.as_uuid());
            let open: i64 = sqlx::query_scalar(OPEN_TICKETS).bind(tenant).fetch_one(tx.connection()).await?;
            return Ok(Reading { value: Some(open as f64), of: None });
        }
        let (tally, _) = PgRollups::tally(&mut tx, &which).await?;
        Ok(Reading::of(metric, &tally))
    }
}

// === impl Reading ===

impl Reading {
    fn of(metric: Metric, tally: &Tally) -> Self {
        let sum = &tally.sum;
        let requests = sum[Count::Requests];
        let ratio = |part: i64, whole: i64| (whole > 0).then(|| part as f64 / whole as f64);
        let millis = |us: Option<f64>| us.map(|us| us / 1_000.0);
        let (value, of) = match metric {
            Metric::ErrorRate => (ratio(sum[Count::Errors], requests), Some(requests)),
            Metric::AbstainRate => (ratio(sum[Count::Abstained], requests), Some(requests)),
            Metric::P95Ms => (millis(sum.latency.quantile(0.95)), Some(requests)),
            Metric::TtftP95Ms => (millis(sum.ttft.quantile(0.95)), Some(requests)),
            Metric::Satisfaction => {
                let up = sum[Count::FeedbackUp];
                (ratio(up, up + sum[Count::FeedbackDown]), Some(requests))
            }
            Metric::FailClosed => {
                (Some(tally.statuses.get("FAIL_CLOSED").copied().unwrap_or_default() as f64), None)
            }
            Metric::Requests => (Some(requests as f64), None),
            // what nobody knows the price of is not for free
            Metric::CostUsd if sum[Count::Priced] == 0 && requests > 0 => (None, None),
            Metric::CostUsd => (Some(sum[Count::CostNanos] as f64 / 1e9), None),
            Metric::HandoffsOpen => (None, None),
        };
        Self { value, of }
    }
}

// === impl Rule ===

impl Rule {
    fn metric(&self) -> Option<Metric> {
        serde_json::from_value(self.metric.as_str().into()).ok()
    }

    /// What it watches, as of now.
    fn selection(&self) -> Selection {
        let now = OffsetDateTime::now_utc();
        Selection {
            tenant: self.tenant_id.map(TenantId::new),
            since: Some(now - time::Duration::minutes(self.window_min.into())),
            until: Some(now),
            route: self.route.clone(),
            ..Selection::default()
        }
    }

    fn judge(&self, reading: Reading) -> State {
        let Some(value) = reading.value else { return State::NoData };
        if reading.of.is_some_and(|requests| requests < self.min_requests) {
            return State::NoData;
        }
        let told = if self.comparison == Comparison::Above.as_str() {
            value > self.threshold
        } else {
            value < self.threshold
        };
        if told { State::Firing } else { State::Ok }
    }

    /// What is to be told: that it fires, and that it does no more.
    fn event(&self, now: State) -> Option<&'static str> {
        let fired = self.state == State::Firing.as_str();
        match now {
            State::Firing if !fired => Some("firing"),
            State::Ok if fired => Some("resolved"),
            State::NoData if fired => Some("no_data"),
            _ => None,
        }
    }
}

// === impl State ===

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Firing => "firing",
            Self::NoData => "no_data",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(comparison: &str, state: &str) -> Rule {
        Rule {
            id: Uuid::nil(),
            version: 1,
            metric: "error_rate".into(),
            tenant_id: None,
            route: None,
            window_min: 15,
            comparison: comparison.into(),
            threshold: 0.1,
            min_requests: 20,
            state: state.into(),
            told: true,
        }
    }

    #[test]
    fn a_rule_fires_beyond_its_threshold_and_of_enough_asks() {
        let judged = |comparison, value, of| rule(comparison, "ok").judge(Reading { value, of });
        assert_eq!(judged("above", Some(0.2), Some(20)), State::Firing);
        assert_eq!(judged("above", Some(0.1), Some(20)), State::Ok, "not beyond");
        assert_eq!(judged("above", Some(0.2), Some(19)), State::NoData);
        assert_eq!(judged("above", None, Some(20)), State::NoData);
        assert_eq!(judged("above", Some(0.2), None), State::Firing, "a count is of any number");
        assert_eq!(judged("below", Some(0.05), Some(20)), State::Firing);
        assert_eq!(judged("below", Some(0.1), Some(20)), State::Ok);
    }

    #[test]
    fn what_is_told_is_told_once() {
        let event = |before, now| rule("above", before).event(now);
        assert_eq!(event("ok", State::Firing), Some("firing"));
        assert_eq!(event("no_data", State::Firing), Some("firing"));
        assert_eq!(event("firing", State::Firing), None);
        assert_eq!(event("firing", State::Ok), Some("resolved"));
        assert_eq!(event("firing", State::NoData), Some("no_data"));
        assert_eq!(event("ok", State::NoData), None);
        assert_eq!(event("no_data", State::Ok), None);
    }
}
