//! What the owner of the platform reads: traces, figures, tickets and tenants, of one tenant or of all; and what the owner
//! changes, each change together with its entry in the audit log.
//!
//! Every method takes an [`OwnerScope`](crate::auth::OwnerScope), which only a login gives. Lists are newest first and are continued with a
//! [`Cursor`], or for a page in the middle with an offset. Telephone numbers and e-mail addresses are masked on their way
//! out: what a method here returns may be shown.

mod alerts;
mod audit;
mod change;
mod charts;
mod feedback;
mod figures;
mod file;
mod funnel;
mod gaps;
mod handoffs;
mod isolation;
mod logs;
mod masked;
mod page;
mod prices;
mod replay;
mod sessions;
mod steps;
mod system;
mod tenants;
mod usage;
mod views;

use rag_tower::postgres::Database;

pub use self::alerts::{
    AlertEvent, AlertLine, AlertRule, Comparison, KeptAlert, MAX_ALERTS, Metric, WebhookChange,
};
pub(crate) use self::alerts::{Delivery, Notice};
pub use self::audit::{AuditFilter, AuditLine};
pub(crate) use self::change::Entry;
pub use self::charts::{Breakdown, Bucket, Column, Heatmap, Part, Share, Timeseries};
pub use self::feedback::{FeedbackFilter, FeedbackLine, ReviewState};
pub use self::figures::{Figures, Overview, Period};
pub use self::file::{Columns, Format};
pub use self::funnel::{Funnel, OtherFunnel, Step, StepPart, Steps, TenantFunnel};
pub(crate) use self::gaps::Reopened;
pub use self::gaps::{
    GapBranch, GapCounts, GapCursor, GapFilter, GapLine, GapPage, GapReason, GapStanding, GapState,
};
pub use self::handoffs::{
    HandoffCounts, HandoffDetail, HandoffEvent, HandoffFilter, HandoffLine, HandoffPage, HandoffStatus,
    Moved, Revealed,
};
pub use self::isolation::{ClosedGroup, FailedClosed, Violation};
pub use self::logs::{
    Cache, FacetCount, Fine, LogFacets, LogFilter, LogLine, LogPage, Related, Spans, Tail, Thumbs,
    TraceDetail,
};
pub(crate) use self::logs::{LOG_COLUMNS, USUAL_LOG_COLUMNS};
pub use self::page::{Cursor, List, Page};
pub(crate) use self::prices::NewPrice;
pub use self::prices::{AddedPrice, MAX_PRICES, PriceLine, PriceList, Repricing};
pub use self::sessions::PgOwnerSessions;
pub use self::system::MigrationState;
pub use self::tenants::{
    Standing, Stood, TenantBranch, TenantDetail, TenantKey, TenantLine, TenantPage, Tenants,
};
pub use self::usage::{Month, UnpricedModel, Usage, UsageLine};
pub use self::views::{KeptView, MAX_VIEWS, SavedView};

/// Reads and changes as the owner.
#[derive(Clone, Debug)]
pub struct OwnerStore {
    database: Database,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// Reads from this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }
}

#[cfg(test)]
pub(crate) mod tests;
