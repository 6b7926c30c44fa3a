//! What can be measured: every metric with its kind, its labels and what it says. The page of the guide on metrics is this list.

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, with its unit at the end: `_seconds`, `_bytes`, or none.
    pub name: &'static str,
    /// What kind of series it has.
    pub kind: Kind,
    /// The labels that each of its series has.
    pub labels: &'static [&'static str],
    /// Labels that some of its series have, or that must be asked for.
    pub optional: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// Kinds of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Only grows, in whole numbers.
    Counter,
    /// Goes up and down; or only grows, in parts of a whole, which the facade's counters cannot.
    Gauge,
    /// Counts values by their size.
    Histogram,
}

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    counter("rag_requests_total", &["route", "status", "channel"], "Asks that have ended.").or(&["tenant"]),
    histogram(
        "rag_request_duration_seconds",
        &["route", "status"],
        "From the start of an ask to the end of its answer.",
    ),
    histogram(
        "rag_time_to_first_token_seconds",
        &["route", "status"],
        "From the start of an ask to the first piece of text.",
    ),
    histogram(
        "rag_overhead_seconds",
        &[],
        "Time of an ask minus the union of the time spent in providers and stores.",
    ),
    histogram("rag_stage_duration_seconds", &["stage"], "Time spent in one stage of an ask."),
    histogram("rag_retrieved_passages", &["source"], "Passages that one source found for an ask."),
    histogram(
        "rag_retrieval_top_score",
        &["source"],
        "The best passage's score of one source, on its own scale.",
    ),
    counter(
        "rag_citations_total",
        &["result"],
        "Citations in answers, by whether they were kept or removed.",
    ),
    counter("rag_abstain_total", &["reason"], "Answers withheld for want of knowledge.").or(&["tenant"]),
    counter("rag_fail_closed_total", &["reason"], "Answers withheld because isolation could not be shown.")
        .or(&["tenant"]),
    counter(
        "rag_isolation_violations_total",
        &["layer"],
        "What was another tenant's and was stopped, by the layer that saw it: a passage, a conversation, a hit of an index, a database transaction.",
    ),
    counter("rag_auth_failures_total", &["kind"], "Requests and logins refused for their credential."),
    counter("rag_rate_limited_total", &["scope"], "Asks refused by a rate limit."),
    counter(
        "rag_cache_requests_total",
        &["cache", "result"],
        "Look-ups in a cache: of an ask among answers, of a text among embeddings.",
    ),
    counter(
        "rag_memory_failures_total",
        &["operation", "reason"],
        "Conversations that could not be loaded or appended to.",
    ),
    gauge("rag_memory_queue_depth", &[], "Conversation turns that wait for their store."),
    counter(
        "rag_router_model_total",
        &["outcome"],
        "Questions that a model may route, by what came of it; `sure` is one that it was not asked about.",
    ),
    histogram(
        "gen_ai_client_operation_duration_seconds",
        &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"],
        "Time of one call to a model provider, to the end of its answer.",
    )
    .or(&["error_type"]),
    histogram(
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"],
        "From a call to a model provider to the first piece of its answer.",
    ),
    histogram(
        "gen_ai_client_operation_time_per_output_chunk_seconds",
        &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"],
        "Time between two pieces of a model provider's answer.",
    ),
    histogram(
        "gen_ai_client_token_usage",
        &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"],
        "Tokens of one call, as the model provider reports them.",
    ),
    counter("rag_tokens_total", &["type", "model", "estimated"], "Tokens of asks."),
    gauge(
        "rag_cost_usd_total",
        &["model"],
        "Cost of asks in US dollars, estimated from the prices that held when they ended.",
    ),
    counter(
        "rag_unpriced_tokens_total",
        &["model"],
        "Tokens of asks of a model that had no price when they ended.",
    ),
    counter("rag_provider_retries_total", &["provider"], "Calls to a model provider that were tried again."),
    counter(
        "rag_provider_fallbacks_total",
        &["provider"],
        "Asks that went on to the next model provider because this one failed.",
    ),
    gauge("rag_ws_connections", &[], "Open WebSocket conversations."),
    counter("rag_ws_limited_total", &["limit"], "WebSocket connections refused or ended by a limit."),
    counter("rag_stream_aborts_total", &["phase"], "Asks whose caller went away, by how far they had come."),
    gauge("rag_trace_queue_depth", &[], "Trace rows that wait for the writer."),
    gauge("rag_trace_spooled", &[], "Trace rows that are in the journal alone and wait for the store."),
    gauge("rag_trace_journal_bytes", &[], "Size of the trace journal."),
    counter(
        "rag_trace_journal_errors_total",
        &["operation"],
        "What the trace journal could not do: rows are in memory only while it cannot append.",
    ),
    counter("rag_trace_dropped_total", &[], "Trace rows that are not kept."),
    counter("rag_trace_refused_total", &[], "Trace rows that the store will never take, put aside."),
    counter("rag_trace_torn_total", &[], "Places in the trace journal that could not be read."),
    histogram("rag_trace_write_duration_seconds", &[], "Time to write one batch of trace rows."),
    gauge("rag_trace_partitions", &[], "Partitions of the trace table, a UTC day each."),
    gauge(
        "rag_trace_partitions_until_timestamp_seconds",
        &[],
        "Until when there is a partition for each moment from now on.",
    ),
    gauge("rag_rollup_deltas_waiting", &[], "Batches of trace rows that are in no rollup yet."),
    gauge(
        "rag_rollup_lag_seconds",
        &[],
        "For how long the oldest of them has waited, or for how long nobody could tell.",
    ),
    counter(
        "rag_otel_spans_total",
        &["result"],
        "Spans for an OpenTelemetry collector: taken by it (`exported`), refused or not reached (`failed`), or given up before they were sent (`dropped`).",
    ),
];

