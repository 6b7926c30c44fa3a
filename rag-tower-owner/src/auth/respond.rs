//! The responses of login and logout.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use rag_tower::http::Problem;

/// The future of [`LoginService`](super::LoginService) and [`LogoutService`](super::LogoutService).
#[must_use = "futures do nothing unless polled"]
pub struct AuthFuture(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>);

// === impl AuthFuture ===

impl AuthFuture {
    pub(super) fn new(
        handling: impl Future<Output = Result<Response<Full<Bytes>>, Problem>> + Send + 'static,
    ) -> Self {
        Self(Box::pin(async move { handling.await.unwrap_or_else(refused) }))
    }
}

impl Future for AuthFuture {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for AuthFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthFuture")
    }
}

/// `{"ok":true}` with a cookie.
pub(super) fn ok(cookie: Option<HeaderValue>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"ok\":true}")));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = cookie {
        headers.insert(SET_COOKIE, cookie);
    }
    response
}

pub(super) fn only_post() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use POST")
}

fn refused(problem: Problem) -> Response<Full<Bytes>> {
    let wrong_method = problem.status() == StatusCode::METHOD_NOT_ALLOWED;
    let mut response = problem.into_response();
    if wrong_method {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}
