use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;
use tower::ServiceExt;
use tower_layer::Layer;

use super::*;
use crate::answer::Event;
use crate::ask::{Ask, Question};
use crate::error::{Error, ErrorKind};
use crate::test_util::{Leaf, Step};

const S: Duration = Duration::from_secs(1);

fn ask() -> Ask {
    Ask::new(crate::test_util::scope("a"), Question::parse("what?").unwrap())
}

/// What came, and after how many seconds it ended.
async fn run(leaf: Leaf) -> (Result<Vec<Event>, Error>, u64) {
    let limits = DeadlineLayer::new().first_event(10 * S).idle(5 * S).total(30 * S);
    let began = Instant::now();
    let result = match limits.layer(leaf).oneshot(ask()).await {
        Ok(answer) => answer.collect().await,
        Err(error) => Err(error),
    };
    (result, began.elapsed().as_secs())
}

fn assert_timeout((result, took): (Result<Vec<Event>, Error>, u64), seconds: u64, message: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), took), (ErrorKind::Timeout, seconds));
    assert!(error.to_string().contains(message), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_first_event_counts_from_the_call() {
    assert_timeout(run(Leaf::new([Step::Hang], [])).await, 10, "did not begin");
    assert_timeout(run(Leaf::new([Step::Sleep(7 * S)], [Step::Hang])).await, 10, "did not begin");
    assert_timeout(run(Leaf::streaming([Step::Sleep(11 * S), Step::stop()])).await, 10, "did not begin");
}

#[tokio::test(start_paused = true)]
async fn idle_counts_from_the_last_event() {
    let leaf = Leaf::streaming([
        Step::Sleep(9 * S),
        Step::delta("a"),
        Step::Sleep(4 * S),
        Step::delta("b"),
        Step::Hang,
    ]);
    assert_timeout(run(leaf).await, 18, "stopped coming");
}

#[tokio::test(start_paused = true)]
async fn total_counts_from_the_call_though_events_flow() {
    let leaf = Leaf::streaming(vec![[Step::Sleep(4 * S), Step::delta("a")]; 20].concat());
    assert_timeout(run(leaf).await, 30, "took too long");
}

#[tokio::test(start_paused = true)]
async fn in_time_nothing_changes() {
    let leaf = Leaf::new([Step::Sleep(9 * S)], [Step::delta("a"), Step::Sleep(4 * S), Step::stop()]);
    let (result, took) = run(leaf).await;
    assert_eq!((result.unwrap().len(), took), (2, 13));
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_not_an_idle_provider_but_has_a_total() {
    let layer = DeadlineLayer::new().first_event(10 * S).idle(5 * S).total(30 * S);
    let leaf =
        Leaf::new([Step::Sleep(S)], [Step::delta("a"), Step::delta("b"), Step::delta("c"), Step::stop()]);
    let mut events = layer.layer(leaf).oneshot(ask()).await.unwrap();
    events.next().await.unwrap().unwrap();
    tokio::time::sleep(20 * S).await;
    events.next().await.unwrap().unwrap();
    tokio::time::sleep(20 * S).await;
    assert_eq!(events.next().await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    assert!(events.next().await.is_none());
}
