//! The figures of a range: exact, from the rows themselves.

use rag_tower::postgres::{DatabaseError, OwnerTx};
use rag_tower::tenant::TenantId;
use serde::Serialize;
use time::OffsetDateTime;

use super::OwnerStore;
use crate::auth::OwnerScope;

/// Feedback counts when it belongs to an ask of the range: what was said of another tenant's ask joins nothing.
const FIGURES: &str = "WITH asks AS (
        SELECT count(*) AS total,
               count(*) FILTER (WHERE status IN ('ERROR', 'FAIL_CLOSED')) AS errors,
               (avg(latency_us) / 1000.0)::float8 AS average,
               (percentile_disc(0.5) WITHIN GROUP (ORDER BY latency_us)) / 1000.0::float8 AS p50,
               (percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_us)) / 1000.0::float8 AS p95,
               coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
               coalesce(sum(output_tokens), 0)::bigint AS output_tokens
        FROM rag_tower.request_traces
        WHERE ($1::uuid IS NULL OR tenant_id = $1) AND ($2::timestamptz IS NULL OR ts >= $2)
          AND ($3::timestamptz IS NULL OR ts < $3)),
    opinions AS (
        SELECT count(*) AS total, count(*) FILTER (WHERE f.rating = 1) AS up
        FROM rag_tower.user_feedback f
        JOIN rag_tower.request_traces r ON r.tenant_id = f.tenant_id AND r.trace_id = f.trace_id
        WHERE ($1::uuid IS NULL OR r.tenant_id = $1) AND ($2::timestamptz IS NULL OR r.ts >= $2)
          AND ($3::timestamptz IS NULL OR r.ts < $3)),
    tickets AS (
        SELECT count(*) AS total FROM rag_tower.handoff_tickets
        WHERE ($1::uuid IS NULL OR tenant_id = $1) AND ($2::timestamptz IS NULL OR ts >= $2)
          AND ($3::timestamptz IS NULL OR ts < $3))
    SELECT a.total, a.errors, a.average, a.p50, a.p95, a.input_tokens, a.output_tokens, o.total, o.up, t.total
    FROM asks a, opinions o, tickets t";

/// What happened in a range. A rate is none when there is nothing to divide by.
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
    /// Tokens of prompts, estimates included.
    pub input_tokens: i64,
    /// Tokens of answers, estimates included.
    pub output_tokens: i64,
    /// Thumbs up, of all thumbs.
    pub satisfaction_rate: Option<f64>,
    /// Thumbs.
    pub feedback_total: i64,
    /// Tickets.
    pub handoff_count: i64,
    /// Tickets for each ask.
    pub handoff_rate: Option<f64>,
}

/// The columns of [`FIGURES`].
type Row = (i64, i64, Option<f64>, Option<f64>, Option<f64>, i64, i64, i64, i64, i64);

// === impl OwnerStore ===

impl OwnerStore {
    /// The figures of the asks that began in `since..until`, of one tenant or of all.
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
        let mut tx = OwnerTx::begin(&self.database).await?;
        let row: Row = sqlx::query_as(FIGURES)
            .bind(tenant.map(|tenant| tenant.as_uuid()))
            .bind(since)
            .bind(until)
            .fetch_one(tx.connection())
            .await?;
        tx.commit().await?;
        let (total, errors, average, p50, p95, input, output, opinions, up, tickets) = row;
        Ok(Figures {
            total_requests: total,
            error_requests: errors,
            avg_time_ms: average,
            p50_ms: p50,
            p95_ms: p95,
            input_tokens: input,
            output_tokens: output,
            satisfaction_rate: rate(up, opinions),
            feedback_total: opinions,
            handoff_count: tickets,
            handoff_rate: rate(tickets, total),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn rate(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
