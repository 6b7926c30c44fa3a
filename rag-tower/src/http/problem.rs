//! Errors as `application/problem+json`, and the only place where a kind becomes a status.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::ask::AskId;
use crate::error::{Error, ErrorKind};

/// An error as callers see it: [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) with `kind` and `trace_id`.
///
/// As JSON: `{"type":"about:blank","title":…,"status":…,"detail":…,"kind":…,"trace_id":…}`; `trace_id` only where an
/// ask was accepted. It never contains an error's source.
#[derive(Clone, PartialEq, Eq)]
pub struct Problem(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    status: StatusCode,
    kind: &'static str,
    detail: Cow<'static, str>,
    trace_id: Option<AskId>,
    retry_after: Option<Duration>,
}

// === impl Problem ===

impl Problem {
    /// A problem that no [`ErrorKind`] stands for, such as a wrong method. `detail` reaches callers.
    #[must_use]
    pub fn new(status: StatusCode, kind: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { status, kind, detail: detail.into(), trace_id: None, retry_after: None }))
    }

    /// Names the ask it belongs to. Default: none.
    #[must_use]
    pub fn with_trace_id(mut self, id: AskId) -> Self {
        self.0.trace_id = Some(id);
        self
    }

    /// Says when a retry may succeed; sent as `Retry-After` in whole seconds, rounded up. Default: none.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The kind: an [`ErrorKind`]'s name, or one of HTTP's own.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// What callers are told.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The body.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        // Plain data with string keys: writing it to memory cannot fail.
        serde_json::to_vec(self).map(Bytes::from).unwrap_or_default()
    }

    /// A whole response: status, body, `Content-Type`, `Cache-Control: no-store`, and where they apply
    /// `Retry-After` and `WWW-Authenticate`. The problem itself is among the extensions, for a layer further out that says it
    /// in another form.
    #[must_use]
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let mut response = Response::new(B::from(self.to_json()));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Seconds, rounded up: a client that waits as told must not come too early.
fn whole_seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0)
}

/// The status of a kind. Kinds that fail closed arrive here only where nothing turned them into a no-result answer.
fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::OverBudget => StatusCode::PAYMENT_REQUIRED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Isolation | ErrorKind::Panicked | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::ProviderUnavailable
        | ErrorKind::ProviderRejected
        | ErrorKind::ProviderInvalid
        | ErrorKind::Truncated => StatusCode::BAD_GATEWAY,
        ErrorKind::FilterUnavailable
        | ErrorKind::StoreUnavailable
        | ErrorKind::Overloaded
        | ErrorKind::ProviderRateLimited => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let problem = Self::new(status(error.kind()), error.kind().as_str(), error.to_string());
        match error.retry_after() {
            Some(after) => problem.with_retry_after(after),
            None => problem,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut problem = serializer.serialize_struct("Problem", 6)?;
        problem.serialize_field("type", "about:blank")?;
        problem.serialize_field("title", self.0.status.canonical_reason().unwrap_or("Error"))?;
        problem.serialize_field("status", &self.0.status.as_u16())?;
        problem.serialize_field("detail", &self.0.detail)?;
        problem.serialize_field("kind", self.0.kind)?;
        match &self.0.trace_id {
            Some(id) => problem.serialize_field("trace_id", id)?,
            None => problem.skip_field("trace_id")?,
        }
        problem.end()
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Problem").field("status", &self.0.status).field("kind", &self.0.kind).finish()
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        Self::into_response(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Stage;

    #[test]
    fn says_what_when_and_which_and_never_why() {
        let error = Error::new(ErrorKind::RateLimited, Stage::RateLimit)
            .with_retry_after(Duration::from_millis(1_200))
            .with_source("redis://:hunter2@cache");
        let id = AskId::generate();
        let response = Problem::from(error).with_trace_id(id).into_response::<Bytes>();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Too Many Requests", "status": 429, "kind": "rate_limited",
            "detail": "rate limit reached; try again later", "trace_id": id,
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_401_names_the_scheme() {
        let error = Error::new(ErrorKind::Unauthenticated, Stage::Tenant);
        let response = Problem::from(error).into_response::<Bytes>();
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert!(!String::from_utf8_lossy(response.body()).contains("trace_id"));
    }
}
