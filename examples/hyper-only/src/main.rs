#![doc = include_str!("../README.md")]

use std::convert::Infallible;
use std::io::Write;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rag_tower::generate::Extractive;
use rag_tower::http::{AnswerBody, AskService};
use rag_tower::ingest::MemoryIndex;
use rag_tower::stage::{EmbedLayer, Generate, LexicalRerank, PromptLayer};
use rag_tower::stage::{RerankLayer, RetrieveLayer};
use rag_tower::tenant::{ApiKeyResolver, MemoryApiKeys, ResolveTenantLayer};
use rag_tower::{BoxAskService, BoxError, Pipeline, TenantAuthority, TenantId};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

/// The key of the one tenant, who is on this machine. Yours come from where keys are kept.
const KEY: &str = "acme-key-for-this-machine-only-0123456789";
const DOCUMENT: &str = "The pool opens at 6 and closes at 22. A season ticket is 120 euros.";

/// The program as hyper sees it.
type App = BoxCloneSyncService<Request<Incoming>, Response<AnswerBody>, Infallible>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let acme = TenantId::named("acme");
    let authority = TenantAuthority::new();

    let index = MemoryIndex::new(1_000);
    #[expect(clippy::disallowed_methods, reason = "the program's own document: nobody asks yet")]
    index.put(&authority.grant(acme), "pool.md", DOCUMENT).await?;

    let keys = ApiKeyResolver::new(MemoryApiKeys::new().with(KEY, acme)?);
    let app = ServiceBuilder::new()
        // whose request it is; without a key it ends here
        .layer(ResolveTenantLayer::new(authority, keys))
        // from HTTP to a question, and its answer back as JSON or as events
        .service(AskService::new(stack(&index)));

    serve(TcpListener::bind("127.0.0.1:0").await?, App::new(app)).await
}

/// What answers a question, in the order in which it goes through.
fn stack(index: &MemoryIndex) -> BoxAskService {
    Pipeline::new()
        .embed(EmbedLayer::new(index.embedder()))
        .retrieve(RetrieveLayer::new(index.source()))
        .rerank(RerankLayer::new(LexicalRerank::new()))
        .prompt(PromptLayer::default())
        .boxed(Generate::new(Extractive::new()))
}

/// Serves until Ctrl-C, then lets what has begun end.
async fn serve(listener: TcpListener, app: App) -> Result<(), BoxError> {
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()); // ends connections that never send their head
    let (graceful, mut connections) = (GracefulShutdown::new(), JoinSet::new());
    let mut end = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = &mut end => break,
        };
        let Ok((stream, _)) = accepted else { continue };
        let service = TowerToHyperService::new(app.clone());
        connections.spawn(graceful.watch(http.serve_connection(TokioIo::new(stream), service)));
    }
    graceful.shutdown().await;
    Ok(())
}
