//! The future.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::Hold;
use super::permit::Permit;
use crate::answer::Answer;
use crate::error::Error;
use crate::stage::PassOr;

pin_project! {
    /// The future of [`Admission`](super::Admission). It keeps the permit until the answer has it.
    #[must_use = "futures do nothing unless polled"]
    pub struct AdmissionFuture<F, T = Answer> {
        #[pin]
        inner: PassOr<F, T>,
        permit: Option<Permit>,
    }
}

// === impl AdmissionFuture ===

impl<F, T> AdmissionFuture<F, T> {
    pub(super) fn running(inner: F, permit: Permit) -> Self {
        Self { inner: PassOr::pass(inner), permit: Some(permit) }
    }

    pub(super) fn refused(error: Error) -> Self {
        Self { inner: PassOr::ready(Err(error)), permit: None }
    }
}

impl<F: Future<Output = Result<T, Error>>, T: Hold> Future for AdmissionFuture<F, T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let permit = this.permit.take();
        Poll::Ready(match (result, permit) {
            (Ok(answer), Some(permit)) => Ok(answer.hold(permit)),
            (result, _) => result,
        })
    }
}
