//! Stages assembled in request order, with a wrong order reported on the line that has it.

use std::fmt;
use std::marker::PhantomData;

use tower::util::BoxCloneSyncService;
use tower_layer::{Identity, Layer, Stack};

use crate::answer::Answer;
use crate::ask::Ask;
use crate::error::Error;
use crate::stage::{
    Answers, ConfidenceLayer, EmbedLayer, Embedded, KeywordLayer, Prompt, PromptLayer, RerankLayer,
    RetrieveLayer, Retrieved, StageLayer,
};

/// A boxed service from ask to answer: what stands at the border of the RAG plane.
pub type BoxAskService = BoxCloneSyncService<Ask, Answer, Error>;

/// Assembles stages: what is written first sees the ask first.
///
/// ```
/// use rag_tower::port::{EmbedRequest, Embedding, GenerateRequest};
/// use rag_tower::retrieve::Query;
/// use rag_tower::stage::*;
/// use rag_tower::{AnswerStream, Error, Event, Finish, Passage, Pipeline};
/// use tower::service_fn;
///
/// let embedder = service_fn(|_: EmbedRequest| async { Ok::<_, Error>(vec![Embedding::new([1.0])]) });
/// let source = service_fn(|_: Query<Embedding>| async { Ok::<_, Error>(Vec::<Passage>::new()) });
/// let generator = service_fn(|_: GenerateRequest| async {
///     Ok::<_, Error>(AnswerStream::ready(vec![Event::Finished(Finish::Stop)]))
/// });
///
/// let service = Pipeline::new()
///     .embed(EmbedLayer::new(embedder)) // Ask to Embedded
///     .retrieve(RetrieveLayer::new(source)) // Embedded to Retrieved
///     .rerank(RerankLayer::new(LexicalRerank::new())) // Retrieved, reordered
///     .confidence(ConfidenceLayer::new(0.3)) // Retrieved, or "I don't know"
///     .prompt(PromptLayer::default()) // Retrieved to Prompt
///     .boxed(Generate::new(generator)); // Prompt to Answer
/// ```
///
/// `Cur` is the state that the next stage gets.
#[must_use = "a pipeline does nothing until it is given its leaf"]
pub struct Pipeline<Cur = Ask, L = Identity> {
    layers: L,
    state: PhantomData<fn() -> Cur>,
}

/// Says at this line, and not where it is boxed, why a service does not answer asks. Returns it unchanged.
pub fn check_ask_service<S: Answers<Ask>>(service: S) -> S {
    service
}

// === impl Pipeline ===

impl Pipeline {
    /// A pipeline without stages.
    pub fn new() -> Self {
        Self { layers: Identity::new(), state: PhantomData }
    }
}

impl Default for Pipeline {
    fn default() -> Self {
        Self::new()
    }
}

impl<Cur, L> Pipeline<Cur, L> {
    /// The next stage: any layer that says what it takes and gives.
    pub fn stage<T: StageLayer<In = Cur>>(self, stage: T) -> Pipeline<T::Out, Stack<T, L>> {
        Pipeline { layers: Stack::new(stage, self.layers), state: PhantomData }
    }

    /// A layer that leaves the state as it is, at this depth: a checkpoint, a limit, a timeout.
    pub fn layer<T>(self, layer: T) -> Pipeline<Cur, Stack<T, L>> {
        Pipeline { layers: Stack::new(layer, self.layers), state: PhantomData }
    }

    /// The assembled service over its leaf.
    pub fn service<S>(self, leaf: S) -> L::Service
    where
        S: Answers<Cur>,
        L: Layer<S, Service: Answers<Ask>>,
    {
        self.layers.layer(leaf)
    }

    /// The assembled service over its leaf, boxed.
    pub fn boxed<S>(self, leaf: S) -> BoxAskService
    where
        S: Answers<Cur>,
        L: Layer<S, Service: Answers<Ask>>,
    {
        BoxAskService::new(self.service(leaf))
    }
}

