//! Partitions that are over in, the same with an index for searching in their texts out.

use std::collections::BTreeMap;

use time::Date;
use time::macros::format_description;

use super::PgPartitions;
use crate::postgres::database::Role;
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;
use crate::postgres::tenant_tx::OwnerTx;

/// A day that has a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Day {
    /// Whether it has the text index.
    pub indexed: bool,
    /// About how many rows it holds: as many as there were when Postgres last looked.
    pub rows: i64,
}

// === impl PgPartitions ===

impl PgPartitions {
    /// Builds the text index of days before `before` that have none, the newest first, and returns how many it built: at
    /// most `at_most`, none where the extension `pg_trgm` is missing or another server is building. The present day (UTC)
    /// is never closed.
    ///
    /// A build reads the whole partition, and late rows of that day wait for it. All that one call builds is one
    /// transaction, so ask for one at a time where days are large.
    ///
    /// # Errors
    /// [`DatabaseError`]: `at_most` is not 1 to 400, or the partition was in use for longer than three seconds; nothing is
    /// built then.
    pub async fn close(&self, before: Date, at_most: u32) -> Result<u32, DatabaseError> {
        let mut tx = self.database.begin(Role::Keeper, None).await?;
        let built: i32 = sqlx::query_scalar(sql::CLOSE_PARTITIONS)
            .bind(before)
            .bind(i32::try_from(at_most).unwrap_or(i32::MAX))
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(built.unsigned_abs())
    }

    /// The days that have a partition. In the caller's transaction.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn days(tx: &mut OwnerTx) -> Result<BTreeMap<Date, Day>, DatabaseError> {
        let days: Vec<(String, bool, i64)> =
            sqlx::query_as(sql::TRACE_DAYS).fetch_all(tx.connection()).await?;
        let name = format_description!("[year][month][day]");
        let day = |(day, indexed, rows): (String, bool, i64)| {
            Some((Date::parse(&day, name).ok()?, Day { indexed, rows }))
        };
        Ok(days.into_iter().filter_map(day).collect())
    }
}
