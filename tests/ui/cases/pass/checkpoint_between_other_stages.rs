//! The twin of the case that fails: a checkpoint stands between the stages that its check is about.

use rag_tower::port::{Embedder, Embedding, Generator};
use rag_tower::retrieve::Retrieve;
use rag_tower::stage::{CheckpointLayer, EmbedLayer, Generate, PromptLayer, RetrieveLayer, Retrieved};
use rag_tower::{BoxAskService, Pipeline};

fn assemble<E: Embedder, R: Retrieve<Embedding>, G: Generator>(
    embedder: E,
    source: R,
    model: G,
) -> BoxAskService {
    Pipeline::new()
        .embed(EmbedLayer::new(embedder))
        .retrieve(RetrieveLayer::new(source))
        .layer(CheckpointLayer::new(|_: &Retrieved| Ok(())))
        .prompt(PromptLayer::default())
        .boxed(Generate::new(model))
}

fn main() {}
