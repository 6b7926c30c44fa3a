//! How many asks there are of which kind: a filter in, counts by route, status, channel, model and tenant out.

use std::collections::BTreeMap;
use std::time::Duration;

use rag_tower::postgres::{DatabaseError, OwnerTx, PgPartitions, PgRollups, SearchText, Selection, Slice};
use serde::Serialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::select::Shape;
use super::walk::Hunt;
use super::windows::{selection, windows};
use super::{LogFilter, STATEMENT};
use crate::auth::OwnerScope;
use crate::owner_store::OwnerStore;

/// The most matches of a text that are counted.
const MATCHES: usize = 10_000;
/// How long they are looked for.
const SEARCH: Duration = Duration::from_millis(50);
/// The most values of a facet.
const VALUES: usize = 50;
/// The tenants that the registry knows.
const NAMES: &str = "SELECT id, slug FROM rag_tower.tenants WHERE id = ANY ($1)";

/// What is counted of a match.
const KIND: Shape = Shape {
    read: "r.trace_id, r.ts, r.tenant_id, r.route, r.status, r.channel, r.llm_model",
    shown: "x.trace_id, x.ts, x.tenant_id, coalesce(x.route, '') AS route, x.status, x.channel,
        coalesce(x.llm_model, '') AS model",
    joined: "",
};

/// The asks of a filter by what tells them apart, each facet the largest count first, at most 50 values.
///
/// Without a text, a facet counts what choosing another of its values would show: its own part of the filter plays no part.
/// With a text it counts the matches.
#[derive(Clone, Debug, Serialize)]
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
    /// How many asks pass the filter, as far as they were counted.
    pub total: u64,
    /// False when only the newest matches were counted: 10,000 of them, or those found within the time there is.
    pub exact: bool,
}

/// How many asks have a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
        match &filter.text {
            Some(text) => self.of_matches(tx, filter, text).await,
            None => of_all(tx, filter).await,
        }
    }

    async fn of_matches(
        &self,
        mut tx: OwnerTx,
        filter: &LogFilter,
        text: &SearchText,
    ) -> Result<LogFacets, DatabaseError> {
        let windows = windows(&mut tx, filter, None, false).await?;
        let hunt = Hunt { filter, text, shape: KIND, most: MATCHES, time: SEARCH };
        let found = self.hunt::<Kind>(tx, &hunt, windows, None).await?;
        let matches = &found.rows;
        let count = |value: fn(&Kind) -> &str| counts(matches.iter().map(|kind| (value(kind), 1)));
        let mut tenants: BTreeMap<Uuid, i64> = BTreeMap::new();
        matches.iter().for_each(|kind| *tenants.entry(kind.tenant_id).or_default() += 1);
        let mut tenants: Vec<_> = tenants.into_iter().collect();
        tenants.sort_by_key(|(tenant, asks)| (-asks, *tenant));
        let mut tx = OwnerTx::begin(&self.database).await?;
        Ok(LogFacets {
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
    let mut which = selection(filter);
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
    Ok(LogFacets {
        route: count(0, |slice| &slice.route),
        status: count(1, |slice| &slice.status),
        channel: count(2, |slice| &slice.channel),
        model: count(3, |slice| &slice.model),
        tenant: named(&mut tx, tenants).await?,
        total: total.unsigned_abs(),
        exact: true,
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
