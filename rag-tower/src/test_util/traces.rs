//! A trace store in memory.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::ask::AskId;
use crate::error::BoxError;
use crate::trace::{TraceRow, TraceStore};

/// Keeps rows, each id once, in the order they came. Clones share them.
#[derive(Clone, Debug)]
pub struct MemoryTraces(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rows: Mutex<Rows>,
    away: AtomicBool,
    hangs: AtomicBool,
    writes: AtomicU64,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Rows {
    order: Vec<TraceRow>,
    ids: BTreeSet<AskId>,
}

// === impl MemoryTraces ===

impl MemoryTraces {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            rows: Mutex::default(),
            away: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            writes: AtomicU64::new(0),
            count: watch::Sender::new(0),
        }))
    }

    /// From here on, or no longer, each write fails.
    pub fn set_away(&self, away: bool) {
        self.0.away.store(away, Ordering::SeqCst);
    }

    /// From here on, or no longer, each write hangs.
    pub fn set_hanging(&self, hangs: bool) {
        self.0.hangs.store(hangs, Ordering::SeqCst);
    }

    /// How often a write was tried.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.0.writes.load(Ordering::SeqCst)
    }

    /// The rows so far.
    #[must_use]
    pub fn rows(&self) -> Vec<TraceRow> {
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner).order.clone()
    }

    /// Waits until there are at least `n` rows.
    pub async fn reached(&self, n: usize) -> Vec<TraceRow> {
        // The sender lives in `self`, so the wait cannot end for want of one.
        let mut count = self.0.count.subscribe();
        let _reached = count.wait_for(|count| *count >= n).await;
        self.rows()
    }
}

impl Default for MemoryTraces {
    fn default() -> Self {
        Self::new()
    }
}

impl TraceStore for MemoryTraces {
    async fn write(&self, rows: &[TraceRow]) -> Result<(), BoxError> {
        self.0.writes.fetch_add(1, Ordering::SeqCst);
        if self.0.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.0.away.load(Ordering::SeqCst) {
            return Err("the store is away".into());
        }
        let count = {
            let mut kept = self.0.rows.lock().unwrap_or_else(PoisonError::into_inner);
            for row in rows {
                if kept.ids.insert(row.trace_id) {
                    kept.order.push(row.clone());
                }
            }
            kept.order.len()
        };
        self.0.count.send_replace(count);
        Ok(())
    }
}
