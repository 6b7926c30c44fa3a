//! Figures that are there without counting: trace rows in, sums of quarters, hours and days out.
//!
//! | step | who | what |
//! |---|---|---|
//! | append | whoever writes rows, in their transaction | one delta for a batch: what its new rows add to which key |
//! | fold | one job at a time, about each second | deltas and late facts go into the rollups, in one transaction |
//! | read | the owner | rollups of whole buckets, deltas that wait, and rows at the ends of a range, of one moment |
//!
//! A row counts once however often it is written, since only ids that were new enter a delta. It counts at once, since a
//! read adds the deltas. Nothing has to be repaired after a crash: each step is one transaction.
//!
//! # Late facts
//! Feedback and tickets come at any time, and change. Each remembers what the rollups have of it; the fold adds the
//! difference. Feedback counts where its ask is. A ticket counts where it was opened, by the facets of its ask. A price
//! that changes is a delta of its own.
//!
//! The fold looks each time for the asks of feedback that is at most 20 minutes old. Older feedback waits for asks of long
//! ago to come, as from a journal, or for the next hour; a read adds it at once all the same. So feedback on asks that there
//! are not costs little, and after a day it is given up.
//!
//! # What counts nowhere
//! Asks of the channel [`canary`](crate::Channel::Canary) are rows like any other and in no rollup: a batch's delta, a
//! rebuild, a check, a read of rows at the ends of a range, and prices pass them over.
//!
//! # When they are wrong
//! Rows that something else has written are in no rollup. [`check`](PgRollups::check) finds that, and
//! [`rebuild`](PgRollups::rebuild) makes the rollups of a day again from its rows, while servers write. When the rows of a
//! day are [dropped](super::PgPartitions), its rollups stay as they are.
//!
//! # Without a server
//! An application that records its own traces has the rollups too: call [`PgRollups::fold`] about each second, and read
//! `rag_tower.trace_totals` and `rag_tower.trace_rollups` in a [`TenantTx`](super::TenantTx). What is not folded yet is not
//! in them, and [`totals`](PgRollups::totals) reads as the owner's role, which only a server has.

mod check;
mod delta;
mod ends;
mod fold;
mod key;
mod lag;
mod late;
mod measures;
mod read;
mod rebuild;
mod series;
mod sketch;
mod slices;
mod used;

use std::sync::{Arc, Mutex};

use tokio::time::Instant;

pub(super) use self::delta::{append, micros, nanos, tokens};
pub use self::fold::Folded;
pub use self::lag::Lag;
pub use self::measures::{Count, Measures};
pub use self::series::{Facet, Tally, Unpriced};
pub use self::sketch::{Sketch, SketchError};
pub use self::slices::{Selection, Slice};
pub use self::used::Used;
use super::database::Database;

/// Folds, reads, checks and mends rollups.
#[derive(Clone, Debug)]
pub struct PgRollups {
    database: Database,
    /// When this process last looked for the asks of all feedback that waits.
    swept: Arc<Mutex<Option<Instant>>>,
}

// === impl PgRollups ===

impl PgRollups {
    /// Those of this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone(), swept: Arc::default() }
    }
}
