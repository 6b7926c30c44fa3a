//! How calls end: at another provider, too early, or because their client went away.

use std::time::Duration;

use rag_tower_tests::model_stub::{self as model, ModelStub, Reply, Step};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::harness::{ACME, CHAT, Gateway, Wire, chat, next, post, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_stops_the_generation() {
    let stub = ModelStub::start().await;
    let gateway = Gateway::before(&stub).await;
    // before the first byte
    stub.script([Reply::never()]);
    let mut wire = Wire::to(gateway.addr).await;
    tokio::select! {
        _ = wire.head(post(ACME, CHAT, chat("one", true).to_string())) => panic!("an answer"),
        () = stub.wait_for_calls(1) => {}
    }
    drop(wire);
    stub.wait_for_aborts(1).await;
    // in the middle
    stub.script([Reply::steps([Step::Send(model::text("a piece of text")), Step::Hang])]);
    let mut wire = Wire::to(gateway.addr).await;
    let mut body = wire.head(post(ACME, CHAT, chat("two", true).to_string())).await.into_body();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), model::text("a piece of text"));
    drop((body, wire));
    stub.wait_for_aborts(2).await;

    let left = gateway.stop().await;
    assert_eq!(left.column("status"), ["CANCELLED", "CANCELLED"]);
    assert_eq!(left.column("reason"), ["before_first_token", "streaming"]);
    assert_eq!(left.column("tenant_id"), [tenant("acme"), tenant("acme")]);
    let row = &left.rows[1];
    assert_eq!(
        (&row["answer"], &row["output_tokens"], &row["estimated"]),
        (&json!("a piece of text"), &json!(4), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_seen_the_end_may_go() {
    let stub = ModelStub::start().await;
    let gateway = Gateway::before(&stub).await;
    stub.script([Reply::steps([Step::Send(model::text("all")), Step::Send(model::done()), Step::Hang])]);
    let mut wire = Wire::to(gateway.addr).await;
    let mut body = wire.head(post(ACME, CHAT, chat("one", true).to_string())).await.into_body();
    while next(&mut body).await.unwrap().unwrap() != model::done() {}
    drop((body, wire));
    stub.wait_for_aborts(1).await;
    let left = gateway.stop().await;
    assert_eq!((&left.row()["status"], &left.row()["answer"]), (&json!("SUCCESS"), &json!("all")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_provider_answers_when_one_cannot() {
    let (first, second) = (ModelStub::start().await, ModelStub::start().await);
    let gateway = Gateway::before_two(&first.base_url(), &second).await;
    let bodies = [chat("whole", false), chat("streamed", true)];
    let failing = [429, 500, 503, 408, 401].map(|status| Reply::refused(status, "some_code", "no"));
    for (reply, body) in failing.into_iter().zip(bodies.iter().cycle()) {
        first.script([reply]);
        let answer = gateway.client(ACME).post(CHAT, body).await;
        assert!(answer.status == 200 && answer.text().contains("from"), "{}", answer.text());
    }
    assert_eq!((first.calls(), second.calls()), (5, 5));
    let sent = &second.requests()[0];
    assert_eq!(sent.body["model"], "spare", "the second provider has other models");
    assert_eq!(sent.body["messages"], bodies[0]["messages"]);
    // What the caller has to mend is not mended elsewhere.
    first.script([Reply::refused(400, "invalid", "mend it")]);
    assert_eq!(gateway.client(ACME).post(CHAT, &bodies[0]).await.status, 400);
    assert_eq!(second.calls(), 5);
    // When none can, the last one's own words are the answer.
    first.script([Reply::refused(500, "first", "first")]);
    second.script([Reply::refused(503, "second", "second").with_header("retry-after", "3")]);
    let answer = gateway.client(ACME).post(CHAT, &bodies[0]).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (503, &json!("second")));
    assert_eq!(answer.headers["retry-after"], "3");

    let left = gateway.stop().await;
    let providers: Vec<_> = left.column("llm_provider");
    assert_eq!(providers, ["second", "second", "second", "second", "second", "first", "second"]);
    assert_eq!(left.column("llm_model")[4..], ["spare", "stub", "spare"]);
    assert_eq!(left.column("status")[4..], ["SUCCESS", "ERROR", "ERROR"]);
    assert_eq!(left.column("cost_estimate")[0].as_f64(), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_nobody_answers_at_is_passed_over() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/v1", taken.local_addr().unwrap());
    drop(taken);
    let second = ModelStub::start().await;
    let gateway = Gateway::before_two(&nobody, &second).await;
    assert_eq!(gateway.client(ACME).post(CHAT, &chat("hello", true)).await.status, 200);
    assert_eq!(gateway.stop().await.row()["llm_provider"], "second");

    let gateway = Gateway::start(&[("OPENAI_BASE_URL", &nobody)]).await;
    let answer = gateway.client(ACME).post(CHAT, &chat("hello", true)).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["error"]["code"]),
        (502, &json!("provider_unavailable"))
    );
    let left = gateway.stop().await;
    assert_eq!(
        (&left.row()["status"], &left.row()["error_kind"]),
        (&json!("ERROR"), &json!("provider_unavailable"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_first_byte_nothing_is_mended_and_nothing_is_hidden() {
    let (first, second) = (ModelStub::start().await, ModelStub::start().await);
    let gateway = Gateway::before_two(&first.base_url(), &second).await;
    let error =
        model::data(&json!({"error": {"message": "overloaded", "type": "server_error", "code": null}}));
    let ends: [(Vec<Step>, &str, &str); 4] = [
        (vec![Step::Send(model::text("a")), Step::Cut], "truncated", "broken"),
        (vec![Step::Send(model::text("a"))], "truncated", "whole"),
        (vec![Step::Send(model::text("a")), Step::Send(error.clone())], "provider_unavailable", "whole"),
        (
            vec![Step::Send(model::text("a")), Step::Send(model::finish("content_filter"))],
            "provider_rejected",
            "whole",
        ),
    ];
    for (steps, _, end) in &ends {
        first.script([Reply::steps(steps.clone())]);
        let mut wire = Wire::to(gateway.addr).await;
        let mut body = wire.head(post(ACME, CHAT, chat("x", true).to_string())).await.into_body();
        assert_eq!(next(&mut body).await.unwrap().unwrap(), model::text("a"));
        let mut broken = false;
        while let Some(frame) = next(&mut body).await {
            broken |= frame.is_err();
        }
        assert_eq!(broken, *end == "broken");
    }
    assert_eq!(second.calls(), 0);
    let left = gateway.stop().await;
    assert_eq!(left.column("status"), ["ERROR"; 4]);
    let kinds: Vec<Value> = ends.iter().map(|(_, kind, _)| json!(kind)).collect();
    assert_eq!(left.column("error_kind"), kinds);
    assert_eq!(left.column("answer"), ["a"; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_may_end_before_the_gateway_does() {
    let stub = ModelStub::start().await;
    let gateway = Gateway::before(&stub).await;
    let slow =
        [Step::Send(model::text("a")), Step::Pause(Duration::from_millis(500)), Step::Send(model::done())];
    stub.script([Reply::steps(slow)]);
    let mut wire = Wire::to(gateway.addr).await;
    let mut body = wire.head(post(ACME, CHAT, chat("one", true).to_string())).await.into_body();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), model::text("a"));
    let mut reading = JoinSet::new();
    reading.spawn(
        async move { (next(&mut body).await.unwrap().unwrap(), next(&mut body).await.is_none(), wire) },
    );
    let left = gateway.stop().await;
    let (last, ended, _wire) = reading.join_next().await.unwrap().unwrap();
    assert!(last == model::done() && ended);
    assert_eq!(left.row()["status"], "SUCCESS");
}
