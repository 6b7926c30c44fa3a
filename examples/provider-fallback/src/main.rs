#![doc = include_str!("../README.md")]

use std::io::Write;
use std::time::Duration;

use rag_tower::generate::{Extractive, Fallback, RetryPolicy, Retrying, retrying};
use rag_tower::ingest::MemoryIndex;
use rag_tower::openai::{Endpoint, OpenAiGenerator};
use rag_tower::stage::{EmbedLayer, Generate, PromptLayer, RetrieveLayer};
use rag_tower::{Ask, BoxError, Error, Pipeline, Question, Scoped, TenantAuthority, TenantId};
use tower::ServiceExt;

const DOCUMENT: &str = "The pool opens at 6 and closes at 22. A season ticket is 120 euros.";
const QUESTION: &str = "How much is a season ticket?";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let model = Fallback::new("first", provider("first", "OPENAI", "http://127.0.0.1:11434/v1")?)
        .or("second", provider("second", "FALLBACK", "http://127.0.0.1:8000/v1")?)
        // needs no model: the best sentences of what was found
        .or_last_resort("extractive", Extractive::new());

    #[expect(clippy::disallowed_methods, reason = "a program of one tenant, run by whom it belongs to")]
    let scope = TenantAuthority::new().grant(TenantId::named("pool"));
    let index = MemoryIndex::new(1_000);
    index.put(&scope, "pool.md", DOCUMENT).await?;
    let stack = Pipeline::new()
        .embed(EmbedLayer::new(index.embedder()))
        .retrieve(RetrieveLayer::new(index.source()))
        .prompt(PromptLayer::default())
        .boxed(Generate::new(model));

    let ask = Ask::new(scope, Question::parse(QUESTION)?);
    let trace = ask.trace().clone();
    let answer = stack.oneshot(ask).await?.collect_text().await?;
    let facts = trace.snapshot();
    let by = facts.llm_provider.unwrap_or_default();
    writeln!(std::io::stdout(), "{answer}\nanswered by {by}, down: {:?}", facts.degraded)?;
    Ok(())
}

/// One provider as the environment has it: `<PREFIX>_BASE_URL`, `<PREFIX>_MODEL`, `<PREFIX>_API_KEY`.
fn provider(name: &str, prefix: &str, base_url: &str) -> Result<Retrying<OpenAiGenerator>, Error> {
    let var = |what: &str| std::env::var(format!("{prefix}_{what}")).ok();
    let endpoint = Endpoint::builder(var("BASE_URL").unwrap_or_else(|| base_url.to_owned()))
        .with_name(name)
        .with_key(var("API_KEY").unwrap_or_default())
        // a provider that is slow to begin is as good as down
        .with_connect_timeout(Duration::from_secs(1))
        .with_first_event_timeout(Duration::from_secs(8))
        .build()?;
    let model = OpenAiGenerator::new(endpoint, var("MODEL").unwrap_or_else(|| "gpt-5-mini".to_owned()));
    // twice more, waiting 0.1 to 1 second; of all calls of the last 10 seconds at most a fifth again, and ten
    let policy = RetryPolicy::new(name).with_waits(Duration::from_millis(100), Duration::from_secs(1));
    Ok(retrying(model, policy))
}
