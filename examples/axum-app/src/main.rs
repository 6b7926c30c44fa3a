//! The same chat endpoint, where each tenant is its own and each request leaves one row in Postgres.

mod answers;

use axum::routing::post;
use axum::{Json, Router};
use rag_tower::{TenantAuthority, TenantId, TenantScope, TraceHandle, postgres, tenant, trace};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
struct Reply {
    text: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Router::new().route("/chat", post(chat));
    let url = std::env::var("DATABASE_URL")?;
    postgres::migrate_traces(&url).await?;
    let database = postgres::Database::connect_own(&postgres::DatabaseOptions::new(&url)).await?;
    let (sink, writer) = trace::spawn_writer(postgres::PgTraceStore::new(&database), Default::default());
    let keys = tenant::MemoryApiKeys::new().with(&std::env::var("ACME_KEY")?, TenantId::named("acme"))?;
    let keys = keys.with(&std::env::var("GLOBEX_KEY")?, TenantId::named("globex"))?;
    let tenants = tenant::ResolveTenantLayer::new(TenantAuthority::new(), tenant::ApiKeyResolver::new(keys));
    let app = app.layer(tenants).layer(trace::http::HttpTraceLayer::new(sink));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    answers::announce(listener.local_addr()?)?;
    axum::serve(listener, app).with_graceful_shutdown(answers::end()).await?;
    writer.shutdown(std::time::Duration::from_secs(5)).await;
    Ok(())
}

async fn chat(scope: TenantScope, trace: TraceHandle, Json(message): Json<Message>) -> Json<Reply> {
    let text = answers::answer(&scope.tenant().to_string(), &message.text);
    trace.set_question(message.text);
    Json(Reply { text })
}
