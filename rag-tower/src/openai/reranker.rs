//! [`RerankRequest`] in, the passages in a model's order out.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tower_service::Service;

use super::endpoint::Endpoint;
use super::meter::Meters;
use super::refusal;
use crate::error::{Error, Stage};
use crate::passage::Passages;
use crate::port::RerankRequest;

/// A response longer than this, in bytes, is no order.
const LONGEST: usize = 4 * 1024 * 1024;

/// Reranks with a model behind `POST <base>/rerank`, as Cohere, Jina, vLLM and others have it: `{model, query, documents,
/// top_n}` goes out, `{results: [{index, relevance_score}]}` comes back.
///
/// It is not part of the OpenAI API and shares its transport: the same [`Endpoint`], the same errors (a 429 keeps its
/// `Retry-After`), no redirects. Each document is a passage's title and text. Passages that the model leaves out are
/// dropped; a place that was not sent, one that comes twice, a score that is no number and an empty order are
/// [`ProviderInvalid`](crate::ErrorKind::ProviderInvalid). Inside a [`RerankLayer`](crate::stage::RerankLayer) any failure
/// leaves the order as it was, `degraded: ["rerank"]`.
///
/// An answer waits for it: give the endpoint a short
/// [`with_first_event_timeout`](super::EndpointBuilder::with_first_event_timeout), such as 2 seconds.
///
/// **Readiness:** always ready. **Cancellation:** dropping the future closes the connection. **Panics:** none of its own.
#[derive(Clone)]
pub struct HttpReranker {
    endpoint: Endpoint,
    model: Arc<str>,
    meters: Meters,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    query: &'a str,
    documents: Vec<String>,
    top_n: usize,
    return_documents: bool,
}

#[derive(Deserialize)]
struct Order {
    results: Vec<Ranked>,
}

#[derive(Deserialize)]
struct Ranked {
    index: usize,
    #[serde(alias = "score")]
    relevance_score: f32,
}

// === impl HttpReranker ===

impl HttpReranker {
    /// A model of an endpoint, whose base URL is what comes before `/rerank`. The model's name becomes a metric label.
    #[must_use]
    pub fn new(endpoint: Endpoint, model: impl Into<Arc<str>>) -> Self {
        let model = model.into();
        let meters = Meters::new("rerank", endpoint.name(), &model);
        Self { endpoint, model, meters }
    }

    async fn order(&self, request: &RerankRequest) -> Result<Vec<Ranked>, Error> {
        let by = self.endpoint.first_by();
        let body = Body {
            model: &self.model,
            query: request.question.as_str(),
            documents: request
                .passages
                .iter()
                .map(|passage| format!("{}\n{}", passage.title, passage.text))
                .collect(),
            top_n: request.passages.len(),
            return_documents: false,
        };
        let response = self.endpoint.post("/rerank", &body, by, Stage::Rerank).await?;
        let all = self.endpoint.whole(response, LONGEST, by, Stage::Rerank).await?;
        let all = all.ok_or_else(|| self.invalid("sent more than 4 MiB as an order of passages"))?;
        let Order { results } = serde_json::from_slice(&all).map_err(|_| {
            self.invalid("sent something that is not {\"results\": [{\"index\", \"relevance_score\"}]}")
        })?;
        self.check(&results, request.passages.len())?;
        Ok(results)
    }

    fn check(&self, order: &[Ranked], sent: usize) -> Result<(), Error> {
        if order.is_empty() {
            return Err(self.invalid("sent an order without a single passage"));
        }
        let mut seen = vec![false; sent];
        for ranked in order {
            match seen.get_mut(ranked.index) {
                Some(seen) if !*seen && ranked.relevance_score.is_finite() => *seen = true,
                _ => {
                    return Err(self.invalid(
                        "sent an order with a place that was not asked about, that comes twice, or without a score",
                    ));
                }
            }
        }
        Ok(())
    }

    fn invalid(&self, what: &str) -> Error {
        refusal::invalid(self.endpoint.name(), Stage::Rerank, what)
    }
}

impl Service<RerankRequest> for HttpReranker {
    type Response = Passages;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Passages, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RerankRequest) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            if request.passages.is_empty() {
                return Ok(request.passages);
            }
            let mut meter = this.meters.start();
            let order = match this.order(&request).await {
                Ok(order) => {
                    meter.done(None);
                    order
                }
                Err(error) => {
                    meter.failed(error.kind());
                    return Err(error);
                }
            };
            let mut passages = request.passages;
            let places: Vec<usize> = order.iter().map(|ranked| ranked.index).collect();
            passages.select(&places);
            // rescoring visits the passages in the order they have
            let mut scores = order.iter().map(|ranked| ranked.relevance_score);
            passages.rescore(|_| scores.next().unwrap_or_default());
            Ok(passages)
        })
    }
}

impl fmt::Debug for HttpReranker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpReranker")
            .field("endpoint", &self.endpoint)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
