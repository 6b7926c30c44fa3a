//! What comes after its row: feedback, tickets and prices in, what they change in the rollups out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use time::{Duration, OffsetDateTime};
use tokio::time::Instant;
use uuid::Uuid;

use super::PgRollups;
use super::delta::{Sums, insert, key_at, nanos};
use super::key::{Key, Level};
use super::measures::Count;
use super::read::LAST;
use crate::ask::AskId;
use crate::postgres::database::Role;
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;

/// Facts of each kind in one transaction.
const FACTS: i64 = 2_000;
/// Feedback that is looked for by the times of its asks; more is looked for in every partition.
const TIMES: i64 = 10_000;
/// After this long feedback whose ask has not come is given up; the statement says the same.
const PATIENCE: Duration = Duration::DAY;
/// Each fold looks for the asks of feedback that is younger. It is longer than a quarter, so that feedback on an ask of a
/// quarter that is young itself is young too.
const YOUNG: Duration = Duration::minutes(20);
/// How often all feedback that waits is looked at.
const SWEEP: std::time::Duration = std::time::Duration::from_hours(1);

// === impl PgRollups ===

impl PgRollups {
    /// Sets what asks have cost, in US dollars; none is a cost that is unknown. An ask that is not there is left out. Of an
    /// id that is given twice the last counts.
    ///
    /// Returns how many asks were found.
    ///
    /// # Errors
    /// [`DatabaseError`]; nothing is changed then, or all of it when the commit's outcome is unknown. It may be tried again.
    pub async fn reprice(&self, prices: &[(AskId, Option<f64>)]) -> Result<usize, DatabaseError> {
        // an id without a time is no row's
        let prices: BTreeMap<Uuid, (OffsetDateTime, Option<i64>)> = prices
            .iter()
            .filter_map(|(ask, cost)| Some((ask.as_uuid(), (ask.timestamp()?, nanos(*cost)))))
            .collect();
        let mut tx = self.database.begin(Role::Folder, None).await?;
        let changed = sqlx::query(sql::REPRICE)
            .bind(prices.keys().copied().collect::<Vec<_>>())
            .bind(prices.values().map(|(ts, _)| *ts).collect::<Vec<_>>())
            .bind(prices.values().map(|(_, nanos)| *nanos).collect::<Vec<_>>())
            .fetch_all(&mut *tx)
            .await?;
        let mut sums = Sums::new();
        for row in &changed {
            let sum = sums.entry(key_at(row, 0)?).or_default();
            sum.add(Count::Priced, row.try_get(6)?);
            sum.add(Count::CostNanos, row.try_get(7)?);
        }
        insert(&mut tx, &sums).await?;
        tx.commit().await?;
        Ok(changed.len())
    }

    /// True when it is time to look at all feedback that waits.
    pub(super) fn may_sweep(&self) -> bool {
        let swept = *self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        swept.is_none_or(|swept| swept.elapsed() >= SWEEP)
    }

    pub(super) fn has_swept(&self) {
        *self.swept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Adds feedback and tickets that the rollups do not have to the sums: of feedback what is young, and all when asks of long
/// ago have come or it is time for a `sweep`. Says how many there were, and whether there may be more.
pub(super) async fn take(
    connection: &mut PgConnection,
    sums: &mut Sums,
    sweep: bool,
) -> Result<(usize, bool), DatabaseError> {
    revive(connection, sums.keys()).await?;
    let young = OffsetDateTime::now_utc() - YOUNG;
    let all = sweep || sums.keys().any(|key| key.bucket < young);
    let oldest = if all { OffsetDateTime::UNIX_EPOCH } else { young };
    let (asks, requests): (Vec<OffsetDateTime>, bool) = sqlx::query_as(sql::LATE)
        .bind(oldest)
        .bind(first_id(LAST))
        .bind(TIMES)
        .fetch_one(&mut *connection)
        .await?;
    let mut feedback = Vec::new();
    if !asks.is_empty() {
        sqlx::query(sql::PLAN_AGAIN).execute(&mut *connection).await?;
        let late = if asks.len() as i64 > TIMES {
            sqlx::query(sql::SWEEP_FEEDBACK).bind(FACTS)
        } else {
            sqlx::query(sql::ROLL_FEEDBACK).bind(FACTS).bind(&asks)
        };
        feedback = late.fetch_all(&mut *connection).await?;
    }
    if all {
        sqlx::query(sql::GIVE_UP_FEEDBACK).execute(&mut *connection).await?;
    }
    for row in &feedback {
        let (is, was): (i16, i16) = (row.try_get(6)?, row.try_get(7)?);
        let sum = sums.entry(key_at(row, 0)?).or_default();
        for (rating, much) in [(was, -1), (is, 1)] {
            if let Some(thumb) = thumb(rating) {
                sum.add(thumb, much);
            }
        }
    }
    let mut tickets = Vec::new();
    if requests {
        tickets = sqlx::query(sql::ROLL_TICKETS).bind(FACTS).fetch_all(&mut *connection).await?;
    }
    for row in &tickets {
        count_ticket(sums, row)?;
    }
    let full = |facts: &[PgRow]| facts.len() as i64 >= FACTS;
    Ok((feedback.len() + tickets.len(), full(&feedback) || full(&tickets)))
}

/// What a rating counts as.
pub(super) fn thumb(rating: i16) -> Option<Count> {
    match rating {
        1 => Some(Count::FeedbackUp),
        -1 => Some(Count::FeedbackDown),
        _ => None,
    }
}

/// Counts a ticket.
pub(super) fn count_ticket(sums: &mut Sums, row: &PgRow) -> Result<(), DatabaseError> {
    sums.entry(key_at(row, 0)?).or_default().add(Count::Handoffs, 1);
    Ok(())
}

/// The smallest id of an ask that began at this moment or later.
pub(super) fn first_id(at: OffsetDateTime) -> Uuid {
    let millis = (at.unix_timestamp_nanos() / 1_000_000).clamp(0, (1 << 48) - 1).unsigned_abs();
    Uuid::from_u128(millis << 80)
}

/// Looks again for the asks of feedback that was given up, when asks of that time have come after all.
async fn revive(
    connection: &mut PgConnection,
    keys: impl Iterator<Item = &Key>,
) -> Result<(), DatabaseError> {
    let long_ago = OffsetDateTime::now_utc() - PATIENCE + Duration::HOUR;
    let late: BTreeSet<_> = keys.map(|key| key.bucket).filter(|bucket| *bucket < long_ago).collect();
    for bucket in late {
        sqlx::query(sql::REVIVE_FEEDBACK)
            .bind(first_id(bucket))
            .bind(first_id(Level::Quarter.ceil(bucket + Duration::SECOND)))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
