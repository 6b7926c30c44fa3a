//! How an ask ended, and the status it has in the row.

use serde::{Deserialize, Serialize};

use crate::answer::Finish;
use crate::error::{ErrorKind, Stage};

/// How an ask ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Its terminal event was yielded.
    Completed(Finish),
    /// An error, and where.
    Failed(ErrorKind, Stage),
    /// The stream ended without a terminal event.
    Truncated,
    /// The caller went away.
    Cancelled(Phase),
    /// Code inside the layer panicked.
    Panicked(Phase),
}

/// How far an ask had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No event yet.
    BeforeFirstEvent,
    /// Events were flowing.
    Streaming,
}

/// The `status` column. A closed set: it is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Status {
    /// Answered, out of domain or handed off.
    Success,
    /// Failed, truncated or panicked.
    Error,
    /// Withheld for want of knowledge.
    Abstained,
    /// Withheld because isolation could not be shown.
    FailClosed,
    /// The caller went away.
    Cancelled,
    /// Refused by a rate or concurrency limit.
    RateLimited,
    /// Refused by a budget.
    OverBudget,
}

// === impl Outcome ===

impl Outcome {
    /// The status of the row.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Completed(Finish::Abstained(reason)) if reason.fails_closed() => Status::FailClosed,
            Self::Completed(Finish::Abstained(_)) => Status::Abstained,
            Self::Completed(_) => Status::Success,
            Self::Failed(kind, _) if kind.fails_closed() => Status::FailClosed,
            Self::Failed(ErrorKind::RateLimited | ErrorKind::Overloaded, _) => Status::RateLimited,
            Self::Failed(ErrorKind::OverBudget, _) => Status::OverBudget,
            Self::Failed(..) | Self::Truncated | Self::Panicked(_) => Status::Error,
            Self::Cancelled(_) => Status::Cancelled,
        }
    }

    /// The `finish` column: how a completed answer ended.
    #[must_use]
    pub fn finish(&self) -> Option<&'static str> {
        match self {
            Self::Completed(finish) => Some(finish.as_str()),
            _ => None,
        }
    }

    /// The `reason` column.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Completed(finish) => finish.reason(),
            Self::Failed(kind, _) => Some(kind.as_str()),
            Self::Truncated => Some(ErrorKind::Truncated.as_str()),
            Self::Cancelled(phase) => Some(phase.as_str()),
            Self::Panicked(_) => Some(ErrorKind::Panicked.as_str()),
        }
    }

    /// The `error_kind` column.
    #[must_use]
    pub fn error_kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Failed(kind, _) => Some(*kind),
            Self::Truncated => Some(ErrorKind::Truncated),
            Self::Panicked(_) => Some(ErrorKind::Panicked),
            Self::Completed(_) | Self::Cancelled(_) => None,
        }
    }
}

// === impl Phase ===

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 2] = [Self::BeforeFirstEvent, Self::Streaming];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeFirstEvent => "before_first_token",
            Self::Streaming => "streaming",
        }
    }
}

// === impl Status ===

impl Status {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::Error,
        Self::Abstained,
        Self::FailClosed,
        Self::Cancelled,
        Self::RateLimited,
        Self::OverBudget,
    ];

    /// The column's value and the metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Error => "ERROR",
            Self::Abstained => "ABSTAINED",
            Self::FailClosed => "FAIL_CLOSED",
            Self::Cancelled => "CANCELLED",
            Self::RateLimited => "RATE_LIMITED",
            Self::OverBudget => "OVER_BUDGET",
        }
    }
}
