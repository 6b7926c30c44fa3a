//! Texts in, vectors out, those that were asked for before from memory.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use lru::LruCache;
use metrics::Counter;
use sha2::{Digest, Sha256};
use tower::ServiceExt;
use tower_service::Service;

use crate::error::{Error, ErrorKind, Stage};
use crate::port::{EmbedKind, EmbedRequest, Embedder, Embedding};
use crate::stage::ResponseFuture;
use crate::tenant::TenantId;

/// An [`Embedder`] that remembers the vectors of another: [`EmbedRequest`] in, one [`Embedding`] a text out.
///
/// For questions to a model behind a network. What is remembered belongs to one tenant: a text that another tenant has
/// asked for is embedded again, so that nobody learns from the time taken what others ask. Texts are kept as their
/// SHA-256 alone, with tenant, model and kind beside it. The longest unused vectors go first. Clones share the memory.
///
/// Texts that were known and those that were not count in `rag_cache_requests_total{cache="embedding"}`.
///
/// - **Failure:** that of the embedder inside; nothing of a failed request is remembered.
/// - **Readiness:** always ready; the embedder inside is asked for its own when it is needed.
/// - **Cancellation:** dropping the future drops the embedder's. **Panics:** never of its own.
#[derive(Clone)]
pub struct CachedEmbedder<E> {
    embedder: E,
    model: Arc<str>,
    known: Arc<Mutex<LruCache<Key, Embedding>>>,
    /// Texts that were known, and those that were not.
    counts: (Counter, Counter),
}

/// Whose vector of what.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: TenantId,
    model: Arc<str>,
    kind: EmbedKind,
    text: [u8; 32],
}

/// Vectors that are remembered when nothing is said: 25 MB of 1,536 numbers each.
const KNOWN: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

// === impl CachedEmbedder ===

impl<E> CachedEmbedder<E> {
    /// Remembers 4,096 vectors of `embedder`, which embeds with `model`.
    pub fn new(embedder: E, model: impl Into<Arc<str>>) -> Self {
        let count = |result| metrics::counter!("rag_cache_requests_total", "cache" => "embedding", "result" => result);
        let counts = (count("hit"), count("miss"));
        Self { embedder, model: model.into(), known: Arc::new(Mutex::new(LruCache::new(KNOWN))), counts }
    }

    /// Sets how many vectors are remembered, at least one, and forgets those that are. Default: 4,096.
    #[must_use]
    pub fn with_capacity(mut self, vectors: usize) -> Self {
        let most = NonZeroUsize::new(vectors).unwrap_or(NonZeroUsize::MIN);
        self.known = Arc::new(Mutex::new(LruCache::new(most)));
        self
    }

    fn known(&self) -> MutexGuard<'_, LruCache<Key, Embedding>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, request: &EmbedRequest, text: &str) -> Key {
        Key {
            tenant: request.scope.tenant(),
            model: Arc::clone(&self.model),
            kind: request.kind,
            text: Sha256::digest(text.as_bytes()).into(),
        }
    }
}

impl<E: Embedder> CachedEmbedder<E> {
    async fn embed(self, request: EmbedRequest) -> Result<Vec<Embedding>, Error> {
        let keys: Vec<Key> = request.texts.iter().map(|text| self.key(&request, text)).collect();
        let mut vectors: Vec<Option<Embedding>> = {
            let mut known = self.known();
            keys.iter().map(|key| known.get(key).cloned()).collect()
        };
        let places = vectors.iter().zip(&request.texts);
        let texts: Vec<Arc<str>> =
            places.filter(|(vector, _)| vector.is_none()).map(|(_, text)| Arc::clone(text)).collect();
        let wanted = texts.len();
        self.counts.0.increment((request.texts.len() - wanted) as u64);
        self.counts.1.increment(wanted as u64);
        if wanted > 0 {
            let made = self.embedder.clone().oneshot(EmbedRequest { texts, ..request.clone() }).await?;
            if made.len() != wanted {
                return Err(Error::new(ErrorKind::ProviderInvalid, Stage::Embed));
            }
            let mut made = made.into_iter();
            let mut known = self.known();
            for (place, key) in vectors.iter_mut().zip(keys).filter(|(place, _)| place.is_none()) {
                *place = made.next();
                if let Some(vector) = place {
                    known.put(key, vector.clone());
                }
            }
        }
        Ok(vectors.into_iter().flatten().collect())
    }
}

