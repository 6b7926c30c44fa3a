//! The layer and its service.

use std::task::{Context, Poll};
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use super::future::DeadlineFuture;
use super::watch::Watch;
use crate::answer::Answer;
use crate::error::Error;

/// Limits the time of an ask. See the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlineLayer {
    pub(super) first_event: Duration,
    pub(super) idle: Duration,
    pub(super) total: Duration,
}

/// The service of [`DeadlineLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Deadline<S> {
    inner: S,
    limits: DeadlineLayer,
}

// === impl DeadlineLayer ===

impl DeadlineLayer {
    /// The default limits.
    #[must_use]
    pub fn new() -> Self {
        Self {
            first_event: Duration::from_secs(30),
            idle: Duration::from_secs(20),
            total: Duration::from_secs(120),
        }
    }

    /// From the call to the first event. Default: 30 s.
    #[must_use]
    pub fn first_event(mut self, limit: Duration) -> Self {
        self.first_event = limit;
        self
    }

    /// Between events, while the consumer waits. Default: 20 s.
    #[must_use]
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// From the call to the terminal event. Default: 120 s.
    #[must_use]
    pub fn total(mut self, limit: Duration) -> Self {
        self.total = limit;
        self
    }
}

impl Default for DeadlineLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner, limits: *self }
    }
}

// === impl Deadline ===

impl<S, Req> Service<Req> for Deadline<S>
where
    S: Service<Req, Response = Answer, Error = Error>,
{
    type Response = Answer;
    type Error = Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        DeadlineFuture::new(self.inner.call(request), Watch::start(self.limits))
    }
}
