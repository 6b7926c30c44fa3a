//! A service in, the same service out, whose clones cost nothing until they are used.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

/// A service that is cloned when a clone is first polled for readiness, and not before.
///
/// Each layer of a stack that answers later keeps a clone of all that is inside it, which is mostly dropped unused: in a deep
/// stack a request makes and drops many. Below a `Lazy` they are pointers.
///
/// - **Readiness:** that of this clone's own service.
/// - **Cancellation:** nothing of its own to cancel. **Panics:** never of its own.
///
/// ```
/// use rag_tower::stage::Lazy;
/// use tower::{Service, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let double = Lazy::new(service_fn(|n: u32| async move { Ok::<_, std::convert::Infallible>(2 * n) }));
/// assert_eq!(double.clone().oneshot(21).await, Ok(42));
/// # });
/// ```
pub struct Lazy<S> {
    shared: Arc<S>,
    own: Option<S>,
}

// === impl Lazy ===

impl<S> Lazy<S> {
    /// Clones of this are clones of `service`, when they are needed.
    #[must_use]
    pub fn new(service: S) -> Self {
        Self { shared: Arc::new(service), own: None }
    }
}

impl<S: Clone> Lazy<S> {
    fn own(&mut self) -> &mut S {
        self.own.get_or_insert_with(|| S::clone(&self.shared))
    }
}

impl<S> Clone for Lazy<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), own: None }
    }
}

impl<S: fmt::Debug> fmt::Debug for Lazy<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lazy").field(&self.shared).finish()
    }
}

impl<S: Service<R> + Clone, R> Service<R> for Lazy<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.own().poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.own().call(request)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tower::ServiceExt;

    use super::*;

    /// Counts how often it was cloned.
    #[derive(Default)]
    struct Counted(Arc<AtomicUsize>);

    impl Clone for Counted {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, Ordering::Relaxed);
            Self(Arc::clone(&self.0))
        }
    }

    impl Service<u8> for Counted {
        type Response = u8;
        type Error = crate::Error;
        type Future = std::future::Ready<Result<u8, crate::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), crate::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, n: u8) -> Self::Future {
            std::future::ready(Ok(n))
        }
    }

    #[tokio::test]
    async fn a_clone_is_made_for_the_one_that_is_used() {
        let clones = Arc::new(AtomicUsize::new(0));
        let lazy = Lazy::new(Counted(Arc::clone(&clones)));
        let unused: Vec<_> = (0..9).map(|_| lazy.clone()).collect();
        assert_eq!(clones.load(Ordering::Relaxed), 0);
        assert_eq!(lazy.clone().oneshot(7).await.unwrap(), 7);
        assert_eq!(clones.load(Ordering::Relaxed), 1);
        let mut used = lazy;
        for n in 0..3 {
            assert_eq!(used.ready().await.unwrap().call(n).await.unwrap(), n);
        }
        assert_eq!(clones.load(Ordering::Relaxed), 2, "its own is kept");
        drop(unused);
    }
}
