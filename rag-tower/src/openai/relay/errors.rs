//! Our own refusals in the shape that OpenAI's clients read.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use pin_project_lite::pin_project;
use serde_json::json;
use tower_layer::Layer;
use tower_service::Service;

use crate::http::Problem;

/// Turns each response that is a [`Problem`] into OpenAI's error object, whichever layer inside has made it:
/// `{"error": {"message": …, "type": …, "param": null, "code": …}}`, where the code is the problem's kind. Status,
/// `Retry-After` and `WWW-Authenticate` stay. What a provider said passes as it is.
///
/// - **Order**: outside every layer that refuses, inside the HTTP trace layer.
/// - **Readiness**: forwarded verbatim.
/// - **Cancellation**: nothing of its own.
/// - **Panics**: none of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAiErrorsLayer;

/// The service of [`OpenAiErrorsLayer`].
#[derive(Clone, Copy, Debug)]
pub struct OpenAiErrors<S> {
    inner: S,
}

pin_project! {
    /// The future of [`OpenAiErrors`].
    #[must_use = "futures do nothing unless polled"]
    pub struct OpenAiErrorsFuture<F> {
        #[pin]
        inner: F,
    }
}

// === impl OpenAiErrorsLayer ===

impl OpenAiErrorsLayer {
    /// The layer; it has no settings.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for OpenAiErrorsLayer {
    type Service = OpenAiErrors<S>;

    fn layer(&self, inner: S) -> OpenAiErrors<S> {
        OpenAiErrors { inner }
    }
}

// === impl OpenAiErrors ===

impl<S, B, RB> Service<Request<B>> for OpenAiErrors<S>
where
    S: Service<Request<B>, Response = Response<RB>>,
    RB: From<Bytes>,
{
    type Response = Response<RB>;
    type Error = S::Error;
    type Future = OpenAiErrorsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        OpenAiErrorsFuture { inner: self.inner.call(request) }
    }
}

// === impl OpenAiErrorsFuture ===

impl<F, RB, E> Future for OpenAiErrorsFuture<F>
where
    F: Future<Output = Result<Response<RB>, E>>,
    RB: From<Bytes>,
{
    type Output = Result<Response<RB>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(self.project().inner.poll(cx))?;
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            *response.body_mut() = RB::from(body(&problem));
            let headers = response.headers_mut();
            headers.remove(header::CONTENT_LENGTH);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Poll::Ready(Ok(response))
    }
}

fn body(problem: &Problem) -> Bytes {
    let kind = match problem.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    let error = json!({"message": problem.detail(), "type": kind, "param": null, "code": problem.kind()});
    Bytes::from(json!({ "error": error }).to_string())
}
