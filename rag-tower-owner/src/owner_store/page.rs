//! Pages of lists that are newest first.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

/// Which page of a list.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The most items.
    pub limit: u32,
    /// How many to leave out; for reading in order, a cursor is cheaper and misses nothing.
    pub offset: u64,
    /// Where the page before ended.
    pub after: Option<Cursor>,
}

/// Where a page ended: the time and the id of its last item. As text: microseconds since 1970, a dot, the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) ts: OffsetDateTime,
    pub(super) id: Uuid,
}

/// One page.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct List<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Where the next page begins; none on the last.
    pub next: Option<Cursor>,
    /// How many there are in all; none on a page that a cursor continues.
    pub total: Option<u64>,
}

// === impl Page ===

impl Page {
    /// The first page of so many items.
    #[must_use]
    pub fn first(limit: u32) -> Self {
        Self { limit, offset: 0, after: None }
    }

    /// Leaves out so many. Default: 0.
    #[must_use]
    pub fn skipping(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Continues after a cursor. Default: from the newest.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// One more than the page holds, to know whether another follows.
    pub(super) fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    pub(super) fn skip(&self) -> i64 {
        i64::try_from(self.offset).unwrap_or(i64::MAX)
    }

    /// A page of what was fetched.
    pub(super) fn list<T>(
        &self,
        mut items: Vec<T>,
        total: Option<i64>,
        at: impl Fn(&T) -> Cursor,
    ) -> List<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(at);
        List { items, next, total: total.map(i64::unsigned_abs) }
    }
}

// === impl Cursor ===

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ts.unix_timestamp_nanos() / 1_000, self.id.simple())
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected the `next` of the page before";
        let (ts, id) = text.split_once('.').ok_or(EXPECTED)?;
        let micros: i64 = ts.parse().map_err(|_| EXPECTED)?;
        // Postgres ends long before the library's own calendar does
        let ts =
            Some(micros).filter(|micros| (0..=253_402_300_799_000_000).contains(micros)).ok_or(EXPECTED)?;
        let ts = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ts) * 1_000).map_err(|_| EXPECTED)?;
        Ok(Self { ts, id: id.parse().map_err(|_| EXPECTED)? })
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
