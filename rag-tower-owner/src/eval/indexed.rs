//! A collection in, an index of it to ask, which is gone afterwards.

use std::path::Path;
use std::sync::Arc;

use rag_tower::edge::{EdgeOptions, EdgeStore};
use rag_tower::eval::{Collection, RetrievalEval};
use rag_tower::ingest::{Chunker, MemoryDocuments};
use rag_tower::stage::LexicalRerank;
use rag_tower::tenant::TenantId;

use crate::config::Config;
use crate::failure::Failure;
use crate::models::{self, BoxEmbedder};
use crate::platform::{failed, scope_of};
use crate::progress::Step;

/// An index of a collection, searched as the server searches.
pub(super) type Eval = RetrievalEval<BoxEmbedder, MemoryDocuments, EdgeStore, LexicalRerank>;

/// Chunks that are kept in memory: more than any collection that is worth an hour.
const MOST_CHUNKS: usize = 2_000_000;

/// The collection of a folder.
pub(super) fn read(folder: &Path, split: &str) -> Result<Collection, Failure> {
    Collection::read_split(folder, split).map_err(|error| {
        Failure::usage(error.to_string()).mend(
            "A collection is a folder with corpus.jsonl, queries.jsonl and qrels/<split>.tsv, in the layout of BEIR.",
        )
    })
}

/// Indexes the collection in a temporary directory with the embedder and the chunk size of the settings, and asks it.
pub(super) async fn indexed<T>(
    config: &Config,
    collection: &Collection,
    ask: impl AsyncFnOnce(Eval) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let directory = tempfile::Builder::new()
        .prefix("rag-tower-eval-")
        .tempdir()
        .map_err(|error| Failure::because("no temporary directory for the index", &error))?;
    let done = tokio::select! {
        done = run(config, collection, directory.path(), ask) => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::new("interrupted")),
    };
    if let Err(error) = directory.close() {
        tracing::warn!(%error, "the temporary index could not be removed");
    }
    done
}

async fn run<T>(
    config: &Config,
    collection: &Collection,
    directory: &Path,
    ask: impl AsyncFnOnce(Eval) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let scope = scope_of(TenantId::named("eval"));
    let embedder = models::embedder(config, &scope).await.map_err(failed("the embedding model"))?;
    let options = EdgeOptions::new(directory.join("index"), embedder.dimensions)
        .with_embedder(Arc::clone(&embedder.name));
    let index = EdgeStore::open(options).await.map_err(failed("the vector index"))?;
    let chunker = Chunker::new().with_size(config.chunk_token_size).with_overlap(config.chunk_overlap);
    let weight = embedder.weight();
    let mut eval = RetrievalEval::new(
        scope,
        embedder.service,
        Arc::new(MemoryDocuments::new(MOST_CHUNKS)),
        Arc::new(index.clone()),
        LexicalRerank::new(),
    )
    .with_chunker(chunker)
    .with_dense_weight(weight);

    let step = Step::bar("Indexing documents", collection.documents.len() as u64);
    eval.index(collection, |documents| step.advance_by(documents as u64))
        .await
        .map_err(failed("the collection"))?;
    step.done();
    let done = ask(eval).await?;
    index.close().await.map_err(failed("the vector index"))?;
    Ok(done)
}
