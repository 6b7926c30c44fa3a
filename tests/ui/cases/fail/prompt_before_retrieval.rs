//! There is nothing to prompt with before passages are found.

use rag_tower::port::{Embedder, Generator};
use rag_tower::stage::{EmbedLayer, Generate, PromptLayer};
use rag_tower::{BoxAskService, Pipeline};

fn assemble<E: Embedder, G: Generator>(embedder: E, model: G) -> BoxAskService {
    Pipeline::new()
        .embed(EmbedLayer::new(embedder))
        .prompt(PromptLayer::default())
        .boxed(Generate::new(model))
}

fn main() {}
