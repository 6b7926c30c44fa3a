//! An answer on its way out: always a stream of events.
//!
//! `Sources`?, `Delta`*, `Usage`?, `Finished`. A stream that ends without `Finished` was truncated. An [`Answer`]
//! exists once the provider has accepted the generation, so everything that retries does so before.

mod citations;
mod hold;
mod joined;
mod stream;
mod tap;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use serde::{Deserialize, Serialize};

pub use self::citations::CitationFilter;
pub(crate) use self::joined::Joined;
pub use self::stream::AnswerStream;
use crate::ask::AskId;
use crate::error::{Error, ErrorKind, Stage};
use crate::passage::Source;

/// An answer: its id, and a fused stream of [`Event`]s.
#[must_use = "an answer does nothing until its events are polled; dropping it cancels the ask"]
pub struct Answer {
    id: AskId,
    events: AnswerStream,
}

/// One step of an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// What the answer may cite, numbered from 1.
    Sources(Arc<[Source]>),
    /// The next piece of text.
    Delta(Arc<str>),
    /// What it cost.
    Usage(Usage),
    /// The terminal event. Nothing follows.
    Finished(Finish),
}

/// How an answer ended well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finish {
    /// Complete.
    Stop,
    /// The model's output limit was reached.
    Length,
    /// We do not know, and say so. Holds the reason: `no_documents`, `below_threshold`, …
    Abstained(AbstainReason),
    /// Not a question for this tenant.
    OutOfDomain,
    /// A person takes over. Holds the ticket's id or the reason.
    Handoff(Arc<str>),
}

/// Why an answer was withheld. A closed set: it is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AbstainReason {
    /// Nothing was found.
    NoDocuments,
    /// What was found does not fit well enough.
    BelowThreshold,
    /// A passage of another tenant came back.
    Isolation,
    /// The tenant's filter could not be applied.
    FilterUnavailable,
    /// Every source was down.
    StoreUnavailable,
}

/// Tokens that went in and came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// True when the provider sent no usage and both are `ceil(chars / 4)`.
    pub estimated: bool,
}

// === impl Answer ===

impl Answer {
    /// An answer from any stream of events. The stream is fused at its first `Finished` or error.
    pub fn new(id: AskId, events: impl Stream<Item = Result<Event, Error>> + Send + 'static) -> Self {
        Self { id, events: AnswerStream::new(events) }
    }

    /// An answer whose stream already has its type.
    pub fn from_stream(id: AskId, events: AnswerStream) -> Self {
        Self { id, events }
    }

    /// An answer that is complete already.
    pub fn ready(id: AskId, events: Vec<Event>) -> Self {
        Self { id, events: AnswerStream::ready(events) }
    }

    /// A text that stands for an answer, ended by `finish`.
    pub fn text(id: AskId, text: impl Into<Arc<str>>, finish: Finish) -> Self {
        Self::ready(id, vec![Event::Delta(text.into()), Event::Finished(finish)])
    }

    /// The ask it answers.
    #[must_use]
    pub fn id(&self) -> AskId {
        self.id
    }

    /// Its events.
    pub fn into_stream(self) -> AnswerStream {
        self.events
    }

    /// The same answer, its stream wrapped by `wrap`.
    pub fn map_stream<S>(self, wrap: impl FnOnce(AnswerStream) -> S) -> Self
    where
        S: Stream<Item = Result<Event, Error>> + Send + 'static,
    {
        Self { id: self.id, events: AnswerStream::new(wrap(self.events)) }
    }

    /// Keeps `guard` until the terminal event or an error is yielded, the stream ends, or it is dropped.
    pub fn hold<G: Send + Unpin + 'static>(self, guard: G) -> Self {
        self.map_stream(|events| hold::Hold::new(events, guard))
    }

    /// Runs `then` with the collected events before `Finished` is yielded, so that a consumer that has seen the end
    /// may rely on its effects. Pieces of text that follow each other are one piece there. It does not run for an answer that fails, is truncated or is dropped.
    ///
    /// At most `max_bytes` of text are kept; for an answer longer than that `then` does not run.
    pub fn on_finished<F, Fut>(self, max_bytes: usize, then: F) -> Self
    where
        F: FnOnce(Vec<Event>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.map_stream(|events| tap::OnFinished::new(events, max_bytes, then))
    }

    /// Waits for all events, in the order in which they came.
    ///
    /// # Errors
    /// The stream's own error, or [`ErrorKind::Truncated`] when it ends without `Finished`.
    ///
    /// # Cancellation
    /// Dropping the future drops the answer, which cancels the ask.
    pub async fn collect(mut self) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        while let Some(event) = std::future::poll_fn(|cx| Pin::new(&mut self.events).poll_next(cx)).await {
            let event = event?;
            let last = matches!(event, Event::Finished(_));
            events.push(event);
            if last {
                return Ok(events);
            }
        }
        Err(Error::new(ErrorKind::Truncated, Stage::Generate))
    }

    /// Waits for all events and gives the text alone: what was said, without sources and usage.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub async fn collect_text(self) -> Result<String, Error> {
        let events = self.collect().await?;
        let text = events.iter().map(|event| match event {
            Event::Delta(text) => &**text,
            _ => "",
        });
        Ok(text.collect())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("id", &self.id).finish_non_exhaustive()
    }
}

// === impl Finish ===

impl Finish {
    /// The name on the wire and in the trace row, without its detail.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Abstained(_) => "abstained",
            Self::OutOfDomain => "out_of_domain",
            Self::Handoff(_) => "handoff",
        }
    }

    /// The detail: why it abstained, or which hand-off.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Abstained(reason) => Some(reason.as_str()),
            Self::Handoff(detail) => Some(detail),
            Self::Stop | Self::Length | Self::OutOfDomain => None,
        }
    }
}

// === impl AbstainReason ===

impl AbstainReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::NoDocuments,
        Self::BelowThreshold,
        Self::Isolation,
        Self::FilterUnavailable,
        Self::StoreUnavailable,
    ];

    /// The metric label and the `reason` column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoDocuments => "no_documents",
            Self::BelowThreshold => "below_threshold",
            Self::Isolation => "isolation",
            Self::FilterUnavailable => "filter_unavailable",
            Self::StoreUnavailable => "store_unavailable",
        }
    }

    /// True when it was withheld because isolation could not be shown, rather than for want of knowledge.
    #[must_use]
    pub const fn fails_closed(self) -> bool {
        matches!(self, Self::Isolation | Self::FilterUnavailable | Self::StoreUnavailable)
    }
}

// === impl Usage ===

impl Usage {
    /// Usage for a provider that reports none: `ceil(chars / 4)` of each text.
    #[must_use]
    pub fn estimate(input: &str, output: &str) -> Self {
        Self { input_tokens: estimate_tokens(input), output_tokens: estimate_tokens(output), estimated: true }
    }

    /// Input and output together.
    #[must_use]
    pub const fn total_tokens(&self) -> u64 {
        self.input_tokens + self.output_tokens
    }
}

/// A token count without a tokenizer: `ceil(chars / 4)`.
#[must_use]
pub fn estimate_tokens(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(4)
}

impl Stream for Answer {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.events).poll_next(cx)
    }
}

#[cfg(test)]
mod tests;
