//! Partitions that are over in, the same with an index for searching in their texts out.

use time::Date;

use super::PgPartitions;
use crate::postgres::database::Role;
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;

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
}
