//! From the head of the response to its end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::error::{Error, ErrorKind, Stage};
use crate::trace::guard::Guard;
use crate::trace::{Outcome, Receipt};

pin_project! {
    /// A response body whose end is a row.
    ///
    /// A server does not poll a body to `None` when it knows the length, and not at all when there is nothing to send.
    /// So the end is seen in four ways: before there is a body, at the announced length, when the body says so, and at
    /// `None`.
    pub struct TracedBody<B> where B: Body {
        // Goes first: when both are dropped, stages that were running put their time on the row.
        #[pin]
        inner: B,
        guard: Guard,
        outcome: Outcome,
        // Bytes still to come, where the length is known.
        left: Option<u64>,
        // The first frame of a stream of events is its first text.
        events: bool,
        // The last item, until its row is safe.
        closing: Option<(Receipt, Item<B>)>,
    }
}

type Item<B> = Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>;

// === impl TracedBody ===

impl<B: Body> TracedBody<B> {
    pub(super) fn new(inner: B, guard: Guard, outcome: Outcome, headers: &HeaderMap) -> Self {
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let left = announced.or_else(|| inner.size_hint().exact());
        let events =
            headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        Self { inner, guard, outcome, left, events, closing: None }
    }
}

impl<B: Body> Body for TracedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Item<B>> {
        let mut this = self.project();
        if this.closing.is_none() {
            let inner = this.inner.as_mut();
            let item = ready!(this.guard.watch(|| inner.poll_frame(cx)));
            let receipt = match &item {
                None => this.guard.finish(this.outcome.clone(), None),
                Some(Err(_)) => {
                    let error = Error::new(ErrorKind::Internal, Stage::Http);
                    this.guard.finish(Outcome::Failed(error.kind(), error.stage()), Some(&error))
                }
                Some(Ok(frame)) => {
                    this.guard.streaming(*this.events);
                    let sent = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                    *this.left = this.left.map(|left| left.saturating_sub(sent));
                    if *this.left != Some(0) && !this.inner.is_end_stream() {
                        return Poll::Ready(item);
                    }
                    this.guard.finish(this.outcome.clone(), None)
                }
            };
            if receipt.is_done() {
                return Poll::Ready(item);
            }
            *this.closing = Some((receipt, item));
        }
        if let Some((receipt, _)) = this.closing.as_mut() {
            ready!(Pin::new(receipt).poll(cx));
        }
        Poll::Ready(this.closing.take().and_then(|(_, item)| item))
    }

    fn is_end_stream(&self) -> bool {
        self.closing.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Body> std::fmt::Debug for TracedBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracedBody").field("left", &self.left).finish_non_exhaustive()
    }
}
