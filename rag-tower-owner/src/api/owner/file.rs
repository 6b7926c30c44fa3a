//! Files that are made while they are sent.

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use rag_tower::http::Problem;
use time::OffsetDateTime;

use super::asked::one_of;
use crate::owner_store::Format;

/// `format`: CSV unless asked otherwise.
pub(super) fn format(asked: Option<&str>) -> Result<Format, Problem> {
    let name = one_of("format", asked, &Format::ALL.map(|(name, _)| name))?;
    let format = Format::ALL.into_iter().find(|(known, _)| name.as_deref() == Some(known));
    Ok(format.map_or(Format::Csv, |(_, format)| format))
}

/// A file to keep, named after what is in it and the day.
pub(super) fn attachment(what: &str, format: Format, body: Body) -> Response {
    let mut response = Response::new(body);
    let name =
        format!("attachment; filename=\"{what}-{}.{}\"", OffsetDateTime::now_utc().date(), format.ending());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    response
}
