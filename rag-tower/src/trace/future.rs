//! From the call to the head of the answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::guard::Guard;
use super::stream::TraceStream;
use super::{Outcome, Receipt};
use crate::answer::Answer;
use crate::error::Error;

pin_project! {
    /// The future of [`Trace`](super::Trace).
    pub struct TraceFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        // `inner` goes first: when both are dropped, stages that were running put their time on the row.
        Running { #[pin] inner: F, guard: Option<Guard> },
        Closing { receipt: Receipt, error: Option<Error> },
    }
}

// === impl TraceFuture ===

impl<F> TraceFuture<F> {
    pub(super) fn running(inner: F, guard: Guard) -> Self {
        Self { state: State::Running { inner, guard: Some(guard) } }
    }

    pub(super) fn refused(error: Error) -> Self {
        Self { state: State::Closing { receipt: Receipt::done(), error: Some(error) } }
    }
}

impl<F: Future<Output = Result<Answer, Error>>> Future for TraceFuture<F> {
    type Output = Result<Answer, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Running { inner, guard } => {
                    let Some(watching) = guard.as_mut() else { return Poll::Pending };
                    let result = ready!(watching.watch(|| inner.poll(cx)));
                    let Some(mut watching) = guard.take() else { return Poll::Pending };
                    match result {
                        Ok(answer) => {
                            return Poll::Ready(Ok(
                                answer.map_stream(|events| TraceStream::new(events, watching))
                            ));
                        }
                        Err(error) => {
                            let outcome = Outcome::Failed(error.kind(), error.stage());
                            let receipt = watching.finish(outcome, Some(&error));
                            state.set(State::Closing { receipt, error: Some(error) });
                        }
                    }
                }
                StateProj::Closing { receipt, error } => {
                    ready!(Pin::new(receipt).poll(cx));
                    // Polled after its end: there is nothing more to say.
                    return error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error)));
                }
            }
        }
    }
}
