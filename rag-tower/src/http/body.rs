//! The body of an answer: JSON that is there already, or events as they come.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::AnswerFrames;

/// A comment: SSE clients ignore it, proxies see traffic.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// The body of a response: whole, or one body frame per server-sent event, so that none waits for the next.
///
/// Dropping it drops the answer's stream, which cancels the ask.
#[must_use = "a body does nothing unless polled"]
pub struct AnswerBody(Kind);

enum Kind {
    Whole(Bytes),
    Events(Box<Events>),
    Ended,
}

struct Events {
    frames: AnswerFrames,
    alarm: Pin<Box<Sleep>>,
    every: Duration,
    quiet: bool,
}

// === impl AnswerBody ===

impl AnswerBody {
    /// The events of an answer, with a comment when nothing was sent for `keep_alive` to twice that. Needs a running
    /// tokio runtime with time.
    pub fn events(frames: AnswerFrames, keep_alive: Duration) -> Self {
        let alarm = Box::pin(tokio::time::sleep(keep_alive));
        Self(Kind::Events(Box::new(Events { frames, alarm, every: keep_alive, quiet: true })))
    }
}

impl From<Bytes> for AnswerBody {
    fn from(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() { Kind::Ended } else { Kind::Whole(bytes) })
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut self.0 {
            Kind::Ended => return Poll::Ready(None),
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Ended;
                bytes
            }
            Kind::Events(events) => {
                let (data, last) = std::task::ready!(events.poll(cx));
                if last {
                    self.0 = Kind::Ended;
                }
                data
            }
        };
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Events(_) => SizeHint::default(),
            Kind::Ended => SizeHint::with_exact(0),
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Whole(_) => "AnswerBody(whole)",
            Kind::Events(_) => "AnswerBody(events)",
            Kind::Ended => "AnswerBody(ended)",
        })
    }
}

// === impl Events ===

impl Events {
    /// The next bytes, and whether they are the last.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Bytes, bool)> {
        if let Poll::Ready(frame) = Pin::new(&mut self.frames).poll_next(cx) {
            self.quiet = false;
            return Poll::Ready(match frame {
                Some(frame) => (frame.to_sse(), frame.is_last()),
                None => (Bytes::new(), true),
            });
        }
        // The alarm is not set anew for each event: it asks at its own pace whether there was one.
        while self.alarm.as_mut().poll(cx).is_ready() {
            self.alarm.as_mut().reset(Instant::now() + self.every);
            if std::mem::replace(&mut self.quiet, true) {
                return Poll::Ready((Bytes::from_static(KEEP_ALIVE), false));
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::test_util::{Leaf, Step};
    use crate::{Ask, Question, TraceHandle};

    async fn body(steps: Vec<Step>) -> AnswerBody {
        let scope = crate::test_util::scope("acme");
        let ask = Ask::new(scope, Question::parse("hi").unwrap());
        let answer = Leaf::streaming(steps).oneshot(ask).await.unwrap();
        AnswerBody::events(AnswerFrames::new(answer, TraceHandle::new(), None), Duration::from_secs(10))
    }

    async fn next(body: &mut AnswerBody) -> String {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        String::from_utf8(frame.to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_by_comments() {
        let steps = vec![Step::delta("a"), Step::Sleep(Duration::from_secs(35)), Step::stop()];
        let mut body = body(steps).await;
        assert!(next(&mut body).await.starts_with("event: start\n"));
        assert_eq!(next(&mut body).await, "event: delta\ndata: {\"text\":\"a\"}\n\n");
        let began = Instant::now();
        assert_eq!(next(&mut body).await, ": keep-alive\n\n");
        assert_eq!(began.elapsed().as_secs(), 20, "the first period had events in it");
        assert_eq!(next(&mut body).await, ": keep-alive\n\n");
        assert!(!body.is_end_stream());
        assert!(next(&mut body).await.starts_with("event: end\n"));
        assert!(body.is_end_stream(), "known without another poll");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn one_frame_per_event_though_many_are_ready() {
        let mut body = body(vec![Step::delta("a"), Step::delta("b"), Step::stop()]).await;
        let mut events = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.unwrap().into_data().unwrap();
            assert_eq!(frame.windows(7).filter(|window| window == b"event: ").count(), 1);
            events += 1;
        }
        assert_eq!(events, 4);
    }

    #[tokio::test]
    async fn a_whole_body_knows_its_length() {
        let body = AnswerBody::from(Bytes::from_static(b"{}"));
        assert_eq!(body.size_hint().exact(), Some(2));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "{}");
        assert!(AnswerBody::from(Bytes::new()).is_end_stream());
    }
}
