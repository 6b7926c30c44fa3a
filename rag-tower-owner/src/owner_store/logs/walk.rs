//! Searching for a text: windows in, the newest rows that hold it out, and how far the search came.
//!
//! It goes from the newest to the oldest and leaves nothing out on the way, so that a search that runs out of time has the
//! newest matches, and can be continued. Where a day has an index of its texts, either way is open: to look into the
//! index, which costs what the matches cost, or to read the rows in order, which costs what lies between them. How many of
//! the first rows hold the text says which is cheaper.
//!
//! What a look costs is mostly to plan and to open one index after the other, a day each, which a connection does one at a
//! time. So a look over several days goes by two connections, the newer days by one and the older by the other, as long as
//! nobody waits for a connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rag_tower::postgres::{DatabaseError, OwnerTx, SearchText};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use super::LogFilter;
use super::select::{Rows, Shape, Stretch, at};
use super::windows::{Window, Windows};
use crate::owner_store::OwnerStore;
use crate::owner_store::page::Cursor;

/// Rows that are read first, to learn how rare a text is.
const FIRST: i64 = 200;
/// The most rows that one statement reads in order.
const CHUNK: i64 = 4_000;
/// Rows whose index one statement looks into, at first and at most.
const LOOK: i64 = 20_000;
const MOST: i64 = 4_000_000;
/// A statement has this long, however little time is left.
const LEAST: Duration = Duration::from_millis(50);
/// A statement that takes longer is too large; one that takes a quarter of it may be twice as large.
const PLEASANT: Duration = Duration::from_millis(80);

/// What to find.
pub(super) struct Hunt<'a> {
    pub(super) filter: &'a LogFilter,
    pub(super) text: &'a SearchText,
    pub(super) shape: Shape,
    /// The most matches.
    pub(super) most: usize,
    /// How long it may take.
    pub(super) time: Duration,
}

/// What was found.
pub(super) struct Found<T> {
    /// The newest first.
    pub(super) rows: Vec<T>,
    /// Where it stopped for want of time, with less than was asked for.
    pub(super) stopped: Option<Cursor>,
}

/// A search under way.
struct Walk<'a> {
    hunt: &'a Hunt<'a>,
    /// What is left.
    windows: VecDeque<Window>,
    after: Option<Cursor>,
    deadline: Instant,
    chunk: i64,
    look: i64,
    /// Rows that were looked at, and those of them that hold the text.
    seen: i64,
    held: i64,
    /// The index holds too many candidates for this text.
    hopeless: bool,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// Finds the newest rows that hold a text.
    pub(super) async fn hunt<T>(
        &self,
        tx: OwnerTx,
        hunt: &Hunt<'_>,
        windows: Windows,
        after: Option<Cursor>,
    ) -> Result<Found<T>, DatabaseError>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        let mut walk = Walk {
            hunt,
            windows: windows.into(),
            after,
            deadline: Instant::now() + hunt.time,
            chunk: FIRST,
            look: LOOK,
            seen: 0,
            held: 0,
            hopeless: false,
        };
        let (mut tx, mut beside) = (Some(tx), None);
        let mut rows: Vec<T> = Vec::new();
        while rows.len() < hunt.most && !walk.windows.is_empty() {
            let left = walk.deadline.saturating_duration_since(Instant::now());
            // a first step is taken in any case, so that whoever goes on arrives
            if left.is_zero() && walk.seen > 0 {
                return Ok(Found { rows, stopped: walk.position() });
            }
            let left = left.max(LEAST);
            let mut open = match tx.take() {
                Some(tx) => tx,
                None => OwnerTx::snapshot(&self.database).await?,
            };
            let looks = walk.prefers_index(hunt.most - rows.len());
            // a look that takes all the time there is must not be all that is done
            let bound = if looks { left / 2 } else { left };
            open.bound(bound).await?;
            let mut second: Option<OwnerTx> = beside.take();
            if looks && second.is_none() && self.database.has_room() {
                second = Some(OwnerTx::snapshot(&self.database).await?);
            }
            if let Some(second) = &mut second {
                second.bound(bound).await?;
            }
            let began = Instant::now();
            let found = if looks {
                walk.look(&mut open, second.as_mut(), hunt.most - rows.len()).await
            } else {
                walk.scan(&mut open).await
            };
            match found {
                Ok(found) => {
                    walk.pace(looks, began.elapsed());
                    for row in found {
                        rows.push(T::from_row(&row)?);
                    }
                    (tx, beside) = (Some(open), second);
                }
                Err(DatabaseError::TooLong(_)) if looks => walk.hopeless = true,
                // nothing was reached at all: the filter itself is too costly
                Err(DatabaseError::TooLong(error)) if walk.seen == 0 => {
                    return Err(DatabaseError::TooLong(error));
                }
                Err(DatabaseError::TooLong(_)) => return Ok(Found { rows, stopped: walk.position() }),
                Err(error) => return Err(error),
            }
        }
        rows.truncate(hunt.most);
        Ok(Found { rows, stopped: None })
    }
}

