//! [`EmbedRequest`] in, a model's vectors out.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_openai::types::embeddings::{CreateEmbeddingRequest, EmbeddingInput, EncodingFormat};
use futures_core::future::BoxFuture;
use tower_service::Service;

use super::endpoint::Endpoint;
use super::meter::Meters;
use super::refusal;
use super::vectors::{Vector, Vectors};
use crate::error::{Error, ErrorKind, Stage};
use crate::port::{EmbedRequest, Embedding};

/// A response longer than this, in bytes, is no set of vectors.
const LONGEST: usize = 64 * 1024 * 1024;

/// Embeds with a model, in batches, one after the other. Vectors are asked for in Base64, as OpenAI's own client asks for
/// them; lists of numbers are read as well, from servers that send nothing else.
///
/// **Readiness:** always ready. **Cancellation:** dropping the future closes the connection. **Panics:** none of its
/// own.
#[derive(Clone)]
pub struct OpenAiEmbedder {
    endpoint: Endpoint,
    model: Arc<str>,
    dimensions: Option<u32>,
    batch: usize,
    meters: Meters,
}

// === impl OpenAiEmbedder ===

impl OpenAiEmbedder {
    /// A model of an endpoint. The model's name becomes a metric label.
    #[must_use]
    pub fn new(endpoint: Endpoint, model: impl Into<Arc<str>>) -> Self {
        let model = model.into();
        let meters = Meters::new("embeddings", endpoint.name(), &model);
        Self { endpoint, model, dimensions: None, batch: 64, meters }
    }

    /// The vectors' length, for models that can shorten them. Default: the model's own.
    #[must_use]
    pub fn with_dimensions(mut self, dimensions: u32) -> Self {
        self.dimensions = Some(dimensions);
        self
    }

    /// The most texts in one request, at least 1. Default: 64.
    #[must_use]
    pub fn with_batch(mut self, texts: usize) -> Self {
        self.batch = texts.max(1);
        self
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    async fn embed(&self, texts: &[Arc<str>]) -> Result<Vec<Embedding>, Error> {
        let by = self.endpoint.first_by();
        let body = CreateEmbeddingRequest {
            model: self.model.to_string(),
            input: EmbeddingInput::StringArray(texts.iter().map(ToString::to_string).collect()),
            encoding_format: Some(EncodingFormat::Base64),
            user: None,
            dimensions: self.dimensions,
        };
        let response = self.endpoint.post("/embeddings", &body, by, Stage::Embed).await?;
        let all = self.endpoint.whole(response, LONGEST, by, Stage::Embed).await?;
        let all = all.ok_or_else(|| self.invalid("sent more than 64 MiB of vectors"))?;
        let vectors: Vectors = serde_json::from_slice(&all)
            .map_err(|error| refusal::unreadable(self.endpoint.name(), Stage::Embed, &error))?;
        self.check(vectors.data, texts.len())
    }

    /// One usable vector for each text, in the texts' order.
    fn check(&self, vectors: Vec<Vector>, texts: usize) -> Result<Vec<Embedding>, Error> {
        if vectors.len() != texts {
            return Err(self.invalid("sent another number of vectors than it got texts"));
        }
        let length = vectors.first().map_or(0, |vector| vector.embedding.len());
        let wanted = self.dimensions.map_or(length, |dimensions| dimensions as usize);
        let mut places: Vec<Option<Embedding>> = vec![None; texts];
        for (at, vector) in vectors.into_iter().enumerate() {
            let usable = vector.embedding.len() == wanted && wanted > 0;
            if !usable || !vector.embedding.iter().all(|number| number.is_finite()) {
                return Err(self.invalid("sent a vector of another length, or with a number that is none"));
            }
            if let Some(place) = places.get_mut(vector.index.unwrap_or(at)) {
                *place = Some(Embedding::new(vector.embedding));
            }
        }
        let in_order: Option<Vec<Embedding>> = places.into_iter().collect();
        in_order.ok_or_else(|| self.invalid("sent vectors whose numbers do not fit the texts"))
    }

    fn invalid(&self, what: &str) -> Error {
        refusal::invalid(self.endpoint.name(), Stage::Embed, what)
    }
}

impl Service<EmbedRequest> for OpenAiEmbedder {
    type Response = Vec<Embedding>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Vec<Embedding>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: EmbedRequest) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let mut all: Vec<Embedding> = Vec::with_capacity(request.texts.len());
            for texts in request.texts.chunks(this.batch) {
                let mut meter = this.meters.start();
                match this.embed(texts).await {
                    Ok(vectors) => {
                        meter.done(None);
                        all.extend(vectors);
                    }
                    Err(error) => {
                        meter.failed(error.kind());
                        return Err(error);
                    }
                }
            }
            let length = all.first().map(|vector| vector.as_slice().len());
            if all.iter().any(|vector| Some(vector.as_slice().len()) != length) {
                return Err(Error::new(ErrorKind::ProviderInvalid, Stage::Embed));
            }
            Ok(all)
        })
    }
}

impl fmt::Debug for OpenAiEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiEmbedder")
            .field("endpoint", &self.endpoint)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}
