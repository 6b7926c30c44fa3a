//! The one error of the library: opaque, pointer-sized, with a kind that is a metric label and a trace column.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Any boxed error, as Tower uses it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, where, and why.
///
/// `Display` is a message that may be shown to a caller: it never contains the source, which stays reachable
/// through [`std::error::Error::source`] for diagnostics.
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    stage: Stage,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    source: Option<BoxError>,
}

/// What kind of failure an [`Error`] is. The closed set behind the metric label and the trace column.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request itself is wrong: the caller can mend it.
    InvalidInput,
    /// No credential, or one that does not verify.
    Unauthenticated,
    /// A valid credential that does not grant this.
    Forbidden,
    /// No such thing in the caller's scope (a foreign id and an unknown one look the same).
    NotFound,
    /// A passage, history or row of another tenant came back: the ask fails closed.
    Isolation,
    /// The tenant's filter could not be applied: the ask fails closed.
    FilterUnavailable,
    /// A store could not be reached or refused to answer.
    StoreUnavailable,
    /// The caller's rate limit is used up.
    RateLimited,
    /// The server is at its concurrency limit.
    Overloaded,
    /// The tenant's budget is used up.
    OverBudget,
    /// A deadline passed.
    Timeout,
    /// A model provider could not be reached or failed.
    ProviderUnavailable,
    /// A model provider asked us to slow down.
    ProviderRateLimited,
    /// A model provider refused the request (bad key, unknown model, too long).
    ProviderRejected,
    /// A model provider answered something that is not its protocol.
    ProviderInvalid,
    /// An answer ended without its terminal event.
    Truncated,
    /// Code panicked while handling the ask.
    Panicked,
    /// A fault of ours.
    Internal,
}

/// Where in the stack something happened.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Crossing from HTTP to an ask.
    Http,
    /// Resolving who asks.
    Tenant,
    /// Concurrency limits.
    Admission,
    /// Rate limits.
    RateLimit,
    /// Time limits.
    Deadline,
    /// Conversation memory.
    Memory,
    /// Answer cache.
    Cache,
    /// Intent routing.
    Route,
    /// A tool that answers instead of the search pipeline.
    Tool,
    /// Question to vector.
    Embed,
    /// Vector or words to passages.
    Retrieve,
    /// Reordering of passages.
    Rerank,
    /// The decision to answer or abstain.
    Confidence,
    /// A guard between stages.
    Checkpoint,
    /// Passages to messages.
    Prompt,
    /// Messages to answer.
    Generate,
    /// The trace store.
    Trace,
    /// Documents on their way in.
    Ingest,
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

// === impl Error ===

impl Error {
    /// An error with the kind's own message.
    #[must_use]
    pub fn new(kind: ErrorKind, stage: Stage) -> Self {
        Self(Box::new(Repr {
            kind,
            stage,
            message: Cow::Borrowed(kind.message()),
            retry_after: None,
            source: None,
        }))
    }

    /// An error whose message says what was wrong and what was expected. The message reaches callers:
    /// put nothing secret in it.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Keeps the cause for diagnostics; it is never shown to a caller.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// When a retry may succeed.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// [`ErrorKind::InvalidInput`] with a message.
    #[must_use]
    pub fn invalid(stage: Stage, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidInput, stage).with_message(message)
    }

    /// [`ErrorKind::Internal`] with its cause.
    #[must_use]
    pub fn internal(stage: Stage, source: impl Into<BoxError>) -> Self {
        Self::new(ErrorKind::Internal, stage).with_source(source)
    }

    /// [`ErrorKind::StoreUnavailable`] with its cause.
    #[must_use]
    pub fn store(stage: Stage, source: impl Into<BoxError>) -> Self {
        Self::new(ErrorKind::StoreUnavailable, stage).with_source(source)
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stage that failed.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// When a retry may succeed, when known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("stage", &self.0.stage)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

// === impl ErrorKind ===

impl ErrorKind {
    /// The metric label and the `error_kind` column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Isolation => "isolation",
            Self::FilterUnavailable => "filter_unavailable",
            Self::StoreUnavailable => "store_unavailable",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::OverBudget => "over_budget",
            Self::Timeout => "timeout",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::ProviderRateLimited => "provider_rate_limited",
            Self::ProviderRejected => "provider_rejected",
            Self::ProviderInvalid => "provider_invalid",
            Self::Truncated => "truncated",
            Self::Panicked => "panicked",
            Self::Internal => "internal",
        }
    }

    /// True for the kinds that must end in a no-result answer rather than in any answer at all.
    #[must_use]
    pub const fn fails_closed(self) -> bool {
        matches!(self, Self::Isolation | Self::FilterUnavailable | Self::StoreUnavailable)
    }

    const fn message(self) -> &'static str {
        match self {
            Self::InvalidInput => "the request is not valid",
            Self::Unauthenticated => "a valid credential is required",
            Self::Forbidden => "this credential does not grant that",
            Self::NotFound => "not found",
            Self::Isolation => "the request was stopped by the isolation check",
            Self::FilterUnavailable => "the tenant filter could not be applied",
            Self::StoreUnavailable => "a store is unavailable; try again",
            Self::RateLimited => "rate limit reached; try again later",
            Self::Overloaded => "the server is at its limit; try again later",
            Self::OverBudget => "the budget is used up",
            Self::Timeout => "the request took too long",
            Self::ProviderUnavailable => "the model provider is unavailable; try again",
            Self::ProviderRateLimited => "the model provider is busy; try again later",
            Self::ProviderRejected => "the model provider refused the request",
            Self::ProviderInvalid => "the model provider answered with something that is not its protocol",
            Self::Truncated => "the answer ended before it was complete",
            Self::Panicked => "an internal error stopped this request",
            Self::Internal => "an internal error stopped this request",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Stage ===

impl Stage {
    /// Every stage, in the order of the declaration.
    pub const ALL: [Self; 18] = [
        Self::Http,
        Self::Tenant,
        Self::Admission,
        Self::RateLimit,
        Self::Deadline,
        Self::Memory,
        Self::Cache,
        Self::Route,
        Self::Tool,
        Self::Embed,
        Self::Retrieve,
        Self::Rerank,
        Self::Confidence,
        Self::Checkpoint,
        Self::Prompt,
        Self::Generate,
        Self::Trace,
        Self::Ingest,
    ];

    /// The metric label and the name in the trace row.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tenant => "tenant",
            Self::Admission => "admission",
            Self::RateLimit => "rate_limit",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Cache => "cache",
            Self::Route => "route",
            Self::Tool => "tool",
            Self::Embed => "embed",
            Self::Retrieve => "retrieve",
            Self::Rerank => "rerank",
            Self::Confidence => "confidence",
            Self::Checkpoint => "checkpoint",
            Self::Prompt => "prompt",
            Self::Generate => "generate",
            Self::Trace => "trace",
            Self::Ingest => "ingest",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_pointer_sized_and_shows_no_source() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        let error = Error::store(Stage::Retrieve, "password=hunter2");
        assert!(!error.to_string().contains("hunter2"));
        assert_eq!(
            std::error::Error::source(&error).map(ToString::to_string),
            Some("password=hunter2".into())
        );
        assert_eq!((error.kind(), error.stage()), (ErrorKind::StoreUnavailable, Stage::Retrieve));
    }
}
