//! The days of the trace table: a database in; its days from now on made, those that are over indexed and old ones dropped out.
//!
//! `rag_tower.request_traces` has one partition for each UTC day. A row's stages, sources and retrieved passages are in the
//! row, so they go with it.
//!
//! | step | when | what |
//! |---|---|---|
//! | make | ahead, and when a row of another day comes | a partition that nobody is granted, with row-level security forced |
//! | close | an hour after its day is over | an index for searching in texts, which would slow writing down before |
//! | drop | when its day ended longer ago than rows are kept | the partition with all its rows, never row by row |
//!
//! # What stays when a day is dropped
//! Its rollups, of every level: they are the long history, and what they count is complete by then. Feedback and tickets stay
//! too, but an opinion on an ask that is gone changes no figure any more. A range that does not begin or end at a quarter of
//! an hour lacks, in days that were dropped, what only rows can tell: up to a quarter at either end.
//!
//! A row of a dropped day that comes late, such as from the journal of a server that was away all that time, is refused like
//! any row that Postgres will never take: put aside and counted in `rag_trace_refused_total`. Taken, it could count twice,
//! since nothing is left to tell whether it had been there before.
//!
//! # Without a server
//! An application that records its own traces calls [`PgPartitions::upkeep`] about each hour.

mod close;
mod drop;
mod ensure;

use std::num::NonZeroU32;
use std::time::Duration;

use metrics::gauge;
use time::OffsetDateTime;
use tokio::time::sleep;

pub use self::close::Day;
pub use self::drop::Dropped;
use super::database::Database;
use super::error::DatabaseError;

/// Days that one upkeep closes: one is usual, more are left from a time without upkeep.
const CLOSED: u32 = 24;
/// How long after its end a day is closed: a row belongs to the day in which its ask began, and one that still comes would
/// wait for the index, with the batch that it is in.
const SETTLED: time::Duration = time::Duration::hours(1);
/// Between two of them, so that late rows of many days do not wait one after the other.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes, closes and drops the partitions of trace rows.
#[derive(Clone, Debug)]
pub struct PgPartitions {
    database: Database,
}

/// What is kept up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upkeep {
    ahead: u8,
    keep: Option<NonZeroU32>,
}

/// What an upkeep has done, and what there is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// Partitions that were made.
    pub made: u32,
    /// What was dropped.
    pub dropped: Dropped,
    /// Days that were closed.
    pub closed: u32,
    /// What there is now.
    pub partitions: Partitions,
}

/// The partitions that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partitions {
    /// How many.
    pub count: usize,
    /// When the oldest begins.
    pub since: Option<OffsetDateTime>,
    /// Until when there is one for each moment from now on; none when there is none for now.
    pub until: Option<OffsetDateTime>,
}

// === impl PgPartitions ===

impl PgPartitions {
    /// Those of this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }

    /// Makes what is missing ahead, drops what is old, closes what is over, and sets the gauges `rag_trace_partitions` and
    /// `rag_trace_partitions_until_timestamp_seconds`. Any number of processes may call it: each makes, one drops, one closes.
    ///
    /// It may take as long as reading a day's rows takes, or several days'.
    ///
    /// The second gauge is a moment, so that it tells the truth while upkeep fails: tomorrow's partition is missing when the
    /// moment is less than a day ahead.
    ///
    /// # Cancellation
    /// Each partition is a transaction of its own; what was begun is undone.
    ///
    /// # Errors
    /// [`DatabaseError`]; partitions that were made or dropped before stay so.
    pub async fn upkeep(&self, upkeep: &Upkeep) -> Result<Kept, DatabaseError> {
        let made = self.ensure(upkeep.ahead).await?;
        // at once: dropping may have to wait for others
        self.measure().await?;
        let dropped = match upkeep.keep {
            Some(days) => self.drop_old(days).await,
            None => Ok(Dropped::default()),
        };
        let partitions = self.measure().await?;
        let dropped = dropped?;
        // who is in the way of a drop is in the way of an index
        let closed = if dropped.left { 0 } else { self.close_some().await? };
        Ok(Kept { made, dropped, closed, partitions })
    }

    /// Sets the gauges.
    async fn measure(&self) -> Result<Partitions, DatabaseError> {
        let partitions = self.partitions().await?;
        gauge!("rag_trace_partitions").set(partitions.count as f64);
        let until = partitions.until.map_or(0, OffsetDateTime::unix_timestamp);
        gauge!("rag_trace_partitions_until_timestamp_seconds").set(until as f64);
        Ok(partitions)
    }

    /// Closes days that are over, the newest first.
    async fn close_some(&self) -> Result<u32, DatabaseError> {
        let mut closed = 0;
        // one at a time: each is a transaction
        while closed < CLOSED {
            match self.close((OffsetDateTime::now_utc() - SETTLED).date(), 1).await {
                Ok(0) => break,
                Ok(_) => closed += 1,
                // in use, or dropped by another process meanwhile: the next upkeep sees
                Err(error) if drop::is_lock(&error) || error.code().as_deref() == Some("42P01") => break,
                Err(error) => return Err(error),
            }
            sleep(PAUSE).await;
        }
        Ok(closed)
    }
}

// === impl Upkeep ===

impl Upkeep {
    /// Makes today and two days ahead, and keeps rows for ever.
    #[must_use]
    pub fn new() -> Self {
        Self { ahead: 2, keep: None }
    }

    /// Sets how many days after today are made. Default: 2.
    #[must_use]
    pub fn ahead(mut self, days: u8) -> Self {
        self.ahead = days;
        self
    }

    /// Sets for how many days rows are kept at least: a day's partition is dropped once it ended longer ago. Default: none,
    /// which is for ever.
    ///
    /// # Warning
    /// What is dropped is gone, and a longer time set later brings nothing back.
    #[must_use]
    pub fn keep_days(mut self, days: Option<NonZeroU32>) -> Self {
        self.keep = days;
        self
    }
}

impl Default for Upkeep {
    fn default() -> Self {
        Self::new()
    }
}
