//! Where an ask's facts are collected while it travels.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{IsolationReceipt, Outcome, Parent};
use crate::answer::Usage;
use crate::ask::{AskId, Channel, SessionId};
use crate::error::Stage;
use crate::memory::Pending;
use crate::passage::{ChunkId, DocumentId, Source};
use crate::tenant::TenantScope;

/// A cheap handle to the facts of one ask. Stages write to it; the trace layer turns it into the row.
///
/// Facts are data and travel in values; `tracing` spans are diagnostics. Neither is derived from the other.
#[derive(Clone)]
pub struct TraceHandle(Arc<Inner>);

struct Inner {
    started: Instant,
    recorded: AtomicBool,
    facts: Mutex<Facts>,
}

/// What is known of a request at its start.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The question.
    pub question: Option<Arc<str>>,
    /// The conversation it continues.
    pub session: Option<SessionId>,
    /// How it came.
    pub channel: Channel,
    /// The caller's own id for it.
    pub request_id: Option<Arc<str>>,
}

/// What has been learnt of an ask so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Facts {
    /// The tenant, where the request's type does not carry it (the HTTP twin).
    pub scope: Option<TenantScope>,
    /// The conversation, once it has one.
    pub session: Option<SessionId>,
    /// The route that answers.
    pub route: Option<Arc<str>>,
    /// Computed numbers, ticket ids and whatever else a tool wants on the row.
    pub tool_metadata: Map<String, Value>,
    /// The tool that waits for the session's next turn.
    pub pending: Option<Pending>,
    /// True when a tool answered, whose answer may have had effects and must not be answered from a cache.
    pub tool_answered: bool,
    /// Finished stages.
    pub spans: Vec<Span>,
    /// What each source found.
    pub hits: Vec<HitRecord>,
    /// What kept the tenant apart.
    pub receipt: IsolationReceipt,
    /// How well what was found fits, 0 to 1.
    pub confidence: Option<f32>,
    /// Sources that were down while others answered.
    pub degraded: Vec<Arc<str>>,
    /// Tokens.
    pub usage: Option<Usage>,
    /// The estimated cost in US dollars; none when the model has no price.
    pub cost_estimate: Option<f64>,
    /// Who generated: a provider's name, its host, or `extractive`.
    pub llm_provider: Option<Arc<str>>,
    /// The model.
    pub llm_model: Option<Arc<str>>,
    /// An outcome that a handler has set; it wins over what the transport says.
    pub outcome: Option<Outcome>,
    /// The question, where the request's type does not carry it.
    pub question: Option<Arc<str>>,
    /// The answer, where it does not pass as events.
    pub answer: Option<Arc<str>>,
    /// The public message of what went wrong.
    pub error: Option<Arc<str>>,
    /// The ask's id, where an ask is traced inside an HTTP request that is traced too; it becomes the row's key.
    pub id: Option<AskId>,
    /// How it came, where the request's type does not carry it.
    pub channel: Option<Channel>,
    /// The caller's own id for it, where the request's type does not carry it.
    pub request_id: Option<Arc<str>>,
    /// From the start to the first piece of text, where the answer does not pass as events.
    pub ttft: Option<Duration>,
    /// What the answer may cite, where it does not pass as events.
    pub sources: Option<Arc<[Source]>>,
    /// The caller's span.
    pub parent: Option<Parent>,
}

/// One stage's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The stage.
    pub stage: Stage,
    /// When it began, from the start of the ask.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
}

/// One hit of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HitRecord {
    /// The source's name.
    pub source: Arc<str>,
    /// Rank from 1.
    pub rank: u32,
    /// The chunk.
    pub chunk: ChunkId,
    /// The document.
    pub document: DocumentId,
    /// The source's own score.
    pub score: f32,
    /// The score after fusion or reranking.
    pub fused: f32,
    /// True when it went into the prompt.
    pub used: bool,
}

/// The stages of most asks fit: room that is made once.
const USUAL_SPANS: usize = 8;

/// Measures a stage until it is dropped, cancelled or not.
#[must_use = "the stage ends when the timer is dropped"]
pub struct StageTimer {
    handle: TraceHandle,
    stage: Stage,
    began: Instant,
}

// === impl TraceHandle ===

