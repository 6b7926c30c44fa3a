//! Any state in, the same state out: a check between stages that may stop the ask.

use std::fmt;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::PassOr;
use crate::answer::Answer;
use crate::error::{Error, Stage};
use crate::scoped::Scoped;

/// Runs `check(&request)` and fails the ask with its error, without calling what is inside.
///
/// ```
/// use rag_tower::stage::{CheckpointLayer, Retrieved};
/// use rag_tower::{Error, Stage};
///
/// let one_document = CheckpointLayer::new(|found: &Retrieved| match found.passages.len() {
///     0..=20 => Ok(()),
///     _ => Err(Error::invalid(Stage::Checkpoint, "too many passages: ask for at most 20")),
/// });
/// ```
///
/// - **Order:** anywhere; the check's argument says between which stages.
/// - **Readiness:** that of the service inside.
/// - **Cancellation:** the check is synchronous and must be quick; it cannot be cancelled.
/// - **Panics:** when the check does.
#[derive(Clone, Copy)]
pub struct CheckpointLayer<F> {
    check: F,
}

/// The service of [`CheckpointLayer`].
#[derive(Clone, Copy)]
pub struct Checkpoint<S, F> {
    inner: S,
    check: F,
}

// === impl CheckpointLayer ===

impl<F> CheckpointLayer<F> {
    /// A layer that runs `check`, an `Fn(&Req) -> Result<(), Error>`.
    pub fn new<Req>(check: F) -> Self
    where
        F: Fn(&Req) -> Result<(), Error>,
    {
        Self { check }
    }
}

impl<S, F: Clone> Layer<S> for CheckpointLayer<F> {
    type Service = Checkpoint<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Checkpoint { inner, check: self.check.clone() }
    }
}

impl<F> fmt::Debug for CheckpointLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointLayer").finish_non_exhaustive()
    }
}

// === impl Checkpoint ===

impl<S, F, Req> Service<Req> for Checkpoint<S, F>
where
    S: Service<Req, Response = Answer, Error = Error>,
    F: Fn(&Req) -> Result<(), Error>,
    Req: Scoped,
{
    type Response = Answer;
    type Error = Error;
    type Future = PassOr<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let timer = request.trace().time(Stage::Checkpoint);
        let checked = (self.check)(&request);
        drop(timer);
        match checked {
            Ok(()) => PassOr::pass(self.inner.call(request)),
            Err(error) => PassOr::ready(Err(error)),
        }
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Checkpoint<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::super::testing::{self, Leaf};
    use super::*;
    use crate::error::ErrorKind;
    use crate::stage::Retrieved;

    #[tokio::test]
    async fn a_check_lets_through_or_stops() {
        let leaf = Leaf::answering("ok");
        let guard = CheckpointLayer::new(|request: &Retrieved| match request.passages.len() {
            1 => Ok(()),
            _ => Err(Error::invalid(Stage::Checkpoint, "one passage, please")),
        })
        .layer(leaf.clone());
        drop(guard.clone().oneshot(testing::retrieved("q", &[("one", 1.0)])).await.unwrap());
        let error = guard.oneshot(testing::retrieved("q", &[])).await.unwrap_err();
        assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::Checkpoint));
        assert_eq!(leaf.calls(), 1);
    }
}
