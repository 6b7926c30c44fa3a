//! What the owner of the platform reads: traces, figures, tickets and tenants, of one tenant or of all; and what the owner
//! changes, each change together with its entry in the audit log.
//!
//! Every method takes an [`OwnerScope`](crate::auth::OwnerScope), which only a login gives. Lists are newest first and are continued with a
//! [`Cursor`], or for a page in the middle with an offset. Telephone numbers and e-mail addresses are masked on their way
//! out: what a method here returns may be shown.

mod audit;
mod change;
mod feedback;
mod figures;
mod handoffs;
mod logs;
mod masked;
mod page;
mod sessions;
mod tenants;
mod views;

use rag_tower::postgres::{Database, PgRollups};

pub use self::audit::{AuditFilter, AuditLine};
pub use self::feedback::{FeedbackFilter, FeedbackLine, ReviewState};
pub use self::figures::Figures;
pub use self::handoffs::{
    HandoffCounts, HandoffDetail, HandoffEvent, HandoffFilter, HandoffLine, HandoffPage, HandoffStatus,
    Moved, Revealed,
};
pub use self::logs::{FacetCount, LogFacets, LogFilter, LogLine, LogPage, TraceDetail};
pub use self::page::{Cursor, List, Page};
pub use self::sessions::PgOwnerSessions;
pub use self::tenants::TenantLine;
pub use self::views::{KeptView, MAX_VIEWS, SavedView};

/// Reads and changes as the owner.
#[derive(Clone, Debug)]
pub struct OwnerStore {
    database: Database,
    rollups: PgRollups,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// Reads from this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone(), rollups: PgRollups::new(database) }
    }
}

#[cfg(test)]
mod tests;
