//! How long rows are kept in, the partitions that are older gone out.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::sleep;

use super::PgPartitions;
use crate::postgres::database::Role;
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;

/// How often one call tries to have the table for itself; the database gives up each time after a fifth of a second.
const TRIES: u32 = 5;
/// Readers and writers go on in between.
const PAUSE: Duration = Duration::from_millis(500);

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// How many partitions.
    pub partitions: u32,
    /// True when some are left: somebody reads the table for so long that it could not be had for a moment, or another
    /// process is dropping. Try again later.
    pub left: bool,
}

/// What came of one attempt.
enum Attempt {
    Dropped,
    NothingOld,
    Busy,
}

// === impl PgPartitions ===

impl PgPartitions {
    /// Drops every partition whose day ended more than so many days ago, the oldest first, by the database's clock.
    ///
    /// A partition is dropped whole, in a transaction of its own: its rows are there or gone. For that the table is wanted
    /// alone for a moment, while nobody else reads or writes; whoever comes meanwhile waits for at most a fifth of a second.
    ///
    /// # Errors
    /// [`DatabaseError`]; what was dropped before is gone.
    pub async fn drop_old(&self, keep_days: NonZeroU32) -> Result<Dropped, DatabaseError> {
        let mut dropped = Dropped::default();
        let mut tries = 1;
        loop {
            match self.drop_oldest(keep_days).await {
                Ok(Attempt::Dropped) => {
                    dropped.partitions += 1;
                    tries = 1;
                }
                Ok(Attempt::NothingOld) => return Ok(dropped),
                Ok(Attempt::Busy) => return Ok(Dropped { left: true, ..dropped }),
                Err(error) if is_lock(&error) && tries < TRIES => {
                    tries += 1;
                    sleep(PAUSE).await;
                }
                Err(error) if is_lock(&error) => return Ok(Dropped { left: true, ..dropped }),
                Err(error) => return Err(error),
            }
        }
    }

    async fn drop_oldest(&self, keep_days: NonZeroU32) -> Result<Attempt, DatabaseError> {
        let mut tx = self.database.begin(Role::Keeper, None).await?;
        if !sqlx::query_scalar::<_, bool>(sql::PARTITION_LOCK).fetch_one(&mut *tx).await? {
            return Ok(Attempt::Busy);
        }
        // more days than there can be are as good as for ever
        let days = i32::try_from(keep_days.get()).unwrap_or(i32::MAX).min(1_000_000);
        let leaf: Option<String> =
            sqlx::query_scalar(sql::DROP_PARTITION).bind(days).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(if leaf.is_some() { Attempt::Dropped } else { Attempt::NothingOld })
    }
}

/// True when a lock could not be had in time, or only by two who would wait for each other.
pub(super) fn is_lock(error: &DatabaseError) -> bool {
    matches!(error.code().as_deref(), Some("55P03" | "40P01"))
}
