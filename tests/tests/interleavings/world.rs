//! What all tenants share: the stores, the cache, the memory of conversations, and the stack over them.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};
use rag_tower::cache::{AnswerCache, CacheLayer, CacheOptions};
use rag_tower::ingest::Ingestor;
use rag_tower::memory::{MemoryLayer, RewriteLayer};
use rag_tower::port::{
    ChunkStore, DocumentStore, EmbedRequest, Embedding, GenerateRequest, MemoryStore, TermStats, VectorStore,
};
use rag_tower::retrieve::FusedSource;
use rag_tower::stage::{EmbedLayer, Generate, PromptLayer, RetrieveLayer};
use rag_tower::{AnswerStream, BoxAskService, Error, Event, Finish, Pipeline, TenantScope};
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, service_fn};

use super::chance::give_way;
use super::words::words;

/// Numbers in a vector.
pub const DIMENSIONS: usize = 8;

/// Makes vectors.
pub type Embeds = BoxCloneSyncService<EmbedRequest, Vec<Embedding>, Error>;

/// Writes a text for a tenant wherever else it may be kept, and reads all back that the tenant is shown there.
pub type Beside =
    Arc<dyn Fn(TenantScope, String) -> Pin<Box<dyn Future<Output = Vec<String>> + Send>> + Send + Sync>;

/// What one process holds for all tenants.
pub struct World<D, V, M> {
    pub vectors: Arc<V>,
    pub memory: Arc<M>,
    pub ingestor: Ingestor<Embeds, D, V>,
    pub cache: AnswerCache,
    pub stack: BoxAskService,
    pub beside: Option<Beside>,
    pub seen: Seen,
}

/// How often each thing happened, so that a test in which nothing happens fails.
#[derive(Default)]
pub struct Seen {
    pub answers: AtomicU64,
    pub words: AtomicU64,
    pub cached: AtomicU64,
    pub continued: AtomicU64,
    pub refused: AtomicU64,
    pub beside: AtomicU64,
}

// === impl World ===

impl<D, V, M> World<D, V, M>
where
    D: DocumentStore + ChunkStore + TermStats,
    V: VectorStore,
    M: MemoryStore,
{
    /// The usual stack over these stores, with a model that repeats every marked word it is given.
    pub fn new(documents: Arc<D>, vectors: Arc<V>, memory: Arc<M>) -> Self {
        let cache = AnswerCache::new(CacheOptions::default());
        let source = FusedSource::new(Arc::clone(&vectors), Arc::clone(&documents), Arc::clone(&documents));
        let search = Pipeline::new()
            .layer(RewriteLayer::new())
            .embed(EmbedLayer::new(embeds()))
            .retrieve(RetrieveLayer::new(source).with_limit(10))
            .prompt(PromptLayer::default())
            .service(Generate::new(service_fn(|request: GenerateRequest| async move {
                give_way().await;
                Ok::<_, Error>(repeat(&request))
            })));
        let stack = ServiceBuilder::new()
            .layer(MemoryLayer::new(Arc::clone(&memory)))
            .layer(CacheLayer::new(cache.clone(), |_| "one epoch for all".into()))
            .service(search);
        Self {
            ingestor: Ingestor::new(embeds(), documents, Arc::clone(&vectors)),
            vectors,
            memory,
            cache,
            stack: BoxAskService::new(stack),
            beside: None,
            seen: Seen::default(),
        }
    }
}

/// Vectors that are all near each other, so that everybody's documents fit everybody's question.
fn embeds() -> Embeds {
    Embeds::new(service_fn(|request: EmbedRequest| async move {
        give_way().await;
        let vector = |text: &Arc<str>| {
            let length = text.len() as f32;
            Embedding::new(std::array::from_fn::<f32, DIMENSIONS, _>(|n| {
                1.0 + 0.01 * length / (n as f32 + 1.0)
            }))
        };
        Ok(request.texts.iter().map(vector).collect())
    }))
}

/// Every marked word of the messages, a piece each.
fn repeat(request: &GenerateRequest) -> AnswerStream {
    let heard: BTreeSet<String> = request.messages.iter().flat_map(|message| words(&message.text)).collect();
    let pieces = heard.into_iter().map(|word| Event::Delta(format!("{word} ").into()));
    let events: Vec<Event> = pieces.chain([Event::Finished(Finish::Stop)]).collect();
    AnswerStream::new(stream::iter(events).map(Ok::<_, Error>).and_then(|event| async move {
        give_way().await;
        Ok(event)
    }))
}

// === impl Seen ===

impl Seen {
    /// Notes that something happened once more.
    pub fn note(&self, what: &AtomicU64, times: usize) {
        what.fetch_add(times as u64, Ordering::Relaxed);
    }

    /// Says what happened, and fails when one of them never did.
    pub fn report(&self, name: &str, interleavings: u64, with_beside: bool) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = [
            ("answers", of(&self.answers)),
            ("words checked", of(&self.words)),
            ("answers from the cache", of(&self.cached)),
            ("conversations continued", of(&self.continued)),
            ("foreign ids refused", of(&self.refused)),
            ("rows read beside", of(&self.beside)),
        ];
        eprintln!("{name}: {interleavings} interleavings, 0 foreign words: {counts:?}");
        for (what, count) in counts {
            let expected = interleavings >= 20 && (with_beside || what != "rows read beside");
            assert!(count > 0 || !expected, "{name}: no {what}");
        }
    }
}
