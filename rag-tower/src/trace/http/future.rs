//! From the call to the head of the response.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;

use super::TracedBody;
use crate::answer::Finish;
use crate::error::{Error, ErrorKind, Stage};
use crate::trace::guard::Guard;
use crate::trace::{Outcome, Receipt};

pin_project! {
    /// The future of [`HttpTrace`](super::HttpTrace).
    #[must_use = "futures do nothing unless polled"]
    pub struct HttpTraceFuture<F, R> where R: Body {
        // Goes first: when both are dropped, stages that were running put their time on the row.
        #[pin]
        inner: F,
        guard: Option<Guard>,
        head: bool,
        closing: Option<(Receipt, Response<TracedBody<R>>)>,
    }
}

// === impl HttpTraceFuture ===

impl<F, R: Body> HttpTraceFuture<F, R> {
    pub(super) fn new(inner: F, guard: Guard, head: bool) -> Self {
        Self { inner, guard: Some(guard), head, closing: None }
    }
}

impl<F, R, E> Future for HttpTraceFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<TracedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.closing.is_none() {
            let (inner, Some(watching)) = (this.inner, this.guard.as_mut()) else {
                // Polled after its end: there is nothing more to say.
                return Poll::Pending;
            };
            let result = ready!(watching.watch(|| inner.poll(cx)));
            let Some(mut guard) = this.guard.take() else { return Poll::Pending };
            let response = match result {
                Ok(response) => response,
                Err(error) => {
                    let ours = Error::new(ErrorKind::Internal, Stage::Http);
                    drop(guard.finish(Outcome::Failed(ours.kind(), ours.stage()), Some(&ours)));
                    return Poll::Ready(Err(error));
                }
            };
            let outcome = of_status(response.status());
            let (parts, body) = response.into_parts();
            let over = *this.head || is_bodiless(parts.status) || body.is_end_stream();
            let receipt = if over { guard.finish(outcome.clone(), None) } else { Receipt::done() };
            let body = TracedBody::new(body, guard, outcome, &parts.headers);
            *this.closing = Some((receipt, Response::from_parts(parts, body)));
        }
        if let Some((receipt, _)) = this.closing.as_mut() {
            ready!(Pin::new(receipt).poll(cx));
        }
        this.closing.take().map_or(Poll::Pending, |(_, response)| Poll::Ready(Ok(response)))
    }
}

/// What a status says of an answer, when the handler says nothing.
fn of_status(status: StatusCode) -> Outcome {
    let kind = match status.as_u16() {
        ..400 => return Outcome::Completed(Finish::Stop),
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        408 | 504 => ErrorKind::Timeout,
        400..500 => ErrorKind::InvalidInput,
        _ => ErrorKind::Internal,
    };
    Outcome::Failed(kind, Stage::Http)
}

/// True for statuses whose body a server never polls.
fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
