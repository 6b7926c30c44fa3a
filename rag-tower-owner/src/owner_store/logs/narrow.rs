//! Rows that a filter leaves of which the rollups know nothing: windows in, the newest rows out, and how far it came.
//!
//! Nobody knows how rare they are. So the rows are looked through from the newest on, some windows with each statement,
//! more of them the faster it goes, until there are enough or the time is up.

use std::time::{Duration, Instant};

use rag_tower::postgres::{DatabaseError, OwnerTx};
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::select::{Rows, Shape};
use super::walk::Found;
use super::windows::Windows;
use super::{AT_ONCE, LogFilter};
use crate::owner_store::page::Cursor;

/// Rows that the first statement looks through, about, and that any does at most.
const FIRST: i64 = 20_000;
const MOST: i64 = 1_000_000;
/// A statement that takes longer is too large; one that takes a quarter of it may be twice as large.
const PLEASANT: Duration = Duration::from_millis(200);

/// The newest rows, at most `most`, looked for during `time`.
pub(super) async fn narrowed<T>(
    tx: &mut OwnerTx,
    filter: &LogFilter,
    shape: Shape,
    mut windows: Windows,
    after: Option<Cursor>,
    (most, time): (usize, Duration),
) -> Result<Found<T>, DatabaseError>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let began = Instant::now();
    let mut much = FIRST;
    let mut rows: Vec<T> = Vec::new();
    let mut looked = false;
    // what a cursor has left behind is none of its windows
    let ahead = |first| after.is_none_or(|after| first < after.ts || first == after.ts && !after.id.is_nil());
    windows.retain(|window| ahead(window.stretch.0));
    while rows.len() < most && !windows.is_empty() {
        let here = windows.first().map(|window| Cursor { ts: window.stretch.1, id: Uuid::nil() });
        // where the first window begins again behind a cursor, the cursor is further
        let here = here.into_iter().chain(after).min_by_key(|cursor| (cursor.ts, cursor.id));
        if looked && began.elapsed() >= time {
            return Ok(Found { rows, stopped: here });
        }
        let mut within = 0;
        let enough = windows.iter().position(|window| {
            within += window.rows;
            within >= much
        });
        // many stretches with hardly a row each take long to plan
        let now = enough.map_or(windows.len(), |last| last + 1).min(AT_ONCE);
        let later = windows.split_off(now);
        let stretches: Vec<_> = windows.iter().map(|window| window.stretch).collect();
        let wanted = i64::try_from(most - rows.len()).unwrap_or(i64::MAX);
        let mut statement = Rows { filter, stretches: &stretches, after }.newest(shape, wanted, 0);
        let statement_began = Instant::now();
        match statement.build_query_as().persistent(false).fetch_all(tx.connection()).await {
            Ok(found) => rows.extend(found),
            Err(error) => match DatabaseError::from(error) {
                // what is there is right, and the rest can be gone on with
                DatabaseError::TooLong(_) if looked => return Ok(Found { rows, stopped: here }),
                error => return Err(error),
            },
        }
        looked = true;
        let took = statement_began.elapsed();
        if took > PLEASANT {
            much = (much / 2).max(FIRST);
        } else if took < PLEASANT / 4 {
            much = (much * 2).min(MOST);
        }
        windows = later;
    }
    Ok(Found { rows, stopped: None })
}
