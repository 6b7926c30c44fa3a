//! From the head of the answer to its end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::guard::Guard;
use super::{Outcome, Receipt};
use crate::answer::{AnswerStream, Event};
use crate::error::Error;

type Item = Option<Result<Event, Error>>;

/// Watches the events of an answer. The last item is held until its row is safe.
pub(super) struct TraceStream {
    // Goes first: when both are dropped, stages that were running put their time on the row.
    events: AnswerStream,
    guard: Guard,
    closing: Option<(Receipt, Item)>,
}

// === impl TraceStream ===

impl TraceStream {
    pub(super) fn new(events: AnswerStream, guard: Guard) -> Self {
        Self { events, guard, closing: None }
    }

    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<Item> {
        if let Some((receipt, _)) = &mut self.closing {
            ready!(Pin::new(receipt).poll(cx));
        }
        Poll::Ready(self.closing.take().and_then(|(_, item)| item))
    }
}

impl Stream for TraceStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Item> {
        let this = &mut *self;
        if this.closing.is_some() {
            return this.poll_closing(cx);
        }
        let events = &mut this.events;
        let polled = this.guard.watch(|| Pin::new(events).poll_next(cx));
        let receipt = match &polled {
            Poll::Pending => return polled,
            Poll::Ready(Some(Ok(Event::Finished(finish)))) => {
                this.guard.finish(Outcome::Completed(finish.clone()), None)
            }
            Poll::Ready(Some(Ok(event))) => {
                this.guard.note(event);
                return polled;
            }
            Poll::Ready(Some(Err(error))) => {
                this.guard.finish(Outcome::Failed(error.kind(), error.stage()), Some(error))
            }
            Poll::Ready(None) => this.guard.finish(Outcome::Truncated, None),
        };
        if receipt.is_done() {
            return polled;
        }
        this.closing = Some((receipt, ready!(polled)));
        this.poll_closing(cx)
    }
}
