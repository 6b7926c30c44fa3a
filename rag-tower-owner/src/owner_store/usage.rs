//! What tenants used of which model on which day, and what it cost: from the rollups.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use rag_tower::postgres::{Count, DatabaseError, OwnerTx, PgRollups, Selection};
use serde::Serialize;
use time::{Date, Duration, OffsetDateTime};
use uuid::Uuid;

use super::OwnerStore;
use super::charts::range;
use super::figures::FREE;
use super::file::{Columns, Format};
use super::steps::days;
use crate::auth::OwnerScope;
use crate::zone::Zone;

/// The longest that a statement may take.
const STATEMENT: std::time::Duration = std::time::Duration::from_secs(2);
/// Lines of a piece of a file.
const PIECE: usize = 1_000;
/// The columns of an export.
const COLUMNS: [&str; 11] = [
    "day",
    "tenant_id",
    "tenant",
    "model",
    "requests",
    "input_tokens",
    "output_tokens",
    "estimated",
    "priced",
    "unpriced",
    "cost_usd",
];
const SLUGS: &str = "SELECT id, slug FROM rag_tower.tenants WHERE id = ANY ($1)";
/// Who served a model lately.
const PROVIDER: &str = "SELECT llm_provider FROM rag_tower.request_traces
    WHERE llm_model = $1 AND ts >= $2 ORDER BY ts DESC LIMIT 1";

/// What was used.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Usage {
    /// The lines, the newest day first, and within a day those with the most asks.
    pub items: Vec<UsageLine>,
    /// The offset of the next page; none on the last.
    pub next: Option<usize>,
    /// How many lines there are.
    pub total: usize,
    /// The month that it is now, in the zone, whatever the range.
    pub month: Month,
    /// Models of the range that have no price, those with the most asks first.
    pub unpriced: Vec<UnpricedModel>,
}

/// What a tenant used of a model on a day.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct UsageLine {
    /// The day, in the zone.
    pub day: String,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The tenant's slug, when the registry knows it.
    pub tenant: Option<String>,
    /// The model; none for asks that none answered.
    pub model: Option<String>,
    /// Asks.
    pub requests: i64,
    /// Tokens of prompts.
    pub input_tokens: i64,
    /// Tokens of answers.
    pub output_tokens: i64,
    /// Asks whose tokens are an estimate.
    pub estimated: i64,
    /// Asks whose price is known.
    pub priced: i64,
    /// Asks that a model answered whose price is not known.
    pub unpriced: i64,
    /// What the priced ones cost, in US dollars; none when none is.
    pub cost_usd: Option<f64>,
}

/// What a month has cost so far.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Month {
    /// Where it begins, in the zone.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub since: OffsetDateTime,
    /// Where it ends.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub until: OffsetDateTime,
    /// What it has cost so far, in US dollars; none when no price is known.
    pub cost_usd: Option<f64>,
    /// Asks so far.
    pub requests: i64,
    /// Tokens so far.
    pub tokens: i64,
    /// What it will have cost if it goes on like that, from the third day on.
    pub forecast_usd: Option<f64>,
}

/// A model without a price.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct UnpricedModel {
    /// The model.
    pub model: String,
    /// Who served it lately, when that is quickly known.
    pub provider: Option<String>,
    /// Asks without a price.
    pub requests: i64,
    /// Tokens of their prompts.
    pub input_tokens: i64,
    /// Tokens of their answers.
    pub output_tokens: i64,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// What was used of which model by whom on which day of the zone, a page of it, with the month and what has no price.
    ///
    /// # Errors
    /// [`DatabaseError`]; [`TooLong`](DatabaseError::TooLong) when the range is too long.
    pub async fn usage(
        &self,
        _: &OwnerScope,
        which: &Selection,
        zone: &Zone,
        (limit, offset): (usize, usize),
    ) -> Result<Usage, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        let lines = lines(&mut tx, which, zone).await?;
        let month = month(&mut tx, which, zone, OffsetDateTime::now_utc()).await?;
        let unpriced = unpriced(&mut tx, which).await?;
        let (total, end) = (lines.len(), offset.saturating_add(limit));
        let items = lines.into_iter().skip(offset).take(limit).collect();
        Ok(Usage { items, next: (end < total).then_some(end), total, month, unpriced })
    }

    /// The same lines as a file, all of them.
    ///
    /// # Errors
    /// [`DatabaseError`], as [`usage`](Self::usage).
    pub async fn export_usage(
        &self,
        _: &OwnerScope,
        which: &Selection,
        zone: &Zone,
        format: Format,
    ) -> Result<impl Stream<Item = Bytes> + Send + use<>, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        let lines = lines(&mut tx, which, zone).await?;
        let columns = Columns::all(&COLUMNS);
        let head = Bytes::from(format.head(&columns));
        let pieces = (0..lines.len().div_ceil(PIECE)).map(move |n| {
            let mut text = String::new();
            for line in lines.iter().skip(n * PIECE).take(PIECE) {
                format.line(&columns, line, &mut text);
            }
            Bytes::from(text)
        });
        Ok(stream::iter([head].into_iter().chain(pieces)))
    }
}

