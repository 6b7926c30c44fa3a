//! [`Ask`] in, [`Embedded`] out: gives the question its vector.

use std::task::{Context, Poll};

use tower::ServiceExt;
use tower_layer::Layer;
use tower_service::Service;

use super::{Answers, Embedded, ResponseFuture, StageLayer, take_ready};
use crate::answer::Answer;
use crate::ask::Ask;
use crate::error::{Error, ErrorKind, Stage};
use crate::port::{EmbedKind, EmbedRequest, Embedder, Embedding};
use crate::scoped::Scoped;

/// Embeds the question before the stage inside it.
///
/// - **Order:** first of the dense pipeline, before [`RetrieveLayer`](super::RetrieveLayer).
/// - **Readiness:** that of the stage inside; the embedder is asked for its own while the ask is being answered.
/// - **Cancellation:** dropping the future drops the embedder's; the time spent so far stays on the trace.
/// - **Panics:** never of its own.
#[derive(Clone, Debug)]
pub struct EmbedLayer<E> {
    embedder: E,
}

/// The service of [`EmbedLayer`].
#[derive(Clone, Debug)]
pub struct EmbedStage<S, E> {
    inner: S,
    embedder: E,
}

// === impl EmbedLayer ===

impl<E> EmbedLayer<E> {
    /// A layer that asks `embedder`, an [`Embedder`].
    pub fn new(embedder: E) -> Self {
        Self { embedder }
    }
}

impl<S, E: Clone> Layer<S> for EmbedLayer<E> {
    type Service = EmbedStage<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        EmbedStage { inner, embedder: self.embedder.clone() }
    }
}

impl<E> StageLayer for EmbedLayer<E> {
    type In = Ask;
    type Out = Embedded;
}

// === impl EmbedStage ===

impl<S: Answers<Embedded>, E: Embedder> Service<Ask> for EmbedStage<S, E> {
    type Response = Answer;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        let mut inner = take_ready(&mut self.inner);
        let embedder = self.embedder.clone();
        ResponseFuture::new(async move {
            let timer = ask.trace().time(Stage::Embed);
            let embedding = embed_query(embedder, &ask, ask.question().shared()).await?;
            drop(timer);
            inner.call(Embedded { ask, embedding }).await
        })
    }
}

/// One question's vector.
pub(crate) async fn embed_query<E: Embedder>(
    embedder: E,
    of: &impl Scoped,
    text: std::sync::Arc<str>,
) -> Result<Embedding, Error> {
    let request = EmbedRequest {
        scope: of.scope().clone(),
        trace: of.trace().clone(),
        kind: EmbedKind::Query,
        texts: vec![text],
    };
    let mut vectors = embedder.oneshot(request).await?;
    match (vectors.pop(), vectors.is_empty()) {
        (Some(vector), true) => Ok(vector),
        _ => Err(Error::new(ErrorKind::ProviderInvalid, Stage::Embed)
            .with_message("the embedder must answer one text with one vector")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Leaf};
    use super::*;

    #[tokio::test]
    async fn the_question_gets_its_vector_and_the_stage_its_time() {
        let leaf = Leaf::answering("ok");
        let ask = testing::ask("hello");
        let trace = ask.trace().clone();
        let stage = EmbedLayer::new(testing::embedder(&[0.5, 0.5])).layer(leaf.clone());
        drop(stage.oneshot(ask).await.unwrap().collect().await.unwrap());
        let seen: Embedded = leaf.only_request();
        assert_eq!(seen.embedding.as_slice(), [0.5, 0.5]);
        assert_eq!(seen.ask.question().as_str(), "hello");
        assert_eq!(trace.snapshot().spans[0].stage, Stage::Embed);
    }

    #[tokio::test]
    async fn an_embedder_that_answers_with_no_vector_is_a_provider_error() {
        let none = tower::service_fn(|_: EmbedRequest| async { Ok(Vec::new()) });
        let leaf = Leaf::<Embedded>::answering("never");
        let error = EmbedLayer::new(none).layer(leaf.clone()).oneshot(testing::ask("q")).await.unwrap_err();
        assert_eq!((error.kind(), error.stage()), (ErrorKind::ProviderInvalid, Stage::Embed));
        assert_eq!(leaf.calls(), 0);
    }
}
