//! The metrics of an ask's end.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use ::metrics::{Counter, Histogram, counter, histogram};

use super::{Outcome, Phase, Span, Status, TraceRow};
use crate::answer::Finish;
use crate::ask::Channel;
use crate::error::Stage;
use crate::metrics::Labels;

/// Stages whose time is spent in providers and stores, not in this library.
const EXTERNAL: [Stage; 5] = [Stage::Memory, Stage::Embed, Stage::Retrieve, Stage::Rerank, Stage::Generate];

/// Counts ended asks. Series are looked up once and kept, so that an ask does not pay for it.
pub(super) struct Meter {
    labels: Labels,
    requests: Grid<Counter>,
    duration: Grid<Histogram>,
    ttft: Grid<Histogram>,
    stages: Grid<Histogram>,
    overhead: OnceLock<Histogram>,
    tokens: Grid<Counter>,
}

/// Series by the number of their label combination.
struct Grid<T>(Box<[OnceLock<T>]>);

// === impl Meter ===

impl Meter {
    pub(super) fn new(labels: Labels) -> Self {
        let statuses = labels.routes().len() * Status::ALL.len();
        Self {
            requests: Grid::new(statuses * Channel::ALL.len()),
            duration: Grid::new(statuses),
            ttft: Grid::new(statuses),
            stages: Grid::new(Stage::ALL.len()),
            overhead: OnceLock::new(),
            tokens: Grid::new(labels.models().len() * 4),
            labels,
        }
    }

    pub(super) fn ended(&self, row: &TraceRow, phase: Phase) {
        let route = self.labels.route_index(row.route.as_deref());
        let (status, channel) = (row.outcome.status(), row.channel);
        let name = || self.labels.routes()[route].clone();
        let cell = route * Status::ALL.len() + status as usize;
        self.requests
            .get(cell * Channel::ALL.len() + channel as usize, || {
                counter!("rag_requests_total", "route" => name(), "status" => status.as_str(), "channel" => channel.as_str())
            })
            .increment(1);
        self.duration
            .get(
                cell,
                || histogram!("rag_request_duration_seconds", "route" => name(), "status" => status.as_str()),
            )
            .record(row.latency);
        if let Some(ttft) = row.ttft {
            self.ttft
                .get(cell, || {
                    histogram!("rag_time_to_first_token_seconds", "route" => name(), "status" => status.as_str())
                })
                .record(ttft);
        }
        for span in &row.spans {
            self.stages
                .get(
                    span.stage as usize,
                    || histogram!("rag_stage_duration_seconds", "stage" => span.stage.as_str()),
                )
                .record(span.duration);
        }
        self.overhead
            .get_or_init(|| histogram!("rag_overhead_seconds"))
            .record(overhead(row.latency, &row.spans));
        self.tokens(row);
        unusual(row, status, phase);
    }

    fn tokens(&self, row: &TraceRow) {
        let Some(usage) = row.usage else { return };
        let model = self.labels.model_index(row.llm_model.as_deref());
        for (kind, label, tokens) in [(0, "input", usage.input_tokens), (1, "output", usage.output_tokens)] {
            let (flag, estimated) = if usage.estimated { (1, "true") } else { (0, "false") };
            self.tokens
                .get(model * 4 + kind * 2 + flag, || {
                    let model = self.labels.models()[model].clone();
                    counter!("rag_tokens_total", "type" => label, "model" => model, "estimated" => estimated)
                })
                .increment(tokens);
        }
    }
}

/// What should be rare, and so may look its series up each time.
fn unusual(row: &TraceRow, status: Status, phase: Phase) {
    if status == Status::FailClosed {
        let reason = match &row.outcome {
            Outcome::Completed(Finish::Abstained(reason)) => reason.as_str(),
            Outcome::Failed(kind, _) => kind.as_str(),
            _ => "other",
        };
        counter!("rag_fail_closed_total", "reason" => reason).increment(1);
    } else if let Outcome::Completed(Finish::Abstained(reason)) = &row.outcome {
        counter!("rag_abstain_total", "reason" => reason.as_str()).increment(1);
    }
    if status == Status::Cancelled {
        counter!("rag_stream_aborts_total", "phase" => phase.as_str()).increment(1);
    }
}

/// Total time minus the union of the time spent in providers and stores: stages that run side by side count once.
fn overhead(total: Duration, spans: &[Span]) -> Duration {
    let mut external: Vec<_> = spans
        .iter()
        .filter(|span| EXTERNAL.contains(&span.stage))
        .map(|span| (span.start, span.start + span.duration))
        .collect();
    external.sort_unstable();
    let (mut covered, mut reached) = (Duration::ZERO, Duration::ZERO);
    for (start, end) in external {
        covered += end.saturating_sub(start.max(reached));
        reached = reached.max(end);
    }
    total.saturating_sub(covered)
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("labels", &self.labels).finish_non_exhaustive()
    }
}

// === impl Grid ===

impl<T> Grid<T> {
    fn new(cells: usize) -> Self {
        Self((0..cells).map(|_| OnceLock::new()).collect())
    }

    fn get(&self, cell: usize, make: impl FnOnce() -> T) -> &T {
        self.0[cell].get_or_init(make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_and_nested_stages_count_once() {
        let ms = Duration::from_millis;
        let span = |stage, start, duration| Span { stage, start: ms(start), duration: ms(duration) };
        let spans = [
            span(Stage::Retrieve, 10, 20),
            span(Stage::Retrieve, 15, 5),
            span(Stage::Embed, 25, 10),
            span(Stage::Prompt, 35, 10),
            span(Stage::Generate, 50, 40),
        ];
        assert_eq!(overhead(ms(100), &spans), ms(100 - 25 - 40));
        assert_eq!(overhead(ms(10), &spans), ms(0), "a clock that disagrees gives nothing negative");
    }
}
