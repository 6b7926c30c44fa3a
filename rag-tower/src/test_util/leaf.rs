//! A leaf that does what a script says.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::Sleep;
use tower_service::Service;

use crate::answer::{Answer, Event, Finish};
use crate::ask::AskId;
use crate::error::{Error, ErrorKind, Stage};
use crate::scoped::Traceable;

/// Any [`Traceable`] request in, a scripted [`Answer`] out: some steps before the answer exists, some while it streams.
///
/// It counts its calls. Each call follows the same script.
#[derive(Clone, Debug)]
pub struct Leaf {
    head: Arc<[Step]>,
    body: Arc<[Step]>,
    calls: Arc<AtomicU64>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// An event is yielded. Before the answer exists it means nothing.
    Event(Event),
    /// An error, which ends everything.
    Fail(ErrorKind),
    /// The task is woken and polled once more.
    Yield,
    /// Time passes.
    Sleep(Duration),
    /// Nothing happens any more.
    Hang,
    /// The code unwinds, without the panic hook's message.
    Panic,
    /// The code unwinds in `call` itself.
    PanicInCall,
}

struct Script {
    steps: VecDeque<Step>,
    sleep: Option<Pin<Box<Sleep>>>,
}

// === impl Step ===

impl Step {
    /// A piece of text.
    #[must_use]
    pub fn delta(text: &str) -> Self {
        Self::Event(Event::Delta(text.into()))
    }

    /// The terminal event.
    #[must_use]
    pub fn stop() -> Self {
        Self::Event(Event::Finished(Finish::Stop))
    }
}

// === impl Leaf ===

impl Leaf {
    /// A leaf that does `head` before its answer exists and `body` while it streams; then the stream ends.
    #[must_use]
    pub fn new(head: impl Into<Arc<[Step]>>, body: impl Into<Arc<[Step]>>) -> Self {
        Self { head: head.into(), body: body.into(), calls: Arc::default() }
    }

    /// A leaf whose answer is there at once.
    #[must_use]
    pub fn streaming(body: impl Into<Arc<[Step]>>) -> Self {
        Self::new([], body)
    }

    /// A leaf that answers with one piece of text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::streaming([Step::delta(text), Step::stop()])
    }

    /// How often it was called.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl<Req: Traceable> Service<Req> for Leaf {
    type Response = Answer;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.head.iter().any(|step| matches!(step, Step::PanicInCall)) {
            unwind();
        }
        let (id, body): (AskId, _) = (request.id(), self.body.clone());
        let mut head = Script::new(&self.head);
        Box::pin(async move {
            let running = std::future::poll_fn(|cx| head.poll(cx));
            if let Some(Err(error)) = running.await {
                return Err(error);
            }
            Ok(Answer::new(id, Script::new(&body)))
        })
    }
}

// === impl Script ===

impl Script {
    fn new(steps: &[Step]) -> Self {
        Self { steps: steps.iter().cloned().collect(), sleep: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                std::task::ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Event(event)) => return Poll::Ready(Some(Ok(event))),
                Some(Step::Fail(kind)) => return Poll::Ready(Some(Err(Error::new(kind, Stage::Generate)))),
                Some(Step::Yield) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Sleep(time)) => self.sleep = Some(Box::pin(tokio::time::sleep(time))),
                Some(Step::Hang) => {
                    self.steps.push_front(Step::Hang);
                    return Poll::Pending;
                }
                Some(Step::Panic | Step::PanicInCall) => unwind(),
            }
        }
    }
}

impl Stream for Script {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

fn unwind() -> ! {
    std::panic::resume_unwind(Box::new("the script says so"))
}
