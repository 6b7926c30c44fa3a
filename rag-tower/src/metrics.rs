//! The metrics of the library: their descriptions, their closed label sets, and every series at 0 from the start.
//!
//! The library emits through the [`metrics`](https://docs.rs/metrics) facade and knows no exporter. Install a recorder
//! first, then call [`describe`], then build the stack: layers look their series up once and keep them. [`METRICS`] is what there
//! is; the [guide](crate::guide::metrics) has it as a table.

mod catalogue;
#[cfg(test)]
pub(crate) mod seen;
mod tenants;

use std::sync::Arc;

use ::metrics::{Label, counter, gauge, histogram};

pub use self::catalogue::{Kind, METRICS, Metric};
use self::tenants::Tenants;
use crate::answer::AbstainReason;
use crate::ask::Channel;
use crate::error::{ErrorKind, Stage};
use crate::http::WsLimit;
use crate::route::ModelOutcome;
use crate::tenant::{AuthFailure, TenantId};
use crate::trace::{Phase, Status};

/// The label of a route or model that is not in the closed set.
const OTHER: &str = "other";
/// The label of an ask that no route or model has answered.
const NONE: &str = "none";

/// The most tenants that can be told apart.
const MOST_TENANTS: usize = 10_000;

/// The routes, models and tenants that may become metric labels: everything else is `other`, so that what a caller or a
/// provider sends can never grow the number of series. Clones share their tenants.
#[derive(Clone, Debug)]
pub struct Labels {
    routes: Arc<[Arc<str>]>,
    models: Arc<[Arc<str>]>,
    tenants: Option<Arc<Tenants>>,
}

// === impl Labels ===

impl Labels {
    /// No routes and no models: each is `other`, and an ask without one is `none`.
    #[must_use]
    pub fn new() -> Self {
        Self { routes: closed::<&str>([]), models: closed::<&str>([]), tenants: None }
    }

    /// Names the routes. Default: none.
    #[must_use]
    pub fn with_routes<T: Into<Arc<str>>>(mut self, routes: impl IntoIterator<Item = T>) -> Self {
        self.routes = closed(routes);
        self
    }

    /// Names the models. Default: none.
    #[must_use]
    pub fn with_models<T: Into<Arc<str>>>(mut self, models: impl IntoIterator<Item = T>) -> Self {
        self.models = closed(models);
        self
    }

    /// Tells tenants apart in `rag_requests_total`, `rag_fail_closed_total` and `rag_abstain_total`, by a label `tenant`: the
    /// first `most` that ask (10,000 of them if it is more), by their ids, and all that come later as `other`. Default: none,
    /// and there is no such label.
    ///
    /// A tenant keeps its label for as long as the process runs, and no two ever share one but `other`. Each has about as
    /// many series as there are routes, statuses and channels that it meets: with 100 tenants that is some thousands.
    #[must_use]
    pub fn with_tenants(mut self, most: usize) -> Self {
        self.tenants = (most > 0).then(|| Arc::new(Tenants::new(most.min(MOST_TENANTS))));
        self
    }

    /// Names tenants: a name takes the place of the id. One that another tenant has, or that is `other`, is left out.
    /// Call it after [`with_tenants`](Self::with_tenants); without that it does nothing. Default: none.
    ///
    /// # Warning
    /// A label is read by whoever reads the metrics.
    #[must_use]
    pub fn with_tenant_names<T: Into<Arc<str>>>(
        mut self,
        names: impl IntoIterator<Item = (TenantId, T)>,
    ) -> Self {
        self.tenants = self.tenants.map(|tenants| Arc::new(tenants.named(names)));
        self
    }

    /// Makes every series of these routes and models exist at 0, so that a rate over the first event is not lost. Of a tenant
    /// those that it may meet by a reason exist from its first ask on.
    pub fn touch(&self) {
        for route in self.routes() {
            for status in Status::ALL {
                for channel in Channel::ALL {
                    let mut labels = vec![
                        Label::new("route", route.clone()),
                        Label::new("status", status.as_str()),
                        Label::new("channel", channel.as_str()),
                    ];
                    labels.extend(self.tenants.as_ref().map(|_| Label::new("tenant", OTHER)));
                    counter!("rag_requests_total", labels).increment(0);
                }
            }
        }
        if self.tenants.is_some() {
            touch_reasons(Some(OTHER.into()));
        }
        for model in self.models() {
            for kind in ["input", "output"] {
                for estimated in ["true", "false"] {
                    counter!("rag_tokens_total", "type" => kind, "model" => model.clone(), "estimated" => estimated)
                        .increment(0);
                }
            }
            gauge!("rag_cost_usd_total", "model" => model.clone()).increment(0.0);
            counter!("rag_unpriced_tokens_total", "model" => model.clone()).increment(0);
        }
    }

    /// The label for a model's name: the name itself when it is known, else `other`, or `none`.
    #[must_use]
    pub fn model(&self, name: Option<&str>) -> Arc<str> {
        Arc::clone(&self.models[self.model_index(name)])
    }

    /// Where the series of a tenant are, and its label: 0 for those that share one, or when tenants are not told apart.
    pub(crate) fn tenant(&self, id: TenantId) -> (usize, Option<Arc<str>>) {
        let Some(tenants) = &self.tenants else { return (0, None) };
        let (place, label, new) = tenants.place(id);
        if new {
            touch_reasons(Some(Arc::clone(&label)));
        }
        (place, Some(label))
    }

    /// The same for asks that are nobody's, which take no tenant's place.
    pub(crate) fn no_tenant(&self) -> (usize, Option<Arc<str>>) {
        (0, self.tenants.as_ref().map(|tenants| tenants.other()))
    }

