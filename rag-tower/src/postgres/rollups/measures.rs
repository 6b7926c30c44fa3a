//! What is added up: counts and two histograms in, their sum out, in any order.

use std::ops::{Index, IndexMut};

use super::sketch::{Sketch, SketchError};

/// What is counted. The order is that of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Count {
    /// Asks.
    Requests,
    /// Of them `ERROR` and `FAIL_CLOSED`.
    Errors,
    /// Of them `ABSTAINED`.
    Abstained,
    /// Of them `CANCELLED`.
    Cancelled,
    /// Of them `RATE_LIMITED` and `OVER_BUDGET`.
    Limited,
    /// Asks whose tokens are an estimate.
    Estimated,
    /// Asks whose cost is known.
    Priced,
    /// Tokens of prompts.
    InputTokens,
    /// Tokens of answers.
    OutputTokens,
    /// What they cost, in US dollars x 1e-9.
    CostNanos,
    /// The sum of their latencies, in microseconds.
    LatencyUs,
    /// The sum of their times to the first token, in microseconds.
    TtftUs,
    /// Thumbs up, where their ask is.
    FeedbackUp,
    /// Thumbs down, where their ask is.
    FeedbackDown,
    /// Tickets, where they were opened.
    Handoffs,
}

/// A sum of asks, and of what followed from them.
///
/// Sums are exact, as long as they fit into 63 bits, where they stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measures {
    counts: [i64; Count::ALL.len()],
    /// Their latencies.
    pub latency: Sketch,
    /// Their times to the first token, of those that had one.
    pub ttft: Sketch,
}

// === impl Count ===

impl Count {
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 15] = [
        Self::Requests,
        Self::Errors,
        Self::Abstained,
        Self::Cancelled,
        Self::Limited,
        Self::Estimated,
        Self::Priced,
        Self::InputTokens,
        Self::OutputTokens,
        Self::CostNanos,
        Self::LatencyUs,
        Self::TtftUs,
        Self::FeedbackUp,
        Self::FeedbackDown,
        Self::Handoffs,
    ];

    /// What an ask of this status counts as besides [`Requests`](Self::Requests).
    pub(super) fn of_status(status: &str) -> Option<Self> {
        match status {
            "ERROR" | "FAIL_CLOSED" => Some(Self::Errors),
            "ABSTAINED" => Some(Self::Abstained),
            "CANCELLED" => Some(Self::Cancelled),
            "RATE_LIMITED" | "OVER_BUDGET" => Some(Self::Limited),
            _ => None,
        }
    }
}

// === impl Measures ===

impl Measures {
    /// Adds to a count.
    pub(super) fn add(&mut self, what: Count, much: i64) {
        self[what] = self[what].saturating_add(much);
    }

    /// Adds another's counts and histograms.
    pub fn merge(&mut self, other: &Self) {
        for what in Count::ALL {
            self.add(what, other[what]);
        }
        self.latency.merge(&other.latency);
        self.ttft.merge(&other.ttft);
    }

    /// Adds another's histograms, as they are kept.
    pub(super) fn merge_sketches(&mut self, latency: &[u8], ttft: &[u8]) -> Result<(), SketchError> {
        self.latency.merge_bytes(latency)?;
        self.ttft.merge_bytes(ttft)
    }
}

impl Index<Count> for Measures {
    type Output = i64;

    fn index(&self, what: Count) -> &i64 {
        &self.counts[what as usize]
    }
}

impl IndexMut<Count> for Measures {
    fn index_mut(&mut self, what: Count) -> &mut i64 {
        &mut self.counts[what as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order() {
        assert!(Count::ALL.iter().enumerate().all(|(n, what)| *what as usize == n));
    }

    #[test]
    fn a_sum_stays_where_it_does_not_fit() {
        let mut much = Measures::default();
        much.add(Count::InputTokens, i64::MAX);
        let mut sum = much.clone();
        sum.merge(&much);
        assert_eq!(sum[Count::InputTokens], i64::MAX);
    }
}
