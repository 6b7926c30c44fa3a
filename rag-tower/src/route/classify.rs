//! What decides the way, and what it may decide.

use std::sync::Arc;

use tower_service::Service;

use crate::ask::{Ask, Question};
use crate::error::Error;
use crate::memory::History;
use crate::scoped::Scoped;
use crate::tenant::TenantScope;
use crate::trace::TraceHandle;

/// A question to classify.
#[derive(Clone, Debug)]
pub struct ClassifyRequest {
    /// Whose ask.
    pub scope: TenantScope,
    /// Where it is written down.
    pub trace: TraceHandle,
    /// The question.
    pub question: Question,
    /// What was said before.
    pub history: Option<Arc<History>>,
}

/// The way an ask goes. Intents are one of a program's few fixed names: they are the `route` of the trace and a metric
/// label.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// To the search pipeline.
    Search {
        /// The route's name in the trace.
        intent: Arc<str>,
    },
    /// To a tool.
    Tool {
        /// The tool's name in the [`RouteLayer`](super::RouteLayer).
        name: Arc<str>,
        /// The route's name in the trace.
        intent: Arc<str>,
    },
    /// Not a question for this tenant: the canned answer.
    OutOfDomain,
    /// To a person.
    Handoff {
        /// Why.
        reason: Arc<str>,
    },
}

/// A service that decides the way: [`ClassifyRequest`] in, [`Decision`] out. Implemented by every service of that shape.
pub trait Classifier:
    Service<ClassifyRequest, Response = Decision, Error = Error, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Classifier for S where
    S: Service<ClassifyRequest, Response = Decision, Error = Error, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

// === impl ClassifyRequest ===

impl ClassifyRequest {
    /// The request for an ask.
    #[must_use]
    pub fn of(ask: &Ask) -> Self {
        Self {
            scope: ask.scope().clone(),
            trace: ask.trace().clone(),
            question: ask.question().clone(),
            history: ask.history().cloned(),
        }
    }
}

impl Scoped for ClassifyRequest {
    fn scope(&self) -> &TenantScope {
        &self.scope
    }

    fn trace(&self) -> &TraceHandle {
        &self.trace
    }
}
