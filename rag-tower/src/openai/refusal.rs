//! What a provider's refusals and failures mean.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;

use super::wire::WireError;
use crate::error::{BoxError, Error, ErrorKind, Stage};

/// As much of an error's body as is read.
const MOST_BODY: usize = 16 * 1024;
/// The longest wait that is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// The body of an error response.
#[derive(Deserialize)]
struct ErrorBody {
    error: WireError,
}

/// Nothing came in time.
pub(super) fn silent(provider: &str, stage: Stage) -> Error {
    Error::new(ErrorKind::Timeout, stage)
        .with_message(format!("the model provider {provider} did not answer in time; try again"))
}

/// No connection, or one that broke before the response.
pub(super) fn unreachable(provider: &str, stage: Stage, error: impl Into<BoxError>) -> Error {
    Error::new(ErrorKind::ProviderUnavailable, stage)
        .with_message(format!("the model provider {provider} cannot be reached; try again"))
        .with_source(error)
}

/// Something that is not the protocol. `what` must not hold anything the provider sent.
pub(super) fn invalid(provider: &str, stage: Stage, what: &str) -> Error {
    Error::new(ErrorKind::ProviderInvalid, stage)
        .with_message(format!("the model provider {provider} {what}"))
}

/// A JSON document that cannot be read; of the reason only the place is kept, since the rest may quote the document.
pub(super) fn unreadable(provider: &str, stage: Stage, error: &serde_json::Error) -> Error {
    let what = format!(
        "sent JSON that is not the OpenAI protocol's ({:?} error at column {})",
        error.classify(),
        error.column()
    );
    invalid(provider, stage, &what)
}

/// A status that is not success.
pub(super) async fn refused(provider: &str, stage: Stage, response: Response<Incoming>) -> Error {
    let (head, mut body) = response.into_parts();
    let mut read = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if read.len() > MOST_BODY {
            break;
        }
    }
    of(provider, stage, (head.status, &head.headers), &read, SystemTime::now())
}

/// The error of a status that is not success, of whose body only a code is read.
pub(super) fn of(
    provider: &str,
    stage: Stage,
    (status, headers): (StatusCode, &HeaderMap),
    body: &[u8],
    now: SystemTime,
) -> Error {
    let code = serde_json::from_slice::<ErrorBody>(body).ok().and_then(|body| body.error.identifier());
    by_status(provider, stage, status, code, retry_after(headers, now))
}

/// A body that ended too early.
pub(super) fn truncated(provider: &str) -> Error {
    Error::new(ErrorKind::Truncated, Stage::Generate)
        .with_message(format!("the model provider {provider} ended its answer before it was complete"))
}

/// The error of an error object inside a stream that began with `200 OK`.
pub(super) fn reported(provider: &str, stage: Stage, error: &WireError) -> Error {
    let code = error.identifier();
    let status = error.status().unwrap_or(match code.as_deref() {
        Some(code) if code.contains("rate_limit") => StatusCode::TOO_MANY_REQUESTS,
        Some(code) if code.starts_with("invalid_request") => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    });
    by_status(provider, stage, status, code, None)
}

fn by_status(
    provider: &str,
    stage: Stage,
    status: StatusCode,
    code: Option<String>,
    retry_after: Option<Duration>,
) -> Error {
    let (kind, mend) = match status.as_u16() {
        429 => (ErrorKind::ProviderRateLimited, "asks to slow down; try again later"),
        401 | 403 => (ErrorKind::ProviderRejected, "refused our key: check the key and what it may use"),
        404 => (ErrorKind::ProviderRejected, "does not know this: check the model's name and the base URL"),
        408 | 500.. => (ErrorKind::ProviderUnavailable, "failed; try again"),
        300..=399 => (ErrorKind::ProviderRejected, "redirects elsewhere: check the base URL"),
        _ => (ErrorKind::ProviderRejected, "refused the request: check model, length and settings"),
    };
    let code = code.map(|code| format!(", {code}")).unwrap_or_default();
    let message = format!("the model provider {provider} {mend} (HTTP {}{code})", status.as_u16());
    let error = Error::new(kind, stage).with_message(message);
    match retry_after.filter(|_| kind != ErrorKind::ProviderRejected) {
        Some(after) => error.with_retry_after(after),
        None => error,
    }
}

/// `Retry-After` as seconds or as an HTTP date; a date in the past is now, and nothing is believed beyond a day.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(after.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let of = |value: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, http::HeaderValue::from_static(value))]);
            retry_after(&headers, now)
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:27 GMT"), Some(Duration::ZERO));
        assert_eq!(of("99999999999"), Some(LONGEST_WAIT));
        assert_eq!((of("soon"), of("-1")), (None, None));
    }

    #[test]
    fn statuses_have_their_kinds() {
        for (status, kind) in [
            (400, ErrorKind::ProviderRejected),
            (401, ErrorKind::ProviderRejected),
            (404, ErrorKind::ProviderRejected),
            (302, ErrorKind::ProviderRejected),
            (408, ErrorKind::ProviderUnavailable),
            (429, ErrorKind::ProviderRateLimited),
            (500, ErrorKind::ProviderUnavailable),
            (529, ErrorKind::ProviderUnavailable),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(by_status("p", Stage::Generate, status, None, None).kind(), kind, "{status}");
        }
    }
}
