//! A stage of one's own stands where there is what it takes: passages only after retrieval.

use rag_tower::Pipeline;
use rag_tower::port::{Embedder, Embedding};
use rag_tower::retrieve::Retrieve;
use rag_tower::stage::{EmbedLayer, PromptLayer, RetrieveLayer, Retrieved, StageLayer};

/// Leaves out what is old.
struct RecentLayer;

impl StageLayer for RecentLayer {
    type In = Retrieved;
    type Out = Retrieved;
}

fn assemble<E: Embedder, R: Retrieve<Embedding>>(embedder: E, source: R) {
    let _ = Pipeline::new()
        .embed(EmbedLayer::new(embedder))
        .stage(RecentLayer)
        .retrieve(RetrieveLayer::new(source))
        .prompt(PromptLayer::default());
}

fn main() {}
