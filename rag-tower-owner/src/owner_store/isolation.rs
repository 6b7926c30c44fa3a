//! Answers that were withheld because isolation could not be shown: a range in, how many of whose and why out.

use std::collections::BTreeMap;

use rag_tower::postgres::{DatabaseError, Selection};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OwnerStore;
use super::change::Entry;
use super::logs::LogFilter;
use super::page::Page;
use crate::auth::OwnerScope;

/// The newest so many are told apart. Where it happens more often than this, that is the news.
const TOLD_APART: u32 = 1_000;
/// Hits of another tenant that are shown one by one.
const SHOWN: usize = 50;
/// The reason of an answer that would have shown another tenant's text.
const VIOLATION: &str = "isolation";

/// Answers that were withheld.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct FailedClosed {
    /// How many of whose and why, the most first.
    pub fail_closed: Vec<ClosedGroup>,
    /// Those in which a store gave out what is another tenant's: it was dropped and nothing shown. The newest.
    pub violations: Vec<Violation>,
    /// How many there were in all; at most 10,000.
    pub total: u64,
    /// How many of them, the newest, are told apart here.
    pub counted: u64,
}

/// Answers that were withheld from one tenant for one reason.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct ClosedGroup {
    /// Why.
    pub reason: String,
    /// Whose they would have been.
    pub tenant_id: Uuid,
    /// The tenant's slug, when the registry knows it.
    pub tenant: Option<String>,
    /// How many.
    pub count: u64,
    /// When it happened last.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub last_at: OffsetDateTime,
    /// The last of them.
    pub sample_trace_id: Uuid,
}

/// An answer that would have shown another tenant's text.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Violation {
    /// The ask.
    pub trace_id: Uuid,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub ts: OffsetDateTime,
    /// Whose answer was withheld.
    pub tenant_id: Uuid,
    /// The tenant's slug, when the registry knows it.
    pub tenant: Option<String>,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// Answers of `since..until` that were withheld because isolation could not be shown.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn failed_closed(
        &self,
        owner: &OwnerScope,
        since: Option<OffsetDateTime>,
        until: Option<OffsetDateTime>,
    ) -> Result<FailedClosed, DatabaseError> {
        let which =
            Selection { since, until, status: Some("FAIL_CLOSED".to_owned()), ..Selection::default() };
        let filter = LogFilter { which, ..LogFilter::default() };
        let page = self.logs(owner, &filter, &Page::first(TOLD_APART)).await?;
        let mut groups: BTreeMap<(String, Uuid), ClosedGroup> = BTreeMap::new();
        let mut violations = Vec::new();
        // the newest first
        for line in &page.items {
            let reason = line.reason.clone().or_else(|| line.error_kind.clone()).unwrap_or_default();
            if reason == VIOLATION && violations.len() < SHOWN {
                let (trace_id, ts, tenant_id) = (line.trace_id, line.ts, line.tenant_id);
                violations.push(Violation { trace_id, ts, tenant_id, tenant: line.tenant.clone() });
            }
            let group = groups.entry((reason.clone(), line.tenant_id)).or_insert_with(|| ClosedGroup {
                reason,
                tenant_id: line.tenant_id,
                tenant: line.tenant.clone(),
                count: 0,
                last_at: line.ts,
                sample_trace_id: line.trace_id,
            });
            group.count += 1;
        }
        let mut fail_closed: Vec<_> = groups.into_values().collect();
        fail_closed.sort_by_key(|group| std::cmp::Reverse((group.count, group.last_at)));
        let counted = page.items.len() as u64;
        Ok(FailedClosed { fail_closed, violations, total: page.total.unwrap_or(counted), counted })
    }

    /// Notes that the owner had it looked at whether tenants are kept apart, and what was found.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn note_isolation_check(
        &self,
        owner: &OwnerScope,
        audit: bool,
        probe: bool,
    ) -> Result<(), DatabaseError> {
        let entry = Entry::new("isolation.check").detail(json!({ "audit_ok": audit, "probe_ok": probe }));
        self.change(owner).await?.commit(entry).await
    }
}
