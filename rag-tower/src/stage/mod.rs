//! The states an ask passes through, and the stages between them.
//!
//! ```text
//! Ask ─ EmbedLayer ─▶ Embedded ─ RetrieveLayer ─▶ Retrieved ─ PromptLayer ─▶ Prompt ▸ Generate
//! Ask ──────────── KeywordLayer ────────────────▶ Retrieved
//!                              RerankLayer, DiversifyLayer, ConfidenceLayer: Retrieved ─▶ Retrieved
//! ```
//!
//! A stage changes the type of the request, so the compiler checks their order. Each is an ordinary Tower layer;
//! [`Pipeline`](crate::Pipeline) assembles them and reports a wrong order on the line that has it.

mod calibrate;
mod checkpoint;
mod confidence;
mod diversify;
mod embed;
#[cfg(test)]
mod floor_tests;
mod future;
mod generate;
mod known;
mod lazy;
mod prompt;
mod rerank;
mod retrieve;
mod state;
#[cfg(test)]
pub(crate) mod testing;

use tower_service::Service;

pub use self::calibrate::{Calibration, Labelled, calibrate};
pub use self::checkpoint::{Checkpoint, CheckpointLayer};
pub use self::confidence::{ConfidenceLayer, ConfidenceStage};
pub use self::diversify::{DiversifyLayer, DiversifyStage};
pub(crate) use self::embed::embed_query;
pub use self::embed::{EmbedLayer, EmbedStage};
pub use self::future::{PassOr, ResponseFuture};
pub use self::generate::Generate;
pub use self::lazy::Lazy;
pub use self::prompt::{DefaultTemplate, PromptLayer, PromptStage, Template, TemplateInput};
pub use self::rerank::{LexicalRerank, RerankLayer, RerankStage};
pub use self::retrieve::{KeywordLayer, KeywordStage, RetrieveLayer, RetrieveStage};
pub use self::state::{Embedded, Prompt, Retrieved};
use crate::answer::Answer;
use crate::error::Error;

/// A service that turns `Req` into an [`Answer`]. Implemented by every service of that shape; it exists for its name
/// in error messages.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot answer a `{Req}`",
    note = "stages run in the order Ask → EmbedLayer → Embedded → RetrieveLayer → Retrieved → PromptLayer → Prompt → Generate, and every service must be `Clone + Send + Sync`"
)]
pub trait Answers<Req>:
    Service<Req, Response = Answer, Error = Error, Future: Send + 'static> + Clone + Send + Sync + 'static
{
}

impl<S, Req> Answers<Req> for S where
    S: Service<Req, Response = Answer, Error = Error, Future: Send + 'static> + Clone + Send + Sync + 'static
{
}

/// A layer that takes an ask from one state to another. [`Pipeline::stage`](crate::Pipeline::stage) compares the
/// states, so that a wrong order is reported with both names.
pub trait StageLayer {
    /// The state it takes.
    type In;
    /// The state it hands to the stage inside it.
    type Out;
}

/// Takes the service that was polled ready, and leaves a clone that was not: for a `call` whose future uses the service
/// later. To call a clone would be to call a service that was never ready.
///
/// ```
/// use std::task::{Context, Poll};
///
/// use rag_tower::stage::{Answers, ResponseFuture, Retrieved, take_ready};
/// use rag_tower::{Answer, Error};
/// use tower::Service;
///
/// #[derive(Clone)]
/// struct Slow<S>(S);
///
/// impl<S: Answers<Retrieved>> Service<Retrieved> for Slow<S> {
///     type Response = Answer;
///     type Error = Error;
///     type Future = ResponseFuture;
///
///     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
///         self.0.poll_ready(cx)
///     }
///
///     fn call(&mut self, found: Retrieved) -> ResponseFuture {
///         let mut inner = take_ready(&mut self.0);
///         ResponseFuture::new(async move {
///             tokio::task::yield_now().await; // whatever it has to wait for
///             inner.call(found).await
///         })
///     }
/// }
/// ```
pub fn take_ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    std::mem::replace(inner, clone)
}
