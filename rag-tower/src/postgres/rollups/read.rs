//! Which asks in, what happened out: exact, whatever is folded and wherever the range begins, and told apart by whatever
//! the caller likes.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;

use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::PgRollups;
use super::delta::add_row;
use super::key::Facets;
use super::late::{first_id, thumb};
use super::measures::{Count, Measures};
use super::slices::{Parts, Selection};
use crate::ask::AskId;
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;
use crate::postgres::tenant_tx::OwnerTx;
use crate::tenant::TenantId;

/// No ask is older: an id counts from here.
pub(super) const FIRST: OffsetDateTime = datetime!(1970-01-01 00:00 UTC);
/// Nor younger.
pub(super) const LAST: OffsetDateTime = datetime!(9999-12-31 00:00 UTC);

/// What to read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) which: &'a Selection,
    /// The range in parts. That of the selection plays no part.
    pub(super) parts: &'a Parts,
    /// Whether tenants are told apart; else they may be nil.
    pub(super) tenants: bool,
    /// Whether routes, statuses, channels and models are told apart; else they may be empty.
    pub(super) facets: bool,
    /// Whether the times to the first token are of use.
    pub(super) ttft: bool,
}

/// What something is told apart by: when it happened, or in which bucket, and what it is.
#[derive(Clone, Copy)]
pub(super) struct Seen<'r> {
    pub(super) at: OffsetDateTime,
    pub(super) tenant: Uuid,
    pub(super) route: &'r str,
    pub(super) status: &'r str,
    pub(super) channel: &'r str,
    pub(super) model: &'r str,
}

/// Sums by what the caller tells apart.
pub(super) type Sums<K> = BTreeMap<K, Measures>;
/// The tenant and the id of an ask, to its time and facets.
type Asks = HashMap<(Uuid, Uuid), (OffsetDateTime, Facets)>;
/// Feedback: its ask, tenant, rating, and what the rollups have of it.
type Feedback = (Uuid, Uuid, i16, Option<i16>);
/// A ticket: when it was opened, tenant, ask.
type Ticket = (OffsetDateTime, Uuid, Option<Uuid>);

// === impl PgRollups ===

impl PgRollups {
    /// What happened in `since..until`, of one tenant or of all, at this moment. None stands for no limit.
    ///
    /// Whole quarters are read from the rollups and the deltas that wait; less than a quarter at either end from the rows.
    ///
    /// # Warning
    /// Nothing here proves that the caller is the owner. Call it only behind a type that does.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn totals(
        &self,
        tenant: Option<TenantId>,
        since: Option<OffsetDateTime>,
        until: Option<OffsetDateTime>,
    ) -> Result<Measures, DatabaseError> {
        let which = Selection { tenant, since, until, ..Selection::default() };
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        let parts = Parts::of(since, until);
        let reading = Reading { which: &which, parts: &parts, tenants: false, facets: false, ttft: true };
        let mut sums = read(tx.connection(), reading, |_| ()).await?;
        tx.commit().await?;
        Ok(sums.remove(&()).unwrap_or_default())
    }
}

