//! What the minutes of a run are judged by.

use rag_tower_tests::figures::{last_to_first, short, table};
use serde_json::{Value, json};

/// The most that the server's memory may grow, from the first third of the minutes to the last.
const GROWTH: f64 = 0.05;
/// The most that the slowest answers of the last third may take of what those of the first took.
const FLAT: f64 = 1.5;

/// A minute.
#[derive(Clone, Debug, Default)]
pub(crate) struct Minute {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) asks: usize,
    pub(crate) streams: usize,
    /// Streams that were left.
    pub(crate) left: usize,
    /// Feedback and the owner's reads.
    pub(crate) others: usize,
    pub(crate) server_mb: f64,
    pub(crate) postgres_mb: f64,
    pub(crate) failed: usize,
}

/// Asks and their rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) accepted: usize,
    /// Asks that were accepted and have no row.
    pub(crate) lost: usize,
    /// Asks that have several.
    pub(crate) double: usize,
    /// Asks that were left before it was known whether they were accepted, which may have none.
    pub(crate) unknown: usize,
}

/// The judgement.
#[derive(Debug)]
pub(crate) struct Verdict {
    growth: f64,
    slower: f64,
    rows: Rows,
    failed: usize,
    asks: usize,
}

// === impl Verdict ===

impl Verdict {
    /// Of minutes after the warm-up. Each third is judged by its median, so that one bad minute of the machine decides nothing.
    pub(crate) fn of(minutes: &[Minute], rows: Rows) -> Self {
        let ratio = |of: fn(&Minute) -> f64| last_to_first(&minutes.iter().map(of).collect::<Vec<_>>());
        Self {
            growth: ratio(|minute| minute.server_mb) - 1.0,
            slower: ratio(|minute| minute.p99_ms),
            rows,
            failed: minutes.iter().map(|minute| minute.failed).sum(),
            asks: minutes.iter().map(|minute| minute.asks + minute.streams + minute.left).sum(),
        }
    }

    fn judged(&self) -> [(&'static str, String, bool); 4] {
        let Rows { accepted, lost, double, unknown } = self.rows;
        [
            (
                "memory grows by less than 5 %",
                format!("{} %", short(self.growth * 100.0)),
                self.growth < GROWTH,
            ),
            (
                "p99 of the last third within 1.5 times that of the first",
                format!("{} times", short(self.slower)),
                self.slower <= FLAT,
            ),
            (
                "exactly one row for each ask",
                format!(
                    "{accepted} asks: {lost} without, {double} with several ({unknown} left before an answer)"
                ),
                lost == 0 && double == 0 && accepted > 0,
            ),
            ("no request fails", format!("{} failed", self.failed), self.failed == 0),
        ]
    }

    pub(crate) fn table(&self) -> String {
        let row = |(what, found, reached): (&str, String, bool)| {
            vec![what.to_owned(), found, if reached { "yes" } else { "**no**" }.to_owned()]
        };
        table(&["goal", "found", ""], &self.judged().map(row))
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "memory_growth": (self.growth * 10_000.0).round() / 10_000.0,
            "p99_last_to_first": (self.slower * 1000.0).round() / 1000.0,
            "asks": self.asks,
            "accepted": self.rows.accepted,
            "rows_lost": self.rows.lost,
            "rows_double": self.rows.double,
            "failed": self.failed,
        })
    }

    /// Fails unless all is as it should be.
    pub(crate) fn insist(&self) {
        let missed: Vec<_> = self.judged().into_iter().filter(|(.., reached)| !reached).collect();
        assert!(missed.is_empty(), "{missed:?}");
    }
}
