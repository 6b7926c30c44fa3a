//! Which asks in, how many of them began in which stretch of time out: exact, as a read of figures is, without the rest.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::PgRollups;
use super::key::{Facets, Level, Segment, cover};
use super::read::{FIRST, LAST};
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;
use crate::postgres::tenant_tx::OwnerTx;
use crate::tenant::TenantId;

/// Which asks. None stands for any.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of one tenant.
    pub tenant: Option<TenantId>,
    /// From this moment on.
    pub since: Option<OffsetDateTime>,
    /// Before this moment.
    pub until: Option<OffsetDateTime>,
    /// That this route answered; the empty one stands for none.
    pub route: Option<String>,
    /// With this status.
    pub status: Option<String>,
    /// That came this way.
    pub channel: Option<String>,
    /// That this model answered; the empty one stands for none.
    pub model: Option<String>,
}

/// Asks that are alike, of a stretch of time that lies within one UTC day.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slice {
    /// Where it begins.
    pub since: OffsetDateTime,
    /// Where it ends, which is no longer part of it.
    pub until: OffsetDateTime,
    /// The route; empty when there was none, or when asks were not told apart.
    pub route: String,
    /// The status; empty when asks were not told apart.
    pub status: String,
    /// The channel; empty when asks were not told apart.
    pub channel: String,
    /// The model; empty when there was none, or when asks were not told apart.
    pub model: String,
    /// How many asks.
    pub requests: i64,
}

/// A range as what it is read from: whole quarters, and what is left at its ends.
pub(super) struct Parts {
    pub(super) whole: Vec<Segment>,
    /// At most two.
    pub(super) edges: Vec<(OffsetDateTime, OffsetDateTime)>,
}

// === impl PgRollups ===

impl PgRollups {
    /// How many asks there are, by stretches of time: days, and at the ends of the range hours, quarters and what is left. A
    /// stretch without asks is left out. With `apart`, asks are told apart by route, status, channel and model.
    ///
    /// It reads as the owner, in the caller's transaction, so that what is read beside it is of the same moment.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn slices(
        tx: &mut OwnerTx,
        which: &Selection,
        apart: bool,
    ) -> Result<Vec<Slice>, DatabaseError> {
        let parts = Parts::of(which.since, which.until);
        slices(tx.connection(), which, apart, &parts).await
    }

    /// The same of whole quarters, for when a day is too long a stretch.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn quarters(tx: &mut OwnerTx, which: &Selection) -> Result<Vec<Slice>, DatabaseError> {
        let mut parts = Parts::of(which.since, which.until);
        parts.whole.iter_mut().for_each(|(level, ..)| *level = Level::Quarter);
        slices(tx.connection(), which, false, &parts).await
    }

    /// How many asks each tenant has, the largest first. What tenant the selection names plays no part.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn tenants(tx: &mut OwnerTx, which: &Selection) -> Result<Vec<(Uuid, i64)>, DatabaseError> {
        let parts = Parts::of(which.since, which.until);
        let (levels, firsts, lasts) = parts.whole();
        let statement = if which.is_faceted() { sql::TENANTS_ROLLUPS } else { sql::TENANTS_TOTALS };
        let mut statement = sqlx::query_as(statement).bind(levels).bind(firsts).bind(lasts);
        if which.is_faceted() {
            statement =
                statement.bind(&which.route).bind(&which.status).bind(&which.channel).bind(&which.model);
        }
        let mut counts: Vec<(Uuid, i64)> = statement.fetch_all(tx.connection()).await?;
        if let (Some(first), Some(last)) = (parts.whole.first(), parts.whole.last()) {
            let waiting = sqlx::query_as::<_, (Uuid, i64)>(sql::TENANTS_DELTAS).bind(first.1).bind(last.2);
            let waiting =
                waiting.bind(&which.route).bind(&which.status).bind(&which.channel).bind(&which.model);
            counts.extend(waiting.fetch_all(tx.connection()).await?);
        }
        for (since, until) in &parts.edges {
            let raw = sqlx::query_as::<_, (Uuid, i64)>(sql::TENANTS_RAW).bind(since).bind(until);
            let raw = raw.bind(&which.route).bind(&which.status).bind(&which.channel).bind(&which.model);
            counts.extend(raw.fetch_all(tx.connection()).await?);
        }
        counts.sort_unstable();
        counts.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0 };
            same
        });
        counts.sort_by_key(|(tenant, asks)| (-asks, *tenant));
        Ok(counts)
    }
}

// === impl Selection ===

impl Selection {
    /// The same with a range that is widened to whole quarters, of which nothing has to be counted in the rows.
    #[must_use]
    pub fn widened(mut self) -> Self {
        self.since = self.since.map(|since| Level::Quarter.floor(since));
        self.until = self.until.map(|until| Level::Quarter.ceil(until));
        self
    }

    /// True when totals are not enough.
    pub(super) fn is_faceted(&self) -> bool {
        [&self.route, &self.status, &self.channel, &self.model].into_iter().any(Option::is_some)
    }

