//! Rows that were not written when they came: left to the journal, or held in memory, and tried again.

use std::sync::Arc;

use tokio::time::Instant;

use super::batch::Batch;
use super::task::{MAX_BACKOFF, Task};
use crate::trace::sink::{Place, Queued};
use crate::trace::{FileJournal, Journal, TraceRow, TraceStore};

impl<T: TraceStore> Task<T> {
    /// Keeps a batch for later: in the journal, or in memory when it is not there.
    pub(super) async fn keep(&mut self, mut batch: Batch) {
        let Some(journal) = self.config.journal.clone() else {
            return self.lose(batch.take(&self.shared).len());
        };
        let filed = batch.take_filed(&self.shared, |_| true);
        self.shared.spooled(filed.len());
        journal.leave(filed);
        if !batch.is_empty() {
            tracing::error!(
                rows = batch.len(),
                "trace rows can neither be written nor put on disk; they wait in memory"
            );
            self.held.append(batch);
        }
        self.away = true;
        self.replay_at.get_or_insert_with(|| Instant::now() + self.replay_wait);
    }

    /// Writes the oldest rows that wait to the store: those of the journal first, then those that are held.
    pub(super) async fn replay(&mut self) {
        let limit = self.config.batch;
        let Some(chunk) = self.on_disk(move |journal| journal.next(limit)).await.flatten() else {
            return self.release().await;
        };
        let courier = Arc::clone(&self.courier);
        match self.meanwhile(courier.write_all(&chunk.rows)).await {
            Ok(refused) => {
                self.back(Some(Instant::now()));
                if chunk.torn > 0 {
                    tracing::error!(places = chunk.torn, "the trace journal is damaged; the rest is read");
                    self.shared.torn(chunk.torn);
                }
                self.refuse(refused, chunk.strange.clone()).await;
                if let Some(journal) = &self.config.journal {
                    journal.replayed(&chunk);
                }
            }
            Err(_) => self.later().await,
        }
    }

    /// Writes the rows that are held. Nothing older waits.
    async fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        let courier = Arc::clone(&self.courier);
        match self.meanwhile(courier.write_all(held.rows())).await {
            Ok(refused) => {
                self.back(None);
                self.done(held, refused).await;
            }
            Err(_) => {
                self.held = held;
                self.later().await;
            }
        }
    }

    /// The store takes rows again.
    fn back(&mut self, next: Option<Instant>) {
        self.away = false;
        self.replay_wait = self.config.backoff;
        self.replay_at = next;
    }

    /// It does not. The journal may have room meanwhile for what is held.
    async fn later(&mut self) {
        self.away = true;
        self.replay_at = Some(Instant::now() + self.replay_wait);
        self.replay_wait = (self.replay_wait * 2).min(MAX_BACKOFF);
        let held = std::mem::take(&mut self.held);
        self.held = self.put_on_disk(held).await;
    }

    /// Appends rows to the journal, and returns those that it does not take.
    async fn put_on_disk(&self, mut batch: Batch) -> Batch {
        if batch.is_empty() || self.config.journal.is_none() {
            return batch;
        }
        let total = batch.len();
        let rows = batch.take(&self.shared);
        let appended = self
            .on_disk(move |journal| {
                let mut rest = Vec::new();
                for row in rows {
                    match journal.append(&row).file() {
                        Some(file) => journal.leave([file]),
                        None => rest.push(row),
                    }
                }
                rest
            })
            .await;
        let Some(rest) = appended else {
            // that thread panicked, and the rows went with it
            self.lose(total);
            return batch;
        };
        self.shared.spooled(total - rest.len());
        for row in rest {
            let place = Place { file: None, bytes: row.weight() };
            self.shared.hold_room(place.bytes);
            batch.push(Queued { row, place });
        }
        batch
    }

    /// Rows that the store will never take, and records that are no rows, are put aside: they would hold up all others
    /// for ever. Where there is no room for them they are lost.
    pub(super) async fn refuse(&self, rows: Vec<TraceRow>, mut records: Vec<Vec<u8>>) {
        for row in &rows {
            tracing::error!(trace_id = %row.trace_id, "the store refuses a trace row");
        }
        let total = rows.len() + records.len();
        if total == 0 {
            return;
        }
        records.extend(rows.iter().filter_map(|row| serde_json::to_vec(row).ok()));
        let kept = self.on_disk(move |journal| journal.put_aside(&records)).await.unwrap_or(0);
        self.shared.refused(kept);
        self.lose(total - kept);
    }

    /// The end: what is in the journal stays there for the next start.
    pub(super) async fn end(&mut self, mut left: Batch) {
        let filed = left.take_filed(&self.shared, |_| true);
        self.shared.spooled(filed.len());
        let mut left = self.put_on_disk(left).await;
        self.lose(left.take(&self.shared).len());
        self.on_disk(FileJournal::tidy).await;
    }

    /// Does something with the journal, if there is one, on a thread that may block.
    async fn on_disk<R: Send + 'static>(
        &self,
        work: impl FnOnce(&FileJournal) -> R + Send + 'static,
    ) -> Option<R> {
        let journal = self.config.journal.clone()?;
        let done = tokio::task::spawn_blocking(move || work(&journal)).await;
        done.inspect_err(|error| tracing::error!(%error, "the trace journal")).ok()
    }
}
