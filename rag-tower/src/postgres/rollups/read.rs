//! A range in, what happened in it out: exact, whatever is folded and wherever it begins.

use sqlx::{PgConnection, Row};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::PgRollups;
use super::delta::add_row;
use super::key::{Level, cover};
use super::late::first_id;
use super::measures::{Count, Measures};
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;
use crate::postgres::tenant_tx::OwnerTx;
use crate::tenant::TenantId;

/// No ask is older: an id counts from here.
pub(super) const FIRST: OffsetDateTime = datetime!(1970-01-01 00:00 UTC);
/// Nor younger.
pub(super) const LAST: OffsetDateTime = datetime!(9999-12-31 00:00 UTC);

/// Whose, from when and until before when.
#[derive(Clone, Copy)]
struct Range {
    tenant: Option<Uuid>,
    since: OffsetDateTime,
    until: OffsetDateTime,
}

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
        let (since, until) = (since.unwrap_or(FIRST), until.unwrap_or(LAST));
        let (first, last) = (Level::Quarter.ceil(since), Level::Quarter.floor(until));
        let range = |since, until| Range { tenant: tenant.map(|tenant| tenant.as_uuid()), since, until };
        let mut sum = Measures::default();
        if since >= until {
            return Ok(sum);
        }
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        if first < last {
            whole(tx.connection(), range(first, last), &mut sum).await?;
            raw(tx.connection(), range(since, first), &mut sum).await?;
            raw(tx.connection(), range(last, until), &mut sum).await?;
        } else {
            raw(tx.connection(), range(since, until), &mut sum).await?;
        }
        tx.commit().await?;
        Ok(sum)
    }
}

/// Adds whole quarters.
async fn whole(connection: &mut PgConnection, range: Range, sum: &mut Measures) -> Result<(), DatabaseError> {
    let segments = cover(range.since, range.until);
    let folded = if range.tenant.is_some() { sql::READ_TRACE_TOTALS } else { sql::READ_SYSTEM_TOTALS };
    let folded = sqlx::query(folded)
        .bind(range.tenant)
        .bind(segments.iter().map(|(level, ..)| level.minutes()).collect::<Vec<_>>())
        .bind(segments.iter().map(|(_, first, _)| *first).collect::<Vec<_>>())
        .bind(segments.iter().map(|(.., last)| *last).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    let waiting = sqlx::query(sql::READ_DELTAS)
        .bind(range.tenant)
        .bind(range.since)
        .bind(range.until)
        .fetch_all(&mut *connection)
        .await?;
    for row in folded.iter().chain(&waiting) {
        add_row(sum, row, 0)?;
    }
    let (tickets, asks): (i64, Vec<OffsetDateTime>) = sqlx::query_as(sql::READ_WAITING)
        .bind(range.tenant)
        .bind(range.since)
        .bind(range.until)
        .bind(first_id(range.since))
        .bind(first_id(range.until))
        .fetch_one(&mut *connection)
        .await?;
    sum.add(Count::Handoffs, tickets);
    if !asks.is_empty() {
        let late = sqlx::query_as(sql::READ_LATE).bind(range.tenant).bind(asks);
        let (up, down) = late.fetch_one(connection).await?;
        sum.add(Count::FeedbackUp, up);
        sum.add(Count::FeedbackDown, down);
    }
    Ok(())
}

/// Adds the rows themselves.
async fn raw(connection: &mut PgConnection, range: Range, sum: &mut Measures) -> Result<(), DatabaseError> {
    if range.since >= range.until {
        return Ok(());
    }
    let row = sqlx::query(sql::READ_RAW)
        .bind(range.tenant)
        .bind(range.since)
        .bind(range.until)
        .bind(first_id(range.since))
        .bind(first_id(range.until + Duration::MILLISECOND))
        .fetch_one(connection)
        .await?;
    for (n, what) in Count::ALL.into_iter().enumerate() {
        sum.add(what, row.try_get(n)?);
    }
    let durations = |column: usize| row.try_get::<Vec<i64>, _>(column);
    durations(Count::ALL.len())?.into_iter().for_each(|us| sum.latency.add(us.unsigned_abs()));
    durations(Count::ALL.len() + 1)?.into_iter().for_each(|us| sum.ttft.add(us.unsigned_abs()));
    Ok(())
}
