//! Providers in order, until one answers.

use std::fmt;
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
use crate::port::{GenerateRequest, Generator};

/// Asks named generators in order until one yields a first event.
///
/// The next one is asked when a provider is away, limits us, refuses, times out, or answers with something else than
/// its protocol; errors of our own (isolation, bad input) are final. After the first event nothing falls back: half an
/// answer of one model and half of another is no answer. When all fail, the last error is returned.
///
/// Each step away from a provider counts in `rag_provider_fallbacks_total{provider}`.
///
/// **Order:** outermost around the providers, each with its own retries. **Readiness:** always ready; each provider's
/// is awaited when it is its turn. **Cancellation:** dropping the future drops the provider being asked. **Panics:**
/// none of its own.
#[derive(Clone)]
pub struct Fallback {
    providers: Arc<[Provider]>,
}

/// One in the list.
#[derive(Clone)]
struct Provider {
    name: Arc<str>,
    last_resort: bool,
    passed_over: Counter,
    generator: BoxCloneSyncService<GenerateRequest, AnswerStream, Error>,
}

// === impl Fallback ===

impl Fallback {
    /// Starts with the preferred provider. The name is a metric label and appears in the trace.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, generator: impl Generator) -> Self {
        Self { providers: Arc::from([Provider::new(name.into(), generator, false)]) }
    }

    /// Adds the one to ask next.
    #[must_use]
    pub fn or(self, name: impl Into<Arc<str>>, generator: impl Generator) -> Self {
        self.and(Provider::new(name.into(), generator, false))
    }

    /// Adds one whose answer is less than the others would have given, such as
    /// [`Extractive`](super::Extractive): when it answers, the providers that failed before it are noted as degraded.
    #[must_use]
    pub fn or_last_resort(self, name: impl Into<Arc<str>>, generator: impl Generator) -> Self {
        self.and(Provider::new(name.into(), generator, true))
    }

    fn and(self, provider: Provider) -> Self {
        Self { providers: self.providers.iter().cloned().chain([provider]).collect() }
    }
}

impl Service<GenerateRequest> for Fallback {
    type Response = AnswerStream;
    type Error = Error;
    type Future = BoxFuture<'static, Result<AnswerStream, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: GenerateRequest) -> Self::Future {
        let providers = Arc::clone(&self.providers);
        Box::pin(async move { ask_in_order(&providers, request).await })
    }
}

async fn ask_in_order(providers: &[Provider], request: GenerateRequest) -> Result<AnswerStream, Error> {
    let mut failure = None;
    for (place, provider) in providers.iter().enumerate() {
        if let Some(failed) = place.checked_sub(1).and_then(|place| providers.get(place)) {
            failed.passed_over.increment(1);
            tracing::warn!(failed = %failed.name, next = %provider.name, "a model provider failed; asking the next");
        }
        match provider.ask(request.clone()).await {
            Ok(events) => {
                if provider.last_resort {
                    providers[..place]
                        .iter()
                        .for_each(|failed| request.trace.degrade(Arc::clone(&failed.name)));
                }
                return Ok(events);
            }
            Err(error) if another_may_answer(error.kind()) => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(failure.unwrap_or_else(|| Error::new(ErrorKind::ProviderUnavailable, Stage::Generate)))
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

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.providers.iter().map(|provider| &provider.name)).finish()
    }
}

// === impl Provider ===

impl Provider {
    fn new(name: Arc<str>, generator: impl Generator, last_resort: bool) -> Self {
        let passed_over = metrics::counter!("rag_provider_fallbacks_total", "provider" => Arc::clone(&name));
        passed_over.increment(0);
        Self { name, last_resort, passed_over, generator: BoxCloneSyncService::new(generator) }
    }

    async fn ask(&self, request: GenerateRequest) -> Result<AnswerStream, Error> {
        prime(self.generator.clone().oneshot(request).await?).await
    }
}
