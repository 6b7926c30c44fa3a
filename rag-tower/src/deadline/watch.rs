//! The clock of one ask.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::DeadlineLayer;
use crate::error::{Error, ErrorKind, Stage};

/// Knows which limit is next.
///
/// One timer, made at the first wait and moved only when it fires: an event costs no clock and no timer wheel.
pub(super) struct Watch {
    limits: DeadlineLayer,
    started: Instant,
    /// Set while the consumer waits for an event after the first.
    idle_since: Option<Instant>,
    begun: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

// === impl Watch ===

impl Watch {
    pub(super) fn start(limits: DeadlineLayer) -> Self {
        Self { limits, started: Instant::now(), idle_since: None, begun: false, sleep: None }
    }

    /// There is an event: no longer before the first, no longer idle. An error when the total has passed meanwhile,
    /// which only a slow consumer can bring about.
    pub(super) fn event(&mut self) -> Result<(), Error> {
        self.begun = true;
        if self.idle_since.is_some() {
            self.idle_since = None;
        }
        let fired = self.sleep.as_ref().is_some_and(|sleep| sleep.is_elapsed());
        if fired && Instant::now() >= self.started + self.limits.total {
            return Err(timeout("the answer took too long"));
        }
        Ok(())
    }

    /// There is nothing yet. Ready when there will be nothing in time.
    pub(super) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.begun && self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
        let (due, message) = self.next();
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // A timer that is set too early is moved when it fires; too late it can be only once, from total or the first
        // event to idle.
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(timeout(message));
            }
            sleep.as_mut().reset(due);
        }
        Poll::Pending
    }

    fn next(&self) -> (Instant, &'static str) {
        let total = (self.started + self.limits.total, "the answer took too long");
        let other = match self.idle_since {
            Some(since) => (since + self.limits.idle, "the answer stopped coming"),
            None => (self.started + self.limits.first_event, "the answer did not begin in time"),
        };
        if other.0 < total.0 { other } else { total }
    }
}

fn timeout(message: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, Stage::Deadline).with_message(message)
}
