//! Any error in, our [`Error`] out, or no error at all: where foreign errors are understood, and where an ask that
//! must fail closed becomes an answer without a result.
//!
//! ```
//! use rag_tower::rescue::RescueLayer;
//!
//! let rescue = RescueLayer::new();
//! ```
//!
//! Kinds that [fail closed](ErrorKind::fails_closed) (isolation, filter, store) become the answer "I cannot answer
//! this right now", which ends as [`Finish::Abstained`] with the reason: over HTTP that is a 200 that shows nothing,
//! in the trace row it is FAIL_CLOSED. The same holds for an error in the stream as long as no text has gone out;
//! after that it stays an error. Other errors pass, those of other libraries after being told apart here and nowhere
//! else: a timeout of Tower or Tokio is [`ErrorKind::Timeout`], what it cannot name is [`ErrorKind::Internal`].
//!
//! **Order.** Inside the trace layer, outside of everything that may fail. **Readiness.** Forwarded, its error
//! converted. **Cancellation.** Nothing of its own. **Panics.** None of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::{AbstainReason, Answer, AnswerStream, Event, Finish};
use crate::ask::AskId;
use crate::error::{BoxError, Error, ErrorKind, Stage};
use crate::scoped::Traceable;
use crate::trace::TraceHandle;
use crate::wording::Wordings;

/// Turns errors into ours, and those that fail closed into an answer. See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct RescueLayer {
    wordings: Arc<Wordings>,
}

/// The service of [`RescueLayer`].
#[derive(Clone, Debug)]
pub struct Rescue<S> {
    inner: S,
    wordings: Arc<Wordings>,
}

pin_project! {
    /// The future of [`Rescue`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RescueFuture<F> {
        #[pin]
        inner: F,
        closed: Option<Closed>,
    }
}

/// What is needed to answer without a result.
struct Closed {
    id: AskId,
    trace: TraceHandle,
    question: Option<Arc<str>>,
    wordings: Arc<Wordings>,
}

/// Watches a stream until its first text.
struct RescueStream {
    events: AnswerStream,
    closed: Option<Closed>,
}

// === impl RescueLayer ===

impl RescueLayer {
    /// A layer with the default wording.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is said, see [`Wording::withheld`](crate::Wording::withheld). Default: Vietnamese to a Vietnamese question,
    /// English to any other.
    #[must_use]
    pub fn with_wordings(mut self, wordings: Wordings) -> Self {
        self.wordings = Arc::new(wordings);
        self
    }
}

impl<S> Layer<S> for RescueLayer {
    type Service = Rescue<S>;

    fn layer(&self, inner: S) -> Rescue<S> {
        Rescue { inner, wordings: Arc::clone(&self.wordings) }
    }
}

// === impl Rescue ===

impl<S, Req> Service<Req> for Rescue<S>
where
    Req: Traceable,
    S: Service<Req, Response = Answer, Error: Into<BoxError>>,
{
    type Response = Answer;
    type Error = Error;
    type Future = RescueFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(into_error)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let closed = Closed {
            id: request.id(),
            trace: request.trace().clone(),
            question: request.entry().question,
            wordings: Arc::clone(&self.wordings),
        };
        RescueFuture { inner: self.inner.call(request), closed: Some(closed) }
    }
}

// === impl RescueFuture ===

impl<F, E> Future for RescueFuture<F>
where
    F: Future<Output = Result<Answer, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Answer, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let closed = this.closed.take();
        Poll::Ready(match result {
            Ok(answer) => Ok(answer.map_stream(|events| RescueStream { events, closed })),
            Err(error) => {
                let error = into_error(error);
                match (closed, reason(error.kind())) {
                    (Some(closed), Some(reason)) => Ok(closed.answer(&error, reason)),
                    _ => Err(error),
                }
            }
        })
    }
}

// === impl RescueStream ===

impl Stream for RescueStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.events).poll_next(cx);
        if this.closed.is_none() {
            return polled;
        }
        match &polled {
            Poll::Ready(Some(Ok(Event::Delta(_)))) => this.closed = None,
            Poll::Ready(Some(Err(error))) => {
                if let (Some(closed), Some(reason)) = (this.closed.take(), reason(error.kind())) {
                    this.events = closed.answer(error, reason).into_stream();
                    return Pin::new(&mut this.events).poll_next(cx);
                }
            }
            _ => {}
        }
        polled
    }
}

// === impl Closed ===

impl Closed {
    fn answer(self, error: &Error, reason: AbstainReason) -> Answer {
        tracing::warn!(kind = %error.kind(), stage = %error.stage(), ask = %self.id, "an ask fails closed");
        self.trace.with(|facts| facts.error = Some(error.to_string().into()));
        let text = &self.wordings.of(self.question.as_deref().unwrap_or_default()).withheld;
        Answer::text(self.id, Arc::clone(text), Finish::Abstained(reason))
    }
}

