//! What has become of rows, counted where it happens.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::journal::FileJournal;

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
    /// Rows that were left to the journal: their store was away, or there was no place for them in memory.
    pub spooled: u64,
    /// Rows that the store will never take, put aside beside the journal.
    pub refused: u64,
    /// Places in the journal that could not be read: cut off by a crash, or damaged.
    pub torn: u64,
    /// What rows in memory take, about, in bytes.
    pub memory: u64,
}

/// What the sink and the writer share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    opened: AtomicU64,
    sent: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
    unrecorded: AtomicU64,
    void: AtomicU64,
    spooled: AtomicU64,
    refused: AtomicU64,
    torn: AtomicU64,
    memory: AtomicU64,
    /// The most of that.
    most_memory: u64,
    closed: AtomicBool,
    /// Nobody wants the rows.
    pub(super) discards: bool,
    /// The writer's journal.
    pub(super) journal: Option<FileJournal>,
    /// A row was left to the journal.
    pub(super) overflow: Notify,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(most_memory: u64, journal: Option<FileJournal>) -> Self {
        Self { most_memory, journal, ..Self::default() }
    }

    pub(super) fn discarding() -> Self {
        Self { discards: true, ..Self::default() }
    }

    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn void(&self) {
        self.void.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn written(&self, rows: usize) {
        self.written.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn spooled(&self, rows: usize) {
        self.spooled.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, rows: usize) {
        self.lost.fetch_add(rows as u64, Ordering::Relaxed);
        ::metrics::counter!("rag_trace_dropped_total").increment(rows as u64);
    }

    pub(super) fn unrecorded(&self) {
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
        ::metrics::counter!("rag_trace_dropped_total").increment(1);
    }

    pub(super) fn refused(&self, rows: usize) {
        self.refused.fetch_add(rows as u64, Ordering::Relaxed);
        ::metrics::counter!("rag_trace_refused_total").increment(rows as u64);
    }

    pub(super) fn torn(&self, places: usize) {
        self.torn.fetch_add(places as u64, Ordering::Relaxed);
        ::metrics::counter!("rag_trace_torn_total").increment(places as u64);
    }

    /// Takes room for a row in memory, when there is some.
    pub(super) fn take_room(&self, bytes: u64) -> bool {
        let before = self.memory.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= self.most_memory;
        if !fits {
            self.give_room(bytes);
        }
        fits
    }

    /// Counts a row in memory that was there before.
    pub(super) fn hold_room(&self, bytes: u64) {
        self.memory.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_room(&self, bytes: u64) {
        self.memory.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// From here on the queue takes nothing.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
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
            refused: read(&self.refused),
            torn: read(&self.torn),
            memory: read(&self.memory),
        }
    }
}
