//! Watches one ask from its call to its end, and writes its row exactly once.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::meter::Meter;
use super::sink::{Slot, TraceSink};
use super::{Entry, Outcome, Phase, Receipt, TraceHandle, TraceRow};
use crate::answer::{Event, Usage};
use crate::ask::AskId;
use crate::error::Error;
use crate::passage::Source;
use crate::tenant::{Branches, TenantScope};

/// The most text of an answer that goes into its row, in bytes; the rest is cut off.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Most answers fit: room that is made once.
const USUAL_ANSWER_BYTES: usize = 1024;

/// Moves from the call to the future to the stream. Dropping it unfinished is an end too: the ask was cancelled, or
/// the code it was watching panicked.
pub(super) struct Guard {
    handle: TraceHandle,
    id: AskId,
    scope: Option<TenantScope>,
    entry: Entry,
    meter: Arc<Meter>,
    ending: Ending,
    /// True while inner code runs. `std::thread::panicking` is wrong both ways: false under a layer that catches
    /// panics and drops us afterwards, true when the consumer panics while it holds a healthy stream.
    inside: bool,
    phase: Phase,
    ttft: Option<Duration>,
    text: String,
    sources: Option<Arc<[Source]>>,
    usage: Option<Usage>,
}

/// What to do at the end.
enum Ending {
    /// Write the row.
    Write(Slot),
    /// Put what is known on the handle: a layer further out writes the row.
    Annotate,
    /// Nothing: it has ended.
    Ended,
}

// === impl Guard ===

impl Guard {
    /// Begins to watch. The first guard of a handle takes charge of the row.
    pub(super) fn new(
        sink: &TraceSink,
        meter: &Arc<Meter>,
        handle: TraceHandle,
        id: AskId,
        scope: Option<TenantScope>,
        entry: Entry,
    ) -> Self {
        let ending = if handle.take_charge() { Ending::Write(sink.reserve()) } else { Ending::Annotate };
        Self {
            handle,
            id,
            scope,
            entry,
            meter: Arc::clone(meter),
            ending,
            inside: false,
            phase: Phase::BeforeFirstEvent,
            ttft: None,
            text: String::new(),
            sources: None,
            usage: None,
        }
    }

    /// False when the row would not be kept.
    pub(super) fn is_kept(&self) -> bool {
        match &self.ending {
            Ending::Write(slot) => slot.is_kept(),
            Ending::Annotate | Ending::Ended => true,
        }
    }

    /// Runs inner code: if it panics, the ask ends as panicked.
    pub(super) fn watch<T>(&mut self, inner: impl FnOnce() -> T) -> T {
        self.inside = true;
        let value = inner();
        self.inside = false;
        value
    }

    /// True when this guard writes the row itself.
    pub(super) fn writes(&self) -> bool {
        matches!(self.ending, Ending::Write(_))
    }

    /// Something that is no event is about to reach the caller; the first of it may be text.
    pub(super) fn streaming(&mut self, text: bool) {
        if text && self.phase == Phase::BeforeFirstEvent {
            self.ttft = Some(self.handle.elapsed());
        }
        self.phase = Phase::Streaming;
    }

    /// Takes note of an event that is about to be yielded.
    pub(super) fn note(&mut self, event: &Event) {
        self.phase = Phase::Streaming;
        match event {
            Event::Delta(text) => {
                if self.ttft.is_none() {
                    self.ttft = Some(self.handle.elapsed());
                }
                keep(&mut self.text, text);
            }
            Event::Sources(sources) => self.sources = Some(Arc::clone(sources)),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Finished(_) => {}
        }
    }

    /// Ends the ask. Only the first call counts.
    pub(super) fn finish(&mut self, outcome: Outcome, error: Option<&Error>) -> Receipt {
        let error = error.map(|error| Arc::from(error.to_string()));
        match std::mem::replace(&mut self.ending, Ending::Ended) {
            Ending::Ended => Receipt::done(),
            Ending::Annotate => {
                self.annotate(outcome, error);
                Receipt::done()
            }
            Ending::Write(slot) => match self.row(outcome, error) {
                None => {
                    slot.void();
                    Receipt::done()
                }
                Some(row) => {
                    self.meter.ended(&row, self.phase);
                    slot.send(row)
                }
            },
        }
    }

