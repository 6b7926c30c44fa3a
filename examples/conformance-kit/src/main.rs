//! The program as it is run: two tenants, each with a key, on a free port.

use std::io::Write;
use std::sync::Arc;

use conformance_kit::{Log, Store, app};
use rag_tower::TenantId;
use rag_tower::tenant::MemoryApiKeys;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let keys = MemoryApiKeys::new().with(&std::env::var("ACME_KEY")?, TenantId::named("acme"))?;
    let keys = keys.with(&std::env::var("GLOBEX_KEY")?, TenantId::named("globex"))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let end = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, app(Arc::new(Store::default()), keys, Log::default()))
        .with_graceful_shutdown(end)
        .await?;
    Ok(())
}
