//! However an ask ends, there is one row, and it says how.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use rag_tower::test_util::{Leaf, MemoryTraces, Step};
use rag_tower::trace::{
    Outcome, Phase, Status, Trace, TraceLayer, TraceRow, TraceWriter, WriterConfig, spawn_writer,
};
use rag_tower::{Ask, Error, ErrorKind, Event, Finish, Question, Stage, TenantId};
use tower::{Layer, Service, ServiceExt};

fn ask() -> Ask {
    let scope = rag_tower::test_util::scope("a");
    Ask::new(scope, Question::parse("what is it?").unwrap())
}

struct Fixture {
    stack: Trace<Leaf>,
    store: MemoryTraces,
    writer: TraceWriter,
}

fn fixture(leaf: Leaf) -> Fixture {
    let store = MemoryTraces::new();
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default());
    Fixture { stack: TraceLayer::new(sink).layer(leaf), store, writer }
}

impl Fixture {
    /// The only row.
    async fn row(self) -> TraceRow {
        self.writer.shutdown(Duration::from_secs(5)).await;
        let rows = self.store.rows();
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.into_iter().next().unwrap()
    }
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn finished() {
    let mut f = fixture(Leaf::streaming([Step::delta("a"), Step::Yield, Step::delta("b"), Step::stop()]));
    let request = ask();
    let (id, handle) = (request.id(), rag_tower::Scoped::trace(&request).clone());
    let mut events = f.stack.call(request).await.unwrap().into_stream();
    while !matches!(events.next().await.unwrap().unwrap(), Event::Finished(_)) {}
    // The consumer never asks for `None` and keeps the stream: the row is there all the same.
    assert_eq!(handle.snapshot().outcome, None);
    let row = f.row().await;
    drop(events);
    assert_eq!((row.trace_id, &row.outcome), (id, &Outcome::Completed(Finish::Stop)));
    assert_eq!((row.answer.as_deref(), row.question.as_deref()), (Some("ab"), Some("what is it?")));
    assert_eq!(row.tenant_id, TenantId::named("a"));
    assert!(row.ttft.unwrap() <= row.latency);
    assert_eq!(Some(row.ts), id.timestamp());
}

#[tokio::test]
async fn dropped_before_it_was_polled() {
    let mut f = fixture(Leaf::text("a"));
    drop(f.stack.call(ask()));
    assert_eq!(f.row().await.outcome, Outcome::Cancelled(Phase::BeforeFirstEvent));
}

/// A leaf that measures a stage which never ends.
#[derive(Clone)]
struct Slow;

impl Service<Ask> for Slow {
    type Response = rag_tower::Answer;
    type Error = Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<rag_tower::Answer, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        Box::pin(async move {
            let _timer = rag_tower::Scoped::trace(&ask).time(Stage::Embed);
            std::future::pending().await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_while_a_stage_runs_keeps_its_time() {
    let store = MemoryTraces::new();
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default());
    let mut stack = TraceLayer::new(sink).layer(Slow);
    {
        let mut running = Box::pin(stack.call(ask()));
        assert!(poll_once(running.as_mut()).is_pending());
        tokio::time::advance(Duration::from_millis(7)).await;
    }
    writer.shutdown(Duration::from_secs(5)).await;
    let row = &store.rows()[0];
    assert_eq!(row.outcome, Outcome::Cancelled(Phase::BeforeFirstEvent));
    assert_eq!((row.spans[0].stage, row.spans[0].duration), (Stage::Embed, Duration::from_millis(7)));
}

#[tokio::test]
async fn stream_never_polled() {
    let mut f = fixture(Leaf::text("a"));
    drop(f.stack.call(ask()).await.unwrap());
    assert_eq!(f.row().await.outcome, Outcome::Cancelled(Phase::BeforeFirstEvent));
}

#[tokio::test]
async fn dropped_mid_way() {
    let mut f = fixture(Leaf::streaming([Step::delta("a"), Step::Hang]));
    let mut answer = f.stack.call(ask()).await.unwrap();
    answer.next().await.unwrap().unwrap();
    drop(answer);
    let row = f.row().await;
    assert_eq!(row.outcome, Outcome::Cancelled(Phase::Streaming));
    assert_eq!(row.answer.as_deref(), Some("a"));
}

#[tokio::test]
async fn error_item() {
    let mut f = fixture(Leaf::streaming([Step::delta("a"), Step::Fail(ErrorKind::ProviderUnavailable)]));
    let error = f.stack.call(ask()).await.unwrap().collect().await.unwrap_err();
    let row = f.row().await;
    assert_eq!(row.outcome, Outcome::Failed(ErrorKind::ProviderUnavailable, Stage::Generate));
    assert_eq!(row.error.as_deref(), Some(error.to_string().as_str()));
}

#[tokio::test]
async fn truncated() {
    let mut f = fixture(Leaf::streaming([Step::delta("a")]));
    let error = f.stack.call(ask()).await.unwrap().collect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    let row = f.row().await;
    assert_eq!((row.outcome.status(), row.outcome), (Status::Error, Outcome::Truncated));
}

#[tokio::test]
async fn stage_error() {
    let mut f = fixture(Leaf::new([Step::Yield, Step::Fail(ErrorKind::StoreUnavailable)], []));
    f.stack.call(ask()).await.unwrap_err();
    let row = f.row().await;
    assert_eq!(row.outcome.status(), Status::FailClosed);
    assert_eq!(row.outcome, Outcome::Failed(ErrorKind::StoreUnavailable, Stage::Generate));
}

#[tokio::test]
async fn panic_in_call() {
    let mut f = fixture(Leaf::new([Step::PanicInCall], []));
    let unwound = catch_unwind(AssertUnwindSafe(|| drop(f.stack.call(ask()))));
    assert!(unwound.is_err());
    assert_eq!(f.row().await.outcome, Outcome::Panicked(Phase::BeforeFirstEvent));
}

#[tokio::test]
async fn panic_in_future_caught_above_and_dropped_later() {
    let mut f = fixture(Leaf::new([Step::Yield, Step::Panic], []));
    let caught = AssertUnwindSafe(f.stack.call(ask())).catch_unwind().await;
    assert!(caught.is_err());
    assert_eq!(f.row().await.outcome, Outcome::Panicked(Phase::BeforeFirstEvent));
}

#[tokio::test]
async fn panic_unwinding_through_the_task() {
    let mut f = fixture(Leaf::new([Step::Yield, Step::Panic], []));
    let running = f.stack.call(ask());
    assert!(
        tokio::task::LocalSet::new()
            .run_until(async { tokio::task::spawn_local(running).await })
            .await
            .is_err()
    );
    assert_eq!(f.row().await.outcome, Outcome::Panicked(Phase::BeforeFirstEvent));
}

#[tokio::test]
async fn panic_while_streaming_caught_above() {
    let mut f = fixture(Leaf::streaming([Step::delta("a"), Step::Panic]));
    let mut answer = f.stack.call(ask()).await.unwrap();
    answer.next().await.unwrap().unwrap();
    assert!(AssertUnwindSafe(answer.next()).catch_unwind().await.is_err());
    // Still held, then dropped without a panic in progress.
    drop(answer);
    assert_eq!(f.row().await.outcome, Outcome::Panicked(Phase::Streaming));
}

#[tokio::test]
async fn consumer_panics_while_it_holds_a_healthy_stream() {
    let mut f = fixture(Leaf::streaming([Step::delta("a"), Step::Hang]));
    let mut answer = f.stack.call(ask()).await.unwrap();
    answer.next().await.unwrap().unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _answer = answer;
        std::panic::resume_unwind(Box::new("the consumer"));
    }));
    assert!(unwound.is_err());
    assert_eq!(f.row().await.outcome, Outcome::Cancelled(Phase::Streaming));
}

