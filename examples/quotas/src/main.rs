#![doc = include_str!("../README.md")]

mod budget;

use std::io::Write;
use std::time::Duration;

use axum::Router;
use rag_tower::admission::AdmissionLayer;
use rag_tower::generate::{Extractive, Fallback};
use rag_tower::http::AskService;
use rag_tower::ingest::MemoryIndex;
use rag_tower::openai::{Endpoint, OpenAiGenerator};
use rag_tower::quota::{MemoryRateLimits, Quota, RateLimitLayer};
use rag_tower::stage::{EmbedLayer, Generate, PromptLayer, RetrieveLayer};
use rag_tower::tenant::{ApiKeyResolver, MemoryApiKeys, ResolveTenantLayer};
use rag_tower::{BoxAskService, BoxError, Error, Pipeline, TenantAuthority, TenantId};
use tower::{Layer, ServiceBuilder};

use crate::budget::BudgetLayer;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DOCUMENT: &str = "The pool opens at 6 and closes at 22. A season ticket is 120 euros.";
/// Keys of two tenants on this machine. Yours come from where keys are kept.
const KEYS: [(&str, &str); 2] = [
    ("acme", "acme-key-for-this-machine-only-0123456789"),
    ("globex", "globex-key-for-this-machine-only-0123456789"),
];

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let authority = TenantAuthority::new();
    let index = MemoryIndex::new(1_000);
    let mut keys = MemoryApiKeys::new();
    for (name, key) in KEYS {
        let tenant = TenantId::named(name);
        keys = keys.with(key, tenant)?;
        #[expect(clippy::disallowed_methods, reason = "the program's own document: nobody asks yet")]
        index.put(&authority.grant(tenant), "pool.md", DOCUMENT).await?;
    }

    let limited = ServiceBuilder::new()
        // questions a minute, all at once if need be: 429
        .layer(RateLimitLayer::new(MemoryRateLimits::default()).per_tenant(Quota::per_minute(6)))
        // answers at once, each until its last word: 503
        .layer(AdmissionLayer::new(64).per_tenant(2))
        // tokens a day, a layer of our own: 402
        .layer(BudgetLayer::new(10_000, DAY))
        .service(answers(&index)?);

    let tenants = ResolveTenantLayer::new(authority, ApiKeyResolver::new(keys));
    let app = Router::new().route_service("/query", tenants.layer(AskService::new(limited)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let end = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(end).await?;
    Ok(())
}

/// What is limited: found passages, and a model over them where one is named.
fn answers(index: &MemoryIndex) -> Result<BoxAskService, Error> {
    let stages = Pipeline::new()
        .embed(EmbedLayer::new(index.embedder()))
        .retrieve(RetrieveLayer::new(index.source()))
        .prompt(PromptLayer::default());
    let Ok(base_url) = std::env::var("OPENAI_BASE_URL") else {
        return Ok(stages.boxed(Generate::new(Extractive::new())));
    };
    let key = std::env::var("OPENAI_API_KEY").unwrap_or_default();
    let model = std::env::var("OPENAI_MODEL").unwrap_or_else(|_| "gpt-5-mini".to_owned());
    let model = OpenAiGenerator::new(Endpoint::builder(base_url).with_key(key).build()?, model);
    Ok(stages.boxed(Generate::new(Fallback::new("model", model).or_last_resort("none", Extractive::new()))))
}
