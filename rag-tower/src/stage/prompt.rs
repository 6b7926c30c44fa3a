//! [`Retrieved`] in, [`Prompt`] out: writes the messages for the model, within a token budget, and numbers the sources.

mod template;

use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

pub use self::template::{DefaultTemplate, Template, TemplateInput};
use super::{PassOr, Prompt, Retrieved, StageLayer};
use crate::answer::{Answer, estimate_tokens};
use crate::error::{Error, Stage};
use crate::memory::History;
use crate::passage::{Passages, Source};
use crate::port::Message;
use crate::scoped::Scoped;

/// Writes the messages for the model with a [`Template`].
///
/// The messages stay within [`with_max_context_tokens`](Self::with_max_context_tokens), counted as `ceil(chars / 4)`
/// of each: passages are dropped from the tail, then the history; when the question and the best passage alone do not
/// fit, the ask fails as [`InvalidInput`](crate::ErrorKind::InvalidInput). The passages that go in are marked as used on
/// the trace.
///
/// - **Order:** after everything that scores or drops passages, right before [`Generate`](super::Generate).
/// - **Readiness:** that of the stage inside.
/// - **Cancellation:** rendering is synchronous; there is nothing to cancel.
/// - **Panics:** when the template does.
#[derive(Debug)]
pub struct PromptLayer<T = DefaultTemplate> {
    template: Arc<T>,
    max_context_tokens: u64,
}

/// The service of [`PromptLayer`].
#[derive(Debug)]
pub struct PromptStage<S, T> {
    inner: S,
    layer: PromptLayer<T>,
}

/// The token budget when nothing is said.
const DEFAULT_MAX_CONTEXT_TOKENS: u64 = 8_000;

// === impl PromptLayer ===

impl<T> PromptLayer<T> {
    /// A layer that renders with `template`.
    pub fn new(template: T) -> Self {
        Self { template: Arc::new(template), max_context_tokens: DEFAULT_MAX_CONTEXT_TOKENS }
    }

    /// The most tokens of all messages together. Default: 8000.
    #[must_use]
    pub fn with_max_context_tokens(mut self, tokens: u64) -> Self {
        self.max_context_tokens = tokens;
        self
    }
}

impl Default for PromptLayer {
    fn default() -> Self {
        Self::new(DefaultTemplate::default())
    }
}

impl<T> Clone for PromptLayer<T> {
    fn clone(&self) -> Self {
        Self { template: Arc::clone(&self.template), max_context_tokens: self.max_context_tokens }
    }
}

impl<S, T> Layer<S> for PromptLayer<T> {
    type Service = PromptStage<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        PromptStage { inner, layer: self.clone() }
    }
}

impl<T> StageLayer for PromptLayer<T> {
    type In = Retrieved;
    type Out = Prompt;
}

impl<T: Template> PromptLayer<T> {
    fn write(&self, Retrieved { ask, mut passages }: Retrieved) -> Result<Prompt, Error> {
        // No rendering makes a passage shorter: cut what cannot fit before rendering anything.
        let mut room = self.max_context_tokens;
        let fitting = passages
            .iter()
            .take_while(|passage| {
                let left = room.checked_sub(estimate_tokens(&passage.text));
                room = left.unwrap_or(0);
                left.is_some()
            })
            .count();
        passages.truncate(fitting.max(1));
        let mut history = ask.history().map(Arc::as_ref);
        let messages = loop {
            let messages = self.render(&ask, history, &passages);
            let tokens: u64 = messages.iter().map(|message| estimate_tokens(&message.text)).sum();
            if tokens <= self.max_context_tokens {
                break messages;
            }
            match (passages.len(), history) {
                (2.., _) => passages.truncate(passages.len() - 1),
                (_, Some(_)) => history = None,
                (_, None) => {
                    return Err(Error::invalid(
                        Stage::Prompt,
                        format!(
                            "the question and its best passage need about {tokens} tokens and the model's context \
                             takes {}: shorten the question",
                            self.max_context_tokens
                        ),
                    ));
                }
            }
        };
        let chunks: Vec<_> = passages.iter().map(|passage| passage.chunk).collect();
        ask.trace().mark_used(&chunks);
        let sources = (1..).zip(passages.iter()).map(|(n, passage)| Source::new(n, passage)).collect();
        Ok(Prompt { ask, messages: messages.into(), passages, sources })
    }

    fn render(&self, ask: &crate::Ask, history: Option<&History>, passages: &Passages) -> Vec<Message> {
        self.template.render(&TemplateInput {
            scope: ask.scope(),
            question: ask.question().as_str(),
            history,
            passages,
        })
    }
}

// === impl PromptStage ===

impl<S: Clone, T> Clone for PromptStage<S, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S, T> Service<Retrieved> for PromptStage<S, T>
where
    S: Service<Prompt, Response = Answer, Error = Error>,
    T: Template,
{
    type Response = Answer;
    type Error = Error;
    type Future = PassOr<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Retrieved) -> Self::Future {
        let timer = request.trace().time(Stage::Prompt);
        let written = self.layer.write(request);
        drop(timer);
        match written {
            Ok(prompt) => PassOr::pass(self.inner.call(prompt)),
            Err(error) => PassOr::ready(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests;
