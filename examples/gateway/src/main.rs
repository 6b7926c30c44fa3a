//! An OpenAI-compatible gateway for many tenants. Everything that it does is a layer of [`stack`].

mod metrics;
mod settings;

use std::convert::Infallible;
use std::error::Error;
use std::future::IntoFuture;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::serve::ListenerExt;
use rag_tower::TenantAuthority;
use rag_tower::admission::AdmissionLayer;
use rag_tower::openai::relay::{OpenAiErrorsLayer, RecordLayer, RelayLayer, ReplyCache, ReplyCacheLayer};
use rag_tower::postgres::{Database, DatabaseOptions, PgTraceStore, Priced, migrate_traces};
use rag_tower::quota::{MemoryRateLimits, RateLimitLayer};
use rag_tower::tenant::{ApiKeyResolver, ResolveTenantLayer};
use rag_tower::trace::{TraceSink, WriterConfig, http::HttpTraceLayer, spawn_writer};
use tokio::net::TcpListener;
use tower::make::Shared;
use tower::{Service, ServiceBuilder};

use self::settings::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// All of it, in the order in which a request meets it.
fn stack(
    settings: Settings,
    sink: TraceSink,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static {
    ServiceBuilder::new()
        // as axum's server wants it
        .map_response(|response: axum::http::Response<_>| response.map(Body::new))
        // one row per request, however it ends
        .layer(HttpTraceLayer::new(sink).with_labels(settings.labels))
        // what we refuse, said as OpenAI says it
        .layer(OpenAiErrorsLayer::new())
        // whose key it is
        .layer(ResolveTenantLayer::new(TenantAuthority::new(), ApiKeyResolver::new(settings.keys)))
        // an HTTP request becomes a call, whose tenant is part of its type
        .layer(RelayLayer::new())
        // question, answer, tokens and first token onto the row
        .layer(RecordLayer::new())
        // calls a minute
        .layer(RateLimitLayer::new(MemoryRateLimits::default()).per_tenant(settings.rate))
        // calls at once, until their last byte
        .layer(AdmissionLayer::new(settings.most_calls).per_tenant(settings.most_calls_of_one))
        // the same call at temperature 0, answered again
        .layer(ReplyCacheLayer::new(ReplyCache::default()))
        // the first provider that answers
        .service(settings.providers)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let _metrics = metrics::serve().await?;
    let settings = Settings::from_env()?;
    migrate_traces(&settings.database_url).await?;
    let database = Database::connect_own(&DatabaseOptions::new(&settings.database_url)).await?;
    let store = Priced::new(PgTraceStore::new(&database), settings.prices.clone());
    let (sink, writer) = spawn_writer(store, WriterConfig::default());

    let listener = TcpListener::bind(settings.addr).await?;
    settings::announce("listening on", listener.local_addr()?, "/v1")?;
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let stack = stack(settings, sink);
    let server = axum::serve(listener, Shared::new(stack)).with_graceful_shutdown(settings::told_to_stop());
    tokio::select! {
        ended = server.into_future() => ended?,
        () = settings::waited_long_enough() => {} // answers in flight may end, but not for ever
    }
    writer.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
