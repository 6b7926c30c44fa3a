//! The `gen_ai_client_*` metrics of one provider and model, named after OpenTelemetry's semantic conventions.

use std::sync::Arc;

use metrics::{Histogram, Label, histogram};
use tokio::time::Instant;

use crate::answer::Usage;
use crate::error::ErrorKind;

/// The series of one operation of one model. Both labels come from the configuration, never from a request or a response.
#[derive(Clone)]
pub(super) struct Meters(Arc<Inner>);

struct Inner {
    labels: Vec<Label>,
    done: Histogram,
    first_chunk: Histogram,
    per_chunk: Histogram,
    input: Histogram,
    /// None of what makes no text.
    output: Option<Histogram>,
}

/// Measures one call from its start; when it is dropped without an end, the call was cancelled.
pub(super) struct Meter {
    meters: Meters,
    began: Instant,
    last_chunk: Option<Instant>,
    ended: bool,
}

// === impl Meters ===

impl Meters {
    pub(super) fn new(operation: &'static str, provider: &Arc<str>, model: &Arc<str>) -> Self {
        let labels = vec![
            Label::new("gen_ai_operation_name", operation),
            Label::new("gen_ai_provider_name", Arc::clone(provider)),
            Label::new("gen_ai_request_model", Arc::clone(model)),
        ];
        let with = |name: &'static str, value: &'static str| {
            let mut labels = labels.clone();
            labels.push(Label::new(name, value));
            labels
        };
        Self(Arc::new(Inner {
            done: histogram!("gen_ai_client_operation_duration_seconds", labels.clone()),
            first_chunk: histogram!("gen_ai_client_operation_time_to_first_chunk_seconds", labels.clone()),
            per_chunk: histogram!("gen_ai_client_operation_time_per_output_chunk_seconds", labels.clone()),
            input: histogram!("gen_ai_client_token_usage", with("gen_ai_token_type", "input")),
            output: (operation != "embeddings")
                .then(|| histogram!("gen_ai_client_token_usage", with("gen_ai_token_type", "output"))),
            labels,
        }))
    }

    pub(super) fn start(&self) -> Meter {
        Meter { meters: self.clone(), began: Instant::now(), last_chunk: None, ended: false }
    }
}

// === impl Meter ===

impl Meter {
    /// A piece of text has come.
    pub(super) fn chunk(&mut self) {
        let now = Instant::now();
        match self.last_chunk.replace(now) {
            None => self.meters.0.first_chunk.record(now.duration_since(self.began)),
            Some(last) => self.meters.0.per_chunk.record(now.duration_since(last)),
        }
    }

    /// The call ended well. Estimated tokens are no measurement and are not recorded.
    pub(super) fn done(&mut self, usage: Option<Usage>) {
        self.ended = true;
        self.meters.0.done.record(self.began.elapsed());
        if let Some(usage) = usage.filter(|usage| !usage.estimated) {
            self.meters.0.input.record(usage.input_tokens as f64);
            if let Some(output) = &self.meters.0.output {
                output.record(usage.output_tokens as f64);
            }
        }
    }

    /// The call failed.
    pub(super) fn failed(&mut self, kind: ErrorKind) {
        self.end(kind.as_str());
    }

    fn end(&mut self, error_type: &'static str) {
        self.ended = true;
        let mut labels = self.meters.0.labels.clone();
        labels.push(Label::new("error_type", error_type));
        histogram!("gen_ai_client_operation_duration_seconds", labels).record(self.began.elapsed());
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if !self.ended {
            self.end("cancelled");
        }
    }
}