/// Reads, and adds up by the key that the caller makes of what is seen.
pub(super) async fn read<K: Ord>(
    connection: &mut PgConnection,
    reading: Reading<'_>,
    key: impl Fn(&Seen<'_>) -> K,
) -> Result<Sums<K>, DatabaseError> {
    let mut sums = Sums::new();
    folded(connection, reading, &key, &mut sums).await?;
    waiting(connection, reading, &key, &mut sums).await?;
    raw(connection, reading, &key, &mut sums).await?;
    late(connection, reading, &key, &mut sums).await?;
    Ok(sums)
}

/// Adds whole buckets.
async fn folded<K: Ord>(
    connection: &mut PgConnection,
    reading: Reading<'_>,
    key: impl Fn(&Seen<'_>) -> K,
    sums: &mut Sums<K>,
) -> Result<(), DatabaseError> {
    let Reading { which, parts, tenants, .. } = reading;
    if parts.whole.is_empty() {
        return Ok(());
    }
    let faceted = reading.facets || which.is_faceted();
    let statement = match (which.tenant.is_some(), tenants, faceted) {
        (true, _, true) => sql::READ_TRACE_ROLLUPS,
        (true, _, false) => sql::READ_TRACE_TOTALS,
        (false, true, true) => sql::READ_TENANTS_ROLLUPS,
        (false, true, false) => sql::READ_TENANTS_TOTALS,
        (false, false, true) => sql::READ_SYSTEM_ROLLUPS,
        (false, false, false) => sql::READ_SYSTEM_TOTALS,
    };
    let (levels, firsts, lasts) = parts.whole();
    let mut statement = sqlx::query(statement)
        .bind(which.tenant.map(|tenant| tenant.as_uuid()))
        .bind(levels)
        .bind(firsts)
        .bind(lasts)
        .bind(reading.ttft);
    if faceted {
        statement = statement.bind(&which.route).bind(&which.status).bind(&which.channel).bind(&which.model);
    }
    let mut rows = pin!(statement.fetch(connection));
    while let Some(row) = rows.try_next().await? {
        add_row(sums.entry(key(&seen(&row)?)).or_default(), &row, 6)?;
    }
    Ok(())
}

/// Adds what is not folded yet.
pub(super) async fn waiting<K: Ord>(
    connection: &mut PgConnection,
    Reading { which, parts, .. }: Reading<'_>,
    key: impl Fn(&Seen<'_>) -> K,
    sums: &mut Sums<K>,
) -> Result<(), DatabaseError> {
    let Some((first, last)) = parts.span() else { return Ok(()) };
    let statement = sqlx::query(sql::READ_DELTAS)
        .bind(which.tenant.map(|tenant| tenant.as_uuid()))
        .bind(first)
        .bind(last)
        .bind(&which.route)
        .bind(&which.status)
        .bind(&which.channel)
        .bind(&which.model);
    let mut rows = pin!(statement.fetch(connection));
    while let Some(row) = rows.try_next().await? {
        add_row(sums.entry(key(&seen(&row)?)).or_default(), &row, 6)?;
    }
    Ok(())
}

/// Adds the rows themselves, where there is less than a quarter.
pub(super) async fn raw<K: Ord>(
    connection: &mut PgConnection,
    Reading { which, parts, .. }: Reading<'_>,
    key: impl Fn(&Seen<'_>) -> K,
    sums: &mut Sums<K>,
) -> Result<(), DatabaseError> {
    for (since, until) in &parts.edges {
        let statement = sqlx::query(sql::READ_RAW)
            .bind(which.tenant.map(|tenant| tenant.as_uuid()))
            .bind(since)
            .bind(until)
            .bind(&which.route)
            .bind(&which.status)
            .bind(&which.channel)
            .bind(&which.model);
        for row in statement.fetch_all(&mut *connection).await? {
            let sum = sums.entry(key(&seen(&row)?)).or_default();
            for (n, what) in Count::ALL.into_iter().enumerate() {
                sum.add(what, row.try_get(6 + n)?);
            }
            let durations = |column: usize| row.try_get::<Vec<i64>, _>(6 + Count::ALL.len() + column);
            durations(0)?.into_iter().for_each(|us| sum.latency.add(us.unsigned_abs()));
            durations(1)?.into_iter().for_each(|us| sum.ttft.add(us.unsigned_abs()));
        }
    }
    Ok(())
}

/// Adds feedback and tickets: of whole buckets those that the rollups do not have yet, else all.
async fn late<K: Ord>(
    connection: &mut PgConnection,
    Reading { which, parts, facets, .. }: Reading<'_>,
    key: impl Fn(&Seen<'_>) -> K,
    sums: &mut Sums<K>,
) -> Result<(), DatabaseError> {
    let tenant = which.tenant.map(|tenant| tenant.as_uuid());
    let whole = parts.span();
    let stretches = parts.edges.iter().copied().chain(whole);
    let stretches: Vec<(OffsetDateTime, OffsetDateTime)> = stretches.collect();
    let (first, last) = whole.unwrap_or((FIRST, FIRST));
    let edge = |n: usize| parts.edges.get(n).copied().unwrap_or((FIRST, FIRST));

    let mut feedback = sqlx::query_as(sql::READ_FEEDBACK).bind(tenant);
    let mut tickets = sqlx::query_as(sql::READ_TICKETS).bind(tenant);
    feedback = feedback.bind(first_id(first)).bind(first_id(last));
    tickets = tickets.bind(first).bind(last);
    for (since, until) in [edge(0), edge(1)] {
        // an id has the milliseconds only
        let until_id = if since < until { until + Duration::MILLISECOND } else { until };
        feedback = feedback.bind(first_id(since)).bind(first_id(until_id));
        tickets = tickets.bind(since).bind(until);
    }
    let feedback: Vec<Feedback> = feedback.fetch_all(&mut *connection).await?;
    let tickets: Vec<Ticket> = tickets.fetch_all(&mut *connection).await?;

    // the facets of a ticket are those of its ask
    let faceted = facets || which.is_faceted();
    let of_tickets = tickets.iter().filter_map(|(.., ask)| *ask).filter(|_| faceted);
    let ids: Vec<Uuid> = feedback.iter().map(|(ask, ..)| *ask).chain(of_tickets).collect();
    let asks = asks(connection, ids).await?;

    for (ask, tenant, rating, rolled) in feedback {
        let Some((at, facets)) = asks.get(&(tenant, ask)) else { continue };
        if !which.passes(facets) || !stretches.iter().any(|(since, until)| (*since..*until).contains(at)) {
            continue;
        }
        let sum = sums.entry(key(&facets.seen(*at, tenant))).or_default();
        for (rating, much) in [(rolled.unwrap_or(0), -1), (rating, 1)] {
            if let Some(thumb) = thumb(rating) {
                sum.add(thumb, much);
            }
        }
    }
    let none = Facets::default();
    for (at, tenant, ask) in tickets {
        let facets = ask.and_then(|ask| asks.get(&(tenant, ask))).map_or(&none, |(_, facets)| facets);
        if which.passes(facets) {
            sums.entry(key(&facets.seen(at, tenant))).or_default().add(Count::Handoffs, 1);
        }
    }
    Ok(())
}

/// The asks of these ids, as far as they are there. Their times leave out all partitions but theirs.
async fn asks(connection: &mut PgConnection, ids: Vec<Uuid>) -> Result<Asks, DatabaseError> {
    let times: Vec<OffsetDateTime> = ids.iter().filter_map(|id| AskId::new(*id).timestamp()).collect();
    let mut asks = Asks::new();
    if times.is_empty() {
        return Ok(asks);
    }
    for row in sqlx::query(sql::READ_ASKS).bind(ids).bind(times).fetch_all(connection).await? {
        let seen = seen(&row)?;
        let facets = Facets {
            route: seen.route.to_owned(),
            status: seen.status.to_owned(),
            channel: seen.channel.to_owned(),
            model: seen.model.to_owned(),
        };
        asks.insert((seen.tenant, row.try_get(6)?), (seen.at, facets));
    }
    Ok(asks)
}

/// Time, tenant and facets from the first columns.
fn seen(row: &PgRow) -> Result<Seen<'_>, DatabaseError> {
    Ok(Seen {
        at: row.try_get(0)?,
        tenant: row.try_get(1)?,
        route: row.try_get(2)?,
        status: row.try_get(3)?,
        channel: row.try_get(4)?,
        model: row.try_get(5)?,
    })
}

// === impl Facets ===

impl Facets {
    fn seen(&self, at: OffsetDateTime, tenant: Uuid) -> Seen<'_> {
        let Self { route, status, channel, model } = self;
        Seen { at, tenant, route, status, channel, model }
    }
}
