//! Days whose rollups are wrong in, rollups that are what the days' rows say out.

use std::time::Duration;

use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use tokio::time::sleep;

use super::PgRollups;
use super::check::{from_rows, kept_since};
use super::delta::{add_row, key_at};
use super::fold::{add_to, is_folding};
use super::key::{Level, Table};
use super::late::first_id;
use crate::postgres::database::Role;
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;

/// How often a day is tried while others fold.
const TRIES: u32 = 200;
/// A fold takes some milliseconds.
const PAUSE: Duration = Duration::from_millis(50);

/// Which rows of a day are added up again.
#[derive(Clone, Copy)]
enum Rows {
    All,
    /// Those that nobody made up; the others are removed.
    Real,
}

/// What was done to a day.
#[derive(Default)]
struct Rebuilt {
    asks: i64,
    removed: i64,
}

// === impl PgRollups ===

impl PgRollups {
    /// Makes the rollups of these UTC days again from the rows, with the feedback and the tickets that they have, and returns how
    /// many asks there were. Servers may write and read meanwhile.
    ///
    /// Each day is one transaction, of one moment: its buckets are replaced, and the deltas of it that wait at that moment are
    /// taken away, since their rows are among those that are added up. What is written later waits as a delta, as always. It
    /// reads every row of a day and keeps the sums in memory.
    ///
    /// # Cancellation
    /// Days that are done stay done; the one that was begun is as before.
    ///
    /// # Errors
    /// [`DatabaseError::RowsDropped`] when the rows of one of the days are gone, before anything is changed. Otherwise days before
    /// the one that failed are done.
    pub async fn rebuild(&self, first: Date, last: Date) -> Result<i64, DatabaseError> {
        let mut tx = self.database.begin(Role::Folder, None).await?;
        let kept = kept_since(&mut tx).await?;
        tx.commit().await?;
        if kept.is_some_and(|kept| first.midnight().assume_utc() < kept) {
            return Err(DatabaseError::RowsDropped(first));
        }
        let mut asks = 0;
        let mut day = first;
        while day <= last {
            asks += self.rebuild_day(day, Rows::All).await?.asks;
            match day.next_day() {
                Some(next) => day = next,
                None => break,
            }
        }
        Ok(asks)
    }

    /// Removes the rows of a UTC day that were made up for a demonstration, with their feedback and tickets, and makes the
    /// day's rollups again from those that stay, in one transaction. Returns how many asks were removed. Servers may write and
    /// read meanwhile.
    ///
    /// A row is made up when its `request_id` begins with `demo-` and its `tool_metadata` says `"demo": true`; feedback when it
    /// is the subject `demo-data`'s; a ticket when its `meta` says `"demo": true`. The database keeps to that by itself:
    /// nobody has a right to delete any other row.
    ///
    /// Of a day whose partition was dropped nothing is left but rollups, and these stay as they are.
    ///
    /// # Cancellation
    /// The day is done or as before.
    ///
    /// # Errors
    /// [`DatabaseError`]; it may be tried again.
    pub async fn remove_demo(&self, day: Date) -> Result<i64, DatabaseError> {
        match self.rebuild_day(day, Rows::Real).await {
            Err(DatabaseError::RowsDropped(_)) => Ok(0),
            done => Ok(done?.removed),
        }
    }

    async fn rebuild_day(&self, day: Date, rows: Rows) -> Result<Rebuilt, DatabaseError> {
        let mut tries = 1;
        loop {
            match self.rebuild_day_once(day, rows).await {
                Ok(Some(done)) => return Ok(done),
                Ok(None) if tries < TRIES => {}
                // a fold ended between the first look and the lock: look again
                Err(error) if is_outdated(&error) && tries < TRIES => {}
                Ok(None) => {
                    let why = std::io::Error::other("others fold rollups all the time");
                    return Err(DatabaseError::Unavailable(std::sync::Arc::new(why)));
                }
                Err(error) => return Err(error),
            }
            tries += 1;
            sleep(PAUSE).await;
        }
    }

    /// None while another folds.
    async fn rebuild_day_once(&self, day: Date, rows: Rows) -> Result<Option<Rebuilt>, DatabaseError> {
        let since = day.midnight().assume_utc();
        let until = Level::Day.ceil(since + time::Duration::SECOND);
        let mut tx = self.database.begin(Role::Folder, None).await?;
        // Rows and deltas of one moment. A fold that commits in it changes what is changed here, which Postgres refuses.
        sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *tx).await?;
        if is_folding(&mut tx).await? {
            return Ok(None);
        }
        let mut done = Rebuilt::default();
        if let Rows::Real = rows {
            let remove = sqlx::query_scalar(sql::REMOVE_DEMO).bind(since).bind(until);
            done.removed = remove.bind(first_id(since)).bind(first_id(until)).fetch_one(&mut *tx).await?;
        }
        let (mut sums, asks) = from_rows(&mut tx, since, until).await?;
        if asks == 0 && !has_partition(&mut tx, since).await? && has_rollups(&mut tx, since).await? {
            return Err(DatabaseError::RowsDropped(day));
        }
        // what those deltas add elsewhere is folded
        for entry in sqlx::query(sql::TAKE_DELTAS_OF).bind(since).bind(until).fetch_all(&mut *tx).await? {
            let key = key_at(&entry, 1)?;
            if !(since..until).contains(&key.bucket) {
                add_row(sums.entry(key).or_default(), &entry, 7)?;
            }
        }
        for table in Table::ALL {
            sqlx::query(table.clear()).bind(since).bind(until).execute(&mut *tx).await?;
            add_to(&mut tx, table, &sums).await?;
        }
        tx.commit().await?;
        Ok(Some(Rebuilt { asks, ..done }))
    }
}

/// True when another transaction has changed what this one saw: it may be tried again.
fn is_outdated(error: &DatabaseError) -> bool {
    matches!(error.code().as_deref(), Some("40001" | "40P01" | "23505"))
}

async fn has_partition(connection: &mut PgConnection, at: OffsetDateTime) -> Result<bool, DatabaseError> {
    Ok(sqlx::query_scalar(sql::HAS_PARTITION).bind(at).fetch_one(connection).await?)
}

async fn has_rollups(connection: &mut PgConnection, day: OffsetDateTime) -> Result<bool, DatabaseError> {
    Ok(sqlx::query_scalar(sql::HAS_ROLLUPS).bind(day).fetch_one(connection).await?)
}

// === impl Table ===

impl Table {
    fn clear(self) -> &'static str {
        match self {
            Self::TraceRollups => sql::CLEAR_TRACE_ROLLUPS,
            Self::TraceTotals => sql::CLEAR_TRACE_TOTALS,
            Self::SystemRollups => sql::CLEAR_SYSTEM_ROLLUPS,
            Self::SystemTotals => sql::CLEAR_SYSTEM_TOTALS,
        }
    }
}