    /// How many places there are.
    pub(crate) fn places(&self) -> usize {
        self.tenants.as_ref().map_or(1, |tenants| tenants.most() + 1)
    }

    pub(crate) fn routes(&self) -> &[Arc<str>] {
        &self.routes
    }

    pub(crate) fn models(&self) -> &[Arc<str>] {
        &self.models
    }

    pub(crate) fn route_index(&self, name: Option<&str>) -> usize {
        index(&self.routes, name)
    }

    pub(crate) fn model_index(&self, name: Option<&str>) -> usize {
        index(&self.models, name)
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::new()
    }
}

/// `none` first, `other` last, what is known between them.
fn closed<T: Into<Arc<str>>>(known: impl IntoIterator<Item = T>) -> Arc<[Arc<str>]> {
    let mut all = vec![Arc::from(NONE)];
    for name in known {
        let name = name.into();
        if &*name != OTHER && !all.contains(&name) {
            all.push(name);
        }
    }
    all.push(Arc::from(OTHER));
    all.into()
}

/// Makes the series of each reason exist at 0.
fn touch_reasons(tenant: Option<Arc<str>>) {
    for reason in AbstainReason::ALL {
        withheld(reason.fails_closed(), reason.as_str(), tenant.clone(), 0);
    }
}

/// Counts answers that were withheld for a reason.
pub(crate) fn withheld(fails_closed: bool, reason: &'static str, tenant: Option<Arc<str>>, much: u64) {
    let name = if fails_closed { "rag_fail_closed_total" } else { "rag_abstain_total" };
    match tenant {
        Some(tenant) => counter!(name, "reason" => reason, "tenant" => tenant).increment(much),
        None => counter!(name, "reason" => reason).increment(much),
    }
}

fn index(all: &[Arc<str>], name: Option<&str>) -> usize {
    let Some(name) = name else { return 0 };
    all.iter().position(|known| &**known == name).unwrap_or(all.len() - 1)
}

/// Describes every metric of this crate and makes the series exist at 0 whose labels are known. Call it once, after the
/// recorder is installed; then [`Labels::touch`] for your own routes and models.
pub fn describe() {
    METRICS.iter().for_each(Metric::describe);
    Labels::new().touch();
    touch_reasons(None);
    touch_refusals();
    touch_stores();
    for result in ["hit", "miss", "bypass"] {
        counter!("rag_cache_requests_total", "cache" => "answer", "result" => result).increment(0);
    }
    for result in ["hit", "miss"] {
        counter!("rag_cache_requests_total", "cache" => "embedding", "result" => result).increment(0);
    }
    for result in ["kept", "removed"] {
        counter!("rag_citations_total", "result" => result).increment(0);
    }
    for outcome in ModelOutcome::ALL {
        counter!("rag_router_model_total", "outcome" => outcome.as_str()).increment(0);
    }
    gauge!("rag_ws_connections").set(0.0);
    for phase in Phase::ALL {
        counter!("rag_stream_aborts_total", "phase" => phase.as_str()).increment(0);
    }
    for stage in Stage::ALL {
        drop(histogram!("rag_stage_duration_seconds", "stage" => stage.as_str()));
    }
    drop(histogram!("rag_overhead_seconds"));
    for result in ["exported", "failed", "dropped"] {
        counter!("rag_otel_spans_total", "result" => result).increment(0);
    }
}

/// What keeps somebody out.
fn touch_refusals() {
    for layer in ["retrieve", "memory", "index", "database"] {
        counter!("rag_isolation_violations_total", "layer" => layer).increment(0);
    }
    for failure in AuthFailure::ALL {
        counter!("rag_auth_failures_total", "kind" => failure.as_str()).increment(0);
    }
    for scope in ["tenant", "key"] {
        counter!("rag_rate_limited_total", "scope" => scope).increment(0);
    }
    for limit in WsLimit::ALL {
        counter!("rag_ws_limited_total", "limit" => limit.as_str()).increment(0);
    }
}

/// How traces, rollups and conversations are kept.
fn touch_stores() {
    for operation in ["load", "append"] {
        for reason in [ErrorKind::StoreUnavailable, ErrorKind::Timeout] {
            counter!("rag_memory_failures_total", "operation" => operation, "reason" => reason.as_str())
                .increment(0);
        }
    }
    for operation in ["append", "create", "sync", "read", "remove", "refuse"] {
        counter!("rag_trace_journal_errors_total", "operation" => operation).increment(0);
    }
    counter!("rag_trace_dropped_total").increment(0);
    counter!("rag_trace_refused_total").increment(0);
    counter!("rag_trace_torn_total").increment(0);
    drop(histogram!("rag_trace_write_duration_seconds"));
    gauge!("rag_memory_queue_depth").set(0.0);
    gauge!("rag_trace_queue_depth").set(0.0);
    gauge!("rag_trace_spooled").set(0.0);
    gauge!("rag_trace_journal_bytes").set(0.0);
    gauge!("rag_trace_partitions").set(0.0);
    gauge!("rag_trace_partitions_until_timestamp_seconds").set(0.0);
    gauge!("rag_rollup_deltas_waiting").set(0.0);
    gauge!("rag_rollup_lag_seconds").set(0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_other() {
        let labels = Labels::new().with_routes(["search", "tuition", "search", "other"]);
        let label = |name| labels.routes()[labels.route_index(name)].to_string();
        assert_eq!(labels.routes().len(), 4);
        assert_eq!([label(None), label(Some("tuition")), label(Some("x"))], ["none", "tuition", "other"]);
    }
}
