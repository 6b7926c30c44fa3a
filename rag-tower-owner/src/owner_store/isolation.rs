//! Answers that were withheld because isolation could not be shown: a range in, how many of whose and why out, beside how all
//! asks of the range ended.

use std::collections::BTreeMap;

use rag_tower::postgres::{DatabaseError, OwnerTx, PgRollups, Selection};
use serde::Serialize;
use serde_json::json;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OwnerStore;
use super::change::Entry;
use super::funnel::{Funnel, Reasons};
use super::logs::{LogPage, NAMED, STATEMENT, Shape, newest};
use super::page::Cursor;
use super::usage::slugs;
use crate::auth::OwnerScope;

/// The newest so many are told apart. Where it happens more often than this, that is the news.
const TOLD_APART: u32 = 1_000;
/// Of those that were left without an answer for want of knowledge, the newest so many are told apart: they are usual.
const ABSTAINED_TOLD_APART: u32 = 5_000;
const FAIL_CLOSED: &str = "FAIL_CLOSED";
const ABSTAINED: &str = "ABSTAINED";
/// Hits of another tenant that are shown one by one.
const SHOWN: usize = 50;
/// The reason of an answer that would have shown another tenant's text.
const VIOLATION: &str = "isolation";

/// Whose an ask was, and why it ended so.
const ENDED: Shape = Shape {
    read: "r.trace_id, r.ts, r.tenant_id, r.reason, r.error_kind",
    shown: "x.trace_id, x.ts, x.tenant_id, t.slug AS tenant, coalesce(x.reason, x.error_kind, '') AS reason",
    joined: NAMED,
};

/// Answers that were withheld, and how all asks ended.
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
    /// How all asks of the range ended, from those that came to those that were answered.
    pub funnel: Funnel,
}

#[derive(FromRow)]
struct Ended {
    trace_id: Uuid,
    ts: OffsetDateTime,
    tenant_id: Uuid,
    tenant: Option<String>,
    reason: String,
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
    /// Answers of `since..until` that were withheld because isolation could not be shown, and how all asks of it ended, as it
    /// is at one moment.
    ///
    /// # Errors
    /// [`DatabaseError`]; [`TooLong`](DatabaseError::TooLong) when the range is too long.
    pub async fn failed_closed(
        &self,
        _: &OwnerScope,
        since: Option<OffsetDateTime>,
        until: Option<OffsetDateTime>,
    ) -> Result<FailedClosed, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        let of = |status: &str| Selection {
            since,
            until,
            status: Some(status.to_owned()),
            ..Selection::default()
        };
        let page = newest(&mut tx, of(FAIL_CLOSED), TOLD_APART, ENDED, ended_at).await?;
        let abstained = newest(&mut tx, of(ABSTAINED), ABSTAINED_TOLD_APART, ENDED, ended_at).await?;
        let mut reasons = BTreeMap::new();
        tell_apart(FAIL_CLOSED, &page, &mut reasons);
        tell_apart(ABSTAINED, &abstained, &mut reasons);
        let funnel = self.funnel(tx, (since, until), &reasons).await?;
        Ok(withheld(page, funnel))
    }

    /// How all asks of a range ended. Where tenants cannot be told apart in time, all of them together can.
    async fn funnel(
        &self,
        mut tx: OwnerTx,
        (since, until): (Option<OffsetDateTime>, Option<OffsetDateTime>),
        reasons: &BTreeMap<Uuid, Reasons>,
    ) -> Result<Funnel, DatabaseError> {
        match PgRollups::ends(&mut tx, since, until).await {
            Ok(ends) => {
                let mut funnel = Funnel::new(ends, reasons);
                let names = slugs(&mut tx, funnel.tenants.iter().map(|one| one.tenant_id)).await?;
                for one in &mut funnel.tenants {
                    one.tenant = names.get(&one.tenant_id).cloned();
                }
                Ok(funnel)
            }
            Err(DatabaseError::TooLong(_)) => {
                drop(tx);
                let mut tx = OwnerTx::snapshot(&self.database).await?;
                tx.bound(STATEMENT).await?;
                let which = Selection { since, until, ..Selection::default() };
                let (tally, _) = PgRollups::tally(&mut tx, &which).await?;
                Ok(Funnel::of_all(&tally.statuses, reasons))
            }
            Err(error) => Err(error),
        }
    }

    /// Notes that the owner had it looked at whether tenants are kept apart, and what was found; of canaries nothing
    /// when they showed nothing.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn note_isolation_check(
        &self,
        owner: &OwnerScope,
        audit: bool,
        probe: bool,
        canary: Option<bool>,
    ) -> Result<(), DatabaseError> {
        let entry = Entry::new("isolation.check").detail(json!({
            "audit_ok": audit, "probe_ok": probe, "canary_ok": canary,
        }));
        self.change(owner).await?.commit(entry).await
    }
}

fn ended_at(line: &Ended) -> Cursor {
    Cursor { ts: line.ts, id: line.trace_id }
}

/// Adds how many of a status each tenant has for which reason.
fn tell_apart(status: &'static str, page: &LogPage<Ended>, reasons: &mut BTreeMap<Uuid, Reasons>) {
    for line in &page.items {
        *reasons.entry(line.tenant_id).or_default().entry((status, line.reason.clone())).or_default() += 1;
    }
}

fn withheld(page: LogPage<Ended>, funnel: Funnel) -> FailedClosed {
    let mut groups: BTreeMap<(String, Uuid), ClosedGroup> = BTreeMap::new();
    let mut violations = Vec::new();
    let counted = page.items.len() as u64;
    // the newest first
    for Ended { trace_id, ts, tenant_id, tenant, reason } in page.items {
        if reason == VIOLATION && violations.len() < SHOWN {
            violations.push(Violation { trace_id, ts, tenant_id, tenant: tenant.clone() });
        }
        let group = groups.entry((reason.clone(), tenant_id)).or_insert_with(|| ClosedGroup {
            reason,
            tenant_id,
            tenant,
            count: 0,
            last_at: ts,
            sample_trace_id: trace_id,
        });
        group.count += 1;
    }
    let mut fail_closed: Vec<_> = groups.into_values().collect();
    fail_closed.sort_by_key(|group| std::cmp::Reverse((group.count, group.last_at)));
    FailedClosed { fail_closed, violations, total: page.total.unwrap_or(counted), counted, funnel }
}
