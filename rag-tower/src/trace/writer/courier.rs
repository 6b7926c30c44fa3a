//! Brings rows to the store: some rows in, and those that it refuses out, or why they were not written.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::WriterConfig;
use super::task::{MAX_BACKOFF, at, stop_changed};
use crate::error::{BoxError, Error, ErrorKind};
use crate::trace::stats::Shared;
use crate::trace::{TraceRow, TraceStore};

pub(super) struct Courier<T> {
    store: T,
    write_timeout: Duration,
    attempts: u32,
    backoff: Duration,
    stop: watch::Receiver<Option<Instant>>,
    shared: Arc<Shared>,
}

/// Why rows were not written.
pub(super) enum Trouble {
    /// The store is away, or too slow.
    Away,
    /// The store will never take one of the rows.
    Refused,
    /// The grace period has passed.
    Late,
}

// === impl Courier ===

impl<T: TraceStore> Courier<T> {
    pub(super) fn new(
        store: T,
        config: &WriterConfig,
        stop: watch::Receiver<Option<Instant>>,
        shared: Arc<Shared>,
    ) -> Self {
        let WriterConfig { write_timeout, attempts, backoff, .. } = *config;
        Self { store, write_timeout, attempts, backoff, stop, shared }
    }

    /// Writes a batch, again and again while the store is away.
    pub(super) async fn deliver(&self, rows: &[TraceRow]) -> Result<Vec<TraceRow>, Trouble> {
        let mut wait = self.backoff;
        for _ in 1..self.attempts {
            match self.write_all(rows).await {
                Err(Trouble::Away) => self.pause(wait).await,
                other => return other,
            }
            wait = (wait * 2).min(MAX_BACKOFF);
        }
        self.write_all(rows).await
    }

    /// Writes all rows but those that the store refuses, which are returned. A part that is refused is halved until the
    /// row is found.
    pub(super) async fn write_all(&self, rows: &[TraceRow]) -> Result<Vec<TraceRow>, Trouble> {
        let (mut parts, mut refused) = (vec![rows], Vec::new());
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.write(part).await {
                Ok(()) => {}
                Err(Trouble::Refused) if part.len() == 1 => refused.extend_from_slice(part),
                Err(Trouble::Refused) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(refused)
    }

    /// One write, bounded in time.
    async fn write(&self, rows: &[TraceRow]) -> Result<(), Trouble> {
        let deadline = *self.stop.borrow();
        let began = Instant::now();
        let written = tokio::select! {
            biased;
            written = timeout(self.write_timeout, self.store.write(rows)) => written,
            () = at(deadline) => return Err(Trouble::Late),
        };
        ::metrics::histogram!("rag_trace_write_duration_seconds").record(began.elapsed());
        match written {
            Ok(Ok(())) => {
                self.shared.written(rows.len());
                Ok(())
            }
            Ok(Err(error)) if is_refusal(&error) => Err(Trouble::Refused),
            Ok(Err(error)) => {
                tracing::warn!(rows = rows.len(), %error, "trace rows were not written");
                Err(Trouble::Away)
            }
            Err(_) => {
                tracing::warn!(rows = rows.len(), "writing trace rows took too long");
                Err(Trouble::Away)
            }
        }
    }

    /// Waits before another attempt, not beyond the grace period.
    async fn pause(&self, wait: Duration) {
        let mut stop = self.stop.clone();
        let deadline = *stop.borrow_and_update();
        tokio::select! {
            () = sleep(wait) => {}
            () = stop_changed(&mut stop) => {}
            () = at(deadline) => {}
        }
    }
}

/// True when a row of the batch can never be written.
fn is_refusal(error: &BoxError) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::InvalidInput)
}
