//! Passages to passages in a better order.

use tower_service::Service;

use crate::ask::Question;
use crate::error::Error;
use crate::passage::Passages;
use crate::scoped::Scoped;
use crate::tenant::TenantScope;
use crate::trace::TraceHandle;

/// Passages of one ask to put in order.
#[derive(Clone, Debug)]
pub struct RerankRequest {
    /// Whose ask.
    pub scope: TenantScope,
    /// Where it is written down.
    pub trace: TraceHandle,
    /// The question.
    pub question: Question,
    /// The passages.
    pub passages: Passages,
}

/// A service that reranks: [`RerankRequest`] in, the same passages (or fewer) out, best first, each with its new score.
/// It can drop and reorder passages, not add any: [`Passages`] has no other door.
pub trait Rerank:
    Service<RerankRequest, Response = Passages, Error = Error, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Rerank for S where
    S: Service<RerankRequest, Response = Passages, Error = Error, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

impl Scoped for RerankRequest {
    fn scope(&self) -> &TenantScope {
        &self.scope
    }

    fn trace(&self) -> &TraceHandle {
        &self.trace
    }
}
