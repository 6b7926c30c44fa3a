//! From the call to the head of the answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::stream::DeadlineStream;
use super::watch::Watch;
use crate::answer::Answer;
use crate::error::Error;

pin_project! {
    /// The future of [`Deadline`](super::Deadline).
    #[must_use = "futures do nothing unless polled"]
    pub struct DeadlineFuture<F> {
        #[pin]
        inner: Option<F>,
        watch: Option<Watch>,
    }
}

// === impl DeadlineFuture ===

impl<F> DeadlineFuture<F> {
    pub(super) fn new(inner: F, watch: Watch) -> Self {
        Self { inner: Some(inner), watch: Some(watch) }
    }
}

impl<F: Future<Output = Result<Answer, Error>>> Future for DeadlineFuture<F> {
    type Output = Result<Answer, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (Some(inner), Some(watch)) = (this.inner.as_mut().as_pin_mut(), this.watch.as_mut()) else {
            // Polled after its end: there is nothing more to say.
            return Poll::Pending;
        };
        let result = match inner.poll(cx) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(ready!(watch.poll_wait(cx))),
        };
        this.inner.set(None);
        let watch = this.watch.take();
        Poll::Ready(match (result, watch) {
            (Ok(answer), Some(watch)) => Ok(answer.map_stream(|events| DeadlineStream::new(events, watch))),
            (result, _) => result,
        })
    }
}
