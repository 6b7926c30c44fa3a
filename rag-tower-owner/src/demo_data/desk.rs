//! Where the owner's routes leave work on demo data, and the task that does it, one piece at a time.

use rag_tower::postgres::Database;
use tokio::sync::{mpsc, watch};

use super::carry_out;
use super::record::{What, Work};

/// Takes work, when none waits.
#[derive(Clone, Debug)]
pub(crate) struct Desk(mpsc::Sender<Work>);

/// What was left at the desk, for the task.
#[derive(Debug)]
pub(crate) struct Order(mpsc::Receiver<Work>);

/// A place at the desk.
pub(crate) struct Place<'a>(mpsc::Permit<'a, Work>);

// === impl Desk ===

impl Desk {
    pub(crate) fn new() -> (Self, Order) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), Order(receiver))
    }

    /// A place for a piece of work; none when another waits, or the server stops.
    pub(crate) fn place(&self) -> Option<Place<'_>> {
        self.0.try_reserve().ok().map(Place)
    }
}

// === impl Place ===

impl Place<'_> {
    pub(crate) fn leave(self, work: Work) {
        self.0.send(work);
    }
}

/// Does what is left at the desk, until it is told to stop: what is under way then can be gone on with later.
pub(crate) async fn work_at(mut orders: Order, database: Database, mut stopping: watch::Receiver<bool>) {
    loop {
        let work = tokio::select! {
            work = orders.0.recv() => work,
            () = told(&mut stopping) => None,
        };
        let Some(work) = work else { return };
        let what = match work.what {
            What::Fill => "filled",
            What::Remove => "removed",
        };
        tokio::select! {
            done = carry_out(&database, &work, |_| {}) => match done {
                Ok(()) => tracing::info!(asks = work.rows, "demo data is {what}"),
                Err(error) => tracing::error!(%error, "demo data cannot be {what}"),
            },
            () = told(&mut stopping) => {
                let _ = work.leave(&database).await;
                return;
            }
        }
    }
}

async fn told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
