//! Figures over time, and by kind: what charts are drawn from. All of it comes from the rollups.

use std::collections::BTreeMap;

use rag_tower::postgres::{Count, DatabaseError, Facet, Measures, OwnerTx, PgRollups, Selection, Sketch};
use serde::Serialize;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::OwnerStore;
use super::figures::{cost, quantile};
use super::steps::Steps;
use crate::auth::OwnerScope;
use crate::zone::Zone;

/// The longest that a statement may take.
const STATEMENT: std::time::Duration = std::time::Duration::from_secs(5);
/// Rows of a heatmap for each doubling of the latency.
const PER_OCTAVE: f64 = 2.0;
/// The lowest row of a heatmap: what is faster than a sixteenth of a millisecond.
const LOWEST: i32 = -8;

/// What happened over time. The sum of all buckets is what the figures of the range say.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Timeseries {
    /// Where it begins.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub since: OffsetDateTime,
    /// Where it ends, which is no longer part of it.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub until: OffsetDateTime,
    /// The zone whose days these are.
    pub zone: String,
    /// How long a bucket usually is, in seconds. The first and the last may be shorter, and days when clocks change differ.
    pub step_s: i64,
    /// The buckets, the oldest first, none left out.
    pub buckets: Vec<Bucket>,
}

/// What happened in a stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Bucket {
    /// Where it begins.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub ts: OffsetDateTime,
    /// Where it ends.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub until: OffsetDateTime,
    /// Asks.
    pub requests: i64,
    /// Asks by status; one that none has is left out.
    pub by_status: BTreeMap<String, i64>,
    /// Asks that failed or failed closed.
    pub errors: i64,
    /// The median latency, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The 95th percentile of the latencies, in milliseconds.
    pub p95_ms: Option<f64>,
    /// The 99th percentile of the latencies, in milliseconds.
    pub p99_ms: Option<f64>,
    /// The median time to the first piece of text, in milliseconds.
    pub ttft_p50_ms: Option<f64>,
    /// The 95th percentile of it, in milliseconds.
    pub ttft_p95_ms: Option<f64>,
    /// Tokens of prompts.
    pub input_tokens: i64,
    /// Tokens of answers.
    pub output_tokens: i64,
    /// What the asks cost whose price is known, in US dollars; none when no price is.
    pub cost_usd: Option<f64>,
    /// Thumbs up.
    pub feedback_up: i64,
    /// Thumbs down.
    pub feedback_down: i64,
    /// Tickets that were opened.
    pub handoffs: i64,
}

/// How long asks took over time: how many of each column are in which row.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Heatmap {
    /// Where it begins.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub since: OffsetDateTime,
    /// Where it ends, which is no longer part of it.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub until: OffsetDateTime,
    /// The zone whose days these are.
    pub zone: String,
    /// How long a column usually is, in seconds.
    pub step_s: i64,
    /// The edges of the rows, in milliseconds: row `n` is from edge `n` to the next. Empty when there are no asks.
    pub edges_ms: Vec<f64>,
    /// The columns, the oldest first, none left out.
    pub columns: Vec<Column>,
    /// Column, row and how many asks, where there are any.
    pub cells: Vec<(usize, usize, u64)>,
}

/// A column of a heatmap.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Column {
    /// Where it begins.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub ts: OffsetDateTime,
    /// Where it ends.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub until: OffsetDateTime,
}

/// What happened by kind.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Breakdown {
    /// What kinds are told apart by.
    pub by: &'static str,
    /// The kinds, those with the most asks first.
    pub items: Vec<Part>,
    /// All that are left out; none when none are.
    pub other: Option<Share>,
}

/// A kind.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Part {
    /// The value, of a tenant its id; none for asks without one.
    pub value: Option<String>,
    /// The value as people know it, of a tenant its name.
    pub label: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub share: Share,
}

