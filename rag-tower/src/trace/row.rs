//! The row, and the port behind the writer.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{HitRecord, IsolationReceipt, Outcome, Parent, Span};
use crate::answer::Usage;
use crate::ask::{AskId, Channel, SessionId};
use crate::error::BoxError;
use crate::passage::Source;
use crate::tenant::{BranchId, TenantId};

/// One ask, as it is kept.
///
/// Its serde form is that of rows that are put aside, and of journals before 0.1, not of any API: what is added must have a
/// default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TraceRow {
    /// The ask's id.
    pub trace_id: AskId,
    /// When the ask began: the id's own milliseconds.
    #[serde(with = "time::serde::rfc3339")]
    pub ts: OffsetDateTime,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The branch it was narrowed to, when it was narrowed to one.
    pub branch_id: Option<BranchId>,
    /// Who held the credential.
    pub subject: Option<Arc<str>>,
    /// The conversation.
    pub session_id: Option<SessionId>,
    /// The caller's own id for it.
    pub request_id: Option<Arc<str>>,
    /// How it came.
    pub channel: Channel,
    /// The route that answered.
    pub route: Option<Arc<str>>,
    /// How it ended; gives status, finish, reason and error kind.
    pub outcome: Outcome,
    /// The error's public message, when there was one.
    pub error: Option<Arc<str>>,
    /// From the start to the end.
    pub latency: Duration,
    /// From the start to the first piece of text.
    pub ttft: Option<Duration>,
    /// What was asked.
    pub question: Option<Arc<str>>,
    /// What was answered, as far as it got, bounded in size.
    pub answer: Option<Arc<str>>,
    /// What the answer could cite.
    pub sources: Arc<[Source]>,
    /// A tool's facts.
    pub tool_metadata: Map<String, Value>,
    /// Finished stages.
    pub spans: Vec<Span>,
    /// What each source found.
    pub hits: Vec<HitRecord>,
    /// How well what was found fits.
    pub confidence: Option<f32>,
    /// Sources that were down.
    pub degraded: Vec<Arc<str>>,
    /// Tokens.
    pub usage: Option<Usage>,
    /// Estimated cost in US dollars.
    pub cost_estimate: Option<f64>,
    /// Who generated.
    pub llm_provider: Option<Arc<str>>,
    /// The model.
    pub llm_model: Option<Arc<str>>,
    /// What kept the tenant apart; none in a row that was written before receipts were, or by something else than a
    /// [`TraceLayer`](super::TraceLayer).
    #[serde(default)]
    pub receipt: Option<IsolationReceipt>,
    /// The caller's span; it is not kept.
    #[serde(skip)]
    pub parent: Option<Parent>,
}

// === impl TraceRow ===

impl TraceRow {
    /// The row of an ask that ended like that and of which nothing else is known. An id that carries no time began now.
    #[must_use]
    pub fn new(id: AskId, tenant: TenantId, outcome: Outcome, latency: Duration) -> Self {
        Self {
            trace_id: id,
            ts: id.timestamp().unwrap_or_else(OffsetDateTime::now_utc),
            tenant_id: tenant,
            branch_id: None,
            subject: None,
            session_id: None,
            request_id: None,
            channel: Channel::default(),
            route: None,
            outcome,
            error: None,
            latency,
            ttft: None,
            question: None,
            answer: None,
            sources: Arc::default(),
            tool_metadata: Map::new(),
            spans: Vec::new(),
            hits: Vec::new(),
            confidence: None,
            degraded: Vec::new(),
            usage: None,
            cost_estimate: None,
            llm_provider: None,
            llm_model: None,
            receipt: None,
            parent: None,
        }
    }

    /// What the row takes in memory, about, in bytes: the texts that can be long, and the size of the rest.
    pub(super) fn weight(&self) -> u64 {
        let length = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        let texts = [&self.question, &self.answer, &self.error, &self.request_id, &self.subject];
        let sources = self
            .sources
            .iter()
            .map(|source| source.snippet.len() + source.title.len() + source.file_name.len());
        let parts = size_of_val(&*self.sources)
            + size_of_val(&*self.spans)
            + size_of_val(&*self.hits)
            + size_of_val(&*self.degraded);
        let receipt = self.receipt.as_ref().map_or(0, IsolationReceipt::weight);
        let facts = self.tool_metadata.iter().map(|(key, value)| key.len() + weight_of(value));
        let bytes = size_of::<Self>()
            + texts.into_iter().map(length).sum::<usize>()
            + sources.sum::<usize>()
            + parts
            + receipt
            + facts.sum::<usize>();
        bytes as u64
    }
}

fn weight_of(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(weight_of).sum(),
            Value::Object(map) => map.iter().map(|(key, value)| key.len() + weight_of(value)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

/// Where rows go: what a backend implements. It only ever sees batches, from one task, at most two at a time.
pub trait TraceStore: Send + Sync + 'static {
    /// Writes a batch, all or nothing; a row whose id is there already is left as it is, so that a batch may be
    /// written again after an error.
    ///
    /// # Errors
    /// Whatever kept the batch from being written. The writer keeps the rows and tries again, with one exception: an
    /// [`Error`](crate::Error) of kind [`InvalidInput`](crate::ErrorKind::InvalidInput) says that the batch holds a row
    /// which can never be written. The writer then writes one by one and leaves out those that are refused.
    fn write(&self, rows: &[TraceRow]) -> impl Future<Output = Result<(), BoxError>> + Send;
}
