//! How many asks there are of which kind: a filter in, counts by route, status, channel, model and tenant out, and of the
//! newest also by what only the rows know.

use std::collections::BTreeMap;
use std::time::Duration;

use rag_tower::postgres::{DatabaseError, OwnerTx, PgPartitions, PgRollups, Selection, Slice};
use serde::Serialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::narrow::narrowed;
use super::select::Shape;
use super::walk::{Found, Hunt};
use super::windows::windows;
use super::{LogFilter, STATEMENT};
use crate::auth::OwnerScope;
use crate::owner_store::OwnerStore;

/// The most matches of a text that are counted.
const MATCHES: usize = 10_000;
/// How long they are looked for.
const SEARCH: Duration = Duration::from_millis(50);
/// The newest asks, of which those are counted of which the rollups know nothing.
const SAMPLE: usize = 1_000;
/// How long those are looked for.
const GLANCE: Duration = Duration::from_millis(20);
/// The most values of a facet.
const VALUES: usize = 50;
/// The tenants that the registry knows.
const NAMES: &str = "SELECT id, slug FROM rag_tower.tenants WHERE id = ANY ($1)";

/// What is counted of a match.
const KIND: Shape = Shape {
    read: "r.trace_id, r.ts, r.tenant_id, r.route, r.status, r.channel, r.llm_model, r.reason, r.tool_metadata",
    shown: "x.trace_id, x.ts, x.tenant_id, coalesce(x.route, '') AS route, x.status, x.channel,
        coalesce(x.llm_model, '') AS model, coalesce(x.reason, '') AS reason,
        CASE WHEN x.tool_metadata ->> 'cache' = 'hit' THEN 'hit' WHEN x.llm_model IS NOT NULL THEN 'miss' ELSE '' END AS cache",
    joined: "",
};

/// Of some asks: how many have a thumb up, a thumb down, a ticket.
const LATER: &str = "SELECT (SELECT count(DISTINCT f.trace_id) FROM rag_tower.user_feedback f
         WHERE f.trace_id = ANY ($1) AND f.rating > 0),
    (SELECT count(DISTINCT f.trace_id) FROM rag_tower.user_feedback f WHERE f.trace_id = ANY ($1) AND f.rating < 0),
    (SELECT count(DISTINCT h.trace_id) FROM rag_tower.handoff_tickets h WHERE h.trace_id = ANY ($1))";

/// The asks of a filter by what tells them apart, each facet the largest count first, at most 50 values.
///
/// Without a text, a facet counts what choosing another of its values would show: its own part of the filter plays no part.
/// With a text, or a part that only the rows know, it counts the matches.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct LogFacets {
    /// By route.
    pub route: Vec<FacetCount>,
    /// By status.
    pub status: Vec<FacetCount>,
    /// By channel.
    pub channel: Vec<FacetCount>,
    /// By model.
    pub model: Vec<FacetCount>,
    /// By tenant.
    pub tenant: Vec<FacetCount>,
    /// By why they ended so, of the newest.
    pub reason: Vec<FacetCount>,
    /// With a thumb `up` or `down`, of the newest.
    pub feedback: Vec<FacetCount>,
    /// `yes` where there is a ticket, of the newest.
    pub handoff: Vec<FacetCount>,
    /// `hit` from the cache, `miss` made anew, of the newest.
    pub cache: Vec<FacetCount>,
    /// How many of the newest asks those four are counted of.
    pub sampled: u64,
    /// How many asks pass the filter, as far as they were counted.
    pub total: u64,
    /// False when only the newest matches were counted: 10,000 of them, or those found within the time there is.
    pub exact: bool,
}

/// How many asks have a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct FacetCount {
    /// The value, of a tenant its id; none for asks without one.
    pub value: Option<String>,
    /// A tenant's slug, when the registry knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many.
    pub count: u64,
}

#[derive(FromRow)]
struct Kind {
    tenant_id: Uuid,
    route: String,
    status: String,
    channel: String,
    model: String,
    trace_id: Uuid,
    reason: String,
    cache: String,
}

/// What is counted of the newest asks.
struct Sample {
    reason: Vec<FacetCount>,
    feedback: Vec<FacetCount>,
    handoff: Vec<FacetCount>,
    cache: Vec<FacetCount>,
    sampled: u64,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// How many asks of a filter there are of which kind.
    ///
    /// # Errors
    /// [`DatabaseError`]; [`TooLong`](DatabaseError::TooLong) when the filter is too costly.
    pub async fn log_facets(&self, _: &OwnerScope, filter: &LogFilter) -> Result<LogFacets, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        if filter.text.is_none() && filter.fine.is_any() {
            return of_all(tx, filter).await;
        }
        self.of_matches(tx, filter).await
    }

    async fn of_matches(&self, mut tx: OwnerTx, filter: &LogFilter) -> Result<LogFacets, DatabaseError> {
        let windows = windows(&mut tx, filter, None, false).await?;
        let found: Found<Kind> = match &filter.text {
            Some(text) => {
                let hunt = Hunt { filter, text, shape: KIND, most: MATCHES, time: SEARCH };
                self.hunt(tx, &hunt, windows, None).await?
            }
            None => narrowed(&mut tx, filter, KIND, windows, None, (MATCHES, SEARCH)).await?,
        };
        let matches = &found.rows;
        let count = |value: fn(&Kind) -> &str| counts(matches.iter().map(|kind| (value(kind), 1)));
        let mut tenants: BTreeMap<Uuid, i64> = BTreeMap::new();
        matches.iter().for_each(|kind| *tenants.entry(kind.tenant_id).or_default() += 1);
        let mut tenants: Vec<_> = tenants.into_iter().collect();
        tenants.sort_by_key(|(tenant, asks)| (-asks, *tenant));
        let mut tx = OwnerTx::begin(&self.database).await?;
        let Sample { reason, feedback, handoff, cache, sampled } = sample(&mut tx, matches).await?;
        Ok(LogFacets {
            reason,
            feedback,
            handoff,
            cache,
            sampled,
            route: count(|kind| &kind.route),
            status: count(|kind| &kind.status),
            channel: count(|kind| &kind.channel),
            model: count(|kind| &kind.model),
            tenant: named(&mut tx, tenants).await?,
            total: matches.len() as u64,
            exact: found.stopped.is_none() && matches.len() < MATCHES,
        })
    }
}

