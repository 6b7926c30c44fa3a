//! The seam for a journal: rows that are safe before the caller has seen the end of the answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::TraceRow;

/// Something that makes a row durable before the end of its answer is yielded, such as a log on disk with group
/// commit. Without one (the default) a row is in memory until the writer has delivered it.
///
/// [`append`](Self::append) is called exactly once per row, also from `Drop`: it must not block and must not panic.
/// The receipt must resolve in bounded time, durable or not: the caller of the ask is waiting for it.
pub trait Journal: Send + Sync + 'static {
    /// Takes a copy of the row and says when it is safe.
    fn append(&self, row: &TraceRow) -> Receipt;
}

/// Resolves when a row is as safe as its sink makes it. A dropped receipt changes nothing: the row stays appended.
#[must_use = "a receipt says when the row is safe"]
pub struct Receipt(Option<oneshot::Receiver<()>>);

// === impl Receipt ===

impl Receipt {
    /// Safe already.
    pub const fn done() -> Self {
        Self(None)
    }

    /// Safe when the sender has sent, or is dropped.
    pub const fn pending(safe: oneshot::Receiver<()>) -> Self {
        Self(Some(safe))
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.0.is_none()
    }
}

impl Future for Receipt {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(safe) = self.0.as_mut() {
            let _safe_or_gone = std::task::ready!(Pin::new(safe).poll(cx));
            self.0 = None;
        }
        Poll::Ready(())
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("done", &self.is_done()).finish()
    }
}
