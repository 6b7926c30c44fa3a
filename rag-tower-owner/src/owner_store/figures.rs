//! The figures of a range, from the rollups.

use rag_tower::postgres::{Count, DatabaseError, Measures, OwnerTx, PgRollups, Selection, Sketch};
use rag_tower::tenant::TenantId;
use serde::Serialize;
use time::OffsetDateTime;

use super::OwnerStore;
use crate::auth::OwnerScope;
use crate::zone::Zone;

/// The model of answers that are made of the sources' own sentences: they cost nothing.
pub(super) const FREE: &str = "extractive";

/// What happened in a range. Counts and sums are exact; a percentile is within 1 %. A rate is none when there is nothing to
/// divide by.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Figures {
    /// Asks.
    pub total_requests: i64,
    /// Asks that failed or failed closed.
    pub error_requests: i64,
    /// Of them those that failed closed: isolation could not be shown.
    pub fail_closed: i64,
    /// Asks that were left without an answer for want of knowledge.
    pub abstained: i64,
    /// Asks whose caller went away.
    pub cancelled: i64,
    /// Asks that a limit or a budget refused.
    pub limited: i64,
    /// Tenants that asked.
    pub active_tenants: i64,
    /// The mean of their latencies, in milliseconds.
    pub avg_time_ms: Option<f64>,
    /// The median: the smallest latency that half of the asks do not exceed, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The smallest latency that 95 % of the asks do not exceed, in milliseconds.
    pub p95_ms: Option<f64>,
    /// The smallest latency that 99 % of the asks do not exceed, in milliseconds.
    pub p99_ms: Option<f64>,
    /// The median time to the first piece of text, of the asks that had one, in milliseconds.
    pub ttft_p50_ms: Option<f64>,
    /// The smallest time to the first piece of text that 95 % of them do not exceed, in milliseconds.
    pub ttft_p95_ms: Option<f64>,
    /// Tokens of prompts, estimates included.
    pub input_tokens: i64,
    /// Tokens of answers, estimates included.
    pub output_tokens: i64,
    /// Asks whose tokens are an estimate.
    pub estimated: i64,
    /// What the asks cost whose price is known, in US dollars; none when no price is.
    pub cost_usd: Option<f64>,
    /// Asks whose price is known.
    pub priced: i64,
    /// Asks that a model answered whose price is not known.
    pub unpriced: i64,
    /// Thumbs up, of all thumbs.
    pub satisfaction_rate: Option<f64>,
    /// Thumbs on asks of the range.
    pub feedback_total: i64,
    /// Tickets that were opened in the range.
    pub handoff_count: i64,
    /// Tickets for each ask.
    pub handoff_rate: Option<f64>,
}

/// Figures, and of when they are.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Period {
    /// What happened.
    #[serde(flatten)]
    pub figures: Figures,
    /// From this moment on; none when there is no limit.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub since: Option<OffsetDateTime>,
    /// Before this moment; none when there is no limit.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub until: Option<OffsetDateTime>,
    /// The zone that dates are read in.
    pub zone: String,
}

/// Figures of a range beside those of the time before it.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Overview {
    /// The range.
    #[serde(flatten)]
    pub now: Period,
    /// As long a time, just before; none when the range is open at an end.
    pub previous: Option<Period>,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// The figures of the asks that began in `since..until`, of one tenant or of all, as they are at this moment.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn figures(
        &self,
        owner: &OwnerScope,
        tenant: Option<TenantId>,
        since: Option<OffsetDateTime>,
        until: Option<OffsetDateTime>,
    ) -> Result<Figures, DatabaseError> {
        self.figures_of(owner, &Selection { tenant, since, until, ..Selection::default() }).await
    }

    /// The figures of a selection of asks.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn figures_of(&self, _: &OwnerScope, which: &Selection) -> Result<Figures, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        let figures = figures(&mut tx, which).await?;
        tx.commit().await?;
        Ok(figures)
    }

    /// The figures of a selection, and those of as long a time before it, of one moment.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn overview(
        &self,
        _: &OwnerScope,
        which: &Selection,
        zone: &Zone,
    ) -> Result<Overview, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        let period = |which: &Selection, figures| Period {
            figures,
            since: which.since,
            until: which.until,
            zone: zone.name().to_owned(),
        };
        let now = period(which, figures(&mut tx, which).await?);
        let previous = match before(which) {
            Some(which) => Some(period(&which, figures(&mut tx, &which).await?)),
            None => None,
        };
        tx.commit().await?;
        Ok(Overview { now, previous })
    }
}

async fn figures(tx: &mut OwnerTx, which: &Selection) -> Result<Figures, DatabaseError> {
    let (tally, unpriced) = PgRollups::tally(tx, which).await?;
    let active = match which.tenant {
        Some(_) => i64::from(tally.sum[Count::Requests] > 0),
        None => PgRollups::tenants(tx, which).await?.iter().filter(|(_, asks)| *asks > 0).count() as i64,
    };
    let costly = unpriced.iter().filter(|(model, _)| *model != FREE);
    let mut figures = Figures::from(tally.sum);
    figures.active_tenants = active;
    figures.fail_closed = tally.statuses.get("FAIL_CLOSED").copied().unwrap_or(0);
    figures.unpriced = costly.map(|(_, unpriced)| unpriced.requests).sum();
    Ok(figures)
}

/// As long a time, just before.
fn before(which: &Selection) -> Option<Selection> {
    let (since, until) = (which.since?, which.until?);
    let start = since.checked_sub(until - since).filter(|start| *start < since)?;
    Some(Selection { since: Some(start), until: Some(since), ..which.clone() })
}

// === impl Figures ===

impl From<Measures> for Figures {
    /// What measures do not say is 0: tenants, and what was told apart.
    fn from(sum: Measures) -> Self {
        let requests = sum[Count::Requests];
        let thumbs = sum[Count::FeedbackUp] + sum[Count::FeedbackDown];
        Self {
            total_requests: requests,
            error_requests: sum[Count::Errors],
            fail_closed: 0,
            abstained: sum[Count::Abstained],
            cancelled: sum[Count::Cancelled],
            limited: sum[Count::Limited],
            active_tenants: 0,
            avg_time_ms: ratio(sum[Count::LatencyUs], requests).map(|micros| micros / 1_000.0),
            p50_ms: quantile(&sum.latency, 0.5),
            p95_ms: quantile(&sum.latency, 0.95),
            p99_ms: quantile(&sum.latency, 0.99),
            ttft_p50_ms: quantile(&sum.ttft, 0.5),
            ttft_p95_ms: quantile(&sum.ttft, 0.95),
            input_tokens: sum[Count::InputTokens],
            output_tokens: sum[Count::OutputTokens],
            estimated: sum[Count::Estimated],
            cost_usd: cost(&sum),
            priced: sum[Count::Priced],
            unpriced: 0,
            satisfaction_rate: ratio(sum[Count::FeedbackUp], thumbs),
            feedback_total: thumbs,
            handoff_count: sum[Count::Handoffs],
            handoff_rate: ratio(sum[Count::Handoffs], requests),
        }
    }
}

fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// In milliseconds.
pub(super) fn quantile(sketch: &Sketch, p: f64) -> Option<f64> {
    sketch.quantile(p).map(|micros| micros / 1_000.0)
}

/// In US dollars; none when no price is known.
pub(super) fn cost(sum: &Measures) -> Option<f64> {
    (sum[Count::Priced] > 0).then(|| sum[Count::CostNanos] as f64 / 1e9)
}
