//! The layer.

use std::sync::Arc;

use tower_layer::Layer;

use super::meter::Meter;
use super::service::Trace;
use super::{Prices, TraceSink, WhenFull};
use crate::metrics::Labels;

/// Writes one [`TraceRow`](super::TraceRow) per ask. See the [module](super).
#[derive(Clone, Debug)]
pub struct TraceLayer {
    pub(super) sink: TraceSink,
    pub(super) meter: Arc<Meter>,
    pub(super) when_full: WhenFull,
}

// === impl TraceLayer ===

impl TraceLayer {
    /// A layer that hands rows to `sink`.
    #[must_use]
    pub fn new(sink: TraceSink) -> Self {
        Self { sink, meter: Arc::default(), when_full: WhenFull::default() }
    }

    /// Names the routes and models that may become metric labels. Default: none, so that each one counts as `other`.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.meter = Arc::new(Meter::new(labels, self.meter.prices().clone()));
        self
    }

    /// The prices by which `rag_cost_usd_total` counts asks whose cost nobody has set. The row stays as it is: its store prices
    /// it. Default: none, so that tokens of models count as unpriced.
    #[must_use]
    pub fn with_prices(mut self, prices: Prices) -> Self {
        self.meter = Arc::new(Meter::new(self.meter.labels().clone(), prices));
        self
    }

    /// What an ask does when its row could not be kept. Default: [`WhenFull::RunUnrecorded`].
    #[must_use]
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace { inner, layer: Arc::new(self.clone()) }
    }
}
