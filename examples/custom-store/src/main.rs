//! Answers a question from files, and leaves its trace in one.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use custom_store::{FileTraces, FileVectors};
use rag_tower::embed::LocalEmbedder;
use rag_tower::generate::Extractive;
use rag_tower::ingest::{Ingest, Ingestor, MemoryDocuments};
use rag_tower::port::VectorStore;
use rag_tower::retrieve::FusedSource;
use rag_tower::stage::{EmbedLayer, Generate, PromptLayer, RetrieveLayer};
use rag_tower::trace::{TraceLayer, spawn_writer};
use rag_tower::{Ask, BoxError, Pipeline, Question, TenantAuthority, TenantId};
use tower::ServiceExt;

const DOCUMENT: &str = "The pool opens at 6 and closes at 22. A season ticket is 120 euros.";
const QUESTION: &str = "How much is a season ticket?";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let directory = PathBuf::from(std::env::args().nth(1).ok_or("name a directory to keep things in")?);
    let embedder = LocalEmbedder::new();
    // the two stores of our own
    let vectors = Arc::new(FileVectors::open(directory.join("vectors"), embedder.dimensions())?);
    let (sink, writer) = spawn_writer(FileTraces::open(directory.join("traces.jsonl"))?, Default::default());
    // the text of documents: one of the library's
    let documents = Arc::new(MemoryDocuments::new(1_000));

    #[expect(clippy::disallowed_methods, reason = "a program of one tenant, run by whom it belongs to")]
    let scope = TenantAuthority::new().grant(TenantId::named("pool"));
    let before = vectors.count(&scope).await?;
    let ingestor = Ingestor::new(embedder, Arc::clone(&documents), Arc::clone(&vectors));
    ingestor.oneshot(Ingest::new(scope.clone(), "pool.md", DOCUMENT)).await?;

    let stack = Pipeline::new()
        .layer(TraceLayer::new(sink))
        .embed(EmbedLayer::new(embedder))
        .retrieve(RetrieveLayer::new(FusedSource::new(
            Arc::clone(&vectors),
            Arc::clone(&documents),
            documents,
        )))
        .prompt(PromptLayer::default())
        .boxed(Generate::new(Extractive::new()));
    let ask = Ask::new(scope.clone(), Question::parse(QUESTION)?);
    let answer = stack.oneshot(ask).await?.collect_text().await?;

    let rows = writer.shutdown(Duration::from_secs(5)).await.written;
    let after = vectors.count(&scope).await?;
    writeln!(
        std::io::stdout(),
        "{answer}\nvectors: {before} before, {after} now; trace rows written: {rows}"
    )?;
    Ok(())
}
