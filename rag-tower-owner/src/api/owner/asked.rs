//! What the owner's routes are asked with: query parameters in, checked values out. An empty one is none.

use std::ops::RangeInclusive;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use rag_tower::http::Problem;
use rag_tower::postgres::Selection;
use rag_tower::tenant::TenantId;
use rag_tower::trace::Status;
use time::OffsetDateTime;
use uuid::Uuid;

use super::moment::{End, moment};
use super::not_found;
use crate::http::invalid;
use crate::owner_store::{Cursor, Page};
use crate::zone::Zone;

/// The rows of a page, unless asked otherwise.
const LIMIT: u32 = 50;
/// The most rows of a page.
const MOST: u32 = 200;

/// From a moment, until before another.
pub(super) type Range = (Option<OffsetDateTime>, Option<OffsetDateTime>);

/// Parameters of which those that the figures know are the same everywhere: `filtered!(Name { more, of, them })`. Each may be
/// there once, and no other.
macro_rules! filtered {
    ($name:ident { $($more:ident),* }) => {
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            tenant_id: Option<String>,
            since: Option<String>,
            until: Option<String>,
            route: Option<String>,
            status: Option<String>,
            channel: Option<String>,
            model: Option<String>,
            $($more: Option<String>,)*
        }

        // === impl $name ===

        impl $name {
            /// Reads the parameters.
            fn read(
                asked: Result<axum::extract::Query<Self>, axum::extract::rejection::QueryRejection>,
            ) -> Result<Self, rag_tower::http::Problem> {
                $crate::api::owner::asked::params(
                    asked,
                    concat!("tenant_id, since, until, route, status, channel, model" $(, ", ", stringify!($more))*),
                )
            }

            /// Which asks.
            fn which(
                &self,
                zone: &$crate::zone::Zone,
            ) -> Result<rag_tower::postgres::Selection, rag_tower::http::Problem> {
                let dimensions = [&self.route, &self.status, &self.channel, &self.model];
                $crate::api::owner::asked::selection(
                    self.tenant_id.as_deref(),
                    (self.since.as_deref(), self.until.as_deref()),
                    dimensions.map(|text| text.as_deref()),
                    zone,
                )
            }
        }
    };
}
pub(super) use filtered;

/// The parameters of a request, whose names are `expected`.
pub(super) fn params<T>(asked: Result<Query<T>, QueryRejection>, expected: &str) -> Result<T, Problem> {
    asked
        .map(|Query(params)| params)
        .map_err(|_| invalid(format!("the query cannot be used: expected {expected}, each at most once")))
}

/// What stands in a parameter.
pub(super) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// `tenant_id`.
pub(super) fn tenant(text: Option<&str>) -> Result<Option<TenantId>, Problem> {
    given(text)
        .map(str::parse)
        .transpose()
        .map_err(|_| invalid("`tenant_id` cannot be used: expected a tenant's id, a UUID".to_owned()))
}

/// `since` and `until`.
pub(super) fn range(since: Option<&str>, until: Option<&str>, zone: &Zone) -> Result<Range, Problem> {
    Ok((moment(End::Since, since, zone)?, moment(End::Until, until, zone)?))
}

/// `tenant_id`, `since` and `until`, and `route`, `status`, `channel` and `model`.
pub(super) fn selection(
    tenant_id: Option<&str>,
    (since, until): (Option<&str>, Option<&str>),
    [route, status, channel, model]: [Option<&str>; 4],
    zone: &Zone,
) -> Result<Selection, Problem> {
    let (since, until) = range(since, until, zone)?;
    Ok(Selection {
        tenant: tenant(tenant_id)?,
        since,
        until,
        route: name("route", route)?,
        status: one_of("status", status, &Status::ALL.map(Status::as_str))?,
        channel: name("channel", channel)?,
        model: name("model", model)?,
    })
}

/// A whole number from 1 to `most`.
pub(super) fn number(name: &str, text: Option<&str>, most: usize) -> Result<Option<usize>, Problem> {
    let Some(text) = given(text) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number
        .map(Some)
        .ok_or_else(|| invalid(format!("`{name}` cannot be used: expected a whole number from 1 to {most}")))
}

/// One of the values that there are.
pub(super) fn one_of(name: &str, text: Option<&str>, known: &[&str]) -> Result<Option<String>, Problem> {
    let Some(text) = given(text) else { return Ok(None) };
    if known.contains(&text) {
        return Ok(Some(text.to_owned()));
    }
    Err(invalid(format!("`{name}` cannot be used: expected one of {}", known.join(", "))))
}

/// A name that a row may have.
pub(super) fn name(what: &str, text: Option<&str>) -> Result<Option<String>, Problem> {
    let text = given(text);
    if text.is_some_and(|text| text.contains('\0')) {
        return Err(invalid(format!("`{what}` cannot be used: it holds a NUL character, which no name has")));
    }
    Ok(text.map(str::to_owned))
}

/// A text that somebody wrote, of so many characters.
pub(super) fn text<'t>(what: &str, text: &'t str, chars: RangeInclusive<usize>) -> Result<&'t str, Problem> {
    let text = text.trim();
    if !chars.contains(&text.chars().count()) {
        let (least, most) = (chars.start(), chars.end());
        return Err(invalid(format!("`{what}` cannot be used: expected {least} to {most} characters")));
    }
    if text.contains('\0') {
        return Err(invalid(format!("`{what}` cannot be used: it holds a NUL character")));
    }
    Ok(text)
}

/// The same where it may be missing, which an empty one is.
pub(super) fn optional_text<'t>(
    what: &str,
    asked: Option<&'t str>,
    most: usize,
) -> Result<Option<&'t str>, Problem> {
    given(asked).map(|asked| text(what, asked, 1..=most)).transpose()
}

/// The id in a path. One that is none is nothing's.
pub(super) fn id(text: &str, what: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| not_found(what))
}

/// `limit`, `offset` and `cursor`.
pub(super) fn page(limit: Option<&str>, offset: Option<&str>, cursor: Option<&str>) -> Result<Page, Problem> {
    let page = Page::first(rows(limit)?).skipping(skipped(offset)?);
    let Some(cursor) = given(cursor) else { return Ok(page) };
    let cursor: Cursor =
        cursor.parse().map_err(|expected| invalid(format!("`cursor` cannot be used: {expected}")))?;
    Ok(page.after(cursor))
}

/// How many rows: 1 to 200, 50 when nothing is said.
pub(super) fn rows(text: Option<&str>) -> Result<u32, Problem> {
    let Some(text) = given(text) else { return Ok(LIMIT) };
    text.parse()
        .ok()
        .filter(|limit| (1..=MOST).contains(limit))
        .ok_or_else(|| invalid(format!("`limit` cannot be used: expected a whole number from 1 to {MOST}")))
}

/// Where a page begins: 0 when nothing is said.
fn skipped(text: Option<&str>) -> Result<u64, Problem> {
    let Some(text) = given(text) else { return Ok(0) };
    text.parse::<u32>()
        .map(u64::from)
        .map_err(|_| invalid("`offset` cannot be used: expected a whole number from 0".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_limits() {
        assert_eq!(page(None, Some(" "), None).unwrap().limit, 50);
        for limit in ["0", "201", "-1", "many"] {
            assert!(page(Some(limit), None, None).is_err(), "{limit}");
        }
        assert!(page(None, Some("-1"), None).is_err());
        assert!(page(None, None, Some("here")).is_err());
    }
}