/// The reason of a kind that fails closed.
fn reason(kind: ErrorKind) -> Option<AbstainReason> {
    match kind {
        ErrorKind::Isolation => Some(AbstainReason::Isolation),
        ErrorKind::FilterUnavailable => Some(AbstainReason::FilterUnavailable),
        ErrorKind::StoreUnavailable => Some(AbstainReason::StoreUnavailable),
        _ => None,
    }
}

/// The one place where errors are told apart by their type.
fn into_error(error: impl Into<BoxError>) -> Error {
    let error = match error.into().downcast::<Error>() {
        Ok(ours) => return *ours,
        Err(foreign) => foreign,
    };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    let mut found = None;
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<Error>() {
            found = Some((ours.kind(), ours.stage()));
            break;
        }
        if current.is::<tower::timeout::error::Elapsed>() || current.is::<tokio::time::error::Elapsed>() {
            found = Some((ErrorKind::Timeout, Stage::Deadline));
            break;
        }
        if current.is::<tower::load_shed::error::Overloaded>() {
            found = Some((ErrorKind::Overloaded, Stage::Admission));
            break;
        }
        cause = current.source();
    }
    let (kind, stage) = found.unwrap_or((ErrorKind::Internal, Stage::Generate));
    Error::new(kind, stage).with_source(error)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower::{ServiceBuilder, ServiceExt};

    use super::*;
    use crate::answer::Usage;
    use crate::ask::{Ask, Question};
    use crate::test_util::{Leaf, Step};

    fn ask(question: &str) -> Ask {
        Ask::new(crate::test_util::scope("a"), Question::parse(question).unwrap())
    }

    async fn rescued(leaf: Leaf, question: &str) -> Result<Vec<Event>, Error> {
        RescueLayer::new().layer(leaf).oneshot(ask(question)).await?.collect().await
    }

    #[tokio::test]
    async fn t10_what_fails_closed_is_an_answer_without_a_result() {
        let cases = [
            (ErrorKind::Isolation, AbstainReason::Isolation),
            (ErrorKind::FilterUnavailable, AbstainReason::FilterUnavailable),
            (ErrorKind::StoreUnavailable, AbstainReason::StoreUnavailable),
        ];
        for (kind, reason) in cases {
            let finished = Event::Finished(Finish::Abstained(reason));
            for leaf in [
                Leaf::new([Step::Fail(kind)], []),
                Leaf::streaming([Step::Event(Event::Usage(Usage::default())), Step::Fail(kind)]),
            ] {
                let events = rescued(leaf, "what?").await.unwrap();
                assert_eq!(events.last(), Some(&finished));
            }
        }
        let events = rescued(Leaf::new([Step::Fail(ErrorKind::Isolation)], []), "Học phí?").await.unwrap();
        let Event::Delta(text) = &events[0] else { panic!("{events:?}") };
        assert!(text.starts_with("Hiện tôi"), "{text}");
    }

    #[tokio::test]
    async fn after_the_first_text_it_stays_an_error() {
        let leaf = Leaf::streaming([Step::delta("a"), Step::Fail(ErrorKind::Isolation)]);
        assert_eq!(rescued(leaf, "what?").await.unwrap_err().kind(), ErrorKind::Isolation);
    }

    #[tokio::test]
    async fn other_errors_pass() {
        let leaf = Leaf::new([Step::Fail(ErrorKind::ProviderRejected)], []);
        assert_eq!(rescued(leaf, "what?").await.unwrap_err().kind(), ErrorKind::ProviderRejected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_of_tower_is_ours() {
        let stack = ServiceBuilder::new()
            .layer(RescueLayer::new())
            .layer(tower::timeout::TimeoutLayer::new(Duration::from_secs(1)))
            .service(Leaf::new([Step::Hang], []));
        assert_eq!(stack.oneshot(ask("what?")).await.unwrap_err().kind(), ErrorKind::Timeout);
    }

    #[tokio::test]
    async fn t10_the_row_fails_closed_and_has_the_message() {
        use crate::trace::{Status, TraceLayer, WriterConfig, spawn_writer};
        let store = crate::test_util::MemoryTraces::new();
        let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default());
        let stack = ServiceBuilder::new()
            .layer(TraceLayer::new(sink))
            .layer(RescueLayer::new())
            .service(Leaf::new([Step::Fail(ErrorKind::FilterUnavailable)], []));
        stack.oneshot(ask("what?")).await.unwrap().collect().await.unwrap();
        writer.shutdown(Duration::from_secs(5)).await;
        let row = &store.rows()[0];
        assert_eq!(
            (row.outcome.status(), row.outcome.reason()),
            (Status::FailClosed, Some("filter_unavailable"))
        );
        assert_eq!(row.error.as_deref(), Some("the tenant filter could not be applied"));
    }
}
