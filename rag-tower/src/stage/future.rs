//! The futures of stages.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::answer::Answer;
use crate::error::Error;

/// The future of a stage that waits for something of its own before or after the stage inside it.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<T = Answer>(Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>);

pin_project! {
    /// The future of a stage that either answers at once or passes the ask on: nothing is boxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct PassOr<F, T = Answer> {
        #[pin]
        inner: Option<F>,
        ready: Option<Result<T, Error>>,
    }
}

// === impl ResponseFuture ===

impl<T> ResponseFuture<T> {
    /// Boxes a future.
    pub fn new(future: impl Future<Output = Result<T, Error>> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl<T> Future for ResponseFuture<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> std::fmt::Debug for ResponseFuture<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// === impl PassOr ===

impl<F, T> PassOr<F, T> {
    /// Passes the request on: the future of what is inside.
    pub fn pass(inner: F) -> Self {
        Self { inner: Some(inner), ready: None }
    }

    /// Answers, or fails, at once.
    pub fn ready(result: Result<T, Error>) -> Self {
        Self { inner: None, ready: Some(result) }
    }
}

impl<F: Future<Output = Result<T, Error>>, T> Future for PassOr<F, T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.inner.as_pin_mut(), this.ready.take()) {
            (Some(inner), _) => inner.poll(cx),
            (None, Some(result)) => Poll::Ready(result),
            // Polled again after it was ready, which no caller may do.
            (None, None) => Poll::Pending,
        }
    }
}
