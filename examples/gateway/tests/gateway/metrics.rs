//! What calls come to in metrics.

use std::collections::BTreeSet;

use rag_tower_tests::model_stub::{self as model, ModelStub, Reply, Step};
use serde_json::json;

use crate::harness::{ACME, CHAT, GLOBEX, Gateway, Wire, chat, next, post};

const DURATION: &str = "gen_ai_client_operation_duration_seconds";
const TOKENS: &str = "gen_ai_client_token_usage";

/// The value of the one series with exactly these labels; 0 when there is none.
fn value(scrape: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: BTreeSet<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let series = |line: &str| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.split_once("} ")?;
        let labels: BTreeSet<_> = labels.split(',').map(str::to_owned).collect();
        (labels == wanted).then(|| value.parse().unwrap())
    };
    scrape.lines().find_map(series).unwrap_or_default()
}

/// The labels of a call.
fn of<'a>(operation: &'a str, provider: &'a str, model: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("gen_ai_operation_name", operation),
        ("gen_ai_provider_name", provider),
        ("gen_ai_request_model", model),
    ]
}

fn counted(scrape: &str, call: &[(&str, &str)], more: &[(&str, &str)]) -> f64 {
    value(scrape, &format!("{DURATION}_count"), &[call, more].concat())
}

fn tokens(scrape: &str, call: &[(&str, &str)], kind: &str) -> f64 {
    value(scrape, &format!("{TOKENS}_sum"), &[call, &[("gen_ai_token_type", kind)]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_to_a_provider_is_measured_with_its_tokens_and_its_end() {
    let (first, second) = (ModelStub::start().await, ModelStub::start().await);
    let (one, two) = (first.base_url(), second.base_url());
    let gateway = Gateway::start(&[
        ("GATEWAY_METRICS_ADDR", "127.0.0.1:0"),
        ("OPENAI_BASE_URL", &one),
        ("FALLBACK_BASE_URL", &two),
        ("FALLBACK_MODEL", "spare"),
    ])
    .await;
    let client = gateway.client(ACME);
    // streamed and whole, each with 11 tokens of input
    first.script([Reply::chat(&["a", "b"]), Reply::whole("c")]);
    for streamed in [true, false] {
        assert_eq!(client.post(CHAT, &chat("one", streamed)).await.status, 200);
    }
    // one that reports no tokens: an estimate is no measurement
    first.script([Reply::stream([model::text("12345"), model::finish("stop"), model::done()])]);
    assert_eq!(client.post(CHAT, &chat("two", true)).await.status, 200);
    // refused by the one, answered by the other
    first.script([Reply::refused(503, "busy", "busy")]);
    assert_eq!(client.post(CHAT, &chat("three", false)).await.status, 200);
    // cut off
    first.script([Reply::stream([model::text("a")])]);
    assert_eq!(client.post(CHAT, &chat("four", true)).await.status, 200);
    // given up by its client
    first.script([Reply::steps([Step::Send(model::text("a")), Step::Hang])]);
    let mut wire = Wire::to(gateway.addr).await;
    let mut body = wire.head(post(ACME, CHAT, chat("five", true).to_string())).await.into_body();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), model::text("a"));
    drop((body, wire));
    first.wait_for_aborts(1).await;
    // vectors, twice, of which the cache answers one; and what is no call to a model
    for _ in 0..2 {
        let asked = json!({"model": "stub", "input": "one"});
        assert_eq!(client.post("/v1/embeddings", &asked).await.status, 200);
    }
    assert_eq!(client.get("/v1/models").await.status, 200);

    let scrape = gateway.scrape().await;
    let (stub, spare) = (of("chat", "first", "stub"), of("chat", "second", "spare"));
    assert_eq!(counted(&scrape, &stub, &[]), 3.0, "{scrape}");
    assert_eq!((tokens(&scrape, &stub, "input"), tokens(&scrape, &stub, "output")), (22.0, 3.0), "{scrape}");
    for kind in ["provider_unavailable", "truncated", "cancelled"] {
        assert_eq!(counted(&scrape, &stub, &[("error_type", kind)]), 1.0, "{kind}: {scrape}");
    }
    assert_eq!(counted(&scrape, &spare, &[]), 1.0, "{scrape}");
    let vectors = of("embeddings", "first", "stub");
    assert_eq!((counted(&scrape, &vectors, &[]), tokens(&scrape, &vectors, "input")), (1.0, 1.0), "{scrape}");
    assert!(!scrape.contains("gen_ai_operation_name=\"models\""), "{scrape}");
    let first_chunks = value(&scrape, "gen_ai_client_operation_time_to_first_chunk_seconds_count", &stub);
    assert_eq!(first_chunks, 4.0, "of each stream, and of no document: {scrape}");
    drop(gateway.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_makes_a_series_and_no_tenant_has_one() {
    let stub = ModelStub::start().await;
    let base = stub.base_url();
    let gateway =
        Gateway::start(&[("GATEWAY_METRICS_ADDR", "127.0.0.1:0"), ("OPENAI_BASE_URL", &base)]).await;
    let series = |scrape: &str| -> BTreeSet<String> {
        let names = scrape.lines().filter(|line| line.starts_with("gen_ai_client_"));
        names.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let ask = async |key: &str, model: &str| {
        let mut body = chat("hello", false);
        body["model"] = json!(model);
        assert_eq!(gateway.client(key).post(CHAT, &body).await.status, 200);
    };
    ask(ACME, "made-up").await;
    let before = gateway.scrape().await;
    for n in 0..20 {
        ask(if n % 2 == 0 { ACME } else { GLOBEX }, &format!("made-up-{n}")).await;
    }
    let after = gateway.scrape().await;
    assert_eq!(series(&before), series(&after));
    assert!(series(&after).iter().all(|series| !series.contains("made-up") && !series.contains("tenant")));
    assert_eq!(counted(&after, &of("chat", "first", "other"), &[]), 21.0, "{after}");
    drop(gateway.stop().await);
}
