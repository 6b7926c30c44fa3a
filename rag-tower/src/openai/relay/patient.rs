//! A provider's body in, the same frames out, or an error once the provider has been silent for too long.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::refusal;
use crate::error::{BoxError, Error, Stage};

pin_project! {
    /// A provider's body, for as long as somebody is patient.
    pub(super) struct Patient<B> {
        #[pin]
        inner: B,
        provider: Arc<str>,
        idle: Duration,
        // since when the next frame is waited for. Nobody waits while a client takes its time with the last one.
        since: Option<Instant>,
        alarm: Option<Pin<Box<Sleep>>>,
    }
}

// === impl Patient ===

impl<B> Patient<B> {
    /// The body of a provider that may be silent for so long.
    pub(super) fn new(inner: B, provider: Arc<str>, idle: Duration) -> Self {
        Self { inner, provider, idle, since: None, alarm: None }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for Patient<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.project();
        if let Poll::Ready(item) = this.inner.poll_frame(cx) {
            *this.since = None;
            return Poll::Ready(
                item.map(|frame| frame.map_err(|error| refusal::truncated(this.provider).with_source(error))),
            );
        }
        let until = *this.since.get_or_insert_with(Instant::now) + *this.idle;
        // The alarm is not set anew for each frame: when it goes off it looks how long this one has been waited for.
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
        while alarm.as_mut().poll(cx).is_ready() {
            if until <= Instant::now() {
                return Poll::Ready(Some(Err(refusal::silent(this.provider, Stage::Generate))));
            }
            alarm.as_mut().reset(until);
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::sleep;

    use super::*;
    use crate::error::ErrorKind;

    /// A body whose frames come so long after they are waited for.
    fn frames<const N: usize>(
        seconds: [u64; N],
    ) -> Patient<impl Body<Data = Bytes, Error = Infallible> + Unpin> {
        let frames = stream::iter(seconds).then(async |seconds| {
            sleep(Duration::from_secs(seconds)).await;
            Ok(Frame::data(Bytes::from_static(b"frame")))
        });
        Patient::new(StreamBody::new(Box::pin(frames)), "provider".into(), Duration::from_secs(30))
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_not_taken_for_a_silent_provider() {
        let mut body = frames([0, 29, 29, 29]);
        for _ in 0..4 {
            assert!(body.frame().await.unwrap().is_ok());
            sleep(Duration::from_secs(60)).await;
        }
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_provider_is_not_waited_for() {
        let mut body = frames([29, 31]);
        assert!(body.frame().await.unwrap().is_ok());
        let asked = Instant::now();
        assert_eq!(body.frame().await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        let waited = asked.elapsed();
        assert!((30_000..30_010).contains(&waited.as_millis()), "{waited:?}");
    }
}
