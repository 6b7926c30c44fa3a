//! The OpenAI-compatible generator and embedder against a model server on the wire, with the faults that real
//! providers show.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use rag_tower::generate::{Extractive, Fallback, RetryPolicy, retrying};
use rag_tower::openai::{Endpoint, OpenAiEmbedder, OpenAiGenerator};
use rag_tower::port::{EmbedKind, EmbedRequest, GenerateRequest, Generator, Message, Speaker};
use rag_tower::{Error, ErrorKind, Event, Finish, Question, Stage, TraceHandle, Usage};
use rag_tower_tests::model_stub::{self, DIMENSIONS, ModelStub, Reply, Step};
use serde_json::json;
use tower::ServiceExt;

const KEY: &str = "sk-canary-0123456789";

fn endpoint(stub: &ModelStub) -> Endpoint {
    Endpoint::builder(stub.base_url())
        .with_key(KEY)
        .with_name("stub")
        .with_first_event_timeout(Duration::from_secs(5))
        .build()
        .expect("a valid endpoint")
}

fn generator(stub: &ModelStub) -> OpenAiGenerator {
    OpenAiGenerator::new(endpoint(stub), "tiny")
}

fn request() -> GenerateRequest {
    let message = |speaker, text: &str| Message { speaker, text: text.into() };
    GenerateRequest {
        scope: rag_tower::test_util::scope("t"),
        trace: TraceHandle::new(),
        question: Question::parse("What is the fee?").expect("a question"),
        messages: Arc::from([
            message(Speaker::System, "Answer from the passages."),
            message(Speaker::User, "Hi"),
            message(Speaker::Assistant, "Hello"),
            message(Speaker::User, "What is the fee?"),
        ]),
        passages: rag_tower::Passages::default(),
        sources: Arc::from([]),
        max_output_tokens: Some(99),
    }
}

async fn events(generator: impl Generator) -> Result<Vec<Result<Event, Error>>, Error> {
    Ok(generator.oneshot(request()).await?.collect().await)
}

/// The error, wherever it came: on the future or as the only item of the stream.
async fn failure(generator: impl Generator) -> Error {
    match events(generator).await {
        Err(error) => error,
        Ok(mut events) => events.pop().expect("an item").expect_err("should fail"),
    }
}

fn text(events: &[Result<Event, Error>]) -> String {
    let piece = |event: &Result<Event, Error>| match event {
        Ok(Event::Delta(text)) => Some(text.to_string()),
        _ => None,
    };
    events.iter().filter_map(piece).collect()
}

fn end(events: &[Result<Event, Error>]) -> (Usage, Finish) {
    match events {
        [.., Ok(Event::Usage(usage)), Ok(Event::Finished(finish))] => (*usage, finish.clone()),
        _ => panic!("not a complete answer: {events:?}"),
    }
}

#[tokio::test]
async fn a_stream_arrives_piece_by_piece_with_its_usage() {
    let stub = ModelStub::start().await;
    stub.script([Reply::chat(&["Mười ", "triệu", " đồng."])]);
    let request = request();
    let trace = request.trace.clone();
    let answer = generator(&stub).with_temperature(0.5).oneshot(request).await.unwrap();
    let events: Vec<_> = answer.collect().await;
    assert_eq!((text(&events).as_str(), events.len()), ("Mười triệu đồng.", 5));
    let usage = Usage { input_tokens: 11, output_tokens: 3, estimated: false };
    assert_eq!(end(&events), (usage, Finish::Stop));
    let facts = trace.snapshot();
    assert_eq!((facts.llm_provider.as_deref(), facts.llm_model.as_deref()), (Some("stub"), Some("tiny")));

    let sent = &stub.requests()[0];
    assert_eq!(sent.path, "/v1/chat/completions");
    assert_eq!(sent.headers["authorization"], format!("Bearer {KEY}"));
    let expected = json!({
        "model": "tiny", "stream": true, "stream_options": {"include_usage": true},
        "temperature": 0.5, "max_tokens": 99,
        "messages": [
            {"role": "system", "content": "Answer from the passages."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "What is the fee?"},
        ],
    });
    assert_eq!(sent.body, expected);
}

