//! HTTP request → [`Ask`] → JSON or server-sent events.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use serde::Serialize;
use tower::ServiceExt;
use tower_service::Service;

use super::wire::{check_content_type, read_within, request_id, wants_events};
use super::{AnswerBody, AnswerFrames, AskRequest, DEFAULT_BODY_LIMIT, End, Problem, ServerFrame};
use crate::ask::Ask;
use crate::error::{BoxError, Error, Stage};
use crate::passage::Source;
use crate::scoped::Scoped;
use crate::stage::Answers;
use crate::tenant::{AuthFailure, TenantScope};
use crate::trace::{Parent, TraceHandle};

/// The leaf between HTTP and the stack: a `POST` with an [`AskRequest`] in, the answer out, as JSON, or as
/// server-sent events where `Accept` prefers `text/event-stream`.
///
/// It takes the scope that a [`ResolveTenantLayer`](crate::tenant::ResolveTenantLayer) has put into the request's
/// extensions; without one the answer is 401 and the body stays unread. A [`TraceHandle`] among the extensions is
/// joined, so that the HTTP trace layer and the stack's write one row. `X-Request-Id` is kept beside the trace id, and spans of
/// the ask are below the span that `traceparent` names.
///
/// - **Order**: innermost of the HTTP plane.
/// - **Readiness**: always ready; the stack's readiness is awaited inside the future, on a clone.
/// - **Cancellation**: dropping the future or the body drops the ask, which is then a cancelled row.
/// - **Panics**: pass through.
/// - **Errors**: none; whatever fails before an answer exists is a [`Problem`] with its status, and later an `error`
///   event (as JSON, nothing was sent yet: a problem too).
pub struct AskService<S> {
    stack: S,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    body_bytes: usize,
    body_time: Duration,
    keep_alive: Duration,
}

/// The future of an [`AskService`].
#[must_use = "futures do nothing unless polled"]
pub struct AskFuture(Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, Infallible>> + Send>>);

/// The whole answer as JSON.
#[derive(Serialize)]
struct Whole {
    answer: String,
    sources: Arc<[Source]>,
    #[serde(flatten)]
    end: End,
}

// === impl AskService ===

impl<S> AskService<S> {
    /// A leaf over a stack.
    #[must_use]
    pub fn new(stack: S) -> Self {
        let limits = Limits {
            body_bytes: DEFAULT_BODY_LIMIT,
            body_time: Duration::from_secs(10),
            keep_alive: Duration::from_secs(10),
        };
        Self { stack, limits }
    }

    /// Refuses longer bodies with 413. Default: [`DEFAULT_BODY_LIMIT`].
    #[must_use]
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.limits.body_bytes = bytes;
        self
    }

    /// Refuses bodies that take longer with 408. Default: 10 seconds.
    #[must_use]
    pub fn with_body_timeout(mut self, time: Duration) -> Self {
        self.limits.body_time = time;
        self
    }

    /// Sends a comment when nothing was sent for this long, up to twice that. Default: 10 seconds.
    #[must_use]
    pub fn with_keep_alive(mut self, every: Duration) -> Self {
        self.limits.keep_alive = every;
        self
    }
}

impl<S, B> Service<Request<B>> for AskService<S>
where
    S: Answers<Ask>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = AskFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> AskFuture {
        let (stack, limits) = (self.stack.clone(), self.limits);
        AskFuture(Box::pin(async move {
            Ok(match handle(stack, limits, request).await {
                Ok(response) => response,
                Err(problem) => refused(problem),
            })
        }))
    }
}

async fn handle<S, B>(stack: S, limits: Limits, request: Request<B>) -> Result<Response<AnswerBody>, Problem>
where
    S: Answers<Ask>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let (mut parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return Err(Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "ask with POST: send {\"question\": \"…\"} as JSON",
        ));
    }
    let scope: TenantScope = parts.extensions.remove().ok_or_else(|| AuthFailure::Missing.refuse())?;
    check_content_type(&parts.headers)?;
    let body = read_within(body, &parts.headers, limits.body_bytes, limits.body_time).await?;

    let mut ask = AskRequest::parse(&body)?.into_ask(scope)?;
    if let Some(trace) = parts.extensions.remove::<TraceHandle>() {
        ask = ask.with_trace(trace);
    }
    if let Some(parent) = Parent::of(&parts.headers) {
        ask.trace().set_parent(parent);
    }
    if let Some(id) = request_id(&parts.headers) {
        ask = ask.with_request_id(id);
    }

    let streamed = wants_events(&parts.headers);
    if !streamed {
        ask = ask.in_one_piece();
    }

    let (id, session, trace) = (ask.id(), ask.session(), ask.trace().clone());
    let answer = stack.oneshot(ask).await.map_err(|error| Problem::from(error).with_trace_id(id))?;
    let frames = AnswerFrames::new(answer, trace, session);
    if streamed {
        return Ok(events(frames, limits.keep_alive));
    }
    let whole = collect(frames).await?;
    let json = serde_json::to_vec(&whole).map_err(|error| Error::internal(Stage::Http, error))?;
    Ok(respond("application/json", AnswerBody::from(Bytes::from(json))))
}

async fn collect(mut frames: AnswerFrames) -> Result<Whole, Problem> {
    let (mut answer, mut sources) = (String::new(), Arc::from([]));
    while let Some(frame) = frames.next().await {
        match frame {
            ServerFrame::Start { .. } => {}
            ServerFrame::Sources(found) => sources = found,
            ServerFrame::Delta(text) => answer.push_str(&text),
            ServerFrame::End(end) => return Ok(Whole { answer, sources, end: *end }),
            ServerFrame::Error(problem) => return Err(problem),
        }
    }
    Err(Error::new(crate::ErrorKind::Truncated, Stage::Http).into())
}

fn events(frames: AnswerFrames, keep_alive: Duration) -> Response<AnswerBody> {
    let mut response = respond("text/event-stream", AnswerBody::events(frames, keep_alive));
    // nginx would otherwise wait for a buffer to fill.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn respond(content_type: &'static str, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refused(problem: Problem) -> Response<AnswerBody> {
    let wrong_method = problem.status() == StatusCode::METHOD_NOT_ALLOWED;
    let mut response = problem.into_response();
    if wrong_method {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

impl<S: Clone> Clone for AskService<S> {
    fn clone(&self) -> Self {
        Self { stack: self.stack.clone(), limits: self.limits }
    }
}

impl<S> fmt::Debug for AskService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskService").field("limits", &self.limits).finish_non_exhaustive()
    }
}

// === impl AskFuture ===

impl Future for AskFuture {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for AskFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AskFuture")
    }
}

#[cfg(test)]
mod tests;
