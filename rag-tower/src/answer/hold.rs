//! Keeps a guard, such as a permit, for as long as an answer streams.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::{AnswerStream, Event};
use crate::error::Error;

/// Drops its guard when the terminal event or an error is *yielded*, at the end, or when it is dropped.
pub(super) struct Hold<G> {
    events: AnswerStream,
    guard: Option<G>,
}

// === impl Hold ===

impl<G> Hold<G> {
    pub(super) fn new(events: AnswerStream, guard: G) -> Self {
        Self { events, guard: Some(guard) }
    }
}

impl<G: Unpin> Stream for Hold<G> {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.events).poll_next(cx);
        // SSE writers stop polling at the terminal event and may keep the stream: waiting for `None` would leak.
        if matches!(polled, Poll::Ready(None | Some(Err(_) | Ok(Event::Finished(_))))) {
            self.guard = None;
        }
        polled
    }
}