#[tokio::test]
async fn usage_that_never_comes_is_estimated() {
    let stub = ModelStub::start().await;
    let frames =
        [model_stub::role(), model_stub::text("12345"), model_stub::finish("length"), model_stub::done()];
    stub.script([Reply::stream(frames)]);
    // 25 + 2 + 5 + 16 characters, each message rounded up to whole tokens.
    let usage = Usage { input_tokens: 7 + 1 + 2 + 4, output_tokens: 2, estimated: true };
    assert_eq!(end(&events(generator(&stub)).await.unwrap()), (usage, Finish::Length));
}

#[tokio::test]
async fn a_stream_without_done_is_whole_only_after_a_finish_reason() {
    let stub = ModelStub::start().await;
    let said = [model_stub::role(), model_stub::text("half")];
    let finished = [said[0].clone(), said[1].clone(), model_stub::finish("stop")];
    stub.script([Reply::stream(finished), Reply::stream(said.clone())]);
    assert_eq!(end(&events(generator(&stub)).await.unwrap()).1, Finish::Stop);
    let cut = events(generator(&stub)).await.unwrap();
    assert_eq!(text(&cut), "half");
    assert_eq!(cut.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Truncated);
}

#[tokio::test]
async fn a_connection_that_breaks_midway_is_a_truncated_answer() {
    let stub = ModelStub::start().await;
    let pause = Step::Pause(Duration::from_millis(20));
    stub.script([Reply::steps([Step::Send(model_stub::text("half")), pause, Step::Cut])]);
    let cut = events(generator(&stub)).await.unwrap();
    assert_eq!(text(&cut), "half");
    assert_eq!(cut.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Truncated);
}