/// What happened, of a kind.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Share {
    /// Asks.
    pub requests: i64,
    /// Asks that failed or failed closed.
    pub errors: i64,
    /// Asks without an answer for want of knowledge.
    pub abstained: i64,
    /// The median latency, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The 95th percentile of the latencies, in milliseconds.
    pub p95_ms: Option<f64>,
    /// Tokens of prompts.
    pub input_tokens: i64,
    /// Tokens of answers.
    pub output_tokens: i64,
    /// What the asks cost whose price is known, in US dollars; none when no price is.
    pub cost_usd: Option<f64>,
    /// Thumbs up.
    pub feedback_up: i64,
    /// Thumbs down.
    pub feedback_down: i64,
    /// Tickets that were opened.
    pub handoffs: i64,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// What happened over time, in at most so many buckets. A range that is open begins with the first ask, and ends now.
    ///
    /// # Errors
    /// [`DatabaseError`]; [`TooLong`](DatabaseError::TooLong) when the range is too long.
    pub async fn timeseries(
        &self,
        _: &OwnerScope,
        which: &Selection,
        zone: &Zone,
        points: usize,
    ) -> Result<Timeseries, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        let (since, until) = range(&mut tx, which).await?;
        let steps = Steps::new(zone, since, until, points);
        let tallies = PgRollups::series(&mut tx, which, &steps.edges, true).await?;
        tx.commit().await?;
        let bucket =
            |((ts, until), tally): ((OffsetDateTime, OffsetDateTime), rag_tower::postgres::Tally)| {
                let sum = &tally.sum;
                Bucket {
                    ts,
                    until,
                    requests: sum[Count::Requests],
                    errors: sum[Count::Errors],
                    p50_ms: quantile(&sum.latency, 0.5),
                    p95_ms: quantile(&sum.latency, 0.95),
                    p99_ms: quantile(&sum.latency, 0.99),
                    ttft_p50_ms: quantile(&sum.ttft, 0.5),
                    ttft_p95_ms: quantile(&sum.ttft, 0.95),
                    input_tokens: sum[Count::InputTokens],
                    output_tokens: sum[Count::OutputTokens],
                    cost_usd: cost(sum),
                    feedback_up: sum[Count::FeedbackUp],
                    feedback_down: sum[Count::FeedbackDown],
                    handoffs: sum[Count::Handoffs],
                    by_status: tally.statuses,
                }
            };
        let buckets = steps.stretches().zip(tallies).map(bucket).collect();
        Ok(Timeseries { since, until, zone: zone.name().to_owned(), step_s: steps.seconds, buckets })
    }

    /// How long asks took over time, in at most so many columns. A range that is open begins with the first ask, and ends
    /// now.
    ///
    /// # Errors
    /// [`DatabaseError`]; [`TooLong`](DatabaseError::TooLong) when the range is too long.
    pub async fn heatmap(
        &self,
        _: &OwnerScope,
        which: &Selection,
        zone: &Zone,
        points: usize,
    ) -> Result<Heatmap, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        let (since, until) = range(&mut tx, which).await?;
        let steps = Steps::new(zone, since, until, points);
        let tallies = PgRollups::series(&mut tx, which, &steps.edges, false).await?;
        tx.commit().await?;
        let rows: Vec<_> = tallies.iter().map(|tally| rows(&tally.sum.latency)).collect();
        let lowest = rows.iter().filter_map(|rows| rows.keys().next()).min().copied();
        let highest = rows.iter().filter_map(|rows| rows.keys().next_back()).max().copied();
        let (lowest, edges_ms) = match (lowest, highest) {
            (Some(lowest), Some(highest)) => (lowest, (lowest..=highest + 1).map(edge).collect()),
            _ => (0, Vec::new()),
        };
        let place = |row: i32| usize::try_from(row - lowest).unwrap_or(0);
        let cells = rows
            .into_iter()
            .enumerate()
            .flat_map(|(column, rows)| rows.into_iter().map(move |(row, count)| (column, place(row), count)));
        let cells = cells.collect();
        let columns = steps.stretches().map(|(ts, until)| Column { ts, until }).collect();
        let zone = zone.name().to_owned();
        Ok(Heatmap { since, until, zone, step_s: steps.seconds, edges_ms, columns, cells })
    }

    /// What happened by kind: the kinds with the most asks, and all others together.
    ///
    /// # Errors
    /// [`DatabaseError`]; [`TooLong`](DatabaseError::TooLong) when the range is too long.
    pub async fn breakdown(
        &self,
        _: &OwnerScope,
        which: &Selection,
        by: Facet,
        limit: usize,
    ) -> Result<Breakdown, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        let mut kinds: Vec<_> = PgRollups::by(&mut tx, which, by).await?.into_iter().collect();
        kinds.retain(|(_, sum)| *sum != Measures::default());
        kinds.sort_by_key(|(_, sum)| -sum[Count::Requests]);
        let others = kinds.split_off(kinds.len().min(limit));
        let names = match by {
            Facet::Tenant => names(&mut tx, kinds.iter().map(|(tenant, _)| tenant)).await?,
            _ => BTreeMap::new(),
        };
        tx.commit().await?;
        let other = others.into_iter().map(|(_, sum)| sum).reduce(|mut all, sum| {
            all.merge(&sum);
            all
        });
        let part = |(value, sum): (String, Measures)| Part {
            label: Some(names.get(&value).unwrap_or(&value).clone()).filter(|label| !label.is_empty()),
            value: Some(value).filter(|value| !value.is_empty()),
            share: Share::from(&sum),
        };
        let name = match by {
            Facet::Tenant => "tenant",
            Facet::Route => "route",
            Facet::Status => "status",
            Facet::Channel => "channel",
            _ => "model",
        };
        Ok(Breakdown {
            by: name,
            items: kinds.into_iter().map(part).collect(),
            other: other.as_ref().map(Share::from),
        })
    }
}

