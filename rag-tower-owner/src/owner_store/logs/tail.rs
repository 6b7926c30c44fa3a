//! A filter in, asks as they are written out.
//!
//! An ask is written when it ends and sorted by when it began, so one that took long comes late. Each look is over some time
//! back, and what has been shown is remembered for as long.

use std::collections::BTreeSet;

use rag_tower::postgres::{DatabaseError, OwnerTx};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::select::Rows;
use super::{LINE, LogFilter, LogLine, STATEMENT, line_at};
use crate::auth::OwnerScope;
use crate::owner_store::masked::mask;
use crate::owner_store::{Cursor, OwnerStore};

/// How far each look goes back: an ask that takes longer is not shown.
const BACK: Duration = Duration::minutes(3);
/// The most asks of one look: of more, the newest.
const MOST: usize = 500;

/// What has been shown of the newest asks.
#[derive(Debug)]
pub struct Tail {
    filter: LogFilter,
    /// Those of the time that looks go back over.
    shown: BTreeSet<(OffsetDateTime, Uuid)>,
    /// Where to begin; what began later and is not shown yet is new.
    from: Option<Cursor>,
    /// Whether there was a look.
    begun: bool,
}

// === impl Tail ===

impl Tail {
    /// Of a filter without a text: from now on, or after a place where an earlier one ended.
    #[must_use]
    pub fn new(filter: LogFilter, from: Option<Cursor>) -> Self {
        Self { filter, shown: BTreeSet::new(), from, begun: false }
    }
}

// === impl OwnerStore ===

impl OwnerStore {
    /// The asks that have been written since the last look, the oldest first, each with its place: at most 500, the newest of
    /// them. The first look only takes note of what is there, unless it continues an earlier one.
    ///
    /// # Errors
    /// [`DatabaseError`]; nothing is taken note of then.
    pub async fn look(
        &self,
        _: &OwnerScope,
        tail: &mut Tail,
    ) -> Result<Vec<(Cursor, LogLine)>, DatabaseError> {
        let now = OffsetDateTime::now_utc();
        let since = now - BACK;
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        // clocks of other servers may be ahead
        let stretches = [(since, now + BACK)];
        let rows = Rows { filter: &tail.filter, stretches: &stretches, after: None };
        let mut statement = rows.newest(LINE, MOST as i64, 0);
        let found: Vec<LogLine> =
            statement.build_query_as().persistent(false).fetch_all(tx.connection()).await?;
        // the first look of all begins here
        let from = *tail
            .from
            .get_or_insert_with(|| found.first().map_or(Cursor { ts: now, id: Uuid::nil() }, line_at));
        let place = |cursor: Cursor| (cursor.ts, cursor.id);
        let first = !std::mem::replace(&mut tail.begun, true);
        tail.shown.retain(|(ts, _)| *ts >= since);
        let mut new = Vec::new();
        for mut line in found.into_iter().rev() {
            let at = line_at(&line);
            // on the first look, what lies before the beginning has been shown
            if tail.shown.insert(place(at)) && !(first && place(at) <= place(from)) {
                mask(&mut line.question_preview);
                new.push((at, line));
            }
        }
        Ok(new)
    }
}
