//! Asks as spans, as a collector gets them from a running server, against the row that the owner reads.

use http::StatusCode;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rag_tower_tests::collector::{Collector, text, value};
use rag_tower_tests::http::Client;
use rag_tower_tests::model_stub::{ModelStub, Reply};
use rag_tower_tests::server::{Server, Setup};
use serde_json::{Value, json};

const MODEL: &str = "writer";
const QUESTION: &str = "Trung tâm có chính sách hoàn học phí không?";
const ANSWER: &str = "Theo tài liệu [1].";

fn setup(collector: &Collector) -> Setup {
    Setup::new(env!("CARGO_BIN_EXE_rag-tower-server"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .env("OTEL_BSP_SCHEDULE_DELAY", "10")
}

async fn ask(client: &Client, question: &str) -> Value {
    let answer = client.post("/query", &json!({ "question": question })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn id(body: &Value) -> &str {
    body["trace_id"].as_str().expect("a trace id")
}

/// The bytes of an id as it is written.
fn bytes(id: &str) -> Vec<u8> {
    id.parse::<uuid::Uuid>().expect("a UUID").into_bytes().to_vec()
}

/// How long a span took, in microseconds.
fn micros(span: &Span) -> u64 {
    (span.end_time_unix_nano - span.start_time_unix_nano) / 1_000
}

fn spans_of(server: &str, result: &str) -> f64 {
    let name = format!("rag_otel_spans_total{{result=\"{result}\"}} ");
    let line = server.lines().find_map(|line| line.strip_prefix(&name)).expect("the counter");
    line.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_is_a_span_that_says_what_its_row_says_and_nothing_of_what_was_said() {
    let (collector, stub) = (Collector::start().await, ModelStub::start().await);
    let server = setup(&collector)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_MODEL", MODEL)
        .env("OTEL_SERVICE_NAME", "desk")
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20collector-key")
        .start();
    stub.always(Reply::chat(&["Theo ", "tài liệu [1]."]));
    let body = ask(&server.tenant(), QUESTION).await;
    let row = server.row(id(&body)).await;
    let spans = collector.ask(id(&body)).await;

    let (root, stages) = spans.split_first().expect("the ask's own");
    assert_eq!(root.trace_id, bytes(id(&body)), "the row is found by its trace");
    assert!(root.parent_span_id.is_empty(), "{root:?}");
    let route = row["route"].as_str().expect("a route");
    assert_eq!(root.name, format!("invoke_workflow {route}"));
    let said = |key: &str| text(&root.attributes, key);
    assert_eq!(said("gen_ai.workflow.name").as_deref(), Some(route));
    assert_eq!(said("rag.status").as_deref(), row["status"].as_str());
    assert_eq!(said("rag.channel").as_deref(), row["channel"].as_str());
    assert_eq!(said("gen_ai.conversation.id").as_deref(), row["session_id"].as_str());
    assert_eq!(said("rag.tenant.id"), None, "it must be asked for");
    let hits = row["hits"].as_array().expect("hits").len() as i64;
    assert_eq!(value(&root.attributes, "rag.hits"), Some(Any::IntValue(hits)));
    assert_eq!(Some(micros(root)), row["latency_us"].as_u64());

    // each stage of the row, in its order, with its time
    let kept = row["spans"].as_array().expect("spans");
    let names: Vec<_> = stages.iter().map(|span| text(&span.attributes, "rag.stage").unwrap()).collect();
    let expected: Vec<_> = kept.iter().map(|span| span["stage"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, expected);
    assert!(names.iter().any(|name| name == "retrieve"), "{names:?}");
    for (stage, kept) in stages.iter().zip(kept) {
        assert_eq!((&stage.trace_id, &stage.parent_span_id), (&root.trace_id, &root.span_id));
        let began = (stage.start_time_unix_nano - root.start_time_unix_nano) / 1_000;
        let expected = (kept["start_us"].as_u64(), kept["duration_us"].as_u64());
        assert_eq!((Some(began), Some(micros(stage))), expected, "{kept}");
    }
    let chat = stages.iter().find(|span| span.name == format!("chat {MODEL}")).expect("the model's call");
    assert_eq!(chat.kind(), SpanKind::Client);
    let said = |key: &str| text(&chat.attributes, key);
    assert_eq!(said("gen_ai.operation.name").as_deref(), Some("chat"));
    assert_eq!(said("gen_ai.provider.name").as_deref(), row["llm_provider"].as_str());
    assert_eq!(said("gen_ai.request.model").as_deref(), row["llm_model"].as_str());
    for (key, tokens) in [("gen_ai.usage.input_tokens", 11), ("gen_ai.usage.output_tokens", 2)] {
        assert_eq!(value(&chat.attributes, key), Some(Any::IntValue(tokens)), "{key}");
    }
    assert_eq!(row["input_tokens"], 11, "{row}");

    let resource = collector.batches()[0].resource.clone().expect("a resource").attributes;
    assert_eq!(text(&resource, "service.name").as_deref(), Some("desk"));
    assert_eq!(text(&resource, "deployment.environment.name").as_deref(), Some("test"));
    let headers = &collector.headers()[0];
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["authorization"], "Bearer collector-key");
    let sent = format!("{:?}", collector.batches());
    for secret in [QUESTION, ANSWER, "học phí", "Theo", "collector-key"] {
        assert!(!sent.contains(secret), "{secret} in {sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_caller_s_span_the_caller_decides_and_tenants_are_named_where_that_is_asked_for() {
    let collector = Collector::start().await;
    let server = setup(&collector)
        .env("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        .env("RAG_TOWER_OTEL_TENANTS", "yes")
        .start();
    let client = server.tenant();
    let below = async |flags: &str, question: &str| {
        let request = client.request(http::Method::POST, "/query");
        let request = request
            .header("content-type", "application/json")
            .header("traceparent", format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"))
            .body(http_body_util::Full::from(json!({ "question": question }).to_string()));
        client.send(request.expect("a request")).await.json()
    };
    // neither without a caller's span nor below one that is not recorded
    ask(&client, &format!("{QUESTION} (1)")).await;
    below("00", &format!("{QUESTION} (2)")).await;
    let body = below("01", QUESTION).await;
    let spans = collector.ask(id(&body)).await;
    assert_eq!(spans[0].trace_id, bytes("0af76519-16cd-43dd-8448-eb211c80319c"));
    assert_eq!(spans[0].parent_span_id, bytes("b7ad6b71-6920-3331-0000-000000000000")[..8]);
    let row = server.row(id(&body)).await;
    assert_eq!(text(&spans[0].attributes, "rag.tenant.id").as_deref(), row["tenant_id"].as_str(), "{row}");
    let generated = spans.iter().find(|span| span.name == "generate").expect("an answer without a model");
    assert_eq!(generated.kind(), SpanKind::Internal);
    assert_eq!(text(&generated.attributes, "gen_ai.operation.name"), None, "no model was asked");
    let roots = collector.spans().into_iter().filter(|span| span.name.starts_with("invoke_workflow"));
    assert_eq!(roots.count(), 1, "{:?}", collector.spans());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_at_the_end_is_sent_and_what_was_refused_for_a_moment_is_sent_again() {
    let collector = Collector::start().await;
    collector.refuse([StatusCode::SERVICE_UNAVAILABLE]);
    // longer than the test: only the end sends
    let server = setup(&collector).env("OTEL_BSP_SCHEDULE_DELAY", "600000").start();
    let body = ask(&server.tenant(), QUESTION).await;
    server.row(id(&body)).await;
    assert!(collector.headers().is_empty(), "sent too early");
    let (status, output, _) = server.stop();
    assert!(status.success(), "{output}");
    assert_eq!(collector.headers().len(), 2, "refused, and sent again: {output}");
    let spans = collector.ask(id(&body)).await;
    assert!(spans.len() > 1, "{spans:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asks_go_on_when_the_collector_is_away_and_what_is_lost_is_counted() {
    let collector = Collector::start().await;
    let gone = collector.endpoint();
    drop(collector);
    let server: Server = Setup::new(env!("CARGO_BIN_EXE_rag-tower-server"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", gone)
        .env("OTEL_BSP_SCHEDULE_DELAY", "1")
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "8")
        .start();
    let client = server.tenant();
    // the queue holds one ask, which is being tried for seconds
    let mut asked = 0;
    let scrape = loop {
        ask(&client, &format!("{QUESTION} ({asked})")).await;
        asked += 1;
        let scrape = server.scrape().await;
        if spans_of(&scrape, "dropped") > 0.0 {
            break scrape;
        }
        assert!(asked < 20, "nothing was dropped: {scrape}");
    };
    assert_eq!(spans_of(&scrape, "exported"), 0.0, "{scrape}");
    let (status, output, _) = server.stop();
    assert!(status.success(), "{output}");
    assert!(output.contains("spans were dropped"), "{output}");
}

#[test]
fn a_collector_that_cannot_be_used_is_said_at_the_start() {
    let setup = Setup::new(env!("CARGO_BIN_EXE_rag-tower-server"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let failed = setup.try_start().err().expect("it must not start");
    assert!(
        failed.output.contains("OTEL_EXPORTER_OTLP_PROTOCOL cannot be used: expected http/protobuf"),
        "{}",
        failed.output
    );
    assert!(!failed.status.success());
}