impl<E: Embedder> Service<EmbedRequest> for CachedEmbedder<E> {
    type Response = Vec<Embedding>;
    type Error = Error;
    type Future = ResponseFuture<Vec<Embedding>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: EmbedRequest) -> Self::Future {
        ResponseFuture::new(self.clone().embed(request))
    }
}

impl<E> fmt::Debug for CachedEmbedder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known().len();
        f.debug_struct("CachedEmbedder")
            .field("model", &self.model)
            .field("known", &known)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing;
    use crate::trace::TraceHandle;

    /// What the embedder inside was asked, and its answer: the text's length, and how often it was asked before.
    #[derive(Clone, Default)]
    struct Asked(Arc<Mutex<Vec<Vec<String>>>>);

    impl Asked {
        fn embedder(&self) -> impl Embedder {
            let asked = self.clone();
            tower::service_fn(move |request: EmbedRequest| {
                let mut all = asked.0.lock().unwrap();
                let turn = all.len() as f32;
                all.push(request.texts.iter().map(ToString::to_string).collect());
                let vectors = request.texts.iter().map(|text| Embedding::new([text.len() as f32, turn]));
                std::future::ready(Ok::<_, Error>(vectors.collect()))
            })
        }

        fn take(&self) -> Vec<Vec<String>> {
            std::mem::take(&mut *self.0.lock().unwrap())
        }
    }

    async fn embed(by: &CachedEmbedder<impl Embedder>, tenant: &str, texts: &[&str]) -> Vec<f32> {
        let request = EmbedRequest {
            scope: testing::scope(tenant),
            trace: TraceHandle::new(),
            kind: EmbedKind::Query,
            texts: texts.iter().map(|text| Arc::from(*text)).collect(),
        };
        let vectors = by.clone().oneshot(request).await.unwrap();
        vectors.iter().map(|vector| vector.as_slice()[0]).collect()
    }

    #[tokio::test]
    async fn only_what_is_not_known_is_embedded_and_the_order_is_kept() {
        let asked = Asked::default();
        let cached = CachedEmbedder::new(asked.embedder(), "m");
        assert_eq!(embed(&cached, "a", &["one", "three"]).await, [3.0, 5.0]);
        assert_eq!(embed(&cached, "a", &["fourth", "three", "", "one"]).await, [6.0, 5.0, 0.0, 3.0]);
        assert_eq!(embed(&cached, "a", &["one"]).await, [3.0]);
        assert_eq!(asked.take(), [vec!["one", "three"], vec!["fourth", ""]]);
    }

    #[tokio::test]
    async fn t14_no_tenant_model_or_kind_sees_anothers() {
        let asked = Asked::default();
        let cached = CachedEmbedder::new(asked.embedder(), "m");
        embed(&cached, "a", &["secret"]).await;
        assert_eq!(asked.take().len(), 1);
        embed(&cached, "b", &["secret"]).await;
        assert_eq!(asked.take().len(), 1, "b must not learn that a asked");
        embed(&CachedEmbedder { model: "n".into(), ..cached.clone() }, "a", &["secret"]).await;
        assert_eq!(asked.take().len(), 1);
        let document = EmbedRequest {
            scope: testing::scope("a"),
            trace: TraceHandle::new(),
            kind: EmbedKind::Document,
            texts: vec!["secret".into()],
        };
        cached.clone().oneshot(document).await.unwrap();
        assert_eq!(asked.take().len(), 1);
        assert!(!format!("{cached:?}").contains("secret"));
    }

    #[tokio::test]
    async fn it_is_bounded_and_the_longest_unused_goes_first() {
        let asked = Asked::default();
        let cached = CachedEmbedder::new(asked.embedder(), "m").with_capacity(2);
        for text in ["one", "two", "one", "three"] {
            embed(&cached, "a", &[text]).await;
        }
        assert_eq!(asked.take().len(), 3);
        embed(&cached, "a", &["one", "three"]).await;
        assert_eq!(asked.take().len(), 0);
        embed(&cached, "a", &["two"]).await;
        assert_eq!(asked.take().len(), 1);
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered_and_a_missing_vector_is_one() {
        let short = tower::service_fn(|_: EmbedRequest| std::future::ready(Ok::<_, Error>(Vec::new())));
        let cached = CachedEmbedder::new(short, "m");
        let request = EmbedRequest {
            scope: testing::scope("a"),
            trace: TraceHandle::new(),
            kind: EmbedKind::Query,
            texts: vec!["one".into()],
        };
        let failed = cached.clone().oneshot(request).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::ProviderInvalid);
        assert_eq!(cached.known().len(), 0);
    }
}
