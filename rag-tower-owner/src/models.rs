//! What embeds and what answers: settings in, one service each out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rag_tower::embed::{CachedEmbedder, LocalEmbedder, StaticEmbedder};
use rag_tower::generate::{Extractive, Fallback, RetryPolicy, retrying};
use rag_tower::openai::{Endpoint, HttpReranker, OpenAiEmbedder, OpenAiGenerator};
use rag_tower::port::{EmbedKind, EmbedRequest, Embedding, GenerateRequest};
use rag_tower::retrieve::DENSE_WEIGHT;
use rag_tower::{AnswerStream, Error, ErrorKind, Stage, TenantScope, TraceHandle};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use crate::config::{Config, Provider};

/// Text to vectors.
pub(crate) type BoxEmbedder = BoxCloneSyncService<EmbedRequest, Vec<Embedding>, Error>;
/// Messages to an answer.
pub(crate) type BoxGenerator = BoxCloneSyncService<GenerateRequest, AnswerStream, Error>;

/// The name of answers that no model has written.
const EXTRACTIVE: &str = "extractive";

/// What begins an `EMBEDDING_MODEL` that is a directory on this machine.
const DIRECTORY: &str = "dir:";
/// Vectors of questions that are remembered: 6 MB of 1,536 numbers each.
const VECTORS: usize = 1_024;

/// An embedder and what it makes.
#[derive(Clone)]
pub(crate) struct EmbeddingModel {
    pub(crate) service: BoxEmbedder,
    /// The same for questions: those to a remote model are remembered.
    pub(crate) questions: BoxEmbedder,
    /// Tells indexes of different embedders apart.
    pub(crate) name: Arc<str>,
    pub(crate) dimensions: usize,
}

// === impl EmbeddingModel ===

impl EmbeddingModel {
    /// Its share in the fusion with the search by words: a model that knows meanings has as much to say as they.
    pub(crate) fn weight(&self) -> f32 {
        if *self.name == *LocalEmbedder::NAME { DENSE_WEIGHT } else { 0.5 }
    }
}

/// The embedder: a remote one or one from a directory when `EMBEDDING_MODEL` is set, else the local one.
pub(crate) async fn embedder(config: &Config, scope: &TenantScope) -> Result<EmbeddingModel, Error> {
    let Some(model) = &config.embedding_model else {
        let local = LocalEmbedder::new();
        return Ok(EmbeddingModel {
            name: LocalEmbedder::NAME.into(),
            dimensions: local.dimensions(),
            service: BoxEmbedder::new(local),
            questions: BoxEmbedder::new(local),
        });
    };
    if let Some(directory) = model.strip_prefix(DIRECTORY) {
        return from_directory(directory.into()).await;
    }
    let provider = config.providers.first().ok_or_else(|| {
        Error::invalid(
            Stage::Embed,
            "EMBEDDING_MODEL is set, but no model server is: set OPENAI_BASE_URL or OPENAI_API_KEY",
        )
    })?;
    let service = BoxEmbedder::new(OpenAiEmbedder::new(endpoint(provider)?, model.as_str()));
    // the index needs to know how long a vector is, and nobody but the model can tell
    let request = EmbedRequest {
        scope: scope.clone(),
        trace: TraceHandle::new(),
        kind: EmbedKind::Query,
        texts: vec!["dimensions".into()],
    };
    let vectors = service.clone().oneshot(request).await?;
    let dimensions = vectors.first().map_or(0, |vector| vector.as_slice().len());
    if dimensions == 0 {
        return Err(Error::new(ErrorKind::ProviderInvalid, Stage::Embed));
    }
    let questions =
        BoxEmbedder::new(CachedEmbedder::new(service.clone(), model.as_str()).with_capacity(VECTORS));
    Ok(EmbeddingModel { service, questions, name: model.as_str().into(), dimensions })
}

/// A model in this process.
async fn from_directory(directory: PathBuf) -> Result<EmbeddingModel, Error> {
    let loaded = tokio::task::spawn_blocking(move || StaticEmbedder::load(&directory)).await;
    let model = loaded.map_err(|error| Error::internal(Stage::Embed, error))??;
    Ok(EmbeddingModel {
        name: Arc::clone(model.name()),
        dimensions: model.dimensions(),
        service: BoxEmbedder::new(model.clone()),
        questions: BoxEmbedder::new(model),
    })
}

/// The generator: each provider with retries, in order; extractive answers last, and alone when there is none.
pub(crate) fn generator(config: &Config) -> Result<BoxGenerator, Error> {
    let mut chain: Option<Fallback> = None;
    for provider in &config.providers {
        let endpoint = endpoint(provider)?;
        let name = Arc::clone(endpoint.name());
        let generator = OpenAiGenerator::new(endpoint, provider.model.as_str());
        let generator = retrying(generator, RetryPolicy::new(Arc::clone(&name)));
        chain = Some(match chain {
            None => Fallback::new(name, generator),
            Some(chain) => chain.or(name, generator),
        });
    }
    Ok(match chain {
        None => BoxGenerator::new(Extractive::new()),
        Some(chain) => BoxGenerator::new(chain.or_last_resort(EXTRACTIVE, Extractive::new())),
    })
}

/// What writes follow-up questions anew: the first provider, once and without retries, since a rule stands in for it.
pub(crate) fn rewriter(config: &Config) -> Result<Option<BoxGenerator>, Error> {
    let Some(provider) = config.providers.first() else { return Ok(None) };
    Ok(Some(BoxGenerator::new(OpenAiGenerator::new(endpoint(provider)?, provider.model.as_str()))))
}

/// What routes a question that keywords leave open, when a model is set: once and without retries, since the keywords
/// stand in for it.
pub(crate) fn router(config: &Config) -> Result<Option<BoxGenerator>, Error> {
    let (Some(model), Some(provider)) = (&config.router_model, config.providers.first()) else {
        return Ok(None);
    };
    Ok(Some(BoxGenerator::new(OpenAiGenerator::new(endpoint(provider)?, model.as_str()))))
}

/// How long an answer waits for the reranker.
const RERANK_TIMEOUT: Duration = Duration::from_secs(2);

/// The model that puts passages in order, when one is set.
pub(crate) fn reranker(config: &Config) -> Result<Option<HttpReranker>, Error> {
    let Some(reranker) = &config.reranker else { return Ok(None) };
    let mut builder = Endpoint::builder(reranker.base_url.as_str()).with_first_event_timeout(RERANK_TIMEOUT);
    if let Some(key) = &reranker.api_key {
        builder = builder.with_key(key.expose());
    }
    Ok(Some(HttpReranker::new(builder.build()?, reranker.model.as_str())))
}

/// The models that may be metric labels.
pub(crate) fn model_names(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = config.providers.iter().map(|provider| provider.model.clone()).collect();
    names.push(EXTRACTIVE.into());
    names
}

fn endpoint(provider: &Provider) -> Result<Endpoint, Error> {
    let mut builder = Endpoint::builder(provider.base_url.as_str());
    if let Some(key) = &provider.api_key {
        builder = builder.with_key(key.expose());
    }
    if let Some(name) = &provider.name {
        builder = builder.with_name(name.as_str());
    }
    builder.build()
}
