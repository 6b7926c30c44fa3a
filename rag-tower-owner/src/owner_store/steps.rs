//! A range, a zone and how many stretches it may have in; the stretches out, as the moments that they lie between.

use time::{Date, Duration, OffsetDateTime};

use crate::zone::Zone;

/// How long a stretch may be, when it is less than a day, in seconds: a quarter of an hour, which is the finest that figures
/// know, to half a day.
const STEPS: [i64; 6] = [900, 1_800, 3_600, 10_800, 21_600, 43_200];
const DAY: i64 = 86_400;

/// A range in stretches of one length, as clocks of a zone have them: they begin with the day, and on a day when clocks
/// change the last is longer or shorter. So may be the first and the last of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    /// The usual length, in seconds.
    pub(super) seconds: i64,
    /// From the beginning to the end. None when there is nothing between them.
    pub(super) edges: Vec<OffsetDateTime>,
}

// === impl Steps ===

impl Steps {
    /// The shortest steps of which there are at most so many, at least one.
    pub(super) fn new(zone: &Zone, since: OffsetDateTime, until: OffsetDateTime, most: usize) -> Self {
        let most = most.max(1);
        if since >= until {
            return Self { seconds: STEPS[0], edges: Vec::new() };
        }
        let long = (until - since).whole_seconds();
        let most_seconds = |step: i64| step.saturating_mul(i64::try_from(most).unwrap_or(i64::MAX));
        for step in STEPS.into_iter().filter(|step| long <= most_seconds(*step)) {
            if let Some(edges) = cut(zone, (since, until), most, 1, step) {
                return Self { seconds: step, edges };
            }
        }
        let mut days = (long / most_seconds(DAY)).max(1);
        loop {
            if let Some(edges) = cut(zone, (since, until), most, days, days.saturating_mul(DAY)) {
                return Self { seconds: days.saturating_mul(DAY), edges };
            }
            days += 1;
        }
    }

    /// Each stretch.
    pub(super) fn stretches(&self) -> impl Iterator<Item = (OffsetDateTime, OffsetDateTime)> {
        self.edges.iter().copied().zip(self.edges.iter().copied().skip(1))
    }
}

/// A range in days, however many there are.
pub(super) fn days(zone: &Zone, since: OffsetDateTime, until: OffsetDateTime) -> Vec<OffsetDateTime> {
    if since >= until {
        return Vec::new();
    }
    cut(zone, (since, until), usize::MAX, 1, DAY).unwrap_or_default()
}

/// The edges: each `days`-th day's beginning, and within it each `step` seconds, if that makes not too many.
fn cut(
    zone: &Zone,
    (since, until): (OffsetDateTime, OffsetDateTime),
    most: usize,
    days: i64,
    step: i64,
) -> Option<Vec<OffsetDateTime>> {
    let after = |date: Date| date.checked_add(Duration::days(days));
    let mut edges = vec![since];
    let mut day = Some(zone.date_of(since));
    while let Some(date) = day {
        let Some(start) = zone.start_of(date).filter(|start| *start < until) else { break };
        let next = after(date).and_then(|next| zone.start_of(next));
        let mut at = start;
        loop {
            if at > since {
                edges.push(at);
                // the last edge is still to come
                if edges.len() > most {
                    return None;
                }
            }
            let Some(then) = at.checked_add(Duration::seconds(step)) else { break };
            if step >= DAY || then >= until || next.is_none_or(|next| then >= next) {
                break;
            }
            at = then;
        }
        day = after(date);
    }
    edges.push(until);
    Some(edges)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const ZONES: [&str; 6] =
        ["UTC", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Ho_Chi_Minh", "Europe/Athens", "America/Los_Angeles"];

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    #[test]
    fn days_have_as_many_hours_as_their_clocks() {
        for (name, since, until, hours) in [
            ("Europe/Athens", datetime!(2026-03-28 22:00 UTC), datetime!(2026-03-29 21:00 UTC), 23),
            ("Europe/Athens", datetime!(2026-10-24 21:00 UTC), datetime!(2026-10-25 22:00 UTC), 25),
            ("America/Los_Angeles", datetime!(2026-03-08 08:00 UTC), datetime!(2026-03-09 07:00 UTC), 23),
            ("Asia/Kathmandu", datetime!(2026-03-07 18:15 UTC), datetime!(2026-03-08 18:15 UTC), 24),
        ] {
            let steps = Steps::new(&zone(name), since, until, 30);
            assert_eq!((steps.seconds, steps.edges.len() - 1), (3_600, hours), "{name}");
            let days = Steps::new(&zone(name), since - Duration::DAY, until + Duration::DAY, 4);
            assert_eq!(days.seconds, DAY);
            assert!(days.stretches().any(|stretch| stretch == (since, until)), "{name} {days:?}");
        }
    }

    #[test]
    fn nothing_is_cut_into_nothing_and_all_time_into_a_few() {
        let at = datetime!(2026-01-01 00:00 UTC);
        assert!(Steps::new(&zone("UTC"), at, at, 10).edges.is_empty());
        let all =
            Steps::new(&zone("UTC"), datetime!(1970-01-01 00:00 UTC), datetime!(9999-12-30 0:00 UTC), 3);
        assert!(all.edges.len() <= 4);
    }

    proptest! {
        #[test]
        fn edges_are_in_order_at_quarters_and_not_too_many(
            name in 0..ZONES.len(), since in 1_700_000_000_i64..1_800_000_000, long in 1_i64..80_000_000, most in 1_usize..400,
        ) {
            let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let (since, until) = (at(since), at(since + long));
            let steps = Steps::new(&zone(ZONES[name]), since, until, most);
            prop_assert!(steps.edges.len() <= most + 1);
            prop_assert_eq!((steps.edges.first(), steps.edges.last()), (Some(&since), Some(&until)));
            prop_assert!(steps.edges.is_sorted_by(|a, b| a < b));
            let inside = &steps.edges[1..steps.edges.len() - 1];
            prop_assert!(inside.iter().all(|edge| edge.unix_timestamp() % 900 == 0));
        }
    }
}
