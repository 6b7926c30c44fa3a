//! A generator to one whose answer exists once its first event does.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream;
use tower::ServiceExt;
use tower_service::Service;

use crate::answer::AnswerStream;
use crate::error::{Error, ErrorKind, Stage};
use crate::port::{GenerateRequest, Generator};

/// Waits for a generator's first event before it resolves.
///
/// Some providers answer `200 OK` and then fail, or close without a word. Inside a retry or a
/// [`Fallback`](super::Fallback) that is a failure like any other, as long as nobody has seen an event.
///
/// **Order:** directly around the provider. **Readiness:** always ready; the provider's is awaited in the future.
/// **Cancellation:** dropping the future drops the provider's stream. **Panics:** none of its own.
#[derive(Clone, Debug)]
pub struct Primed<G> {
    inner: G,
}

// === impl Primed ===

impl<G> Primed<G> {
    /// Wraps a generator.
    #[must_use]
    pub fn new(inner: G) -> Self {
        Self { inner }
    }
}

impl<G: Generator> Service<GenerateRequest> for Primed<G> {
    type Response = AnswerStream;
    type Error = Error;
    type Future = BoxFuture<'static, Result<AnswerStream, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: GenerateRequest) -> Self::Future {
        let inner = self.inner.clone();
        Box::pin(async move { prime(inner.oneshot(request).await?).await })
    }
}

/// Waits for the first event and puts it back in front.
///
/// # Errors
/// The stream's own first error, or [`ErrorKind::Truncated`] when it is empty.
pub(super) async fn prime(mut events: AnswerStream) -> Result<AnswerStream, Error> {
    match poll_fn(|cx| Pin::new(&mut events).poll_next(cx)).await {
        Some(Ok(first)) => Ok(AnswerStream::new(stream::iter([Ok(first)]).chain(events))),
        Some(Err(error)) => Err(error),
        None => Err(Error::new(ErrorKind::Truncated, Stage::Generate)),
    }
}
