//! One row per ask, always.

mod handle;
mod outcome;
mod row;

pub use self::handle::{Entry, Facts, HitRecord, Span, StageTimer, TraceHandle};
pub use self::outcome::{Outcome, Phase, Status};
pub use self::row::{TraceRow, TraceStore};
