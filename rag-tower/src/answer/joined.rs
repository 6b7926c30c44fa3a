//! Events in, the same out, with the text that is there at the same time in one piece.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::{AnswerStream, Event};
use crate::error::Error;

/// Joins texts that follow each other and are ready at once: each event costs something at every stage that it goes through,
/// and whoever waits for the whole answer sees no pieces. Nothing is waited for.
pub(crate) struct Joined {
    events: AnswerStream,
    /// What ended the last text.
    next: Option<Result<Event, Error>>,
}

/// A text grows no further than this, in bytes, so that a stream that is always ready comes to an end of each turn.
const LONGEST: usize = 64 * 1024;

// === impl Joined ===

impl Joined {
    pub(crate) fn of(events: AnswerStream) -> Self {
        Self { events, next: None }
    }
}

impl Stream for Joined {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut text = String::new();
        while text.len() < LONGEST {
            let polled = match self.next.take() {
                Some(next) => Poll::Ready(Some(next)),
                None => Pin::new(&mut self.events).poll_next(cx),
            };
            match polled {
                Poll::Ready(Some(Ok(Event::Delta(delta)))) => text.push_str(&delta),
                other if text.is_empty() => return other,
                Poll::Ready(next) => {
                    self.next = next;
                    break;
                }
                Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(Event::Delta(text.into()))))
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_with;

    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;
    use crate::answer::Finish;
    use crate::error::{ErrorKind, Stage};

    fn delta(text: &str) -> Result<Event, Error> {
        Ok(Event::Delta(text.into()))
    }

    fn joined(events: impl Stream<Item = Result<Event, Error>> + Send + 'static) -> Joined {
        Joined::of(AnswerStream::new(events))
    }

    #[test]
    fn text_that_is_there_is_one_piece_and_what_follows_stays_in_its_place() {
        let events = [delta("a"), delta("b"), Ok(Event::Finished(Finish::Stop))];
        let all: Vec<_> = joined(stream::iter(events)).map(Result::unwrap).collect().now_or_never().unwrap();
        assert_eq!(all, [Event::Delta("ab".into()), Event::Finished(Finish::Stop)]);

        let broken = Error::new(ErrorKind::Truncated, Stage::Generate);
        let mut events = joined(stream::iter([delta("a"), delta("b"), Err(broken)]));
        assert_eq!(events.next().now_or_never().unwrap().unwrap().unwrap(), Event::Delta("ab".into()));
        let error = events.next().now_or_never().unwrap().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert!(events.next().now_or_never().unwrap().is_none());
    }

    #[test]
    fn nothing_is_waited_for() {
        let mut events = joined(stream::iter([delta("a"), delta("b")]).chain(stream::pending()));
        assert_eq!(events.next().now_or_never().unwrap().unwrap().unwrap(), Event::Delta("ab".into()));
        assert!(events.next().now_or_never().is_none());
    }

    #[test]
    fn a_stream_that_is_always_ready_is_read_in_parts() {
        let mut events = joined(stream::iter(repeat_with(|| delta("0123456789"))));
        let Some(Ok(Event::Delta(text))) = events.next().now_or_never().unwrap() else { panic!("text") };
        assert!(text.len() >= LONGEST && text.len() < LONGEST + 10);
    }
}
