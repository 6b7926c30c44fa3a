//! A moment as a person or a program writes it in, the moment out.

use rag_tower::http::Problem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};

use crate::http::invalid;
use crate::zone::Zone;

/// Which end of a range a date stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Since,
    Until,
}

/// A moment: epoch seconds, RFC 3339, or a date in the zone, which as an end stands for the end of its day. Empty is none.
pub(crate) fn moment(end: End, text: Option<&str>, zone: &Zone) -> Result<Option<OffsetDateTime>, Problem> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let name = if end == End::Since { "since" } else { "until" };
    let refused = || {
        invalid(format!(
            "`{name}` cannot be used: expected a date such as 2026-01-31, a moment such as 2026-01-31T08:30:00Z, or epoch \
             seconds"
        ))
    };
    let at = if let Ok(seconds) = text.parse::<i64>() {
        OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| refused())?
    } else if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        at.to_offset(UtcOffset::UTC)
    } else {
        let date = Date::parse(text, format_description!("[year]-[month]-[day]")).map_err(|_| refused())?;
        let day = if end == End::Since { Some(date) } else { date.next_day() };
        day.and_then(|day| zone.start_of(day)).ok_or_else(refused)?
    };
    // what Postgres can keep, and no ask is older than the epoch
    Some(at).filter(|at| (0..=253_402_300_799).contains(&at.unix_timestamp())).ok_or_else(refused).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(end: End, text: &str) -> Option<i64> {
        seconds_in("UTC", end, text)
    }

    fn seconds_in(zone: &str, end: End, text: &str) -> Option<i64> {
        moment(end, Some(text), &zone.parse().unwrap()).ok().flatten().map(OffsetDateTime::unix_timestamp)
    }

    #[test]
    fn a_date_covers_its_whole_day() {
        assert_eq!(seconds(End::Since, "2026-01-31"), Some(1_769_817_600));
        assert_eq!(seconds(End::Until, "2026-01-31"), Some(1_769_817_600 + 86_400));
        assert_eq!(seconds(End::Until, "1769817600"), Some(1_769_817_600));
        assert_eq!(seconds(End::Until, "2026-01-31T07:00:00+07:00"), Some(1_769_817_600));
        assert_eq!(seconds(End::Since, "2026-01-31T00:00:00.25Z"), Some(1_769_817_600));
        assert_eq!(moment(End::Since, Some(" "), &"UTC".parse().unwrap()).unwrap(), None);
        // seven hours earlier; a moment is the same everywhere
        assert_eq!(seconds_in("Asia/Ho_Chi_Minh", End::Since, "2026-01-31"), Some(1_769_817_600 - 25_200));
        assert_eq!(seconds_in("Asia/Ho_Chi_Minh", End::Since, "1769817600"), Some(1_769_817_600));
    }

    #[test]
    fn nonsense_says_what_was_expected() {
        for text in [
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "-5",
            "99999999999999",
            "9999-12-31T00:00",
            "1969-01-01T00:00:00Z",
        ] {
            let problem = moment(End::Since, Some(text), &"UTC".parse().unwrap()).expect_err(text);
            assert_eq!(problem.status(), http::StatusCode::BAD_REQUEST);
        }
    }
}
