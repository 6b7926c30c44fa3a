//! The one stream type of answers: boxed, fused, `Unpin`.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::Event;
use crate::error::Error;

/// A boxed stream of events that ends for good at its first `Finished` or error.
///
/// Fusing here means that "one error, then nothing" holds for every third-party generator, and that what it was
/// built from is dropped at its end even when the consumer keeps the stream.
#[must_use = "streams do nothing unless polled"]
pub struct AnswerStream(Option<Pin<Box<Events>>>);

type Events = dyn Stream<Item = Result<Event, Error>> + Send;

// === impl AnswerStream ===

impl AnswerStream {
    /// Boxes and fuses a stream.
    pub fn new(events: impl Stream<Item = Result<Event, Error>> + Send + 'static) -> Self {
        Self(Some(Box::pin(events)))
    }

    /// A stream of events that are known already.
    pub fn ready(events: Vec<Event>) -> Self {
        Self::new(futures_util::stream::iter(events.into_iter().map(Ok)))
    }

    /// A stream of one error.
    pub fn failed(error: Error) -> Self {
        Self::new(futures_util::stream::iter([Err(error)]))
    }
}

impl Stream for AnswerStream {
    type Item = Result<Event, Error>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(events) = self.0.as_mut() else { return Poll::Ready(None) };
        // Returned as it came, here and in every tap: taking it apart and putting it together again costs more than
        // looking at it.
        let polled = events.as_mut().poll_next(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_) | Ok(Event::Finished(_))))) {
            self.0 = None;
        }
        polled
    }
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStream").field("ended", &self.0.is_none()).finish()
    }
}
