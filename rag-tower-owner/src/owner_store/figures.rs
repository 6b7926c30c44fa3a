//! The figures of a range, from the rollups.

use rag_tower::postgres::{Count, DatabaseError, Measures};
use rag_tower::tenant::TenantId;
use serde::Serialize;
use time::OffsetDateTime;

use super::OwnerStore;
use crate::auth::OwnerScope;

/// What happened in a range. Counts and sums are exact; a percentile is within 1 %. A rate is none when there is nothing to
/// divide by.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// Asks.
    pub total_requests: i64,
    /// Asks that failed or failed closed.
    pub error_requests: i64,
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
    /// What the asks cost whose price is known, in US dollars; none when no price is.
    pub cost_usd: Option<f64>,
    /// Thumbs up, of all thumbs.
    pub satisfaction_rate: Option<f64>,
    /// Thumbs on asks of the range.
    pub feedback_total: i64,
    /// Tickets that were opened in the range.
    pub handoff_count: i64,
    /// Tickets for each ask.
    pub handoff_rate: Option<f64>,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// The figures of the asks that began in `since..until`, of one tenant or of all, as they are at this moment.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn figures(
        &self,
        _: &OwnerScope,
        tenant: Option<TenantId>,
        since: Option<OffsetDateTime>,
        until: Option<OffsetDateTime>,
    ) -> Result<Figures, DatabaseError> {
        Ok(self.rollups.totals(tenant, since, until).await?.into())
    }
}

// === impl Figures ===

impl From<Measures> for Figures {
    fn from(sum: Measures) -> Self {
        let requests = sum[Count::Requests];
        let thumbs = sum[Count::FeedbackUp] + sum[Count::FeedbackDown];
        let millis = |micros: f64| micros / 1_000.0;
        Self {
            total_requests: requests,
            error_requests: sum[Count::Errors],
            avg_time_ms: ratio(sum[Count::LatencyUs], requests).map(millis),
            p50_ms: sum.latency.quantile(0.5).map(millis),
            p95_ms: sum.latency.quantile(0.95).map(millis),
            p99_ms: sum.latency.quantile(0.99).map(millis),
            ttft_p50_ms: sum.ttft.quantile(0.5).map(millis),
            ttft_p95_ms: sum.ttft.quantile(0.95).map(millis),
            input_tokens: sum[Count::InputTokens],
            output_tokens: sum[Count::OutputTokens],
            cost_usd: (sum[Count::Priced] > 0).then(|| sum[Count::CostNanos] as f64 / 1e9),
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