    fn annotate(&mut self, outcome: Outcome, error: Option<Arc<str>>) {
        let entry = std::mem::take(&mut self.entry);
        let text = std::mem::take(&mut self.text);
        self.handle.with(|facts| {
            facts.outcome.get_or_insert(outcome);
            facts.id = Some(self.id);
            facts.channel = Some(entry.channel);
            facts.error = error.or(facts.error.take());
            facts.scope = facts.scope.take().or(self.scope.take());
            facts.question = facts.question.take().or(entry.question);
            facts.session = facts.session.or(entry.session);
            facts.request_id = facts.request_id.take().or(entry.request_id);
            facts.usage = self.usage.or(facts.usage);
            facts.sources = self.sources.take().or(facts.sources.take());
            facts.ttft = facts.ttft.or(self.ttft);
            if !text.is_empty() {
                facts.answer = Some(text.into());
            }
        });
    }

    /// The row, when the ask has a tenant.
    fn row(&mut self, outcome: Outcome, error: Option<Arc<str>>) -> Option<TraceRow> {
        let latency = self.handle.elapsed();
        let facts = self.handle.take_or_copy();
        let scope = self.scope.take().or(facts.scope)?;
        let entry = std::mem::take(&mut self.entry);
        let trace_id = facts.id.unwrap_or(self.id);
        let answer = if self.text.is_empty() {
            facts.answer.map(|answer| bounded(&answer))
        } else {
            Some(std::mem::take(&mut self.text).into())
        };
        let branch_id = match scope.branches() {
            Branches::Only(branches) => match branches[..] {
                [branch] => Some(branch),
                _ => None,
            },
            Branches::All => None,
        };
        let mut hits = facts.hits;
        for hit in &mut hits {
            hit.score = finite(hit.score);
            hit.fused = finite(hit.fused);
        }
        // Whoever has set the outcome has said what went wrong, too.
        let error = if facts.outcome.is_some() { facts.error.or(error) } else { error.or(facts.error) };
        let outcome = facts.outcome.unwrap_or(outcome);
        Some(TraceRow {
            trace_id,
            ts: trace_id.timestamp().unwrap_or_else(OffsetDateTime::now_utc),
            tenant_id: scope.tenant(),
            branch_id,
            subject: scope.subject().cloned(),
            session_id: facts.session.or(entry.session),
            request_id: entry.request_id.or(facts.request_id),
            channel: facts.channel.unwrap_or(entry.channel),
            route: facts.route,
            receipt: Some(facts.receipt.at_end(&outcome)),
            outcome,
            error,
            latency,
            ttft: facts.ttft.or(self.ttft),
            question: entry.question.or(facts.question),
            answer,
            sources: self.sources.take().or(facts.sources).unwrap_or_default(),
            tool_metadata: facts.tool_metadata,
            spans: facts.spans,
            hits,
            confidence: facts.confidence.map(finite),
            degraded: facts.degraded,
            usage: self.usage.or(facts.usage),
            cost_estimate: facts.cost_estimate.filter(|cost| cost.is_finite()),
            llm_provider: facts.llm_provider,
            llm_model: facts.llm_model,
            parent: facts.parent,
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !matches!(self.ending, Ending::Ended) {
            let outcome =
                if self.inside { Outcome::Panicked(self.phase) } else { Outcome::Cancelled(self.phase) };
            drop(self.finish(outcome, None));
        }
    }
}

/// Appends as much as fits, cut between characters. NUL is left out: databases refuse it in text.
fn keep(kept: &mut String, text: &str) {
    if kept.is_empty() {
        kept.reserve(USUAL_ANSWER_BYTES);
    }
    let room = MAX_ANSWER_BYTES.saturating_sub(kept.len());
    let fits = if text.len() <= room { text } else { &text[..text.floor_char_boundary(room)] };
    if fits.contains('\0') {
        kept.extend(fits.chars().filter(|c| *c != '\0'));
    } else {
        kept.push_str(fits);
    }
}

fn bounded(text: &Arc<str>) -> Arc<str> {
    if text.len() <= MAX_ANSWER_BYTES && !text.contains('\0') {
        return Arc::clone(text);
    }
    let mut kept = String::new();
    keep(&mut kept, text);
    kept.into()
}

/// Numbers that JSON can hold: a score that is not one counts as 0.
fn finite(number: f32) -> f32 {
    if number.is_finite() { number } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_and_has_no_nul() {
        let mut kept = "a".repeat(MAX_ANSWER_BYTES - 2);
        keep(&mut kept, "ệx");
        assert_eq!(kept.len(), MAX_ANSWER_BYTES - 2, "a character that does not fit is left out whole");
        keep(&mut kept, "\0bcd");
        assert_eq!(&kept[MAX_ANSWER_BYTES - 2..], "b");
    }
}
