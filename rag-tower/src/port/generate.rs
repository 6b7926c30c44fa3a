//! Messages to an answer.

use std::sync::Arc;

use tower_service::Service;

use crate::answer::AnswerStream;
use crate::ask::Question;
use crate::error::Error;
use crate::passage::{Passages, Source};
use crate::scoped::Scoped;
use crate::tenant::TenantScope;
use crate::trace::TraceHandle;

/// What a generator gets: the rendered messages, and what they were made of.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    /// Whose ask.
    pub scope: TenantScope,
    /// Where it is written down.
    pub trace: TraceHandle,
    /// The question.
    pub question: Question,
    /// The messages, system first.
    pub messages: Arc<[Message]>,
    /// The passages that went into the messages, best first; passage `i` is cited as `[i + 1]`.
    pub passages: Passages,
    /// What the answer may cite.
    pub sources: Arc<[Source]>,
    /// The most tokens to answer with; none leaves it to the provider.
    pub max_output_tokens: Option<u32>,
}

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub speaker: Speaker,
    /// What they say.
    pub text: Arc<str>,
}

/// Who speaks in a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// A service that generates: [`GenerateRequest`] in, a stream of `Delta`, `Usage` and `Finished` out. It resolves when
/// the provider has accepted the request, so that retries and fallbacks around it still work.
pub trait Generator:
    Service<GenerateRequest, Response = AnswerStream, Error = Error, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Generator for S where
    S: Service<GenerateRequest, Response = AnswerStream, Error = Error, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

impl Scoped for GenerateRequest {
    fn scope(&self) -> &TenantScope {
        &self.scope
    }

    fn trace(&self) -> &TraceHandle {
        &self.trace
    }
}
