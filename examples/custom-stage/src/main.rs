//! Two price lists, one question: what is new wins.

use std::io::Write;

use custom_stage::FreshnessLayer;
use rag_tower::generate::Extractive;
use rag_tower::ingest::MemoryIndex;
use rag_tower::stage::{DiversifyLayer, EmbedLayer, Generate, LexicalRerank, PromptLayer};
use rag_tower::stage::{RerankLayer, RetrieveLayer};
use rag_tower::{Ask, BoxError, Pipeline, Question, TenantAuthority, TenantId};
use time::Duration;
use tower::ServiceExt;

const QUESTION: &str = "How much is a season ticket?";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    #[expect(clippy::disallowed_methods, reason = "a program of one tenant, run by whom it belongs to")]
    let scope = TenantAuthority::new().grant(TenantId::named("pool"));
    let index = MemoryIndex::new(1_000);
    index.put(&scope, "2019-05-01-prices.md", "A season ticket is 90 euros.").await?;
    index.put(&scope, "2026-05-01-prices.md", "The season ticket is 120 euros.").await?;

    let found = || {
        Pipeline::new()
            .embed(EmbedLayer::new(index.embedder()))
            .retrieve(RetrieveLayer::new(index.source()))
            .rerank(RerankLayer::new(LexicalRerank::new()))
    };
    // one passage is read, so that it matters which comes first
    let best = || DiversifyLayer::new(1);
    let generate = || Generate::new(Extractive::new());

    let plain = found().stage(best()).prompt(PromptLayer::default()).boxed(generate());
    let fresh = found()
        // the stage of our own
        .stage(FreshnessLayer::new(Duration::days(365)))
        .stage(best())
        .prompt(PromptLayer::default())
        .boxed(generate());

    for (name, stack) in [("as found", plain), ("newest first", fresh)] {
        let ask = Ask::new(scope.clone(), Question::parse(QUESTION)?);
        let answer = stack.oneshot(ask).await?.collect_text().await?;
        writeln!(std::io::stdout(), "{name}: {answer}")?;
    }
    Ok(())
}
