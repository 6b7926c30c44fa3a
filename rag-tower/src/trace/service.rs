//! The service.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tower_service::Service;

use super::future::TraceFuture;
use super::guard::Guard;
use super::{Outcome, TraceLayer, WhenFull};
use crate::answer::Answer;
use crate::error::{Error, ErrorKind, Stage};
use crate::scoped::Traceable;

/// Any request that can start a row in, the inner service's [`Answer`] out, watched to its end.
#[derive(Clone, Debug)]
pub struct Trace<S> {
    pub(super) inner: S,
    // Shared as a whole: a service is cloned for each ask.
    pub(super) layer: Arc<TraceLayer>,
}

// === impl Trace ===

impl<S, Req> Service<Req> for Trace<S>
where
    Req: Traceable,
    S: Service<Req, Response = Answer, Error = Error> + Clone,
{
    type Response = Answer;
    type Error = Error;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let TraceLayer { sink, meter, when_full } = &*self.layer;
        let scope = Some(request.scope().clone());
        let handle = request.trace().clone();
        let mut guard = Guard::new(sink, meter, handle, request.id(), scope, request.entry());
        if *when_full == WhenFull::Shed && !guard.is_kept() {
            // Its own row is the next try of a journal that could not be written.
            // Replacing it gives back whatever the readied service had reserved.
            self.inner = self.inner.clone();
            let error = Error::new(ErrorKind::Overloaded, Stage::Trace)
                .with_message("answers cannot be recorded at present; try again later")
                .with_retry_after(Duration::from_secs(1));
            drop(guard.finish(Outcome::Failed(error.kind(), error.stage()), Some(&error)));
            return TraceFuture::refused(error);
        }
        let inner = &mut self.inner;
        let running = guard.watch(|| inner.call(request));
        TraceFuture::running(running, guard)
    }
}