/// Of every ask that a filter without a text leaves.
async fn of_all(mut tx: OwnerTx, filter: &LogFilter) -> Result<LogFacets, DatabaseError> {
    let mut which = filter.which.clone();
    // figures are kept for longer than rows
    let oldest = PgPartitions::days(&mut tx).await?.keys().next().map(|day| day.midnight().assume_utc());
    which.since = which.since.max(oldest);
    let any =
        Selection { tenant: which.tenant, since: which.since, until: which.until, ..Selection::default() };
    let slices = PgRollups::slices(&mut tx, &any, true).await?;
    let passes =
        |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
    // whether a slice passes the filter but for one facet
    let but = |facet: usize, slice: &Slice| {
        let all = [
            passes(&which.route, &slice.route),
            passes(&which.status, &slice.status),
            passes(&which.channel, &slice.channel),
            passes(&which.model, &slice.model),
        ];
        all.into_iter().enumerate().all(|(n, passes)| passes || n == facet)
    };
    let count = |facet: usize, value: fn(&Slice) -> &str| {
        let slices = slices.iter().filter(|slice| but(facet, slice));
        counts(slices.map(|slice| (value(slice), slice.requests)))
    };
    let total: i64 = slices.iter().filter(|slice| but(4, slice)).map(|slice| slice.requests).sum();
    let tenants = PgRollups::tenants(&mut tx, &which).await?;
    let windows = windows(&mut tx, filter, None, false).await?;
    let newest = narrowed(&mut tx, filter, KIND, windows, None, (SAMPLE, GLANCE)).await?;
    let Sample { reason, feedback, handoff, cache, sampled } = sample(&mut tx, &newest.rows).await?;
    Ok(LogFacets {
        reason,
        feedback,
        handoff,
        cache,
        sampled,
        route: count(0, |slice| &slice.route),
        status: count(1, |slice| &slice.status),
        channel: count(2, |slice| &slice.channel),
        model: count(3, |slice| &slice.model),
        tenant: named(&mut tx, tenants).await?,
        total: total.unsigned_abs(),
        exact: true,
    })
}

/// Counts what the rollups do not know.
async fn sample(tx: &mut OwnerTx, asks: &[Kind]) -> Result<Sample, DatabaseError> {
    let ids: Vec<Uuid> = asks.iter().map(|ask| ask.trace_id).collect();
    let (up, down, tickets): (i64, i64, i64) =
        sqlx::query_as(LATER).bind(ids).fetch_one(tx.connection()).await?;
    Ok(Sample {
        reason: counts(asks.iter().map(|ask| (ask.reason.as_str(), 1))),
        feedback: counts([("up", up), ("down", down)].into_iter()),
        handoff: counts([("yes", tickets)].into_iter()),
        cache: counts(asks.iter().map(|ask| (ask.cache.as_str(), 1))),
        sampled: asks.len() as u64,
    })
}

/// Adds up by value.
fn counts<'v>(values: impl Iterator<Item = (&'v str, i64)>) -> Vec<FacetCount> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    values.for_each(|(value, count)| *sums.entry(value).or_default() += count);
    let mut sums: Vec<_> = sums.into_iter().filter(|(_, count)| *count > 0).collect();
    sums.sort_by_key(|(value, count)| (-count, *value));
    let count = |(value, count): (&str, i64)| FacetCount {
        value: Some(value.to_owned()).filter(|value| !value.is_empty()),
        name: None,
        count: count.unsigned_abs(),
    };
    sums.into_iter().take(VALUES).map(count).collect()
}

/// The first tenants, with their slugs.
async fn named(tx: &mut OwnerTx, mut tenants: Vec<(Uuid, i64)>) -> Result<Vec<FacetCount>, DatabaseError> {
    tenants.truncate(VALUES);
    let ids: Vec<Uuid> = tenants.iter().map(|(tenant, _)| *tenant).collect();
    let slugs: Vec<(Uuid, String)> = sqlx::query_as(NAMES).bind(ids).fetch_all(tx.connection()).await?;
    let slugs: BTreeMap<Uuid, String> = slugs.into_iter().collect();
    let count = |(tenant, count): (Uuid, i64)| FacetCount {
        value: Some(tenant.to_string()),
        name: slugs.get(&tenant).cloned(),
        count: count.unsigned_abs(),
    };
    Ok(tenants.into_iter().map(count).collect())
}
