//! The twin of the case that fails: retrieval needs the question's vector first.

use rag_tower::port::{Embedder, Embedding, Generator};
use rag_tower::retrieve::Retrieve;
use rag_tower::stage::{EmbedLayer, Generate, PromptLayer, RetrieveLayer};
use rag_tower::{BoxAskService, Pipeline};

fn assemble<E: Embedder, R: Retrieve<Embedding>, G: Generator>(
    embedder: E,
    source: R,
    model: G,
) -> BoxAskService {
    Pipeline::new()
        .embed(EmbedLayer::new(embedder))
        .retrieve(RetrieveLayer::new(source))
        .prompt(PromptLayer::default())
        .boxed(Generate::new(model))
}

fn main() {}