#[tokio::test]
async fn an_ask_that_is_never_called_has_no_row() {
    let f = fixture(Leaf::text("a"));
    drop(f.stack.clone().oneshot(ask()));
    f.writer.shutdown(Duration::from_secs(5)).await;
    assert_eq!(f.store.rows(), []);
}

#[tokio::test]
async fn the_end_is_yielded_after_the_journal_is_safe_and_drop_only_appends() {
    use rag_tower::trace::{Journal, Receipt};
    use std::sync::Mutex;
    use tokio::sync::oneshot;

    #[derive(Clone, Default)]
    struct Slow(Arc<Mutex<Vec<oneshot::Sender<()>>>>);
    impl Journal for Slow {
        fn append(&self, _: &TraceRow) -> Receipt {
            let (safe, receipt) = oneshot::channel();
            self.0.lock().unwrap().push(safe);
            Receipt::pending(receipt)
        }
    }

    let (store, journal) = (MemoryTraces::new(), Slow::default());
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default());
    let layer = TraceLayer::new(sink.with_journal(journal.clone()));
    let mut stack = layer.layer(Leaf::text("a"));
    let mut answer = stack.call(ask()).await.unwrap();
    answer.next().await.unwrap().unwrap();
    {
        let mut end = pin!(answer.next());
        assert!(poll_once(end.as_mut()).is_pending(), "the end must wait for the journal");
        journal.0.lock().unwrap().pop().unwrap().send(()).unwrap();
        assert_eq!(end.await.unwrap().unwrap(), Event::Finished(Finish::Stop));
    }
    assert!(answer.next().await.is_none());
    // An error of a stage waits too.
    let mut failing = layer.layer(Leaf::new([Step::Fail(ErrorKind::Timeout)], []));
    let mut failed = pin!(failing.call(ask()));
    assert!(poll_once(failed.as_mut()).is_pending());
    drop(journal.0.lock().unwrap().pop());
    assert_eq!(failed.await.unwrap_err().kind(), ErrorKind::Timeout);
    // Dropping appends and does not wait.
    drop(stack.call(ask()).await.unwrap());
    assert_eq!(journal.0.lock().unwrap().len(), 1);
    writer.shutdown(Duration::from_secs(5)).await;
    assert_eq!(store.rows().len(), 3);
}
