//! Text to vectors.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tower_service::Service;

use crate::error::{Error, Stage};
use crate::scoped::Scoped;
use crate::tenant::TenantScope;
use crate::trace::TraceHandle;

/// A dense vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Embedding(Arc<[f32]>);

/// Texts of one tenant to embed.
#[derive(Clone, Debug)]
pub struct EmbedRequest {
    /// Whose texts.
    pub scope: TenantScope,
    /// Where it is written down.
    pub trace: TraceHandle,
    /// What the texts are, for models that treat them differently.
    pub kind: EmbedKind,
    /// The texts; the response has one vector for each, in the same order.
    pub texts: Vec<Arc<str>>,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EmbedKind {
    /// A question.
    Query,
    /// A piece of a document.
    Document,
}

/// A service that embeds: [`EmbedRequest`] in, one [`Embedding`] a text out. Implemented by every service of that shape.
pub trait Embedder:
    Service<EmbedRequest, Response = Vec<Embedding>, Error = Error, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Embedder for S where
    S: Service<EmbedRequest, Response = Vec<Embedding>, Error = Error, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

// === impl Embedding ===

impl Embedding {
    /// Wraps a vector.
    #[must_use]
    pub fn new(vector: impl Into<Arc<[f32]>>) -> Self {
        Self(vector.into())
    }

    /// Its numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Refuses a vector that an index of `takes` numbers cannot compare with its own.
    pub(crate) fn check(&self, stage: Stage, takes: usize) -> Result<(), Error> {
        let has = self.0.len();
        if has == takes {
            return Ok(());
        }
        Err(Error::invalid(
            stage,
            format!(
                "a vector has {has} numbers and this index takes {takes}: go back to the embedder that made the \
                 index, or embed every document again with `rag-tower-owner reindex`"
            ),
        ))
    }
}

impl Scoped for EmbedRequest {
    fn scope(&self) -> &TenantScope {
        &self.scope
    }

    fn trace(&self) -> &TraceHandle {
        &self.trace
    }
}