#[tokio::test]
async fn what_is_not_the_protocol_is_invalid_and_is_not_repeated() {
    let stub = ModelStub::start().await;
    let html = Reply::stream(["<html>canary</html>".into()]).with_header("x-canary", "1");
    for (reply, kind) in [
        (Reply::stream(["data: {canary\n\n".into()]), ErrorKind::ProviderInvalid),
        (Reply::stream(["data: {\"choices\": \"canary\"}\n\n".into()]), ErrorKind::ProviderInvalid),
        (Reply::stream([bytes::Bytes::from_static(b"data: \xff\xfe\n\n")]), ErrorKind::ProviderInvalid),
        (Reply::json(&json!("canary")), ErrorKind::ProviderInvalid),
        (Reply::chat(&[]), ErrorKind::ProviderInvalid),
        (html, ErrorKind::Truncated),
    ] {
        stub.script([reply]);
        let error = failure(generator(&stub)).await;
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn refusals_have_their_kinds_and_leak_nothing() {
    let stub = ModelStub::start().await;
    for (status, kind) in [
        (400, ErrorKind::ProviderRejected),
        (401, ErrorKind::ProviderRejected),
        (404, ErrorKind::ProviderRejected),
        (429, ErrorKind::ProviderRateLimited),
        (500, ErrorKind::ProviderUnavailable),
        (503, ErrorKind::ProviderUnavailable),
    ] {
        stub.script([Reply::refused(status, "some_code", &format!("Incorrect API key provided: {KEY}"))]);
        let error = failure(generator(&stub)).await;
        assert_eq!((error.kind(), error.stage()), (kind, Stage::Generate), "{status}");
        assert!(error.to_string().contains(&format!("HTTP {status}, some_code")), "{error}");
        assert!(!format!("{error} {error:?} {:?}", generator(&stub)).contains("canary"), "{error:?}");
    }
    assert_eq!(stub.calls(), 6, "nothing may retry on its own");
}

#[tokio::test]
async fn an_error_object_inside_a_stream_is_that_error() {
    let stub = ModelStub::start().await;
    for (error, kind) in [
        (json!({"error": {"code": 429, "message": "x"}}), ErrorKind::ProviderRateLimited),
        (json!({"error": {"type": "rate_limit_exceeded", "message": "x"}}), ErrorKind::ProviderRateLimited),
        (json!({"error": {"type": "invalid_request_error"}}), ErrorKind::ProviderRejected),
        (json!({"error": {"message": "overloaded"}}), ErrorKind::ProviderUnavailable),
    ] {
        stub.script([Reply::stream([model_stub::data(&error)])]);
        assert_eq!(failure(generator(&stub)).await.kind(), kind);
    }
}

#[tokio::test]
async fn retry_after_is_read_as_seconds_and_as_a_date() {
    let stub = ModelStub::start().await;
    let limited = || Reply::refused(429, "slow_down", "x");
    stub.script([limited().with_header("retry-after", "7")]);
    assert_eq!(failure(generator(&stub)).await.retry_after(), Some(Duration::from_secs(7)));
    let at = time::OffsetDateTime::from(SystemTime::now() + Duration::from_secs(60));
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    stub.script([limited().with_header("retry-after", at.format(&format).unwrap())]);
    let after = failure(generator(&stub)).await.retry_after().expect("a wait");
    assert!((50..=60).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let gone = ModelStub::start().await;
    let generator = generator(&gone);
    drop(gone);
    assert_eq!(failure(generator).await.kind(), ErrorKind::ProviderUnavailable);
}

#[tokio::test]
async fn silence_ends_in_a_timeout_before_and_during_the_answer() {
    let stub = ModelStub::start().await;
    let quick = Endpoint::builder(stub.base_url())
        .with_first_event_timeout(Duration::from_millis(150))
        .with_idle_timeout(Duration::from_millis(150))
        .build()
        .unwrap();
    let hang = |first: Vec<Step>| Reply::steps(first.into_iter().chain([Step::Hang]));
    stub.script([
        Reply::never(),
        hang(vec![]),
        hang(vec![Step::Send(model_stub::role()), Step::Send(model_stub::text("half"))]),
    ]);
    for _ in 0..3 {
        let error = failure(OpenAiGenerator::new(quick.clone(), "tiny")).await;
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    }
    stub.wait_for_aborts(3).await;
}

#[tokio::test]
async fn an_answer_that_has_finished_does_not_wait_for_its_connection() {
    let stub = ModelStub::start().await;
    let frames = [model_stub::text("all"), model_stub::finish("stop")].map(Step::Send);
    stub.script([Reply::steps(frames.into_iter().chain([Step::Hang]))]);
    let began = Instant::now();
    let events = events(generator(&stub)).await.unwrap();
    assert_eq!((text(&events).as_str(), end(&events).1), ("all", Finish::Stop));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn events_that_come_in_one_piece_are_read_as_far_as_they_go() {
    let stub = ModelStub::start().await;
    let at_once = |frames: &[Bytes]| Reply::steps([Step::Send(frames.concat().into())]);
    let broken = model_stub::data(&json!({"error": {"message": "overloaded"}}));
    let done = [model_stub::finish("stop"), model_stub::done()];
    stub.script([
        at_once(&[
            model_stub::text("one "),
            model_stub::text("two"),
            broken.clone(),
            model_stub::text("three"),
        ]),
        at_once(&[model_stub::text("one"), done.concat().into(), broken, model_stub::text("two")]),
    ]);
    let cut = events(generator(&stub)).await.unwrap();
    assert_eq!((cut.len(), text(&cut).as_str()), (3, "one two"));
    assert_eq!(cut[2].as_ref().unwrap_err().kind(), ErrorKind::ProviderUnavailable);
    let whole = events(generator(&stub)).await.unwrap();
    assert_eq!((text(&whole).as_str(), end(&whole).1), ("one", Finish::Stop));
}

#[tokio::test]
async fn a_slow_provider_is_waited_for() {
    let stub = ModelStub::start().await;
    stub.script([Reply::chat(&["late"]).after(Duration::from_millis(100))]);
    assert_eq!(text(&events(generator(&stub)).await.unwrap()), "late");
}

#[tokio::test]
async fn a_caller_who_goes_away_stops_the_generation() {
    let stub = ModelStub::start().await;
    stub.always(Reply::steps([Step::Send(model_stub::text("half")), Step::Hang]));
    let mut answer = generator(&stub).oneshot(request()).await.unwrap();
    answer.next().await.unwrap().unwrap();
    assert_eq!(stub.aborts(), 0);
    drop(answer);
    stub.wait_for_aborts(1).await;
}

#[tokio::test]
async fn servers_that_do_not_stream_are_read_whole() {
    let stub = ModelStub::start().await;
    stub.script([Reply::whole("all at once")]);
    let streamed = events(generator(&stub)).await.unwrap();
    let asked_whole = events(generator(&stub).with_streaming(false)).await.unwrap();
    assert_eq!((text(&streamed).as_str(), text(&asked_whole).as_str()), ("all at once", "Hello from here."));
    assert!(!end(&streamed).0.estimated);
    assert_eq!(stub.requests()[1].body["stream"], false);
    assert!(stub.requests()[1].body.get("stream_options").is_none());
}

#[tokio::test]
async fn a_content_filter_is_not_a_complete_answer() {
    let stub = ModelStub::start().await;
    stub.script([Reply::stream([
        model_stub::text("ha"),
        model_stub::finish("content_filter"),
        model_stub::done(),
    ])]);
    assert_eq!(failure(generator(&stub)).await.kind(), ErrorKind::ProviderRejected);
}

#[tokio::test]
async fn retries_and_fallbacks_work_over_the_wire() {
    let (first, second) = (ModelStub::start().await, ModelStub::start().await);
    let policy = || RetryPolicy::new("stub").with_waits(Duration::ZERO, Duration::from_secs(1));
    first.always(Reply::refused(503, "down", "x"));
    second.script([Reply::stream([model_stub::role()]), Reply::chat(&["second"])]);
    let chain = Fallback::new("first", retrying(generator(&first), policy()))
        .or("second", retrying(generator(&second), policy()))
        .or_last_resort("extractive", Extractive::new());
    assert_eq!(text(&events(chain).await.unwrap()), "second");
    assert_eq!((first.calls(), second.calls()), (3, 2));
}

fn texts(texts: &[&str]) -> EmbedRequest {
    EmbedRequest {
        scope: rag_tower::test_util::scope("t"),
        trace: TraceHandle::new(),
        kind: EmbedKind::Document,
        texts: texts.iter().map(|text| Arc::from(*text)).collect(),
    }
}

#[tokio::test]
async fn vectors_come_in_the_texts_order_whatever_the_batches() {
    let stub = ModelStub::start().await;
    let embedder = OpenAiEmbedder::new(endpoint(&stub), "vectors").with_batch(2);
    let vectors = embedder.oneshot(texts(&["a", "bb", "a", "ccc", "bb"])).await.unwrap();
    assert_eq!((vectors.len(), vectors[0].as_slice().len(), stub.calls()), (5, DIMENSIONS, 3));
    assert!(vectors[0] == vectors[2] && vectors[1] == vectors[4] && vectors[0] != vectors[1]);
    let sent = &stub.requests()[0];
    assert_eq!(
        (sent.path.as_str(), &sent.body),
        ("/v1/embeddings", &json!({"model": "vectors", "input": ["a", "bb"], "encoding_format": "base64"}))
    );
}

#[tokio::test]
async fn vectors_out_of_order_are_put_in_order_and_wrong_ones_refused() {
    let stub = ModelStub::start().await;
    let vector = |index, embedding: &[f32]| json!({"index": index, "embedding": embedding});
    let reply = |data: &[serde_json::Value]| Reply::json(&json!({"data": data}));
    let embed = || OpenAiEmbedder::new(endpoint(&stub), "vectors").oneshot(texts(&["a", "b"]));
    stub.script([reply(&[vector(1, &[2.0]), vector(0, &[1.0])])]);
    let vectors = embed().await.unwrap();
    assert_eq!((vectors[0].as_slice(), vectors[1].as_slice()), (&[1.0][..], &[2.0][..]));
    for wrong in [
        reply(&[vector(0, &[1.0])]),
        reply(&[vector(0, &[1.0]), vector(0, &[1.0])]),
        reply(&[vector(0, &[1.0]), vector(7, &[1.0])]),
        reply(&[vector(0, &[1.0]), vector(1, &[1.0, 2.0])]),
        reply(&[vector(0, &[]), vector(1, &[])]),
        Reply::json(&json!({"canary": true})),
    ] {
        stub.script([wrong]);
        let error = embed().await.unwrap_err();
        assert_eq!((error.kind(), error.stage()), (ErrorKind::ProviderInvalid, Stage::Embed), "{error:?}");
    }
    stub.script([Reply::refused(429, "slow_down", "x").with_header("retry-after", "3")]);
    let error = embed().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_after()),
        (ErrorKind::ProviderRateLimited, Some(Duration::from_secs(3)))
    );
}

#[tokio::test]
async fn connections_are_used_again_and_many_at_once_are_served() {
    let stub = ModelStub::start_fast().await;
    let generator = generator(&stub);
    let answers = join_all((0..50).map(|_| events(generator.clone()))).await;
    assert!(answers.into_iter().all(|answer| text(&answer.unwrap()) == "Hello from here."));
    assert_eq!((stub.calls(), stub.requests().len()), (50, 0));
}