impl TraceHandle {
    /// A handle whose clock starts now.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            started: Instant::now(),
            recorded: AtomicBool::new(false),
            facts: Mutex::default(),
        }))
    }

    /// Starts the clock of a stage; dropping the timer stops it.
    pub fn time(&self, stage: Stage) -> StageTimer {
        StageTimer { handle: self.clone(), stage, began: Instant::now() }
    }

    /// Time since the start of the ask.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Names the tenant, for a program with its own authentication under the HTTP twin.
    pub fn set_tenant(&self, scope: &TenantScope) {
        self.facts().scope = Some(scope.clone());
    }

    /// Names the conversation.
    pub fn set_session(&self, session: SessionId) {
        self.facts().session = Some(session);
    }

    /// Names the route that answers.
    pub fn set_route(&self, route: impl Into<Arc<str>>) {
        self.facts().route = Some(route.into());
    }

    /// Puts a tool's fact on the row.
    pub fn set_tool_metadata(&self, key: impl Into<String>, value: impl Into<Value>) {
        self.facts().tool_metadata.insert(key.into(), value.into());
    }

    /// Keeps the session's next turn for a tool, which has asked something back.
    pub fn set_pending(&self, pending: Pending) {
        self.facts().pending = Some(pending);
    }

    /// Says how well what was found fits, 0 to 1.
    pub fn set_confidence(&self, confidence: f32) {
        self.facts().confidence = Some(confidence);
    }

    /// Notes a source that was down while others answered.
    pub fn degrade(&self, source: impl Into<Arc<str>>) {
        let source = source.into();
        let mut facts = self.facts();
        if !facts.degraded.contains(&source) {
            facts.degraded.push(source);
        }
    }

    /// Adds what a source found.
    pub fn record_hits(&self, hits: impl IntoIterator<Item = HitRecord>) {
        self.facts().hits.extend(hits);
    }

    /// Writes on the isolation receipt. The closure must not call back into the handle.
    pub(crate) fn receipt(&self, change: impl FnOnce(&mut IsolationReceipt)) {
        change(&mut self.facts().receipt);
    }

    /// Marks the chunks that went into the prompt.
    pub fn mark_used(&self, chunks: &[ChunkId]) {
        for hit in &mut self.facts().hits {
            hit.used = chunks.contains(&hit.chunk);
        }
    }

    /// Names who generates.
    pub fn set_provider(&self, provider: impl Into<Arc<str>>, model: impl Into<Arc<str>>) {
        let mut facts = self.facts();
        facts.llm_provider = Some(provider.into());
        facts.llm_model = Some(model.into());
    }

    /// Sets the tokens.
    pub fn set_usage(&self, usage: Usage) {
        self.facts().usage = Some(usage);
    }

    /// Sets the estimated cost in US dollars.
    pub fn set_cost(&self, dollars: f64) {
        self.facts().cost_estimate = Some(dollars);
    }

    /// Sets the outcome, which then wins over what the transport says.
    pub fn set_outcome(&self, outcome: Outcome) {
        self.facts().outcome = Some(outcome);
    }

    /// Puts what went wrong on the row of an ask that is answered nevertheless. It is public: nothing secret belongs in it.
    pub fn set_error(&self, error: impl Into<Arc<str>>) {
        self.facts().error = Some(error.into());
    }

    /// Sets the question, where the request's type does not carry it.
    pub fn set_question(&self, question: impl Into<Arc<str>>) {
        self.facts().question = Some(question.into());
    }

    /// Sets the answer, where it does not pass as events.
    pub fn set_answer(&self, answer: impl Into<Arc<str>>) {
        self.facts().answer = Some(answer.into());
    }

    /// Sets what the answer may cite, where it does not pass as events.
    pub fn set_sources(&self, sources: impl Into<Arc<[Source]>>) {
        self.facts().sources = Some(sources.into());
    }

    /// Names the caller's span: spans of this ask are then below it.
    pub fn set_parent(&self, parent: Parent) {
        self.facts().parent = Some(parent);
    }

    /// Sets how the request came, where its type does not carry it.
    pub fn set_channel(&self, channel: Channel) {
        self.facts().channel = Some(channel);
    }

    /// Notes that the first piece of text goes out now; later calls change nothing.
    pub fn first_text(&self) {
        let elapsed = self.elapsed();
        self.facts().ttft.get_or_insert(elapsed);
    }

    /// The key of the row, where a layer has named it already: what a handler under the HTTP twin shows as trace id.
    #[must_use]
    pub fn id(&self) -> Option<AskId> {
        self.facts().id
    }

    /// A copy of what is known so far.
    #[must_use]
    pub fn snapshot(&self) -> Facts {
        self.facts().clone()
    }

    /// What is known, at the end of the ask: taken when nobody else can read it any more, else copied.
    pub(super) fn take_or_copy(&mut self) -> Facts {
        match Arc::get_mut(&mut self.0) {
            Some(inner) => std::mem::take(inner.facts.get_mut().unwrap_or_else(PoisonError::into_inner)),
            None => self.snapshot(),
        }
    }

    /// Takes charge of the row: true for the first caller only. A trace layer that gets false annotates and writes
    /// no second row.
    #[must_use]
    pub fn take_charge(&self) -> bool {
        !self.0.recorded.swap(true, Ordering::AcqRel)
    }

    /// Reads or changes the facts in place. The closure must not call back into the handle.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        change(&mut self.facts())
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        // Facts are plain data: a panic elsewhere cannot leave them half-written in a way that matters.
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TraceHandle {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TraceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceHandle").field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

// === impl StageTimer ===

impl Drop for StageTimer {
    fn drop(&mut self) {
        let duration = self.began.elapsed();
        let start = self.began.saturating_duration_since(self.handle.0.started);
        let mut facts = self.handle.facts();
        if facts.spans.is_empty() {
            facts.spans.reserve(USUAL_SPANS);
        }
        facts.spans.push(Span { stage: self.stage, start, duration });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_dropped_timer_keeps_its_part() {
        let handle = TraceHandle::new();
        tokio::time::advance(Duration::from_millis(2)).await;
        let timer = handle.time(Stage::Embed);
        tokio::time::advance(Duration::from_millis(3)).await;
        drop(timer);
        let expected =
            Span { stage: Stage::Embed, start: Duration::from_millis(2), duration: Duration::from_millis(3) };
        assert_eq!(handle.snapshot().spans, [expected]);
    }

    #[test]
    fn whoever_holds_the_handle_may_read_on() {
        let mut handle = TraceHandle::new();
        handle.set_confidence(0.5);
        let reader = handle.clone();
        assert_eq!(handle.take_or_copy().confidence, Some(0.5));
        assert_eq!(reader.snapshot().confidence, Some(0.5));
        drop(reader);
        assert_eq!(handle.take_or_copy().confidence, Some(0.5));
    }

    #[test]
    fn one_layer_takes_charge() {
        let handle = TraceHandle::new();
        assert!(handle.take_charge());
        assert!(!handle.clone().take_charge());
    }
}
