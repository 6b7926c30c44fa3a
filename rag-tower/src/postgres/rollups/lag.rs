//! How far the rollups are behind: the deltas that wait in, how many and for how long out.

use std::time::Duration;

use super::PgRollups;
use crate::postgres::database::Role;
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;

/// What waits to be folded. Figures are exact all the same, and slower to read the more waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lag {
    /// Deltas that wait, counted up to 100,000.
    pub deltas: i64,
    /// For how long the oldest of them has waited.
    pub oldest: Duration,
}

// === impl PgRollups ===

impl PgRollups {
    /// What waits at this moment.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn lag(&self) -> Result<Lag, DatabaseError> {
        let mut tx = self.database.begin(Role::Folder, None).await?;
        let (deltas, seconds): (i64, Option<f64>) = sqlx::query_as(sql::LAG).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        let oldest = Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default();
        Ok(Lag { deltas, oldest })
    }
}
