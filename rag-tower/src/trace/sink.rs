//! Where finished rows are handed in: reserve a place first, send later.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::mpsc::{self, OwnedPermit};

use super::{Journal, Receipt, TraceRow};

/// The entrance of the writer's queue. Cheap to clone; every layer that writes rows has one.
///
/// An ask reserves its place in the queue when it starts, so handing in its row at the end never waits, cannot fail
/// and is legal in `Drop`. A full queue therefore shows at the start of an ask, see [`WhenFull`].
#[derive(Clone)]
pub struct TraceSink {
    rows: mpsc::Sender<TraceRow>,
    journal: Option<Arc<dyn Journal>>,
    shared: Arc<Shared>,
}

/// What an ask does when the queue has no place for its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It runs; its row is not kept, and `rag_trace_dropped_total` counts it. The default: observation must not take
    /// the service down.
    #[default]
    RunUnrecorded,
    /// It is refused with [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded). For those who must account for
    /// every answer.
    Shed,
}

/// What has become of rows so far, counted since the writer was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceStats {
    /// Asks that took charge of a row.
    pub opened: u64,
    /// Rows handed in.
    pub sent: u64,
    /// Rows that the store has, replayed ones included.
    pub written: u64,
    /// Rows that were handed in and are gone.
    pub lost: u64,
    /// Asks that ran without a place for their row.
    pub unrecorded: u64,
    /// Requests that never had a tenant, and so no row.
    pub void: u64,
    /// Rows that went to the spool on disk.
    pub spooled: u64,
    /// Lines of the spool that could not be read: cut off by a crash, or damaged.
    pub torn: u64,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    opened: AtomicU64,
    sent: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
    unrecorded: AtomicU64,
    void: AtomicU64,
    spooled: AtomicU64,
    torn: AtomicU64,
    closed: AtomicBool,
}

/// One row's way to the writer: a place in the queue, if there was one, and the journal.
pub(super) struct Slot {
    permit: Option<OwnedPermit<TraceRow>>,
    journal: Option<Arc<dyn Journal>>,
    shared: Arc<Shared>,
}

// === impl TraceSink ===

impl TraceSink {
    pub(super) fn new(capacity: usize) -> (Self, mpsc::Receiver<TraceRow>, Arc<Shared>) {
        let (rows, receiver) = mpsc::channel(capacity.max(1));
        let shared = Arc::<Shared>::default();
        (Self { rows, journal: None, shared: Arc::clone(&shared) }, receiver, shared)
    }

    /// Appends each row to a journal before its answer's end is yielded. Default: none.
    #[must_use]
    pub fn with_journal(mut self, journal: impl Journal) -> Self {
        self.journal = Some(Arc::new(journal));
        self
    }

    /// What has become of rows so far.
    #[must_use]
    pub fn stats(&self) -> TraceStats {
        self.shared.view()
    }

    /// Reserves a place. The slot has none when the queue is full or the writer gone.
    pub(super) fn reserve(&self) -> Slot {
        self.shared.opened.fetch_add(1, Ordering::Relaxed);
        Slot {
            permit: self.rows.clone().try_reserve_owned().ok(),
            journal: self.journal.clone(),
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
    pub(super) fn has_place(&self) -> bool {
        self.permit.is_some()
    }

    pub(super) fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// Hands the row in. Never waits and never fails.
    pub(super) fn send(self, row: TraceRow) -> Receipt {
        let receipt = self.journal.as_ref().map_or(Receipt::done(), |journal| journal.append(&row));
        match self.permit {
            None => self.shared.unrecorded(),
            // The receiver is gone: in the channel the row would sit unseen until the last sender goes.
            Some(_) if self.shared.closed.load(Ordering::Acquire) => {
                self.shared.sent.fetch_add(1, Ordering::Relaxed);
                self.shared.lost(1);
            }
            Some(permit) => {
                self.shared.sent.fetch_add(1, Ordering::Relaxed);
                let _sender = permit.send(row);
            }
        }
        receipt
    }

    /// Gives the place back: there is no row, for want of a tenant.
    pub(super) fn void(self) {
        self.shared.void.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives up a slot without a place.
    pub(super) fn unrecorded(self) {
        self.shared.unrecorded();
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn written(&self, rows: usize) {
        self.written.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, rows: usize) {
        self.lost.fetch_add(rows as u64, Ordering::Relaxed);
        ::metrics::counter!("rag_trace_dropped_total").increment(rows as u64);
    }

    pub(super) fn spooled(&self, rows: usize) {
        self.spooled.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn torn(&self, lines: usize) {
        self.torn.fetch_add(lines as u64, Ordering::Relaxed);
    }

    /// From here on rows are counted as lost when they are handed in.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn view(&self) -> TraceStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TraceStats {
            opened: read(&self.opened),
            sent: read(&self.sent),
            written: read(&self.written),
            lost: read(&self.lost),
            unrecorded: read(&self.unrecorded),
            void: read(&self.void),
            spooled: read(&self.spooled),
            torn: read(&self.torn),
        }
    }

    fn unrecorded(&self) {
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
        ::metrics::counter!("rag_trace_dropped_total").increment(1);
    }
}
