//! Where finished rows are handed in: to the journal first, then to the queue.

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc::{self, OwnedPermit};

use super::stats::Shared;
use super::{FileJournal, Journal, Receipt, TraceRow, TraceStats};

/// The entrance of the writer's queue. Cheap to clone; every layer that writes rows has one.
///
/// An ask reserves its place in the queue when it starts, so handing in its row at the end never waits, cannot fail
/// and is legal in `Drop`. With a [`FileJournal`] a row without a place stays in the journal, from which the writer
/// reads it. What happens to a row that neither takes is said by [`WhenFull`].
#[derive(Clone)]
pub struct TraceSink {
    rows: mpsc::Sender<Queued>,
    journal: Option<Arc<dyn Journal>>,
    tap: Option<Arc<dyn TraceTap>>,
    shared: Arc<Shared>,
}

/// Sees each row when its ask has ended, before it is handed in: for what else is made of asks than rows.
pub trait TraceTap: Send + Sync + 'static {
    /// Called once an ask, in its way and possibly in `Drop`: it must not block, wait, or panic.
    fn ended(&self, row: &TraceRow);
}

/// What an ask does when its row could not be kept: the journal cannot be written, because the disk is full or its limit
/// is reached; or, without a journal, the queue has no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It runs. Its row is kept in memory if there is a place; if not, it is gone, and `rag_trace_dropped_total` counts
    /// it. The default: observation must not take the service down.
    #[default]
    RunUnrecorded,
    /// It is refused with [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded). For those who must account for
    /// every answer.
    Shed,
}

/// A row in the queue.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) row: TraceRow,
    pub(super) place: Place,
}

/// Where else a row is, and what it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The journal's file that has it.
    pub(super) file: Option<u64>,
    pub(super) bytes: u64,
}

/// One row's way to the writer: a place in the queue, if there was one, and the journal.
pub(super) struct Slot {
    permit: Option<OwnedPermit<Queued>>,
    journal: Option<Arc<dyn Journal>>,
    tap: Option<Arc<dyn TraceTap>>,
    shared: Arc<Shared>,
}

// === impl TraceSink ===

impl TraceSink {
    pub(super) fn new(
        places: usize,
        memory: u64,
        journal: Option<FileJournal>,
    ) -> (Self, mpsc::Receiver<Queued>, Arc<Shared>) {
        let (rows, receiver) = mpsc::channel(places.max(1));
        let shared = Arc::new(Shared::new(memory, journal.clone()));
        let journal = journal.map(|journal| Arc::new(journal) as Arc<dyn Journal>);
        (Self { rows, journal, tap: None, shared: Arc::clone(&shared) }, receiver, shared)
    }

    /// A sink without a writer: rows are counted in the metrics and go nowhere. For programs that want the metrics alone.
    ///
    /// ```
    /// use rag_tower::trace::{TraceSink, http::HttpTraceLayer};
    ///
    /// let measured = HttpTraceLayer::new(TraceSink::discarding());
    /// ```
    #[must_use]
    pub fn discarding() -> Self {
        let (rows, _) = mpsc::channel(1);
        Self { rows, journal: None, tap: None, shared: Arc::new(Shared::discarding()) }
    }

    /// Appends each row to a journal of one's own before its answer's end is yielded, in place of the writer's. The
    /// writer reads nothing from it. Default: the writer's, if it has one.
    #[must_use]
    pub fn with_journal(mut self, journal: impl Journal) -> Self {
        self.journal = Some(Arc::new(journal));
        self
    }

    /// Shows each row to this, too. Default: to nobody.
    #[must_use]
    pub fn with_tap(mut self, tap: impl TraceTap) -> Self {
        self.tap = Some(Arc::new(tap));
        self
    }

    /// What has become of rows so far.
    #[must_use]
    pub fn stats(&self) -> TraceStats {
        self.shared.view()
    }

    /// Reserves a place. The slot has none when the queue is full or the writer gone.
    pub(super) fn reserve(&self) -> Slot {
        self.shared.opened();
        Slot {
            permit: self.rows.clone().try_reserve_owned().ok(),
            journal: self.journal.clone(),
            tap: self.tap.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl fmt::Debug for TraceSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceSink").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

// === impl Slot ===

impl Slot {
    /// True when the row can be kept: by the writer's journal, else by the queue.
    pub(super) fn is_kept(&self) -> bool {
        self.shared.discards
            || self.shared.journal.as_ref().map_or(self.permit.is_some(), FileJournal::can_write)
    }

    /// Hands the row in. Never waits and never fails.
    pub(super) fn send(self, row: TraceRow) -> Receipt {
        let Self { permit, journal, tap, shared } = self;
        if let Some(tap) = tap {
            tap.ended(&row);
        }
        let receipt = journal.map_or(Receipt::done(), |journal| journal.append(&row));
        if shared.discards {
            return receipt;
        }
        let place = Place { file: receipt.file(), bytes: row.weight() };
        match permit {
            // a receiver that is gone would not see it
            Some(permit) if !shared.is_closed() && shared.take_room(place.bytes) => {
                shared.sent();
                let _sender = permit.send(Queued { row, place });
            }
            permit => match (place.file, &shared.journal) {
                (Some(file), Some(journal)) => {
                    shared.sent();
                    shared.spooled(1);
                    journal.leave([file]);
                    shared.overflow.notify_one();
                }
                _ if permit.is_some() => {
                    shared.sent();
                    shared.lost(1);
                }
                _ => shared.unrecorded(),
            },
        }
        receipt
    }

    /// Gives the place back: there is no row, for want of a tenant.
    pub(super) fn void(self) {
        self.shared.void();
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;
    use tower_layer::Layer;

    use super::super::TraceLayer;
    use super::*;
    use crate::stage::testing;
    use crate::test_util::Leaf;

    #[tokio::test]
    async fn a_sink_that_discards_loses_nothing_that_it_should_have_kept() {
        let sink = TraceSink::discarding();
        let layer = TraceLayer::new(sink.clone()).when_full(WhenFull::Shed);
        for _ in 0..3 {
            let answer = layer.layer(Leaf::text("a")).oneshot(testing::ask("what?")).await.unwrap();
            answer.collect().await.unwrap();
        }
        assert_eq!(sink.stats(), TraceStats { opened: 3, ..TraceStats::default() });
    }
}