async fn lines(tx: &mut OwnerTx, which: &Selection, zone: &Zone) -> Result<Vec<UsageLine>, DatabaseError> {
    let (since, until) = range(tx, which).await?;
    // no day before the first ask has anything
    let first = PgRollups::span(tx, which).await?.map_or(since, |(first, _)| first);
    let edges = days(zone, since.max(first.min(until)), until);
    let mut used = PgRollups::usage(tx, which, &edges).await?;
    used.retain(|used| used.requests > 0);
    used.sort_by(|a, b| {
        (b.stretch, b.requests, a.tenant, &a.model).cmp(&(a.stretch, a.requests, b.tenant, &b.model))
    });
    let slugs = slugs(tx, used.iter().map(|used| used.tenant)).await?;
    let day = |stretch: usize| edges.get(stretch).map(|at| zone.date_of(*at).to_string()).unwrap_or_default();
    let line = |used: rag_tower::postgres::Used| UsageLine {
        day: day(used.stretch),
        tenant_id: used.tenant,
        tenant: slugs.get(&used.tenant).cloned(),
        unpriced: if used.model.is_empty() || used.model == FREE { 0 } else { used.requests - used.priced },
        model: Some(used.model).filter(|model| !model.is_empty()),
        requests: used.requests,
        input_tokens: used.input_tokens,
        output_tokens: used.output_tokens,
        estimated: used.estimated,
        priced: used.priced,
        cost_usd: (used.priced > 0).then(|| used.cost_nanos as f64 / 1e9),
    };
    Ok(used.into_iter().map(line).collect())
}

/// The slugs of tenants, as far as the registry knows them.
pub(super) async fn slugs(
    tx: &mut OwnerTx,
    tenants: impl Iterator<Item = Uuid>,
) -> Result<BTreeMap<Uuid, String>, DatabaseError> {
    let mut ids: Vec<Uuid> = tenants.collect();
    ids.sort_unstable();
    ids.dedup();
    let slugs: Vec<(Uuid, String)> = sqlx::query_as(SLUGS).bind(ids).fetch_all(tx.connection()).await?;
    Ok(slugs.into_iter().collect())
}

/// The month of this moment.
async fn month(
    tx: &mut OwnerTx,
    which: &Selection,
    zone: &Zone,
    now: OffsetDateTime,
) -> Result<Month, DatabaseError> {
    let today = zone.date_of(now);
    let first = today.replace_day(1).unwrap_or(today);
    let next = (first + Duration::days(31)).replace_day(1).unwrap_or(first);
    let start = |date: Date| zone.start_of(date).unwrap_or(now);
    let (since, until) = (start(first), start(next));
    let tallies = PgRollups::series(tx, which, &[since, until], false).await?;
    let sum = tallies.into_iter().next().unwrap_or_default().sum;
    let cost_usd = super::figures::cost(&sum);
    let share = (now - since).as_seconds_f64() / (until - since).as_seconds_f64();
    Ok(Month {
        since,
        until,
        cost_usd,
        requests: sum[Count::Requests],
        tokens: sum[Count::InputTokens] + sum[Count::OutputTokens],
        forecast_usd: cost_usd.filter(|_| today.day() >= 3 && share > 0.0).map(|cost| cost / share),
    })
}

async fn unpriced(tx: &mut OwnerTx, which: &Selection) -> Result<Vec<UnpricedModel>, DatabaseError> {
    let (_, unpriced) = PgRollups::tally(tx, which).await?;
    let mut models: Vec<UnpricedModel> = unpriced
        .into_iter()
        .filter(|(model, _)| model != FREE)
        .map(|(model, unpriced)| UnpricedModel {
            model,
            provider: None,
            requests: unpriced.requests,
            input_tokens: unpriced.input_tokens,
            output_tokens: unpriced.output_tokens,
        })
        .collect();
    models.sort_by_key(|model| -model.requests);
    tx.bound(STATEMENT / 10).await?;
    let since = OffsetDateTime::now_utc() - Duration::DAY;
    for model in models.iter_mut().take(20) {
        let provider = sqlx::query_scalar(PROVIDER).bind(&model.model).bind(since);
        match provider.fetch_optional(tx.connection()).await.map_err(DatabaseError::from) {
            Ok(provider) => model.provider = provider.flatten(),
            // who it was is nice to know, and the transaction has ended
            Err(DatabaseError::TooLong(_)) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(models)
}