    /// True when an ask with these facets is one of them.
    pub(super) fn passes(&self, facets: &Facets) -> bool {
        let Self { route, status, channel, model, .. } = self;
        [(route, &facets.route), (status, &facets.status), (channel, &facets.channel), (model, &facets.model)]
            .into_iter()
            .all(|(wanted, value)| wanted.as_ref().is_none_or(|wanted| wanted == value))
    }
}

// === impl Parts ===

impl Parts {
    pub(super) fn of(since: Option<OffsetDateTime>, until: Option<OffsetDateTime>) -> Self {
        let (since, until) = (since.unwrap_or(FIRST), until.unwrap_or(LAST));
        let (first, last) = (Level::Quarter.ceil(since), Level::Quarter.floor(until));
        let (whole, mut edges) = if first < last {
            (cover(first, last), vec![(since, first), (last, until)])
        } else {
            (Vec::new(), vec![(since, until)])
        };
        edges.retain(|(since, until)| since < until);
        Self { whole, edges }
    }

    /// A range that is cut at these moments, so that no bucket lies on both sides of one. Those inside are at a quarter.
    pub(super) fn between(edges: &[OffsetDateTime]) -> Self {
        let mut all = Self { whole: Vec::new(), edges: Vec::new() };
        for pair in edges.windows(2) {
            let [since, until] = *pair else { continue };
            let parts = Self::of(Some(since), Some(until));
            all.edges.extend(parts.edges);
            for segment in parts.whole {
                match all.whole.last_mut() {
                    // fewer and longer ones are looked up faster
                    Some(last) if (last.0, last.2) == (segment.0, segment.1) => last.2 = segment.2,
                    _ => all.whole.push(segment),
                }
            }
        }
        all
    }

    /// Where the whole quarters begin and end.
    pub(super) fn span(&self) -> Option<(OffsetDateTime, OffsetDateTime)> {
        Some((self.whole.first()?.1, self.whole.last()?.2))
    }

    /// Levels, beginnings and ends, as the statements take them.
    pub(super) fn whole(&self) -> (Vec<i16>, Vec<OffsetDateTime>, Vec<OffsetDateTime>) {
        let levels = self.whole.iter().map(|(level, ..)| level.minutes()).collect();
        let firsts = self.whole.iter().map(|(_, first, _)| *first).collect();
        (levels, firsts, self.whole.iter().map(|(.., last)| *last).collect())
    }

    /// The stretch that a quarter counts in.
    fn stretch(&self, quarter: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
        let around = self.whole.iter().find(|(_, first, last)| (*first..*last).contains(&quarter));
        let level = around.map_or(Level::Quarter, |(level, ..)| *level);
        let since = level.floor(quarter);
        (since, since.saturating_add(Duration::minutes(level.minutes().into())))
    }
}

async fn slices(
    connection: &mut PgConnection,
    which: &Selection,
    apart: bool,
    parts: &Parts,
) -> Result<Vec<Slice>, DatabaseError> {
    let tenant = which.tenant.map(|tenant| tenant.as_uuid());
    let apart = apart || which.is_faceted();
    let (levels, firsts, lasts) = parts.whole();
    let mut found = Vec::new();
    if let (Some(first), Some(last)) = (parts.whole.first(), parts.whole.last()) {
        let statement = match (tenant.is_some(), apart) {
            (true, true) => sql::SLICES_TRACE_ROLLUPS,
            (true, false) => sql::SLICES_TRACE_TOTALS,
            (false, true) => sql::SLICES_SYSTEM_ROLLUPS,
            (false, false) => sql::SLICES_SYSTEM_TOTALS,
        };
        let mut folded = sqlx::query(statement).bind(tenant).bind(levels).bind(&firsts).bind(&lasts);
        if apart {
            folded = folded.bind(&which.route).bind(&which.status).bind(&which.channel).bind(&which.model);
        }
        for row in folded.fetch_all(&mut *connection).await? {
            found.push(slice(&row, parts.stretch(row.try_get(0)?))?);
        }
        let waiting = sqlx::query(sql::SLICES_DELTAS).bind(tenant).bind(first.1).bind(last.2);
        let waiting = waiting.bind(&which.route).bind(&which.status).bind(&which.channel).bind(&which.model);
        for row in waiting.fetch_all(&mut *connection).await? {
            found.push(slice(&row, parts.stretch(row.try_get(0)?))?);
        }
    }
    for (since, until) in &parts.edges {
        let raw = sqlx::query(sql::SLICES_RAW).bind(tenant).bind(since).bind(until);
        let raw = raw.bind(&which.route).bind(&which.status).bind(&which.channel).bind(&which.model);
        for row in raw.fetch_all(&mut *connection).await? {
            found.push(slice(&row, (*since, *until))?);
        }
    }
    Ok(found)
}

fn slice(row: &PgRow, (since, until): (OffsetDateTime, OffsetDateTime)) -> Result<Slice, DatabaseError> {
    Ok(Slice {
        since,
        until,
        route: row.try_get(1)?,
        status: row.try_get(2)?,
        channel: row.try_get(3)?,
        model: row.try_get(4)?,
        requests: row.try_get(5)?,
    })
}
