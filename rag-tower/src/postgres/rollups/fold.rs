//! The fold: deltas and late facts in, the rollups of every table and level as they are then out.

use std::collections::BTreeSet;

use sqlx::{PgConnection, Row};

use super::delta::{Sums, add_row, bind_keys, bind_measures, key_at, project};
use super::key::{Key, Table};
use super::measures::Measures;
use super::{PgRollups, late};
use crate::postgres::database::Role;
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;

/// Deltas of one transaction: what bounds its memory and how long it takes.
const DELTAS: i64 = 64;
/// Rows of one statement.
const ROWS: usize = 2_000;

/// What a fold has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Folded {
    /// Deltas that are in the rollups now.
    pub deltas: usize,
    /// Feedback and tickets that are.
    pub late: usize,
    /// True when another folds at this moment; nothing was done then.
    pub busy: bool,
    /// True when there is probably more to fold.
    pub more: bool,
}

// === impl PgRollups ===

impl PgRollups {
    /// Folds some of what waits, in one transaction. Any number of processes may call it: one works, the others are told
    /// that it is busy.
    ///
    /// # Cancellation
    /// Dropping it undoes what it has begun; nothing is lost.
    ///
    /// # Errors
    /// [`DatabaseError`]; everything still waits then, or is folded when the commit's outcome is unknown.
    pub async fn fold(&self) -> Result<Folded, DatabaseError> {
        let mut tx = self.database.begin(Role::Folder, None).await?;
        if is_folding(&mut tx).await? {
            return Ok(Folded { busy: true, ..Folded::default() });
        }
        let mut sums = Sums::new();
        let deltas = take_deltas(&mut tx, &mut sums).await?;
        let sweep = self.may_sweep();
        let (late, more) = late::take(&mut tx, &mut sums, sweep).await?;
        for table in Table::ALL {
            add_to(&mut tx, table, &sums).await?;
        }
        tx.commit().await?;
        if sweep && !more {
            self.has_swept();
        }
        Ok(Folded { deltas, late, busy: false, more: more || deltas as i64 >= DELTAS })
    }

    /// Folds until nothing waits or another folds, and says how much it was in all.
    ///
    /// # Errors
    /// As [`fold`](Self::fold).
    pub async fn fold_all(&self) -> Result<Folded, DatabaseError> {
        let mut all = Folded::default();
        loop {
            let folded = self.fold().await?;
            all.deltas += folded.deltas;
            all.late += folded.late;
            all.busy = folded.busy;
            if !folded.more {
                return Ok(all);
            }
        }
    }
}

/// True when another folds; else nobody does until this transaction ends.
pub(super) async fn is_folding(connection: &mut PgConnection) -> Result<bool, DatabaseError> {
    Ok(!sqlx::query_scalar::<_, bool>(sql::FOLD_LOCK).fetch_one(connection).await?)
}

/// Adds the oldest deltas to the sums, removes them, and says how many they were.
async fn take_deltas(connection: &mut PgConnection, sums: &mut Sums) -> Result<usize, DatabaseError> {
    let entries = sqlx::query(sql::TAKE_DELTAS).bind(DELTAS).fetch_all(connection).await?;
    let mut ids = BTreeSet::new();
    for entry in &entries {
        ids.insert(entry.try_get::<i64, _>(0)?);
        add_row(sums.entry(key_at(entry, 1)?).or_default(), entry, 7)?;
    }
    Ok(ids.len())
}

/// Adds the sums to a table, at every level. Nobody else changes its rows: the lock of the fold is held.
pub(super) async fn add_to(
    connection: &mut PgConnection,
    table: Table,
    sums: &Sums,
) -> Result<(), DatabaseError> {
    let mut rows = Sums::new();
    project(sums, table, &mut rows);
    // sorted by key, so that rows are written in the order of the index
    let mut rows: Vec<(Key, Measures)> = rows.into_iter().collect();
    for rows in rows.chunks_mut(ROWS) {
        let levels: Vec<i16> = rows.iter().map(|(key, _)| key.level.minutes()).collect();
        let load = bind_keys(sqlx::query(table.load()).bind(&levels), rows.iter().map(|(key, _)| key));
        for kept in load.fetch_all(&mut *connection).await? {
            // counted from 1
            let n = usize::try_from(kept.try_get::<i64, _>(0)?).unwrap_or(0);
            if let Some((_, sum)) = n.checked_sub(1).and_then(|n| rows.get_mut(n)) {
                add_row(sum, &kept, 1)?;
            }
        }
        let save = bind_keys(sqlx::query(table.save()).bind(&levels), rows.iter().map(|(key, _)| key));
        bind_measures(save, rows.iter().map(|(_, sum)| sum)).execute(&mut *connection).await?;
    }
    Ok(())
}

// === impl Table ===

impl Table {
    fn load(self) -> &'static str {
        match self {
            Self::TraceRollups => sql::LOAD_TRACE_ROLLUPS,
            Self::TraceTotals => sql::LOAD_TRACE_TOTALS,
            Self::SystemRollups => sql::LOAD_SYSTEM_ROLLUPS,
            Self::SystemTotals => sql::LOAD_SYSTEM_TOTALS,
        }
    }

    fn save(self) -> &'static str {
        match self {
            Self::TraceRollups => sql::SAVE_TRACE_ROLLUPS,
            Self::TraceTotals => sql::SAVE_TRACE_TOTALS,
            Self::SystemRollups => sql::SAVE_SYSTEM_ROLLUPS,
            Self::SystemTotals => sql::SAVE_SYSTEM_TOTALS,
        }
    }
}