// === impl Walk ===

impl Walk<'_> {
    /// Whether the next window is cheaper to look up than the rest is to read.
    fn prefers_index(&self, wanted: usize) -> bool {
        let indexed = self.windows.front().is_some_and(|window| window.indexed);
        if !indexed || self.hopeless || !self.hunt.text.is_indexable() || self.seen < FIRST.min(self.left()) {
            return false;
        }
        let (stretches, rows) = self.take(self.look, true);
        // the index knows no other part of the filter, so it finds matches of every kind, and of whole days
        let day = |window: &Window| window.day.max(window.rows);
        let indexed: i64 = self.windows.iter().take(stretches.len()).map(day).sum();
        let share = (self.held + 1) as f64 / (self.seen + 1) as f64;
        share * (indexed as f64) < (wanted as f64 / share).min(rows as f64)
    }

    /// Rows that are left to look at.
    fn left(&self) -> i64 {
        self.windows.iter().map(|window| window.rows).sum()
    }

    /// Reads the next rows in order.
    async fn scan(&mut self, tx: &mut OwnerTx) -> Result<Vec<PgRow>, DatabaseError> {
        let (stretches, within) = self.take(self.chunk, false);
        let Hunt { filter, text, shape, .. } = *self.hunt;
        let rows = Rows { filter, stretches: &stretches, after: self.after };
        let mut statement = rows.scanned(shape, text, self.chunk);
        let mut found = statement.build().persistent(false).fetch_all(tx.connection()).await?;
        let last = match found.last() {
            Some(row) if row.try_get::<i64, _>("n")? == self.chunk => Some(at(row)?),
            _ => None,
        };
        match last {
            // there may be more behind it
            Some(last) => {
                self.seen += self.chunk;
                self.after = Some(last);
                self.windows.retain(|window| window.stretch.0 <= last.ts);
                if let Some(window) = self.windows.front_mut() {
                    window.rows = (window.rows - self.chunk).max(1);
                }
                if !found.last().is_some_and(|row| row.try_get("found").unwrap_or(true)) {
                    found.pop();
                }
            }
            None => {
                self.seen += within;
                self.windows.drain(..stretches.len());
            }
        }
        self.held += found.len() as i64;
        Ok(found)
    }

    /// Looks into the index of the next days.
    async fn look(
        &mut self,
        tx: &mut OwnerTx,
        beside: Option<&mut OwnerTx>,
        wanted: usize,
    ) -> Result<Vec<PgRow>, DatabaseError> {
        let (stretches, within) = self.take(self.look, true);
        let (newer, older) = stretches.split_at(stretches.len().div_ceil(2));
        let mut found = match beside {
            Some(beside) if !older.is_empty() => {
                let both = (self.indexed(tx, newer, wanted), self.indexed(beside, older, wanted));
                let (newer, older) = tokio::join!(both.0, both.1);
                let mut found = newer?;
                found.extend(older?);
                found
            }
            _ => self.indexed(tx, &stretches, wanted).await?,
        };
        found.truncate(wanted);
        self.seen += within;
        self.held += found.len() as i64;
        self.windows.drain(..stretches.len());
        Ok(found)
    }

    /// The newest rows of these stretches that hold the text.
    async fn indexed(
        &self,
        tx: &mut OwnerTx,
        stretches: &[Stretch],
        wanted: usize,
    ) -> Result<Vec<PgRow>, DatabaseError> {
        let Hunt { filter, text, shape, .. } = *self.hunt;
        let rows = Rows { filter, stretches, after: self.after };
        let mut statement = rows.indexed(shape, text, i64::try_from(wanted).unwrap_or(i64::MAX));
        Ok(statement.build().persistent(false).fetch_all(tx.connection()).await?)
    }

    /// The next windows that together hold so many rows, one at least, and how many they hold.
    fn take(&self, rows: i64, indexed: bool) -> (Vec<Stretch>, i64) {
        let mut within = 0;
        let mut stretches = Vec::new();
        for window in &self.windows {
            if !stretches.is_empty()
                && (within >= rows || indexed && (within + window.rows > rows || !window.indexed))
            {
                break;
            }
            within += window.rows;
            stretches.push(window.stretch);
        }
        (stretches, within)
    }

    /// Makes the next statement larger or smaller.
    fn pace(&mut self, looked: bool, took: Duration) {
        let (size, least, most) =
            if looked { (&mut self.look, LOOK, MOST) } else { (&mut self.chunk, FIRST, CHUNK) };
        if took > PLEASANT {
            *size = (*size / 2).max(least);
        } else if took < PLEASANT / 4 {
            *size = (*size * 2).min(most);
        }
    }

    /// How far it came: everything newer was looked at.
    fn position(&self) -> Option<Cursor> {
        let next = self.windows.front().map(|window| Cursor { ts: window.stretch.1, id: Uuid::nil() });
        let key = |cursor: &Cursor| (cursor.ts, cursor.id);
        self.after.into_iter().chain(next).min_by_key(key)
    }
}