/// The range of a selection, with an end in place of each that is open.
pub(super) async fn range(
    tx: &mut OwnerTx,
    which: &Selection,
) -> Result<(OffsetDateTime, OffsetDateTime), DatabaseError> {
    if let (Some(since), Some(until)) = (which.since, which.until) {
        return Ok((since, until));
    }
    let span = PgRollups::span(tx, which).await?;
    let now = OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(0).unwrap_or(now) + Duration::SECOND;
    let until = which.until.unwrap_or_else(|| span.map_or(now, |(_, last)| last.max(now)));
    let first = span.map_or(until - Duration::DAY, |(first, _)| first);
    Ok((which.since.unwrap_or(first), until))
}

/// How many durations are in which row.
fn rows(latency: &Sketch) -> BTreeMap<i32, u64> {
    let mut rows = BTreeMap::new();
    for (micros, count) in latency.values() {
        // -inf for 0, and a cast stays within its bounds
        let row = ((micros / 1_000.0).log2() * PER_OCTAVE).floor() as i32;
        *rows.entry(row.max(LOWEST)).or_default() += count;
    }
    rows
}

/// Where a row begins, in milliseconds.
fn edge(row: i32) -> f64 {
    if row == LOWEST { 0.0 } else { (f64::from(row) / PER_OCTAVE).exp2() }
}

/// The names of tenants, as far as the registry knows them.
async fn names(
    tx: &mut OwnerTx,
    ids: impl Iterator<Item = &String>,
) -> Result<BTreeMap<String, String>, DatabaseError> {
    let ids: Vec<Uuid> = ids.filter_map(|id| id.parse().ok()).collect();
    let names: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT id, name FROM rag_tower.tenants WHERE id = ANY ($1)")
            .bind(ids)
            .fetch_all(tx.connection())
            .await?;
    Ok(names.into_iter().map(|(id, name)| (id.to_string(), name)).collect())
}

// === impl Share ===

impl From<&Measures> for Share {
    fn from(sum: &Measures) -> Self {
        Self {
            requests: sum[Count::Requests],
            errors: sum[Count::Errors],
            abstained: sum[Count::Abstained],
            p50_ms: quantile(&sum.latency, 0.5),
            p95_ms: quantile(&sum.latency, 0.95),
            input_tokens: sum[Count::InputTokens],
            output_tokens: sum[Count::OutputTokens],
            cost_usd: cost(sum),
            feedback_up: sum[Count::FeedbackUp],
            feedback_down: sum[Count::FeedbackDown],
            handoffs: sum[Count::Handoffs],
        }
    }
}

#[cfg(test)]
mod tests;
