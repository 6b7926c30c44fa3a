//! The metrics of an ask's end.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, Label, counter, gauge, histogram};

use super::{Outcome, Phase, Prices, Span, Status, TraceRow};
use crate::answer::{Finish, Usage};
use crate::ask::Channel;
use crate::error::Stage;
use crate::generate::EXTRACTIVE;
use crate::metrics::{Labels, withheld};

/// Stages whose time is spent in providers and stores, not in this library.
const EXTERNAL: [Stage; 5] = [Stage::Memory, Stage::Embed, Stage::Retrieve, Stage::Rerank, Stage::Generate];

/// Counts ended asks. Series are looked up once and kept, so that an ask does not pay for it.
pub(super) struct Meter {
    labels: Labels,
    prices: Prices,
    /// Of each tenant that has series of its own; without such there is one.
    requests: Grid<Grid<Counter>>,
    duration: Grid<Histogram>,
    ttft: Grid<Histogram>,
    stages: Grid<Histogram>,
    overhead: OnceLock<Histogram>,
    tokens: Grid<Counter>,
    cost: Grid<Gauge>,
    unpriced: Grid<Counter>,
}

/// Series by the number of their label combination.
struct Grid<T>(Box<[OnceLock<T>]>);

// === impl Meter ===

impl Meter {
    pub(super) fn new(labels: Labels, prices: Prices) -> Self {
        let statuses = labels.routes().len() * Status::ALL.len();
        Self {
            requests: Grid::new(labels.places()),
            duration: Grid::new(statuses),
            ttft: Grid::new(statuses),
            stages: Grid::new(Stage::ALL.len()),
            overhead: OnceLock::new(),
            tokens: Grid::new(labels.models().len() * 4),
            cost: Grid::new(labels.models().len()),
            unpriced: Grid::new(labels.models().len()),
            labels,
            prices,
        }
    }

    pub(super) fn labels(&self) -> &Labels {
        &self.labels
    }

    pub(super) fn prices(&self) -> &Prices {
        &self.prices
    }

    pub(super) fn ended(&self, row: &TraceRow, phase: Phase) {
        let route = self.labels.route_index(row.route.as_deref());
        let (status, channel) = (row.outcome.status(), row.channel);
        let name = || self.labels.routes()[route].clone();
        let cell = route * Status::ALL.len() + status as usize;
        let (place, tenant) = match channel.counts() {
            true => self.labels.tenant(row.tenant_id),
            false => self.labels.no_tenant(),
        };
        self.requests
            .get(place, || Grid::new(self.labels.routes().len() * Status::ALL.len() * Channel::ALL.len()))
            .get(cell * Channel::ALL.len() + channel as usize, || {
                let mut labels = vec![
                    Label::new("route", name()),
                    Label::new("status", status.as_str()),
                    Label::new("channel", channel.as_str()),
                ];
                labels.extend(tenant.clone().map(|tenant| Label::new("tenant", tenant)));
                counter!("rag_requests_total", labels)
            })
            .increment(1);
        // the rest is added up over all channels
        if !channel.counts() {
            return;
        }
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
        unusual(row, status, phase, tenant);
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
        self.cost(row, model, usage);
    }

    /// What the ask cost: as somebody has set it, else by the prices as they are now.
    fn cost(&self, row: &TraceRow, model: usize, usage: Usage) {
        let Some(name) = row.llm_model.as_deref().filter(|name| *name != EXTRACTIVE) else { return };
        let label = || self.labels.models()[model].clone();
        match row.cost_estimate.or_else(|| self.prices.book().cost(name, row.ts, usage)) {
            // the facade's counters hold whole numbers alone
            Some(dollars) => {
                let cost = self.cost.get(model, || gauge!("rag_cost_usd_total", "model" => label()));
                cost.increment(dollars.max(0.0));
            }
            None => self
                .unpriced
                .get(model, || counter!("rag_unpriced_tokens_total", "model" => label()))
                .increment(usage.input_tokens.saturating_add(usage.output_tokens)),
        }
    }
}

