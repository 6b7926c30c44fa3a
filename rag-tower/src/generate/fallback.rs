//! Providers in order, until one answers: of [`GenerateRequest`]s, or of any other request that is [`Alternate`].

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;
use metrics::Counter;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

use super::primed::prime;
use crate::answer::AnswerStream;
use crate::error::{Error, ErrorKind, Stage};
use crate::port::GenerateRequest;
use crate::scoped::Scoped;

/// Asks named providers in order until one answers: generators, until one yields a first event.
///
/// The next one is asked when a provider is away, limits us, refuses, times out, or answers with something else than
/// its protocol; errors of our own (isolation, bad input) are final. After the first event nothing falls back: half an
/// answer of one model and half of another is no answer. When all fail, the last error is returned, or the last
/// response that said so.
///
/// Each step away from a provider counts in `rag_provider_fallbacks_total{provider}`.
///
/// **Order:** outermost around the providers, each with its own retries. **Readiness:** always ready; each provider's
/// is awaited when it is its turn. **Cancellation:** dropping the future drops the provider being asked. **Panics:**
/// none of its own.
pub struct Fallback<Req: Alternate = GenerateRequest> {
    providers: Arc<[Provider<Req>]>,
}

/// A request that another provider may answer when one has failed.
pub trait Alternate: Scoped + Clone + Send + 'static {
    /// What a provider answers with.
    type Response: Send + 'static;

    /// Waits until it is certain whether the provider answers; after that nothing falls back.
    fn settle(
        response: Self::Response,
    ) -> impl Future<Output = Result<Self::Response, Failed<Self::Response>>> + Send;
}

/// A provider that did not answer.
#[derive(Debug)]
pub struct Failed<T> {
    /// What that means.
    pub error: Error,
    /// What it said instead, when that may be shown to whoever asked: it is returned when no other provider answers.
    pub response: Option<T>,
}

/// A service that may stand in a [`Fallback`]. Implemented by every service of that shape.
pub trait Provides<Req: Alternate>:
    Service<Req, Response = Req::Response, Error = Error, Future: Send + 'static> + Clone + Send + Sync + 'static
{
}

impl<S, Req: Alternate> Provides<Req> for S where
    S: Service<Req, Response = Req::Response, Error = Error, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// One in the list.
struct Provider<Req: Alternate> {
    name: Arc<str>,
    last_resort: bool,
    passed_over: Counter,
    service: BoxCloneSyncService<Req, Req::Response, Error>,
}

// === impl Alternate ===

impl Alternate for GenerateRequest {
    type Response = AnswerStream;

    async fn settle(response: AnswerStream) -> Result<AnswerStream, Failed<AnswerStream>> {
        Ok(prime(response).await?)
    }
}

// === impl Failed ===

impl<T> From<Error> for Failed<T> {
    /// Without anything to show.
    fn from(error: Error) -> Self {
        Self { error, response: None }
    }
}

impl<T> Failed<T> {
    fn into_result(self) -> Result<T, Error> {
        self.response.ok_or(self.error)
    }
}

// === impl Fallback ===

impl<Req: Alternate> Fallback<Req> {
    /// Starts with the preferred provider. The name is a metric label and appears in the trace.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, provider: impl Provides<Req>) -> Self {
        Self { providers: Arc::from([Provider::new(name.into(), provider, false)]) }
    }

    /// Adds the one to ask next.
    #[must_use]
    pub fn or(self, name: impl Into<Arc<str>>, provider: impl Provides<Req>) -> Self {
        self.and(Provider::new(name.into(), provider, false))
    }

    /// Adds one whose answer is less than the others would have given, such as
    /// [`Extractive`](super::Extractive): when it answers, the providers that failed before it are noted as degraded.
    #[must_use]
    pub fn or_last_resort(self, name: impl Into<Arc<str>>, provider: impl Provides<Req>) -> Self {
        self.and(Provider::new(name.into(), provider, true))
    }

    fn and(self, provider: Provider<Req>) -> Self {
        Self { providers: self.providers.iter().cloned().chain([provider]).collect() }
    }
}

impl<Req: Alternate> Service<Req> for Fallback<Req> {
    type Response = Req::Response;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Req::Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let providers = Arc::clone(&self.providers);
        Box::pin(async move { ask_in_order(&providers, request).await })
    }
}

async fn ask_in_order<Req: Alternate>(
    providers: &[Provider<Req>],
    request: Req,
) -> Result<Req::Response, Error> {
    let mut failure = None;
    for (place, provider) in providers.iter().enumerate() {
        if let Some(failed) = place.checked_sub(1).and_then(|place| providers.get(place)) {
            failed.passed_over.increment(1);
            tracing::warn!(failed = %failed.name, next = %provider.name, "a model provider failed; asking the next");
        }
        match provider.ask(request.clone()).await {
            Ok(response) => {
                if provider.last_resort {
                    providers[..place]
                        .iter()
                        .for_each(|failed| request.trace().degrade(Arc::clone(&failed.name)));
                }
                return Ok(response);
            }
            Err(failed) if another_may_answer(failed.error.kind()) => failure = Some(failed),
            Err(failed) => return failed.into_result(),
        }
    }
    failure
        .map_or_else(|| Err(Error::new(ErrorKind::ProviderUnavailable, Stage::Generate)), Failed::into_result)
}

/// True for failures of the provider, as opposed to failures of the request or of ours.
fn another_may_answer(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ProviderUnavailable
            | ErrorKind::ProviderRateLimited
            | ErrorKind::ProviderRejected
            | ErrorKind::ProviderInvalid
            | ErrorKind::Timeout
            | ErrorKind::Truncated
    )
}

impl<Req: Alternate> Clone for Fallback<Req> {
    fn clone(&self) -> Self {
        Self { providers: Arc::clone(&self.providers) }
    }
}

impl<Req: Alternate> fmt::Debug for Fallback<Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.providers.iter().map(|provider| &provider.name)).finish()
    }
}

// === impl Provider ===

impl<Req: Alternate> Provider<Req> {
    fn new(name: Arc<str>, service: impl Provides<Req>, last_resort: bool) -> Self {
        let passed_over = metrics::counter!("rag_provider_fallbacks_total", "provider" => Arc::clone(&name));
        passed_over.increment(0);
        Self { name, last_resort, passed_over, service: BoxCloneSyncService::new(service) }
    }

    async fn ask(&self, request: Req) -> Result<Req::Response, Failed<Req::Response>> {
        Req::settle(self.service.clone().oneshot(request).await?).await
    }
}

impl<Req: Alternate> Clone for Provider<Req> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            last_resort: self.last_resort,
            passed_over: self.passed_over.clone(),
            service: self.service.clone(),
        }
    }
}
