//! The readiness contract of a layer, as a check to run against it.

use std::fmt;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tower_layer::Layer;
use tower_service::Service;

/// A service whose readiness is a switch, and which notes calls that it was not ready for.
pub struct Probe<In, Res, E> {
    shared: Arc<Shared>,
    respond: Arc<Respond<In, Res>>,
    fail: Arc<Fail<E>>,
    /// Of this instance: a clone has to become ready by itself.
    ready: bool,
}

type Respond<In, Res> = dyn Fn(In) -> Res + Send + Sync;
type Fail<E> = dyn Fn() -> E + Send + Sync;

/// A rule that a layer breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokenRule {
    /// It is ready although the service inside is not.
    ReadyBeforeInner,
    /// It does not pass on the waker, or the service inside became ready and it did not.
    NotWoken,
    /// It hides that the service inside cannot become ready.
    HidesError,
    /// It called a service that was not ready, as happens when it calls a fresh clone.
    CalledUnready,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    calls: AtomicUsize,
    unready: AtomicUsize,
}

#[derive(Default)]
enum State {
    #[default]
    Waiting,
    Woken(Waker),
    Ready,
    Failed,
}

struct Flag(AtomicBool);

/// Runs the contract against a layer: what is inside is first not ready, then ready, then broken. The inside answers
/// each request with `respond`; `fail` makes its readiness error. Gives how often the inside was called.
///
/// # Errors
/// The first rule that the layer breaks.
pub async fn readiness<L, Req, In, Res, E>(
    layer: L,
    request: impl Fn() -> Req,
    respond: impl Fn(In) -> Res + Send + Sync + 'static,
    fail: impl Fn() -> E + Send + Sync + 'static,
) -> Result<usize, BrokenRule>
where
    L: Layer<Probe<In, Res, E>>,
    L::Service: Service<Req> + Clone,
{
    let shared = Arc::<Shared>::default();
    let probe =
        Probe { shared: Arc::clone(&shared), respond: Arc::new(respond), fail: Arc::new(fail), ready: false };
    let mut service = layer.layer(probe);

    let woken = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    if service.poll_ready(&mut cx).is_ready() {
        return Err(BrokenRule::ReadyBeforeInner);
    }
    shared.set(State::Ready);
    if !woken.0.load(Ordering::SeqCst) || !matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))) {
        return Err(BrokenRule::NotWoken);
    }
    // Twice: the second time the instance is what the first call has left behind.
    for _ in 0..2 {
        if std::future::poll_fn(|cx| service.poll_ready(cx)).await.is_err() {
            return Err(BrokenRule::NotWoken);
        }
        let _answer = service.call(request()).await.is_ok();
    }
    let mut clone = service.clone();
    if std::future::poll_fn(|cx| clone.poll_ready(cx)).await.is_ok() {
        let _answer = clone.call(request()).await.is_ok();
    }
    if shared.unready.load(Ordering::SeqCst) > 0 {
        return Err(BrokenRule::CalledUnready);
    }
    shared.set(State::Failed);
    let mut fresh = service.clone();
    if !matches!(fresh.poll_ready(&mut cx), Poll::Ready(Err(_))) {
        return Err(BrokenRule::HidesError);
    }
    Ok(shared.calls.load(Ordering::SeqCst))
}

// === impl Probe ===

impl<In, Res, E> Service<In> for Probe<In, Res, E> {
    type Response = Res;
    type Error = E;
    type Future = Ready<Result<Res, E>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Waiting | State::Woken(_) => {
                *state = State::Woken(cx.waker().clone());
                Poll::Pending
            }
            State::Ready => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            State::Failed => Poll::Ready(Err((self.fail)())),
        }
    }

    fn call(&mut self, request: In) -> Self::Future {
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        if !std::mem::take(&mut self.ready) {
            self.shared.unready.fetch_add(1, Ordering::SeqCst);
        }
        ready(Ok((self.respond)(request)))
    }
}

impl<In, Res, E> Clone for Probe<In, Res, E> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            respond: Arc::clone(&self.respond),
            fail: Arc::clone(&self.fail),
            ready: false,
        }
    }
}

impl<In, Res, E> fmt::Debug for Probe<In, Res, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("ready", &self.ready).finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    fn set(&self, next: State) {
        let before = std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), next);
        if let State::Woken(waker) = before {
            waker.wake();
        }
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

// === impl BrokenRule ===

impl fmt::Display for BrokenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadyBeforeInner => "it is ready although the service inside is not: forward poll_ready",
            Self::NotWoken => "it does not become ready with the service inside: forward the waker",
            Self::HidesError => "it hides that the service inside cannot become ready: forward the error",
            Self::CalledUnready => {
                "it calls a service that was not ready: take the readied one with mem::replace, leave the clone"
            }
        })
    }
}

impl std::error::Error for BrokenRule {}
