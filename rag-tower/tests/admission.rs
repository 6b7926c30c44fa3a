//! Permits: held while an answer streams, given back at every end, never exceeded.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::StreamExt;
use rag_tower::admission::AdmissionLayer;
use rag_tower::test_util::{Leaf, Step};
use rag_tower::{Answer, Ask, Error, ErrorKind, Event, Finish, Question};
use tower::{Layer, Service, ServiceExt};

fn ask(tenant: &str) -> Ask {
    Ask::new(rag_tower::test_util::scope(tenant), Question::parse("what?").unwrap())
}

#[tokio::test]
async fn held_while_streaming_and_given_back_with_the_terminal_event() {
    let layer = AdmissionLayer::new(8);
    let service = layer.layer(Leaf::streaming([Step::delta("a"), Step::stop()]));
    let mut answer = service.clone().oneshot(ask("a")).await.unwrap();
    assert_eq!(layer.in_use(), (1, 1));
    answer.next().await.unwrap().unwrap();
    assert_eq!(layer.in_use(), (1, 1));
    assert_eq!(answer.next().await.unwrap().unwrap(), Event::Finished(Finish::Stop));
    assert_eq!(layer.in_use(), (0, 0), "although the answer still lives");
    drop(answer);
    // Failed, dropped as future, dropped as stream, panicked.
    let failing = layer.layer(Leaf::new([Step::Fail(ErrorKind::Timeout)], []));
    failing.oneshot(ask("a")).await.unwrap_err();
    drop(layer.layer(Leaf::new([Step::Hang], [])).call(ask("a")));
    drop(service.clone().oneshot(ask("a")).await.unwrap());
    let panicking = layer.layer(Leaf::new([Step::Panic], []));
    let task = tokio::task::LocalSet::new();
    assert!(
        task.run_until(async { tokio::task::spawn_local(panicking.oneshot(ask("a"))).await }).await.is_err()
    );
    assert_eq!(layer.in_use(), (0, 0));
}

#[tokio::test]
async fn t114_limits_are_shared_by_clones_and_services_and_one_tenant_cannot_take_all() {
    let layer = AdmissionLayer::new(3).per_tenant(2);
    let (one, two) = (layer.layer(Leaf::text("a")), layer.layer(Leaf::text("a")));
    let first = one.clone().oneshot(ask("a")).await.unwrap();
    let _second = two.clone().oneshot(ask("a")).await.unwrap();
    let refused = one.clone().oneshot(ask("a")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    assert!(refused.to_string().contains("organisation") && refused.retry_after().is_some());
    let _other = two.clone().oneshot(ask("b")).await.unwrap();
    let refused = one.clone().oneshot(ask("c")).await.unwrap_err();
    assert!(refused.to_string().contains("server"), "{refused}");
    drop(first);
    one.oneshot(ask("c")).await.unwrap().collect().await.unwrap();
}

/// Notes how many run at once.
#[derive(Clone, Default)]
struct Counting {
    now: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl Service<Ask> for Counting {
    type Response = Answer;
    type Error = Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            this.peak.fetch_max(this.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            this.now.fetch_sub(1, Ordering::SeqCst);
            Ok(Answer::text(ask.id(), "a", Finish::Stop))
        })
    }
}

async fn storm() {
    let layer = AdmissionLayer::new(16).per_tenant(5);
    let leaf = Counting::default();
    let service = layer.layer(leaf.clone());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..4_000 {
        let service = service.clone();
        tasks.spawn(async move {
            match service.oneshot(ask(["a", "b", "c", "d", "e"][n % 5])).await {
                Ok(answer) => answer.collect().await.map(|_| 1),
                Err(error) if error.kind() == ErrorKind::Overloaded => Ok(0),
                Err(error) => Err(error),
            }
        });
    }
    let mut ran = 0;
    while let Some(result) = tasks.join_next().await {
        ran += result.unwrap().unwrap();
    }
    let peak = leaf.peak.load(Ordering::SeqCst);
    assert!(peak <= 16, "{peak} at once");
    assert!(ran >= 16 && layer.in_use() == (0, 0), "{ran} ran, {:?} in use", layer.in_use());
}

#[tokio::test]
async fn a_storm_on_one_thread() {
    storm().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_on_several_threads() {
    storm().await;
}
