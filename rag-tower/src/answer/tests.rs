use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};

use super::*;

fn delta(text: &str) -> Event {
    Event::Delta(text.into())
}

fn answer(events: Vec<Result<Event, Error>>) -> Answer {
    Answer::new(AskId::generate(), stream::iter(events))
}

/// Drops set the flag.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn collect_needs_the_terminal_event() {
    let whole = answer(vec![Ok(delta("a")), Ok(Event::Finished(Finish::Stop))]).collect().await.unwrap();
    assert_eq!(whole, [delta("a"), Event::Finished(Finish::Stop)]);
    let cut = answer(vec![Ok(delta("a"))]).collect().await.unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Truncated);
}

#[tokio::test]
async fn the_text_is_that_of_a_whole_answer() {
    let end = || Ok(Event::Finished(Finish::Stop));
    let sources = Ok(Event::Sources(Arc::from([])));
    let usage = Ok(Event::Usage(Usage::default()));
    let said = answer(vec![sources, Ok(delta("a")), Ok(delta("b")), usage, end()]).collect_text().await;
    assert_eq!(said.unwrap(), "ab");
    assert_eq!(answer(vec![end()]).collect_text().await.unwrap(), "");
    let cut = answer(vec![Ok(delta("a"))]).collect_text().await.unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Truncated);
}

#[tokio::test]
async fn nothing_follows_an_error_or_the_end() {
    let error = || Err(Error::new(ErrorKind::Timeout, Stage::Generate));
    let after_error = answer(vec![error(), Ok(delta("late"))]).into_stream().count().await;
    let after_end =
        answer(vec![Ok(Event::Finished(Finish::Stop)), Ok(delta("late"))]).into_stream().count().await;
    assert_eq!((after_error, after_end), (1, 1));
}

#[tokio::test]
async fn a_guard_goes_when_the_end_is_yielded_though_the_stream_is_kept() {
    let gone = Arc::new(AtomicBool::new(false));
    let events = vec![Ok(delta("a")), Ok(Event::Finished(Finish::Stop))];
    let mut events = answer(events).hold(Flag(Arc::clone(&gone))).into_stream();
    events.next().await.unwrap().unwrap();
    assert!(!gone.load(Ordering::SeqCst));
    events.next().await.unwrap().unwrap();
    assert!(gone.load(Ordering::SeqCst));
    drop(events);
}

#[tokio::test]
async fn the_hook_runs_before_finished_and_only_for_whole_answers_that_fit() {
    for (events, max, expected) in [
        (vec![Ok(delta("abc")), Ok(Event::Finished(Finish::Stop))], 3, true),
        (vec![Ok(delta("abcd")), Ok(Event::Finished(Finish::Stop))], 3, false),
        (vec![Ok(delta("abc"))], 3, false),
    ] {
        let ran = Arc::new(AtomicBool::new(false));
        let hook = Arc::clone(&ran);
        let answer = answer(events).on_finished(max, move |events| async move {
            tokio::task::yield_now().await;
            hook.store(events.len() == 2, Ordering::SeqCst);
        });
        let mut events = answer.into_stream();
        while let Some(event) = events.next().await {
            if matches!(event, Ok(Event::Finished(_))) {
                assert_eq!(ran.load(Ordering::SeqCst), expected);
            }
        }
        assert_eq!(ran.load(Ordering::SeqCst), expected);
    }
}
