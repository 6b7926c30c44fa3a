//! Where something counts: a moment and what an ask is told apart by in, the rows it is added to out.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// What a rollup's row is told apart by. In tables that are coarser the other fields are nil or empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) level: Level,
    pub(super) bucket: OffsetDateTime,
    pub(super) tenant: Uuid,
    pub(super) facets: Facets,
}

/// What asks of one tenant are told apart by.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Facets {
    pub(super) route: String,
    pub(super) status: String,
    pub(super) channel: String,
    pub(super) model: String,
}

/// How long a bucket is, in minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Level {
    Quarter = 15,
    Hour = 60,
    /// A day in UTC.
    Day = 1440,
}

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    TraceRollups,
    TraceTotals,
    SystemRollups,
    SystemTotals,
}

/// Buckets of one level, from the first on, without the last.
pub(super) type Segment = (Level, OffsetDateTime, OffsetDateTime);

// === impl Key ===

impl Key {
    /// The finest there is: a quarter of an hour of one tenant.
    pub(super) fn new(at: OffsetDateTime, tenant: Uuid, facets: Facets) -> Self {
        Self { level: Level::Quarter, bucket: Level::Quarter.floor(at), tenant, facets }
    }

    /// The row of this table and level that it is part of.
    pub(super) fn within(&self, table: Table, level: Level) -> Self {
        let of_tenant = matches!(table, Table::TraceRollups | Table::TraceTotals);
        let faceted = matches!(table, Table::TraceRollups | Table::SystemRollups);
        Self {
            level,
            bucket: level.floor(self.bucket),
            tenant: if of_tenant { self.tenant } else { Uuid::nil() },
            facets: if faceted { self.facets.clone() } else { Facets::default() },
        }
    }
}

// === impl Level ===

impl Level {
    /// The finest first.
    pub(super) const ALL: [Self; 3] = [Self::Quarter, Self::Hour, Self::Day];

    pub(super) const fn minutes(self) -> i16 {
        self as i16
    }

    fn length(self) -> Duration {
        Duration::minutes(self as i64)
    }

    const fn finer(self) -> Option<Self> {
        match self {
            Self::Quarter => None,
            Self::Hour => Some(Self::Quarter),
            Self::Day => Some(Self::Hour),
        }
    }

    /// The beginning of the bucket that this moment is in.
    pub(super) fn floor(self, at: OffsetDateTime) -> OffsetDateTime {
        let seconds = self.length().whole_seconds();
        let start = at.unix_timestamp().div_euclid(seconds) * seconds;
        // an earlier moment than one that there is
        OffsetDateTime::from_unix_timestamp(start).unwrap_or(at)
    }

    /// The first beginning of a bucket from this moment on.
    pub(super) fn ceil(self, at: OffsetDateTime) -> OffsetDateTime {
        let floor = self.floor(at);
        if floor == at { at } else { floor.saturating_add(self.length()) }
    }
}

// === impl Table ===

impl Table {
    pub(super) const ALL: [Self; 4] =
        [Self::TraceRollups, Self::TraceTotals, Self::SystemRollups, Self::SystemTotals];
}

/// The fewest buckets that are `from..to`, both at a quarter: days inside, hours and quarters at the ends.
pub(super) fn cover(from: OffsetDateTime, to: OffsetDateTime) -> Vec<Segment> {
    fn add(level: Level, from: OffsetDateTime, to: OffsetDateTime, segments: &mut Vec<Segment>) {
        if from >= to {
            return;
        }
        let Some(finer) = level.finer() else { return segments.push((level, from, to)) };
        let (first, last) = (level.ceil(from), level.floor(to));
        if first >= last {
            return add(finer, from, to, segments);
        }
        add(finer, from, first, segments);
        segments.push((level, first, last));
        add(finer, last, to, segments);
    }
    let mut segments = Vec::new();
    add(Level::Day, from, to, &mut segments);
    segments
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn whole_days_are_read_as_days() {
        let segments = cover(datetime!(2026-01-01 18:15 UTC), datetime!(2026-01-04 01:00 UTC));
        assert_eq!(
            segments,
            [
                (Level::Quarter, datetime!(2026-01-01 18:15 UTC), datetime!(2026-01-01 19:00 UTC)),
                (Level::Hour, datetime!(2026-01-01 19:00 UTC), datetime!(2026-01-02 0:00 UTC)),
                (Level::Day, datetime!(2026-01-02 0:00 UTC), datetime!(2026-01-04 0:00 UTC)),
                (Level::Hour, datetime!(2026-01-04 0:00 UTC), datetime!(2026-01-04 1:00 UTC)),
            ]
        );
        assert!(cover(datetime!(2026-01-02 0:00 UTC), datetime!(2026-01-02 0:00 UTC)).is_empty());
    }

    proptest! {
        #[test]
        fn a_range_is_covered_once(from in 0_i64..200_000, quarters in 0_i64..20_000) {
            let at = |quarter: i64| OffsetDateTime::from_unix_timestamp(quarter * 900).unwrap();
            let segments = cover(at(from), at(from + quarters));
            prop_assert!(segments.len() <= 5);
            let mut end = at(from);
            for (level, first, last) in segments {
                prop_assert_eq!((level.floor(first), level.floor(last)), (first, last));
                prop_assert_eq!(first, end);
                prop_assert!(first < last);
                end = last;
            }
            prop_assert_eq!(end, at(from + quarters));
        }
    }
}
