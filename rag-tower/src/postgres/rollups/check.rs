//! Whether the rollups are what the rows say: a window in, where they differ out.

use std::collections::BTreeSet;
use std::pin::pin;

use futures_util::TryStreamExt;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;

use super::PgRollups;
use super::delta::{Sums, add_row, key_at, project};
use super::key::{Key, Level, Table};
use super::late::{count_ticket, first_id, thumb};
use super::measures::{Count, Measures};
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;
use crate::postgres::tenant_tx::OwnerTx;

// === impl PgRollups ===

impl PgRollups {
    /// Adds up the rows of the UTC days that `since..until` touches, at this moment, and compares each bucket of each level
    /// with the rollups and the deltas that wait. Returns a line for each difference, and how many asks were added up.
    ///
    /// Days whose rows were dropped are left out. It reads every row of the window and keeps the sums in memory: a window of days, not of months.
    ///
    /// # Warning
    /// Nothing here proves that the caller is the owner, as with [`totals`](Self::totals).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn check(
        &self,
        since: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<(Vec<String>, i64), DatabaseError> {
        let (since, until) = (Level::Day.floor(since), Level::Day.ceil(until));
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        let left = kept_since(tx.connection()).await?;
        let since = left.map_or(since, |left| since.max(Level::Day.ceil(left)));
        let (raw, asks) = from_rows(tx.connection(), since, until).await?;
        let deltas = waiting(tx.connection(), since, until).await?;
        let mut differences = Vec::new();
        for table in Table::ALL {
            let mut kept = kept(tx.connection(), table, since, until).await?;
            project(&deltas, table, &mut kept);
            let mut expected = Sums::new();
            project(&raw, table, &mut expected);
            // a ticket is rolled by the facets that were known then
            if matches!(table, Table::TraceRollups | Table::SystemRollups) {
                for sum in kept.values_mut().chain(expected.values_mut()) {
                    sum[Count::Handoffs] = 0;
                }
            }
            compare(table, &expected, &kept, &mut differences);
        }
        tx.commit().await?;
        Ok((differences, asks))
    }
}

/// Since when no row was dropped; none when none ever was.
pub(super) async fn kept_since(
    connection: &mut PgConnection,
) -> Result<Option<OffsetDateTime>, DatabaseError> {
    Ok(sqlx::query_scalar(sql::KEPT_SINCE).fetch_one(connection).await?)
}

/// What the rows say, with the late facts that the rollups claim to have.
pub(super) async fn from_rows(
    connection: &mut PgConnection,
    since: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<(Sums, i64), DatabaseError> {
    let mut sums = Sums::new();
    let mut asks = 0;
    {
        let mut rows = pin!(sqlx::query(sql::CHECK_ASKS).bind(since).bind(until).fetch(&mut *connection));
        while let Some(row) = rows.try_next().await? {
            let key = key_at(&row, 0)?;
            let kind = Count::of_status(&key.facets.status);
            let sum = sums.entry(key).or_default();
            sum.add(Count::Requests, 1);
            if let Some(kind) = kind {
                sum.add(kind, 1);
            }
            sum.add(Count::Estimated, i64::from(row.try_get::<bool, _>(6)?));
            sum.add(Count::InputTokens, row.try_get::<Option<i64>, _>(7)?.unwrap_or(0));
            sum.add(Count::OutputTokens, row.try_get::<Option<i64>, _>(8)?.unwrap_or(0));
            if let Some(cost) = row.try_get(9)? {
                sum.add(Count::Priced, 1);
                sum.add(Count::CostNanos, cost);
            }
            let latency: i64 = row.try_get(10)?;
            sum.add(Count::LatencyUs, latency);
            sum.latency.add(latency.unsigned_abs());
            if let Some(ttft) = row.try_get::<Option<i64>, _>(11)? {
                sum.add(Count::TtftUs, ttft);
                sum.ttft.add(ttft.unsigned_abs());
            }
            asks += 1;
        }
    }
    let feedback = sqlx::query(sql::CHECK_FEEDBACK).bind(since).bind(until);
    for row in feedback.bind(first_id(since)).bind(first_id(until)).fetch_all(&mut *connection).await? {
        if let Some(thumb) = thumb(row.try_get(6)?) {
            sums.entry(key_at(&row, 0)?).or_default().add(thumb, 1);
        }
    }
    for row in sqlx::query(sql::CHECK_TICKETS).bind(since).bind(until).fetch_all(connection).await? {
        count_ticket(&mut sums, &row)?;
    }
    Ok((sums, asks))
}

async fn waiting(
    connection: &mut PgConnection,
    since: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<Sums, DatabaseError> {
    let mut sums = Sums::new();
    for row in sqlx::query(sql::CHECK_DELTAS).bind(since).bind(until).fetch_all(connection).await? {
        add_row(sums.entry(key_at(&row, 0)?).or_default(), &row, 6)?;
    }
    Ok(sums)
}

async fn kept(
    connection: &mut PgConnection,
    table: Table,
    since: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<Sums, DatabaseError> {
    let statement = match table {
        Table::TraceRollups => sql::CHECK_TRACE_ROLLUPS,
        Table::TraceTotals => sql::CHECK_TRACE_TOTALS,
        Table::SystemRollups => sql::CHECK_SYSTEM_ROLLUPS,
        Table::SystemTotals => sql::CHECK_SYSTEM_TOTALS,
    };
    let mut sums = Sums::new();
    for row in sqlx::query(statement).bind(since).bind(until).fetch_all(connection).await? {
        let minutes: i16 = row.try_get(0)?;
        let level = Level::ALL.into_iter().find(|level| level.minutes() == minutes).unwrap_or(Level::Quarter);
        add_row(sums.entry(Key { level, ..key_at(&row, 1)? }).or_default(), &row, 7)?;
    }
    Ok(sums)
}

fn compare(table: Table, expected: &Sums, kept: &Sums, differences: &mut Vec<String>) {
    let nothing = Measures::default();
    let keys: BTreeSet<&Key> = expected.keys().chain(kept.keys()).collect();
    for key in keys {
        let (expected, kept) = (expected.get(key).unwrap_or(&nothing), kept.get(key).unwrap_or(&nothing));
        if expected == kept {
            continue;
        }
        let counts = Count::ALL.into_iter().filter(|what| expected[*what] != kept[*what]);
        let mut said: Vec<String> =
            counts.map(|what| format!("{what:?} {} for {}", kept[what], expected[what])).collect();
        if expected.latency != kept.latency || expected.ttft != kept.ttft {
            said.push("durations".into());
        }
        let (level, bucket) = (key.level, key.bucket);
        differences.push(format!("{table:?} {level:?} {bucket} tenant {}: {}", key.tenant, said.join(", ")));
    }
}