/// What should be rare, and so may look its series up each time.
fn unusual(row: &TraceRow, status: Status, phase: Phase, tenant: Option<Arc<str>>) {
    if status == Status::FailClosed {
        let reason = match &row.outcome {
            Outcome::Completed(Finish::Abstained(reason)) => reason.as_str(),
            Outcome::Failed(kind, _) => kind.as_str(),
            _ => "other",
        };
        withheld(true, reason, tenant, 1);
    } else if let Outcome::Completed(Finish::Abstained(reason)) = &row.outcome {
        withheld(false, reason.as_str(), tenant, 1);
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

impl Default for Meter {
    fn default() -> Self {
        Self::new(Labels::default(), Prices::default())
    }
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
    use futures_util::FutureExt;
    use time::OffsetDateTime;
    use tower_layer::Layer;
    use tower_service::Service;

    use super::super::{PriceBook, TraceLayer, TraceSink};
    use super::*;
    use crate::answer::{AbstainReason, Event};
    use crate::ask::Ask;
    use crate::error::ErrorKind;
    use crate::metrics::seen::Seen;
    use crate::scoped::Scoped;
    use crate::stage::testing;
    use crate::tenant::TenantId;
    use crate::test_util::{Leaf, Step};

    /// Runs one ask of that route through the layer; the consumer goes away after the head when it is not patient.
    fn run(leaf: Leaf, route: &str, patient: bool) {
        run_as(testing::ask("what?"), &Labels::new().with_routes(["search"]), leaf, route, patient);
    }

    fn run_as(ask: Ask, labels: &Labels, leaf: Leaf, route: &str, patient: bool) {
        let (sink, _rows, _) = TraceSink::new(1, u64::MAX, None);
        ask.trace().set_route(route);
        drop(ask.trace().time(Stage::Embed));
        let mut stack = TraceLayer::new(sink).with_labels(labels.clone()).layer(leaf);
        let answer = stack.call(ask).now_or_never().unwrap().unwrap();
        if patient {
            let _events = answer.collect().now_or_never().unwrap();
        }
    }

    #[test]
    fn every_end_is_counted_under_closed_labels() {
        let seen = Seen::default();
        metrics::with_local_recorder(&seen, || {
            run(Leaf::text("a"), "search", true);
            run(Leaf::text("a"), "whatever a caller likes", true);
            run(Leaf::text("a"), "search", false);
            run(Leaf::streaming([Step::Fail(ErrorKind::Isolation)]), "search", true);
            let abstained = Event::Finished(Finish::Abstained(AbstainReason::BelowThreshold));
            run(Leaf::streaming([Step::Event(abstained)]), "search", true);
        });
        for (series, value) in [
            ("rag_requests_total route=search status=SUCCESS channel=api", 1),
            ("rag_requests_total route=other status=SUCCESS channel=api", 1),
            ("rag_requests_total route=search status=CANCELLED channel=api", 1),
            ("rag_requests_total route=search status=FAIL_CLOSED channel=api", 1),
            ("rag_request_duration_seconds route=search status=SUCCESS", 1),
            ("rag_time_to_first_token_seconds route=search status=SUCCESS", 1),
            ("rag_stage_duration_seconds stage=embed", 5),
            ("rag_overhead_seconds", 5),
            ("rag_stream_aborts_total phase=before_first_token", 1),
            ("rag_fail_closed_total reason=isolation", 1),
            ("rag_abstain_total reason=below_threshold", 1),
        ] {
            assert_eq!(seen.value(series), Some(value), "{series} in {:?}", seen.series());
        }
        assert_eq!(seen.value("rag_time_to_first_token_seconds route=search status=CANCELLED"), None);
    }

    #[test]
    fn t103_tenants_have_series_of_their_own_where_that_is_asked_for_and_not_more_than_that() {
        let seen = Seen::default();
        let (a, b) = (TenantId::named("a"), TenantId::named("b"));
        let ask = |tenant| Ask::new(testing::scope(tenant), testing::question("what?"));
        let isolation = || Leaf::streaming([Step::Fail(ErrorKind::Isolation)]);
        let labels = Labels::new().with_routes(["search"]).with_tenants(2);
        metrics::with_local_recorder(&seen, || {
            labels.touch();
            // each of these is a layer of its own, as in two stacks of a program
            for (tenant, leaf) in [
                ("a", Leaf::text("x")),
                ("a", Leaf::text("x")),
                ("b", isolation()),
                ("c", isolation()),
                (
                    "d",
                    Leaf::streaming([Step::Event(Event::Finished(Finish::Abstained(
                        AbstainReason::NoDocuments,
                    )))]),
                ),
            ] {
                run_as(ask(tenant), &labels, leaf, "search", true);
            }
        });
        let requests = |status: &str, tenant: &str| {
            seen.value(&format!(
                "rag_requests_total route=search status={status} channel=api tenant={tenant}"
            ))
        };
        assert_eq!(requests("SUCCESS", &a.to_string()), Some(2));
        assert_eq!(requests("FAIL_CLOSED", &b.to_string()), Some(1));
        assert_eq!((requests("FAIL_CLOSED", "other"), requests("ABSTAINED", "other")), (Some(1), Some(1)));
        for (series, value) in [
            (format!("rag_fail_closed_total reason=isolation tenant={b}"), Some(1)),
            ("rag_fail_closed_total reason=isolation tenant=other".to_owned(), Some(1)),
            ("rag_abstain_total reason=no_documents tenant=other".to_owned(), Some(1)),
            (format!("rag_fail_closed_total reason=isolation tenant={a}"), Some(0)),
            (format!("rag_abstain_total reason=below_threshold tenant={b}"), Some(0)),
        ] {
            assert_eq!(seen.value(&series), value, "{series}");
        }
        let series = seen.series();
        let other = TenantId::named("c").to_string();
        assert!(series.iter().all(|key| !key.contains(&other)), "{series:?}");
        let untold = "rag_requests_total route=search status=SUCCESS channel=api";
        assert!(!series.iter().any(|key| key == untold), "every ask is somebody's");
    }

    #[test]
    fn what_counts_nowhere_is_in_one_series_alone() {
        let seen = Seen::default();
        metrics::with_local_recorder(&seen, || {
            let (sink, _rows, _) = TraceSink::new(1, u64::MAX, None);
            let ask = testing::ask("what?").with_channel(Channel::Canary);
            drop(ask.trace().time(Stage::Embed));
            let leaf = Leaf::streaming([Step::Fail(ErrorKind::Isolation)]);
            let answer = TraceLayer::new(sink).layer(leaf).call(ask).now_or_never().unwrap().unwrap();
            let _failed = answer.collect().now_or_never().unwrap();
        });
        let counted = "rag_requests_total route=none status=FAIL_CLOSED channel=canary";
        assert_eq!(seen.value(counted), Some(1));
        let series = seen.series();
        for others in ["rag_request_", "rag_stage", "rag_overhead", "rag_fail_closed", "rag_tokens"] {
            assert!(!series.iter().any(|key| key.starts_with(others)), "{others} in {series:?}");
        }
    }

    #[test]
    fn an_ask_costs_what_was_set_or_what_its_model_costs_and_else_its_tokens_are_unpriced() {
        let seen = Seen::default();
        let prices = Prices::default();
        prices.set(PriceBook::default().with("priced", OffsetDateTime::UNIX_EPOCH, 1.0, 3.0));
        let labels = Labels::new().with_models(["priced", "unpriced"]);
        let ask = |model: &'static str, cost: Option<f64>| {
            let (sink, _rows, _) = TraceSink::new(1, u64::MAX, None);
            let ask = testing::ask("what?");
            ask.trace().set_provider("p", model);
            ask.trace().set_usage(Usage { input_tokens: 500_000, output_tokens: 500_000, estimated: false });
            if let Some(cost) = cost {
                ask.trace().set_cost(cost);
            }
            let layer = TraceLayer::new(sink).with_prices(prices.clone()).with_labels(labels.clone());
            let answer = layer.layer(Leaf::text("a")).call(ask).now_or_never().unwrap().unwrap();
            let _events = answer.collect().now_or_never().unwrap();
        };
        metrics::with_local_recorder(&seen, || {
            for (model, cost) in [
                ("priced", None),
                ("priced", Some(0.5)),
                ("unpriced", None),
                ("nobody knows it", None),
                (EXTRACTIVE, None),
            ] {
                ask(model, cost);
            }
        });
        let dollars = |model: &str| {
            let bits = seen.value(&format!("rag_cost_usd_total model={model}"));
            bits.map(f64::from_bits)
        };
        let tokens = |model: &str| seen.value(&format!("rag_unpriced_tokens_total model={model}"));
        assert_eq!((dollars("priced"), dollars("unpriced"), dollars("other")), (Some(2.5), None, None));
        assert_eq!(
            (tokens("priced"), tokens("unpriced"), tokens("other")),
            (None, Some(1_000_000), Some(1_000_000)),
            "extractive answers are nobody's to price"
        );
    }

    #[test]
    fn series_that_alerts_need_exist_before_anything_happens() {
        let seen = Seen::default();
        metrics::with_local_recorder(&seen, crate::metrics::describe);
        for series in [
            "rag_requests_total route=none status=ERROR channel=web_ws",
            "rag_fail_closed_total reason=isolation",
            "rag_isolation_violations_total layer=retrieve",
            "rag_rate_limited_total scope=tenant",
            "rag_stream_aborts_total phase=streaming",
            "rag_fail_closed_total reason=store_unavailable",
            "rag_auth_failures_total kind=cross_site",
            "rag_unpriced_tokens_total model=other",
            "rag_cost_usd_total model=other",
            "rag_otel_spans_total result=dropped",
            "rag_trace_dropped_total",
            "rag_trace_spooled",
        ] {
            assert_eq!(seen.value(series), Some(0), "{series}");
        }
    }

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
