//! From the head of the answer to its end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::watch::Watch;
use crate::answer::{AnswerStream, Event};
use crate::error::Error;

/// Passes events on, or ends with a timeout.
pub(super) struct DeadlineStream {
    events: AnswerStream,
    watch: Watch,
}

// === impl DeadlineStream ===

impl DeadlineStream {
    pub(super) fn new(events: AnswerStream, watch: Watch) -> Self {
        Self { events, watch }
    }
}

impl Stream for DeadlineStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.events).poll_next(cx);
        match &polled {
            // A terminal event that is here is an answer, however late.
            Poll::Ready(Some(Ok(Event::Finished(_)) | Err(_)) | None) => {}
            Poll::Ready(Some(Ok(_))) => {
                if let Err(late) = this.watch.event() {
                    return Poll::Ready(Some(Err(late)));
                }
            }
            Poll::Pending => return Poll::Ready(Some(Err(ready!(this.watch.poll_wait(cx))))),
        }
        polled
    }
}
