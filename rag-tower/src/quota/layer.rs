//! The layer, its service and its future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::future::Either;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{Quota, RateKey, RateLimitStore, Verdict};
use crate::answer::Answer;
use crate::error::{Error, ErrorKind, Stage};
use crate::scoped::Scoped;
use crate::stage::ResponseFuture;
use crate::tenant::TenantScope;

/// Limits asks per minute. See the [module](super).
pub struct RateLimitLayer<T> {
    limits: Limits<T>,
}

/// The service of [`RateLimitLayer`].
pub struct RateLimit<S, T> {
    inner: S,
    limits: Limits<T>,
}

struct Limits<T> {
    store: Arc<T>,
    tenant: Quota,
    key: Quota,
    /// The store failed last: said once, not for each ask.
    failing: Arc<AtomicBool>,
}

pin_project! {
    /// The future of [`RateLimit`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RateLimitFuture<F, T = Answer> {
        #[pin]
        inner: Either<F, ResponseFuture<T>>,
    }
}

// === impl RateLimitLayer ===

impl<T: RateLimitStore> RateLimitLayer<T> {
    /// A layer that keeps its counts in `store` and limits nothing yet.
    #[must_use]
    pub fn new(store: T) -> Self {
        let (tenant, key) = (Quota::default(), Quota::default());
        Self { limits: Limits { store: Arc::new(store), tenant, key, failing: Arc::default() } }
    }

    /// What all credentials of a tenant may ask together. Default: off.
    #[must_use]
    pub fn per_tenant(mut self, quota: Quota) -> Self {
        self.limits.tenant = quota;
        self
    }

    /// What one credential may ask. Default: off. A scope without a subject has its tenant's limit only.
    #[must_use]
    pub fn per_key(mut self, quota: Quota) -> Self {
        self.limits.key = quota;
        self
    }
}

impl<S, T> Layer<S> for RateLimitLayer<T> {
    type Service = RateLimit<S, T>;

    fn layer(&self, inner: S) -> RateLimit<S, T> {
        RateLimit { inner, limits: self.limits.clone() }
    }
}

impl<T> Clone for RateLimitLayer<T> {
    fn clone(&self) -> Self {
        Self { limits: self.limits.clone() }
    }
}

impl<T> fmt::Debug for RateLimitLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { tenant, key, .. } = &self.limits;
        f.debug_struct("RateLimitLayer").field("tenant", tenant).field("key", key).finish_non_exhaustive()
    }
}

// === impl RateLimit ===

impl<S, T, Req> Service<Req> for RateLimit<S, T>
where
    Req: Scoped + Send + 'static,
    S: Service<Req, Error = Error, Future: Send> + Clone + Send + 'static,
    T: RateLimitStore,
{
    type Response = S::Response;
    type Error = Error;
    type Future = RateLimitFuture<S::Future, S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        if self.limits.are_off() {
            return RateLimitFuture { inner: Either::Left(self.inner.call(request)) };
        }
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let limits = self.limits.clone();
        RateLimitFuture {
            inner: Either::Right(ResponseFuture::new(async move {
                limits.check(request.scope()).await?;
                inner.call(request).await
            })),
        }
    }
}

impl<S: Clone, T> Clone for RateLimit<S, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), limits: self.limits.clone() }
    }
}

impl<S, T> fmt::Debug for RateLimit<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").finish_non_exhaustive()
    }
}

// === impl RateLimitFuture ===

impl<F: Future<Output = Result<T, Error>>, T> Future for RateLimitFuture<F, T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}

// === impl Limits ===

impl<T: RateLimitStore> Limits<T> {
    fn are_off(&self) -> bool {
        self.tenant.is_off() && self.key.is_off()
    }

    async fn check(&self, scope: &TenantScope) -> Result<(), Error> {
        if let Some(key) = RateKey::of_key(scope) {
            self.take(key, self.key, "key", "this credential has used up its requests per minute").await?;
        }
        let key = RateKey::of_tenant(scope);
        self.take(key, self.tenant, "tenant", "your organisation has used up its requests per minute").await
    }

    async fn take(
        &self,
        key: RateKey,
        quota: Quota,
        label: &'static str,
        message: &'static str,
    ) -> Result<(), Error> {
        if quota.is_off() {
            return Ok(());
        }
        let verdict = match self.store.take(&key, quota).await {
            Ok(verdict) => verdict,
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(kind = %error.kind(), "rate limits cannot be checked; asks run");
                }
                return Ok(());
            }
        };
        if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("rate limits are checked again");
        }
        match verdict {
            Verdict::Allowed => Ok(()),
            Verdict::Wait(wait) => {
                ::metrics::counter!("rag_rate_limited_total", "scope" => label).increment(1);
                Err(Error::new(ErrorKind::RateLimited, Stage::RateLimit)
                    .with_message(message)
                    .with_retry_after(wait))
            }
        }
    }
}

impl<T> Clone for Limits<T> {
    fn clone(&self) -> Self {
        let (store, failing) = (Arc::clone(&self.store), Arc::clone(&self.failing));
        Self { store, tenant: self.tenant, key: self.key, failing }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower::ServiceExt;

    use super::super::MemoryRateLimits;
    use super::*;
    use crate::ask::{Ask, Question};
    use crate::tenant::{Grant, TenantId};
    use crate::test_util::Leaf;

    async fn ask<S>(service: &S, tenant: &str, subject: &str) -> Result<(), Error>
    where
        S: Service<Ask, Response = Answer, Error = Error> + Clone,
    {
        let scope = crate::test_util::granted(Grant::new(TenantId::named(tenant)).with_subject(subject));
        let ask = Ask::new(scope, Question::parse("what?").unwrap());
        service.clone().oneshot(ask).await.map(drop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_and_its_tenant_are_limited_and_no_other_tenant() {
        let leaf = Leaf::text("a");
        let service = RateLimitLayer::new(MemoryRateLimits::default())
            .per_tenant(Quota::per_minute(3))
            .per_key(Quota::per_minute(2))
            .layer(leaf.clone());
        ask(&service, "a", "k").await.unwrap();
        ask(&service, "a", "k").await.unwrap();
        let error = ask(&service, "a", "k").await.unwrap_err();
        assert_eq!((error.kind(), error.stage()), (ErrorKind::RateLimited, Stage::RateLimit));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
        assert!(error.to_string().contains("credential"), "{error}");
        // The refused ask of `k` has not used up what `l` shares with it.
        ask(&service, "a", "l").await.unwrap();
        let error = ask(&service, "a", "m").await.unwrap_err();
        assert!(error.to_string().contains("organisation"), "{error}");
        ask(&service, "b", "k").await.unwrap();
        assert_eq!(leaf.calls(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn zero_is_off_and_a_store_that_fails_lets_asks_run() {
        struct Broken;
        impl RateLimitStore for Broken {
            async fn take(&self, _: &RateKey, _: Quota) -> Result<Verdict, Error> {
                Err(Error::store(Stage::RateLimit, "away"))
            }
        }
        let off = RateLimitLayer::new(MemoryRateLimits::default()).layer(Leaf::text("a"));
        for _ in 0..1000 {
            ask(&off, "a", "k").await.unwrap();
        }
        let broken = RateLimitLayer::new(Broken).per_key(Quota::per_minute(1)).layer(Leaf::text("a"));
        ask(&broken, "a", "k").await.unwrap();
        ask(&broken, "a", "k").await.unwrap();
    }
}