impl<L> Pipeline<Ask, L> {
    /// [`stage`](Self::stage) for the question's vector.
    pub fn embed<E>(self, layer: EmbedLayer<E>) -> Pipeline<Embedded, Stack<EmbedLayer<E>, L>> {
        self.stage(layer)
    }

    /// [`stage`](Self::stage) for passages by words alone.
    pub fn keyword<R>(self, layer: KeywordLayer<R>) -> Pipeline<Retrieved, Stack<KeywordLayer<R>, L>> {
        self.stage(layer)
    }
}

impl<L> Pipeline<Embedded, L> {
    /// [`stage`](Self::stage) for passages.
    pub fn retrieve<R>(self, layer: RetrieveLayer<R>) -> Pipeline<Retrieved, Stack<RetrieveLayer<R>, L>> {
        self.stage(layer)
    }
}

impl<L> Pipeline<Retrieved, L> {
    /// [`stage`](Self::stage) for a better order.
    pub fn rerank<K>(self, layer: RerankLayer<K>) -> Pipeline<Retrieved, Stack<RerankLayer<K>, L>> {
        self.stage(layer)
    }

    /// [`stage`](Self::stage) for abstaining.
    pub fn confidence(self, layer: ConfidenceLayer) -> Pipeline<Retrieved, Stack<ConfidenceLayer, L>> {
        self.stage(layer)
    }

    /// [`stage`](Self::stage) for the model's messages.
    pub fn prompt<T>(self, layer: PromptLayer<T>) -> Pipeline<Prompt, Stack<PromptLayer<T>, L>> {
        self.stage(layer)
    }
}

impl<Cur, L> fmt::Debug for Pipeline<Cur, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("next", &std::any::type_name::<Cur>()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;
    use crate::error::Stage;
    use crate::scoped::Scoped;
    use crate::stage::testing::{self, Leaf};
    use crate::stage::{CheckpointLayer, LexicalRerank};

    #[tokio::test]
    async fn stages_run_in_the_order_written() {
        let source =
            testing::source(vec![testing::passage("a", "hours", 0.9), testing::passage("a", "fees", 0.8)]);
        let leaf = Leaf::answering("two");
        let service = Pipeline::new()
            .embed(EmbedLayer::new(testing::embedder(&[1.0])))
            .retrieve(RetrieveLayer::new(source))
            .layer(CheckpointLayer::new(|_: &Retrieved| Ok(())))
            .rerank(RerankLayer::new(LexicalRerank::new()).with_keep(1))
            .confidence(ConfidenceLayer::new(0.1))
            .prompt(PromptLayer::default())
            .boxed(leaf.clone());
        let ask = testing::ask("fees?");
        let trace = ask.trace().clone();
        let events = check_ask_service(service).oneshot(ask).await.unwrap().collect().await.unwrap();
        assert_eq!(testing::text(&events), "two");
        let prompt: Prompt = leaf.only_request();
        assert_eq!(prompt.sources.iter().map(|source| &*source.snippet).collect::<Vec<_>>(), ["fees"]);
        let facts = trace.snapshot();
        let stages: Vec<_> = facts.spans.iter().map(|span| span.stage).collect();
        let expected = [
            Stage::Embed,
            Stage::Retrieve,
            Stage::Checkpoint,
            Stage::Rerank,
            Stage::Confidence,
            Stage::Prompt,
        ];
        assert_eq!(stages, expected);
        assert_eq!(facts.hits.iter().map(|hit| hit.used).collect::<Vec<_>>(), [false, true]);
    }

    #[tokio::test]
    async fn plain_layers_stack_the_same_way() {
        let leaf = Leaf::answering("ok");
        let service = tower::ServiceBuilder::new()
            .layer(KeywordLayer::new(testing::source(vec![testing::passage("a", "fees", 0.8)])))
            .layer(PromptLayer::default())
            .service(leaf.clone());
        drop(check_ask_service(service).oneshot(testing::ask("fees?")).await.unwrap());
        assert_eq!(leaf.calls(), 1);
    }
}
