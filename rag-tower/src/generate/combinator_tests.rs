//! Retry, priming and fallback together.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;
use tower::ServiceExt;

use super::test_util::{Scripted, passage, request, said};
use super::{Extractive, Fallback, Primed, RetryPolicy, retrying};
use crate::answer::{AnswerStream, Event, Finish};
use crate::error::{Error, ErrorKind, Stage};
use crate::port::{GenerateRequest, Generator};

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, Stage::Generate)
}

fn failing(name: &'static str, kind: ErrorKind) -> Scripted {
    Scripted::new(name, move |_| Err(error(kind)))
}

async fn word(generator: impl Generator, request: GenerateRequest) -> Result<String, Error> {
    let events: Vec<_> = generator.oneshot(request).await?.collect().await;
    match events.first() {
        Some(Ok(Event::Delta(word))) => Ok(word.to_string()),
        _ => panic!("not an answer: {events:?}"),
    }
}

fn ask() -> GenerateRequest {
    request("fee", vec![passage(0, "doc", "The fee is ten.")])
}

#[tokio::test]
async fn priming_turns_a_late_failure_into_an_early_one_and_loses_no_event() {
    let late = Scripted::new("late", |_| Ok(AnswerStream::failed(error(ErrorKind::ProviderUnavailable))));
    let failed = Primed::new(late).oneshot(ask()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::ProviderUnavailable);
    let empty = Scripted::new("empty", |_| Ok(AnswerStream::ready(vec![])));
    let failed = Primed::new(empty).oneshot(ask()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Truncated);
    let whole: Vec<_> = Primed::new(Scripted::answering("a")).oneshot(ask()).await.unwrap().collect().await;
    assert!(matches!(&whole[..], [Ok(Event::Delta(_)), Ok(Event::Finished(Finish::Stop))]), "{whole:?}");
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    for (kind, calls) in [
        (ErrorKind::ProviderUnavailable, 3),
        (ErrorKind::ProviderRateLimited, 3),
        (ErrorKind::ProviderInvalid, 3),
        (ErrorKind::Truncated, 3),
        (ErrorKind::ProviderRejected, 1),
        (ErrorKind::Timeout, 1),
        (ErrorKind::Isolation, 1),
        (ErrorKind::InvalidInput, 1),
    ] {
        let provider = failing("p", kind);
        let failed = retrying(provider.clone(), RetryPolicy::new("p")).oneshot(ask()).await.unwrap_err();
        assert_eq!((failed.kind(), provider.calls()), (kind, calls));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_first_is_retried_and_one_that_fails_later_is_not() {
    let script = |call| match call {
        0 => Ok(AnswerStream::failed(error(ErrorKind::ProviderUnavailable))),
        _ => Ok(AnswerStream::new(futures_util::stream::iter([
            Ok(Event::Delta("half".into())),
            Err(error(ErrorKind::Truncated)),
        ]))),
    };
    let provider = Scripted::new("p", script);
    let events: Vec<_> =
        retrying(provider.clone(), RetryPolicy::new("p")).oneshot(ask()).await.unwrap().collect().await;
    assert_eq!(provider.calls(), 2);
    assert!(matches!(&events[..], [Ok(Event::Delta(_)), Err(_)]), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn waits_double_and_retry_after_is_honoured_up_to_the_ceiling() {
    let began = Instant::now();
    let _ =
        retrying(failing("p", ErrorKind::ProviderUnavailable), RetryPolicy::new("p")).oneshot(ask()).await;
    let waited = began.elapsed();
    assert!((Duration::from_millis(600)..=Duration::from_millis(1_210)).contains(&waited), "{waited:?}");

    let limited = |seconds| {
        Scripted::new("p", move |call| match call {
            0 => Err(error(ErrorKind::ProviderRateLimited).with_retry_after(Duration::from_secs(seconds))),
            _ => Ok(said("late")),
        })
    };
    let began = Instant::now();
    assert_eq!(word(retrying(limited(3), RetryPolicy::new("p")), ask()).await.unwrap(), "late");
    assert_eq!(began.elapsed().as_secs(), 3);

    let provider = limited(6);
    let failed = retrying(provider.clone(), RetryPolicy::new("p")).oneshot(ask()).await.unwrap_err();
    assert_eq!((provider.calls(), failed.retry_after()), (1, Some(Duration::from_secs(6))));
}

#[tokio::test(start_paused = true)]
async fn the_budget_bounds_the_retries_of_all_calls_together() {
    let provider = failing("p", ErrorKind::ProviderUnavailable);
    let policy = RetryPolicy::new("p").with_waits(Duration::ZERO, Duration::ZERO);
    for _ in 0..100 {
        let _ = retrying(provider.clone(), policy.clone()).oneshot(ask()).await;
    }
    assert_eq!(provider.calls(), 110);
}

#[tokio::test]
async fn the_first_provider_that_answers_is_the_last_one_asked() {
    let (down, up, spare) = (
        failing("down", ErrorKind::ProviderRejected),
        Scripted::answering("up"),
        Scripted::answering("spare"),
    );
    let chain =
        Fallback::new(down.name(), down.clone()).or(up.name(), up.clone()).or(spare.name(), spare.clone());
    let request = ask();
    let trace = request.trace.clone();
    assert_eq!(word(chain, request).await.unwrap(), "up");
    assert_eq!((down.calls(), up.calls(), spare.calls()), (1, 1, 0));
    assert!(trace.snapshot().degraded.is_empty());
}

#[tokio::test]
async fn a_200_followed_by_an_error_falls_back_too() {
    let late = Scripted::new("late", |_| Ok(AnswerStream::failed(error(ErrorKind::ProviderInvalid))));
    let chain = Fallback::new("late", late).or("up", Scripted::answering("up"));
    assert_eq!(word(chain, ask()).await.unwrap(), "up");
}

#[tokio::test]
async fn our_own_errors_never_fall_back() {
    for kind in [ErrorKind::Isolation, ErrorKind::InvalidInput, ErrorKind::Internal] {
        let spare = Scripted::answering("spare");
        let chain = Fallback::new("first", failing("first", kind)).or("spare", spare.clone());
        assert_eq!(word(chain, ask()).await.unwrap_err().kind(), kind);
        assert_eq!(spare.calls(), 0);
    }
}

#[tokio::test]
async fn the_last_resort_answers_and_says_what_was_down() {
    let chain = Fallback::new("a", failing("a", ErrorKind::Timeout))
        .or("b", failing("b", ErrorKind::ProviderRateLimited))
        .or_last_resort("extractive", Extractive::new());
    let request = ask();
    let trace = request.trace.clone();
    assert_eq!(word(chain, request).await.unwrap(), "The fee is ten. [1]");
    assert_eq!(trace.snapshot().degraded, [Arc::from("a"), Arc::from("b")]);
    assert_eq!(trace.snapshot().llm_provider.as_deref(), Some("extractive"));
}

#[tokio::test]
async fn when_all_fail_the_last_error_is_the_answer() {
    let chain =
        Fallback::new("a", failing("a", ErrorKind::Timeout)).or("b", failing("b", ErrorKind::Truncated));
    assert_eq!(word(chain, ask()).await.unwrap_err().kind(), ErrorKind::Truncated);
}
