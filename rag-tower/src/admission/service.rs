//! The service.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tower_service::Service;

use super::Hold;
use super::future::AdmissionFuture;
use super::permit::{Full, Gate};
use crate::error::{Error, ErrorKind, Stage};
use crate::scoped::Scoped;

/// The service of [`AdmissionLayer`](super::AdmissionLayer).
#[derive(Clone, Debug)]
pub struct Admission<S> {
    pub(super) inner: S,
    pub(super) gate: Arc<Gate>,
}

// === impl Admission ===

impl<S, Req> Service<Req> for Admission<S>
where
    Req: Scoped,
    S: Service<Req, Response: Hold, Error = Error> + Clone,
{
    type Response = S::Response;
    type Error = Error;
    type Future = AdmissionFuture<S::Future, S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match self.gate.try_acquire(request.scope().tenant()) {
            Ok(permit) => AdmissionFuture::running(self.inner.call(request), permit),
            Err(full) => {
                // Replacing it gives back whatever the readied service had reserved.
                self.inner = self.inner.clone();
                AdmissionFuture::refused(overloaded(full))
            }
        }
    }
}

fn overloaded(full: Full) -> Error {
    Error::new(ErrorKind::Overloaded, Stage::Admission)
        .with_message(match full {
            Full::Global => {
                "the server is answering as many questions at once as it may; try again in a second"
            }
            Full::Tenant => {
                "your organisation has as many questions running at once as it may; try again in a second"
            }
        })
        .with_retry_after(Duration::from_secs(1))
}
