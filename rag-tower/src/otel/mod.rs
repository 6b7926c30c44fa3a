//! Asks as spans for an OpenTelemetry collector, over OTLP with HTTP and protobuf.
//!
//! Each ask becomes a span, and each of its stages one below it, with the names of OpenTelemetry's semantic conventions for
//! generative AI. They are made from the same facts as the [`TraceRow`](crate::trace::TraceRow), when it is closed: a span says what
//! the row says, and the row stays the record.
//!
//! ```no_run
//! use rag_tower::otel::{OtlpConfig, spawn_span_exporter};
//! use rag_tower::trace::TraceSink;
//!
//! # async fn example(sink: TraceSink) -> Result<(), Box<dyn std::error::Error>> {
//! // OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318
//! if let Some(config) = OtlpConfig::from_env()? {
//!     let (tap, exporter) = spawn_span_exporter(config)?;
//!     let sink = sink.with_tap(tap);
//!     // … the program runs …
//!     exporter.shutdown(std::time::Duration::from_secs(5)).await;
//! #   drop(sink);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | span | kind | attributes |
//! |---|---|---|
//! | `invoke_workflow {route}`, or `… ask` | internal | `gen_ai.operation.name`, `gen_ai.workflow.name` (the route), `gen_ai.conversation.id`, `error.type`; `rag.ask.id` (the row's trace id), `rag.status`, `rag.finish`, `rag.reason`, `rag.channel`, `rag.hits`, `rag.sources`, `rag.confidence`, `rag.degraded`, `rag.time_to_first_token` (seconds), `rag.tenant.id` where it is asked for |
//! | `chat {model}`: the stage that generates, where a model did | client | `gen_ai.operation.name`, `gen_ai.provider.name`, `gen_ai.request.model`, `gen_ai.usage.input_tokens`, `gen_ai.usage.output_tokens`, `gen_ai.response.finish_reasons`, `gen_ai.response.time_to_first_chunk` (seconds), `gen_ai.conversation.id`, `error.type`, `rag.usage.estimated` |
//! | `retrieval`, `execute_tool {route}` | internal | `gen_ai.operation.name`, `gen_ai.tool.name`, `error.type` |
//! | the other stages, by their names | internal | `error.type` |
//!
//! Each stage has `rag.stage` too. Nothing that was asked, found or answered is in any of them, and there is no switch for it: words are
//! in the row.
//!
//! The trace id is the ask's own id, so that a row is found by its trace and the other way round; below a caller's `traceparent` it is the
//! caller's, and `rag.ask.id` leads to the row. Asks of canaries are nobody's and become no spans.
//!
//! # What it costs, and what happens when the collector is away
//! When an ask ends, what its spans need is copied into a bounded queue, which never waits: what does not fit is dropped. A task sends
//! batches; one that does not arrive is tried three times more, after 1, 2 and 4 seconds or when the collector says, and then given up.
//! `rag_otel_spans_total{result}` counts what arrived, failed and was dropped. [`SpanExporter::shutdown`] sends what is queued, within
//! its time.

mod config;
mod exporter;
mod proto;
mod spans;

pub use self::config::{OtlpConfig, OtlpConfigError};
pub use self::exporter::{SpanExporter, SpanStats, SpanTap, spawn_span_exporter};
