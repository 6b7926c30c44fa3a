//! Days ahead in, a partition for each of them out.

use time::OffsetDateTime;

use super::{Partitions, PgPartitions};
use crate::postgres::database::Role;
use crate::postgres::error::DatabaseError;
use crate::postgres::sql;

// === impl PgPartitions ===

impl PgPartitions {
    /// Makes the partitions that are missing of today (UTC, by the database's clock) and of so many days after it, and returns
    /// how many it made. It stops neither readers nor writers.
    ///
    /// # Errors
    /// [`DatabaseError`]; nothing is made then.
    pub async fn ensure(&self, ahead: u8) -> Result<u32, DatabaseError> {
        let mut tx = self.database.begin(Role::Keeper, None).await?;
        let days = i32::from(ahead) + 1;
        let made: i32 = sqlx::query_scalar(sql::MAKE_PARTITIONS).bind(days).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(made.unsigned_abs())
    }

    /// Which partitions there are.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn partitions(&self) -> Result<Partitions, DatabaseError> {
        let mut tx = self.database.begin(Role::Keeper, None).await?;
        let days: Vec<Day> = sqlx::query_as(sql::PARTITIONS).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        let since = days.first().map(|(first, _)| *first);
        Ok(Partitions { count: days.len(), since, until: until(&days, OffsetDateTime::now_utc()) })
    }
}

/// When a partition begins and ends.
type Day = (OffsetDateTime, OffsetDateTime);

/// The end of the partitions that follow each other from now on. They come in order.
fn until(days: &[Day], now: OffsetDateTime) -> Option<OffsetDateTime> {
    let mut end = None;
    for (first, last) in days {
        let next = match end {
            None => (*first..*last).contains(&now),
            Some(end) => end == *first,
        };
        if next {
            end = Some(*last);
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_gap_ends_what_is_ready() {
        let day = |n: u8| {
            let first = datetime!(2026-11-01 00:00 UTC) + time::Duration::days(n.into());
            (first, first + time::Duration::DAY)
        };
        let now = datetime!(2026-11-03 17:00 UTC);
        let end = |days: &[u8]| until(&days.iter().copied().map(day).collect::<Vec<_>>(), now);
        assert_eq!(end(&[0, 1, 2, 3, 4]), Some(day(4).1));
        assert_eq!(end(&[0, 2, 3, 5, 6]), Some(day(3).1), "the day after tomorrow is missing");
        assert_eq!(end(&[0, 1, 3, 4]), None, "today is");
        assert_eq!(end(&[]), None);
    }
}
