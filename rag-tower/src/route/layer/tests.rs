use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::answer::Event;
use crate::ask::SessionId;
use crate::error::ErrorKind;
use crate::memory::{History, Pending, Turn};
use crate::stage::testing::{self, Leaf};
use crate::trace::Facts;

fn always(decision: Decision) -> impl Classifier {
    tower::service_fn(move |_: ClassifyRequest| ready(Ok::<_, Error>(decision.clone())))
}

fn fails(kind: ErrorKind) -> impl Classifier {
    tower::service_fn(move |_: ClassifyRequest| ready(Err::<Decision, _>(Error::new(kind, Stage::Route))))
}

async fn run<C: Classifier>(layer: RouteLayer<C>, ask: Ask) -> (Result<Vec<Event>, Error>, usize, Facts) {
    let (leaf, trace) = (Leaf::<Ask>::answering("searched"), ask.trace().clone());
    let answer = layer.layer(leaf.clone()).oneshot(ask).await;
    let events = match answer {
        Ok(answer) => answer.collect().await,
        Err(error) => Err(error),
    };
    (events, leaf.calls(), trace.snapshot())
}

fn waiting(tool: &str, yields: bool) -> Ask {
    let ask = testing::ask("0912345123");
    let mut history = History::new(SessionId::generate(), ask.scope().tenant());
    history.recent_messages_buffer.push(Turn {
        question: "call me".into(),
        answer: "your number?".into(),
        route: Some("create_ticket".into()),
        pending: Some(Pending { tool: tool.into(), state: "phone".into(), yields }),
    });
    ask.with_history(Arc::new(history))
}

#[tokio::test]
async fn each_decision_goes_its_way() {
    let search = Decision::Search { intent: "course_search".into() };
    let (events, calls, facts) = run(RouteLayer::new(always(search)), testing::ask("q")).await;
    assert_eq!((testing::text(&events.unwrap()).as_str(), calls), ("searched", 1));
    assert_eq!((facts.route.as_deref(), facts.tool_answered), (Some("course_search"), false));

    let tool = Decision::Tool { name: "calculator".into(), intent: "tuition_calculator".into() };
    let layer = RouteLayer::new(always(tool)).with_tool("calculator", Leaf::<Ask>::answering("5"));
    let (events, calls, facts) = run(layer, testing::ask("q")).await;
    assert_eq!((testing::text(&events.unwrap()).as_str(), calls), ("5", 0));
    assert_eq!((facts.route.as_deref(), facts.tool_answered), (Some("tuition_calculator"), true));
    assert_eq!(facts.spans.iter().map(|span| span.stage).collect::<Vec<_>>(), [Stage::Route, Stage::Tool]);

    let (events, calls, facts) = run(RouteLayer::new(always(Decision::OutOfDomain)), testing::ask("q")).await;
    assert_eq!((events.unwrap().last(), calls), (Some(&Event::Finished(Finish::OutOfDomain)), 0));
    assert_eq!(facts.route.as_deref(), Some("out_of_domain"));

    let person = Decision::Handoff { reason: "asked".into() };
    let (events, calls, facts) = run(RouteLayer::new(always(person)), testing::ask("q")).await;
    let events = events.unwrap();
    assert_eq!((events.last(), calls), (Some(&Event::Finished(Finish::Handoff("asked".into()))), 0));
    assert!(!testing::text(&events).is_empty());
    assert_eq!(facts.route.as_deref(), Some("handoff"));
}

#[tokio::test]
async fn an_unknown_tool_is_a_fault_of_ours_and_never_a_text() {
    let tool = Decision::Tool { name: "nobody".into(), intent: "x".into() };
    let (events, calls, _) = run(RouteLayer::new(always(tool)), testing::ask("q")).await;
    assert_eq!((events.unwrap_err().kind(), calls), (ErrorKind::Internal, 0));
}

