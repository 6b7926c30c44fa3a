//! Where there is anything to find: a filter in, stretches of time that hold rows of it out, the newest first. The rollups
//! know, so that nobody walks through rows of other kinds to learn that there are no more.

use std::collections::BTreeMap;

use rag_tower::postgres::{DatabaseError, Day, OwnerTx, PgPartitions, PgRollups, Selection, Slice};
use time::{Date, Duration, OffsetDateTime, UtcOffset};

use super::LogFilter;
use super::select::Stretch;
use crate::owner_store::page::Cursor;

/// A stretch of time within one UTC day, and how many rows of it pass the filter apart from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) stretch: Stretch,
    pub(super) rows: i64,
    /// Whether its texts are indexed.
    pub(super) indexed: bool,
    /// About how many rows its day has, of every kind: the index is of them all.
    pub(super) day: i64,
}

/// Windows, the newest first.
pub(super) type Windows = Vec<Window>;

/// The windows of a filter. What a cursor leaves out is left out; then, and when `exact` is not asked for, the rows at the
/// ends of the range may be more than there are.
pub(super) async fn windows(
    tx: &mut OwnerTx,
    filter: &LogFilter,
    after: Option<Cursor>,
    exact: bool,
) -> Result<Windows, DatabaseError> {
    let days = PgPartitions::days(tx).await?;
    let mut which = filter.which.clone();
    // figures are kept for longer than rows
    let oldest = days.keys().next().map(|day| day.midnight().assume_utc());
    which.since = which.since.max(oldest);
    if let Some(after) = after {
        let end = after.ts + Duration::microseconds(1);
        which.until = Some(which.until.map_or(end, |until| until.min(end)));
    }
    if !exact {
        which = which.widened();
    }
    let slices = PgRollups::slices(tx, &which, false).await?;
    Ok(of(slices, &days))
}

/// The quarters of a window.
pub(super) async fn quarters(
    tx: &mut OwnerTx,
    filter: &LogFilter,
    window: &Window,
) -> Result<Windows, DatabaseError> {
    let (since, until) = window.stretch;
    let which = Selection { since: Some(since), until: Some(until), ..filter.which.clone() };
    let quarters = of(PgRollups::quarters(tx, &which).await?, &BTreeMap::new());
    let of_day = |quarter| Window { indexed: window.indexed, day: window.day, ..quarter };
    Ok(quarters.into_iter().map(of_day).collect())
}

fn of(slices: Vec<Slice>, days: &BTreeMap<Date, Day>) -> Windows {
    let mut windows: BTreeMap<Stretch, i64> = BTreeMap::new();
    for slice in slices {
        *windows.entry((slice.since, slice.until)).or_default() += slice.requests;
    }
    let window = |(stretch, rows): (Stretch, i64)| {
        let day = days.get(&day(stretch.0));
        Window {
            stretch,
            rows,
            indexed: day.is_some_and(|day| day.indexed),
            day: day.map_or(0, |day| day.rows),
        }
    };
    windows.into_iter().rev().map(window).collect()
}

fn day(at: OffsetDateTime) -> Date {
    at.to_offset(UtcOffset::UTC).date()
}
