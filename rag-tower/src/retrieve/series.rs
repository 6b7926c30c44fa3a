//! What is measured of one source.

use std::sync::Arc;

use metrics::Histogram;

use crate::passage::Passages;

/// The histograms of one source, looked up once.
#[derive(Clone)]
pub(crate) struct Series {
    passages: Histogram,
    top_score: Histogram,
}

// === impl Series ===

impl Series {
    pub(crate) fn of(source: &Arc<str>) -> Self {
        Self {
            passages: metrics::histogram!("rag_retrieved_passages", "source" => Arc::clone(source)),
            top_score: metrics::histogram!("rag_retrieval_top_score", "source" => Arc::clone(source)),
        }
    }

    /// Counts what the source found, and how well the best of it fits.
    pub(crate) fn record(&self, passages: &Passages) {
        self.passages.record(passages.len() as f64);
        if let Some(best) = passages.first() {
            self.top_score.record(f64::from(best.score));
        }
    }
}
