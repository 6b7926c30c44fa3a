//! The outermost layer: a request from the network in, one with an id, a bounded body and a measured response out.

use std::any::Any;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::Limited;
use rag_tower::http::Problem;
use tokio::time::Instant;
use uuid::Uuid;

use super::measured::Measured;
use crate::routes::max_body;

/// The longest request id that is taken over from a caller.
const MAX_REQUEST_ID: usize = 128;
/// The header with the id of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names the request, bounds its body, measures it, and sets the headers that every response has.
pub(crate) async fn edge(mut request: Request, next: Next) -> Response {
    let method = method_label(request.method());
    let route =
        request.extensions().get::<MatchedPath>().map_or("none".into(), |path| path.as_str().to_owned());
    let active = metrics::gauge!("http_server_active_requests", "method" => method, "route" => route.clone());
    active.increment(1.0);
    let began = Instant::now();

    let id = request_id(request.headers().get(&REQUEST_ID));
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let most = max_body(&route);
    let request = request.map(|body| Body::new(Limited::new(body, most)));

    let guard = Guard { method, route, active, began, status: StatusCode::OK, ended: false };
    let mut guard = guard;
    let mut response = next.run(request).await;
    guard.status = response.status();

    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // the connection goes on, the request is over
        return response;
    }
    guard.ended = true;
    response.map(|body| Body::new(Measured::new(body, guard)))
}

/// What a panic in a handler becomes; its message stays in the log.
pub(crate) fn panicked(_: Box<dyn Any + Send>) -> Response {
    metrics::counter!("rag_panics_total").increment(1);
    tracing::error!("a handler panicked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        rag_tower::ErrorKind::Panicked.as_str(),
        "an internal error stopped this request",
    )
    .into_response()
}

/// Counts a request as over when it is dropped: with its body, or with the future of a caller that went away.
pub(super) struct Guard {
    method: &'static str,
    route: String,
    active: metrics::Gauge,
    began: Instant,
    status: StatusCode,
    ended: bool,
}

// === impl Guard ===

impl Drop for Guard {
    fn drop(&mut self) {
        self.active.decrement(1.0);
        // 499: the caller closed the connection before there was a response
        let status = if self.ended || self.status != StatusCode::OK { self.status.as_u16() } else { 499 };
        let elapsed: Duration = self.began.elapsed();
        metrics::histogram!(
            "http_server_request_duration_seconds",
            "method" => self.method,
            "route" => std::mem::take(&mut self.route),
            "status" => status.to_string()
        )
        .record(elapsed.as_secs_f64());
    }
}

/// The caller's id when it can be shown in a log and a row as it is, else a fresh one.
fn request_id(given: Option<&HeaderValue>) -> HeaderValue {
    let fits = |id: &&HeaderValue| {
        (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(|byte| byte.is_ascii_graphic())
    };
    given.filter(fits).cloned().unwrap_or_else(|| {
        HeaderValue::try_from(Uuid::now_v7().to_string()).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// Methods are a closed set as labels: a caller may send any word.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_kept_when_it_can_be_shown() {
        let given = HeaderValue::from_static("order-17/b");
        assert_eq!(request_id(Some(&given)), given);
        for bad in [HeaderValue::from_static("two words"), HeaderValue::try_from("x".repeat(129)).unwrap()] {
            assert_ne!(request_id(Some(&bad)), bad);
        }
        assert_eq!(request_id(None).len(), 36);
    }
}