#[tokio::test]
async fn a_classifier_that_is_down_degrades_to_searching() {
    let (events, calls, facts) = run(RouteLayer::new(fails(ErrorKind::Timeout)), testing::ask("q")).await;
    assert_eq!((events.is_ok(), calls), (true, 1));
    assert_eq!((facts.route.as_deref(), facts.degraded), (Some("search"), vec!["classifier".into()]));
    let (events, calls, _) = run(RouteLayer::new(fails(ErrorKind::Isolation)), testing::ask("q")).await;
    assert_eq!((events.unwrap_err().kind(), calls), (ErrorKind::Isolation, 0));
}

#[tokio::test]
async fn a_tool_that_asked_back_gets_the_next_turn() {
    let layer =
        || RouteLayer::new(always(Decision::OutOfDomain)).with_tool("ticket", Leaf::<Ask>::answering("done"));
    let (events, _, facts) = run(layer(), waiting("ticket", false)).await;
    assert_eq!(
        (testing::text(&events.unwrap()).as_str(), facts.route.as_deref()),
        ("done", Some("create_ticket"))
    );
    // A tool that is no more does not hold the conversation.
    let (events, _, _) = run(layer(), waiting("gone", false)).await;
    assert_eq!(events.unwrap().last(), Some(&Event::Finished(Finish::OutOfDomain)));
}

/// Counts the reservations that `poll_ready` made and nobody has given back.
struct Reserving {
    open: Arc<AtomicUsize>,
    mine: bool,
}

impl Clone for Reserving {
    fn clone(&self) -> Self {
        Self { open: Arc::clone(&self.open), mine: false }
    }
}

impl Drop for Reserving {
    fn drop(&mut self) {
        self.open.fetch_sub(usize::from(self.mine), Ordering::SeqCst);
    }
}

impl Service<Ask> for Reserving {
    type Response = Answer;
    type Error = Error;
    type Future = std::future::Ready<Result<Answer, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.mine {
            self.mine = true;
            self.open.fetch_add(1, Ordering::SeqCst);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Ask) -> Self::Future {
        ready(Err(Error::new(ErrorKind::Internal, Stage::Generate)))
    }
}

#[tokio::test]
async fn the_reservation_is_given_back_before_the_tool_runs() {
    let open = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&open);
    let tool = tower::service_fn(move |ask: Ask| {
        assert_eq!(seen.load(Ordering::SeqCst), 0, "the reservation is still held");
        ready(Ok::<_, Error>(Answer::text(ask.id(), "done", Finish::Stop)))
    });
    let decision = Decision::Tool { name: "tool".into(), intent: "tool".into() };
    let inner = Reserving { open: Arc::clone(&open), mine: false };
    let mut router = RouteLayer::new(always(decision)).with_tool("tool", tool).layer(inner);
    std::future::poll_fn(|cx| router.poll_ready(cx)).await.unwrap();
    assert_eq!(open.load(Ordering::SeqCst), 1);
    router.call(testing::ask("q")).await.unwrap().collect().await.unwrap();
}

#[tokio::test]
async fn a_tool_that_yields_loses_the_turn_to_another_and_to_nothing_else() {
    let layer = |decision| {
        RouteLayer::new(always(decision))
            .with_tool("calculator", Leaf::<Ask>::answering("calculated"))
            .with_tool("comparison", Leaf::<Ask>::answering("compared"))
    };
    let other = || Decision::Tool { name: "comparison".into(), intent: "comparison".into() };
    let said = async |decision, yields| {
        let (events, searched, facts) = run(layer(decision), waiting("calculator", yields)).await;
        assert_eq!(searched, 0);
        (testing::text(&events.unwrap()), facts.route)
    };
    assert_eq!(said(other(), true).await, ("compared".into(), Some("comparison".into())));
    assert_eq!(said(other(), false).await, ("calculated".into(), Some("create_ticket".into())));
    for weak in [Decision::Search { intent: "search".into() }, Decision::OutOfDomain] {
        assert_eq!(said(weak, true).await.0, "calculated");
    }
}
