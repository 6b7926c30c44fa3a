use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::{InMemoryStore, MemoryLayer};
use super::*;
use crate::answer::Finish;
use crate::error::ErrorKind;
use crate::stage::testing::{self, Leaf};

/// What the stage inside is asked in the second turn, and the trace of that turn.
async fn second(layer: RewriteLayer, question: &str) -> (String, TraceHandle, Arc<str>) {
    let store = Arc::new(InMemoryStore::new(10));
    let leaf = Leaf::<Ask>::answering("ten crowns");
    let service = MemoryLayer::new(Arc::clone(&store)).layer(layer.layer(leaf.clone()));
    let first = testing::ask("How much is the pottery course?");
    let trace = first.trace().clone();
    service.clone().oneshot(first).await.unwrap().collect().await.unwrap();
    let session = trace.snapshot().session.unwrap();
    let ask = testing::ask(question).with_session(session);
    let trace = ask.trace().clone();
    service.oneshot(ask).await.unwrap().collect().await.unwrap();
    let seen = leaf.requests().pop().unwrap();
    let kept = crate::port::MemoryStore::load(&*store, &testing::scope("a"), session).await.unwrap().unwrap();
    (seen.question().as_str().to_owned(), trace, Arc::clone(&kept.last().unwrap().question))
}

fn model(text: &'static str) -> (impl Generator, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let model = tower::service_fn(move |request: GenerateRequest| {
        seen.fetch_add(1, Ordering::Relaxed);
        assert!(request.messages[1].text.contains("How much is the pottery course?"));
        let usage = Usage { input_tokens: 30, output_tokens: 9, estimated: false };
        let events = vec![Event::Delta(text.into()), Event::Usage(usage), Event::Finished(Finish::Stop)];
        std::future::ready(Ok::<_, Error>(AnswerStream::ready(events)))
    });
    (model, calls)
}

#[tokio::test]
async fn the_rewritten_question_is_searched_for_and_the_asked_one_is_remembered() {
    let (searched, trace, kept) = second(RewriteLayer::new(), "And the timetable?").await;
    assert_eq!((searched.as_str(), &*kept), ("And the timetable? (pottery course)", "And the timetable?"));
    assert_eq!(trace.snapshot().tool_metadata["rewritten_question"], "And the timetable? (pottery course)");
}

#[tokio::test]
async fn a_model_rewrites_once_and_only_what_leans_on_the_conversation() {
    let (generator, calls) = model("\"When does the pottery course take place?\"\n");
    let layer = RewriteLayer::new().with_model(generator);
    let (searched, trace, _) = second(layer.clone(), "And the timetable?").await;
    assert_eq!(searched, "When does the pottery course take place?");
    assert_eq!(trace.snapshot().tool_metadata["rewrite_tokens"], 39);
    assert_eq!(trace.snapshot().usage, None);
    let (searched, ..) = second(layer, "Where can visitors park on Sunday?").await;
    assert_eq!((searched.as_str(), calls.load(Ordering::Relaxed)), ("Where can visitors park on Sunday?", 1));
}

#[tokio::test(start_paused = true)]
async fn the_rule_stands_in_for_a_model_that_fails_or_is_late_or_talks() {
    let down = tower::service_fn(|_: GenerateRequest| {
        std::future::ready(Err::<AnswerStream, _>(Error::new(
            ErrorKind::ProviderUnavailable,
            Stage::Generate,
        )))
    });
    let late = tower::service_fn(|_: GenerateRequest| pending::<Result<AnswerStream, Error>>());
    let (talks, _) = model("a lot of words ");
    let long: &'static str = Box::leak("words ".repeat(200).into_boxed_str());
    let (long, _) = model(long);
    let (empty, _) = model(" \n ");
    let layer = RewriteLayer::new();
    for layer in [
        layer.clone().with_model(down),
        layer.clone().with_model(late),
        layer.clone().with_model(long),
        layer.clone().with_model(empty),
    ] {
        let (searched, ..) = second(layer, "And the timetable?").await;
        assert_eq!(searched, "And the timetable? (pottery course)");
    }
    let (searched, ..) = second(layer.with_model(talks), "And the timetable?").await;
    assert_eq!(searched, "a lot of words");
}

#[tokio::test]
async fn the_first_question_of_a_conversation_is_left_alone() {
    let leaf = Leaf::<Ask>::answering("ok");
    let ask = testing::ask("And the fee?");
    drop(RewriteLayer::new().layer(leaf.clone()).oneshot(ask).await.unwrap());
    assert_eq!(leaf.only_request().question().as_str(), "And the fee?");
}
