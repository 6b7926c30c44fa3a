//! The seam for a journal: a finished row in, a receipt out that says when it is safe.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::trace::TraceRow;

/// Something that makes a row safe before the end of its answer is yielded. [`FileJournal`](super::FileJournal) is the
/// one that the writer knows; without one a row is in memory until the writer has delivered it.
///
/// [`append`](Self::append) is called exactly once per row, also from `Drop`: it must neither wait nor panic. The
/// receipt must resolve, safe or not: the caller of the ask is waiting for it.
pub trait Journal: Send + Sync + 'static {
    /// Takes a copy of the row and says when it is safe.
    fn append(&self, row: &TraceRow) -> Receipt;
}

/// Resolves when a row is as safe as its journal makes it. A dropped receipt changes nothing: the row stays appended.
#[must_use = "a receipt says when the row is safe"]
pub struct Receipt {
    safe: Option<oneshot::Receiver<()>>,
    /// The file that has the row, when the writer can read it from there.
    file: Option<u64>,
}

// === impl Receipt ===

impl Receipt {
    /// Safe already, or nothing to wait for.
    pub const fn done() -> Self {
        Self { safe: None, file: None }
    }

    /// Safe when the sender has sent, or is dropped.
    pub const fn pending(safe: oneshot::Receiver<()>) -> Self {
        Self { safe: Some(safe), file: None }
    }

    pub(super) const fn in_file(file: u64, safe: Option<oneshot::Receiver<()>>) -> Self {
        Self { safe, file: Some(file) }
    }

    pub(in crate::trace) const fn file(&self) -> Option<u64> {
        self.file
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.safe.is_none()
    }
}

impl Future for Receipt {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(safe) = self.safe.as_mut() {
            let _safe_or_gone = std::task::ready!(Pin::new(safe).poll(cx));
            self.safe = None;
        }
        Poll::Ready(())
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("done", &self.is_done()).finish()
    }
}
