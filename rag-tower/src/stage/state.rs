//! The states between stages. Each says in its type what has been done.

use std::sync::Arc;

use crate::ask::Ask;
use crate::passage::{Passages, Source};
use crate::port::{Embedding, Message};
use crate::scoped::Scoped;
use crate::tenant::TenantScope;
use crate::trace::TraceHandle;

/// An ask whose question has a vector.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The ask.
    pub ask: Ask,
    /// The question's vector.
    pub embedding: Embedding,
}

/// An ask with the passages found for it.
#[derive(Clone, Debug)]
pub struct Retrieved {
    /// The ask.
    pub ask: Ask,
    /// What was found. [`Passages`] can only be made by comparing each with a scope.
    pub passages: Passages,
}

/// An ask with the messages for a model.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The ask.
    pub ask: Ask,
    /// The messages, system first.
    pub messages: Arc<[Message]>,
    /// The passages that fit into the messages, best first.
    pub passages: Passages,
    /// What the answer may cite; source `i` is passage `i`.
    pub sources: Arc<[Source]>,
}

macro_rules! scoped {
    ($($state:ty),*) => {$(
        impl Scoped for $state {
            fn scope(&self) -> &TenantScope {
                self.ask.scope()
            }

            fn trace(&self) -> &TraceHandle {
                self.ask.trace()
            }
        }
    )*};
}
scoped!(Embedded, Retrieved, Prompt);
