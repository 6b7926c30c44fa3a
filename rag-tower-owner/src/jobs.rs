//! How documents are taken in, as metrics: what waits, what is at work, how long it took and what went wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use rag_tower::ErrorKind;
use tokio::time::Instant;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Takes one file in.
    File,
    /// Takes several in, together.
    Batch,
    /// Removes a document.
    Remove,
}

/// The jobs that wait. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jobs(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// Since when each has waited, oldest first.
    since: BTreeMap<u64, Instant>,
}

/// A job that waits for its turn, until it is dropped.
#[must_use = "it waits as long as this is kept"]
pub(crate) struct Queued<'a>(&'a Jobs, u64);

/// A job at work, until it is dropped.
#[must_use = "it is at work as long as this is kept"]
pub(crate) struct Running {
    kind: Kind,
    began: Instant,
}

/// Why a file may not have been taken in: what else there is cannot happen to one.
const REASONS: [ErrorKind; 9] = [
    ErrorKind::InvalidInput,
    ErrorKind::Isolation,
    ErrorKind::StoreUnavailable,
    ErrorKind::Timeout,
    ErrorKind::ProviderUnavailable,
    ErrorKind::ProviderRateLimited,
    ErrorKind::ProviderRejected,
    ErrorKind::ProviderInvalid,
    ErrorKind::Internal,
];

/// Makes the series exist at 0.
pub(crate) fn touch() {
    for state in ["queued", "running"] {
        gauge!("rag_ingest_jobs", "state" => state).set(0.0);
    }
    for kind in [Kind::File, Kind::Batch, Kind::Remove] {
        drop(histogram!("rag_ingest_job_duration_seconds", "kind" => kind.as_str()));
    }
    for reason in REASONS {
        counter!("rag_ingest_failures_total", "reason" => reason.as_str()).increment(0);
    }
    gauge!("rag_ingest_oldest_queued_seconds").set(0.0);
}

/// Counts a file that was not taken in, or a document that was not removed.
pub(crate) fn failed(kind: ErrorKind) {
    counter!("rag_ingest_failures_total", "reason" => kind.as_str()).increment(1);
}

// === impl Kind ===

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Batch => "batch",
            Self::Remove => "remove",
        }
    }
}

// === impl Jobs ===

impl Jobs {
    /// A job that begins to wait.
    pub(crate) fn queue(&self) -> Queued<'_> {
        let mut waiting = self.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.since.insert(number, Instant::now());
        gauge!("rag_ingest_jobs", "state" => "queued").increment(1.0);
        Queued(self, number)
    }

    /// For how long the oldest of those that wait has waited.
    pub(crate) fn oldest(&self) -> Duration {
        self.lock().since.first_key_value().map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.lock().since.remove(&self.1);
        gauge!("rag_ingest_jobs", "state" => "queued").decrement(1.0);
    }
}

// === impl Running ===

impl Running {
    /// A job that begins to work.
    pub(crate) fn new(kind: Kind) -> Self {
        gauge!("rag_ingest_jobs", "state" => "running").increment(1.0);
        Self { kind, began: Instant::now() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        gauge!("rag_ingest_jobs", "state" => "running").decrement(1.0);
        histogram!("rag_ingest_job_duration_seconds", "kind" => self.kind.as_str())
            .record(self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_that_waits_counts_until_it_waits_no_longer() {
        let jobs = Jobs::default();
        assert_eq!(jobs.oldest(), Duration::ZERO);
        let first = jobs.queue();
        tokio::time::advance(Duration::from_secs(3)).await;
        let second = jobs.queue();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(jobs.oldest(), Duration::from_secs(5));
        drop(first);
        assert_eq!(jobs.oldest(), Duration::from_secs(2));
        drop(second);
        assert_eq!(jobs.oldest(), Duration::ZERO);
    }
}