// === impl Metric ===

impl Metric {
    /// A counter.
    #[must_use]
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, labels, optional: &[], help }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, labels, optional: &[], help }
    }

    /// A histogram.
    #[must_use]
    pub const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, labels, optional: &[], help }
    }

    /// Names the labels that only some of its series have. Default: none.
    #[must_use]
    pub const fn or(mut self, optional: &'static [&'static str]) -> Self {
        self.optional = optional;
        self
    }

    /// Tells the recorder what it is and what it says.
    pub fn describe(&self) {
        let (name, help) = (self.name, self.help);
        let unit = match name.rsplit('_').next() {
            Some("seconds") => Unit::Seconds,
            Some("bytes") => Unit::Bytes,
            _ => Unit::Count,
        };
        match self.kind {
            Kind::Counter => describe_counter!(name, unit, help),
            Kind::Gauge => describe_gauge!(name, unit, help),
            Kind::Histogram => describe_histogram!(name, unit, help),
        }
    }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric::counter(name, labels, help)
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric::gauge(name, labels, help)
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric::histogram(name, labels, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The row of the guide's table.
    fn row(metric: &Metric) -> String {
        let labels = |names: &[&str], left: &str, right: &str| {
            names.iter().map(|name| format!("{left}`{name}`{right}")).collect::<Vec<_>>().join(", ")
        };
        let (labels, optional) = (labels(metric.labels, "", ""), labels(metric.optional, "(", ")"));
        let kind = match metric.kind {
            // grows by parts of a dollar
            Kind::Gauge if metric.name.ends_with("_total") => "counter",
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels = format!("{labels} {optional}");
        format!("| `{}` | {kind} | {} | {} |", metric.name, labels.trim(), metric.help)
    }

    #[test]
    fn the_guide_has_every_metric_as_it_is() {
        let page = include_str!("../docs/metrics.md");
        for metric in METRICS {
            let row = row(metric);
            assert!(page.lines().any(|line| line == row), "{row}");
        }
    }

    #[test]
    fn names_are_prometheus_ones_and_each_is_there_once() {
        for (at, metric) in METRICS.iter().enumerate() {
            let Metric { name, kind, .. } = *metric;
            assert!(name.starts_with("rag_") || name.starts_with("gen_ai_"), "{name}");
            let grows = kind == Kind::Counter || name == "rag_cost_usd_total";
            assert_eq!(name.ends_with("_total"), grows, "{name}");
            assert!(METRICS[..at].iter().all(|other| other.name != name), "{name} is there twice");
        }
    }
}
