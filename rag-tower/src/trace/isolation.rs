//! What an ask was confined to in, and what was found to be so: the isolation receipt of a row out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Outcome, Status, TraceHandle};
use crate::error::{Error, ErrorKind};
use crate::filter::{Condition, Filter};
use crate::passage::{DocumentId, Passages};
use crate::tenant::{BranchId, Branches, CorpusId, Role, TenantId, TenantScope};

/// What kept an ask's tenant apart from the others.
///
/// An ask may search several times, in several sources: counts add up, and the worst verdict stays. Always,
/// `received = admitted + dropped`; a row that was written before all three were kept has `admitted` alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IsolationReceipt {
    /// What the search was confined to; none when there was none. Of several searches, that of the worst verdict.
    #[serde(default)]
    pub filter: Option<Confines>,
    /// How many passages came to the door, those of every source that was asked. An index that returns hits of another
    /// tenant is stopped before their text is read: its hits count here.
    #[serde(default)]
    pub received: u32,
    /// How many of them the door let in.
    #[serde(default)]
    pub admitted: u32,
    /// How many it turned away: the foreign ones, and those that were withheld because they came with one.
    #[serde(default)]
    pub dropped: u32,
    /// Who the database says that it was while it read the passages' text; none when no text was read from one.
    #[serde(default)]
    pub database: Option<DatabaseIdentity>,
    /// What the cache of answers did; none when the ask did not come that far, or there is no cache.
    #[serde(default)]
    pub cache: Option<CacheUse>,
    /// What came of it all.
    pub verdict: Verdict,
}

/// What a search was confined to: stores turn exactly this into their own condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Confines {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Documents of these branches, and those without one; none stands for every branch of the tenant.
    pub branches: Option<Vec<BranchId>>,
    /// Shared corpora beside the tenant's own documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<CorpusId>,
    /// What narrowed it further.
    #[serde(default, skip_serializing_if = "Filter::is_empty")]
    pub only: Filter,
}

/// Who a database transaction was, by the database's own word: what its row-level security went by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DatabaseIdentity {
    /// The role, such as `rag_tenant`.
    pub role: Arc<str>,
    /// The tenant that was set, as text; empty when none was.
    pub tenant_setting: Arc<str>,
}

/// What the cache of answers did for an ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheUse {
    /// What came of it.
    pub result: CacheResult,
    /// Where the answer was looked for, and kept. None when the cache was passed by, which then neither gave nor kept one.
    #[serde(default)]
    pub partition: Option<CachePartition>,
}

/// What came of a look into the cache of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CacheResult {
    /// The answer came from this partition.
    Hit,
    /// There was none.
    Miss,
    /// Nobody looked: the ask continues a conversation.
    Bypass,
}

/// The part of the cache that an ask may be answered from: what of a key is not the question itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CachePartition {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The branches; none stands for every branch of the tenant.
    pub branches: Option<Box<[BranchId]>>,
    /// The role.
    pub role: Role,
    /// The readable corpora.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub shared: Box<[CorpusId]>,
    /// What the tenant's answers were made with: the versions of prompt, model and documents.
    pub epoch: Arc<str>,
}

/// What came of an ask's isolation, the best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// No passages were looked for: a tool answered, a fixed answer, the cache or a refusal.
    #[default]
    NotSearched,
    /// Every passage was the tenant's own, or of a shared corpus that it may read.
    Passed,
    /// A search did not come to its end, and let nothing in.
    Failed,
    /// Something was not the tenant's: a passage, a conversation, or who the database was. None of it reached the answer.
    Foreign,
}

/// One search while it goes on. Unless it says how it ended, it has failed.
pub(crate) struct Searching {
    trace: TraceHandle,
    filter: Option<Confines>,
    verdict: Verdict,
}

// === impl IsolationReceipt ===

impl IsolationReceipt {
    /// Passages that the door let in.
    pub(crate) fn admit(&mut self, passages: usize) {
        let passages = u32::try_from(passages).unwrap_or(u32::MAX);
        self.received = self.received.saturating_add(passages);
        self.admitted = self.admitted.saturating_add(passages);
    }

    /// Passages, or hits, that were turned away together.
    pub(crate) fn turn_away(&mut self, passages: usize) {
        let passages = u32::try_from(passages).unwrap_or(u32::MAX);
        self.received = self.received.saturating_add(passages);
        self.dropped = self.dropped.saturating_add(passages);
    }

    /// Who the database was. One that it should not have been is not overwritten: it failed the ask.
    pub(crate) fn read_as(&mut self, identity: Option<DatabaseIdentity>) {
        if self.verdict != Verdict::Foreign && identity.is_some() {
            self.database = identity;
        }
    }

    /// The same at the end of the ask, which may have met something foreign where nothing is searched for.
    pub(super) fn at_end(mut self, outcome: &Outcome) -> Self {
        let isolation = outcome.reason() == Some(ErrorKind::Isolation.as_str());
        if isolation && outcome.status() == Status::FailClosed {
            self.verdict = Verdict::Foreign;
        }
        self
    }

    /// What it takes in memory besides its own size, about, in bytes.
    pub(super) fn weight(&self) -> usize {
        let confines = self.filter.as_ref().map_or(0, |filter| {
            let ids = filter.branches.as_ref().map_or(0, Vec::len) + filter.shared.len();
            let conditions = filter.only.conditions().iter().map(|condition| match condition {
                Condition::Document(documents) => documents.len() * size_of::<DocumentId>(),
                Condition::Label { name, any_of } => {
                    name.len() + any_of.iter().map(String::len).sum::<usize>()
                }
            });
            ids * size_of::<BranchId>() + conditions.sum::<usize>()
        });
        let partition = self.cache.as_ref().and_then(|cache| cache.partition.as_ref());
        confines + partition.map_or(0, CachePartition::heap_bytes)
    }
}

// === impl CachePartition ===

impl CachePartition {
    /// What it takes in memory besides its own size, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let ids = self.branches.as_ref().map_or(0, |branches| branches.len()) + self.shared.len();
        ids * size_of::<BranchId>()
    }
}

// === impl Confines ===

impl Confines {
    pub(crate) fn of(scope: &TenantScope, only: &Filter) -> Self {
        let branches = match scope.branches() {
            Branches::All => None,
            Branches::Only(branches) => Some(branches.to_vec()),
        };
        Self { tenant_id: scope.tenant(), branches, shared: scope.shared().to_vec(), only: only.clone() }
    }
}

// === impl Searching ===

impl Searching {
    /// A search that begins, confined to this.
    pub(crate) fn begin(trace: &TraceHandle, filter: Confines) -> Self {
        Self { trace: trace.clone(), filter: Some(filter), verdict: Verdict::Failed }
    }

    /// It has ended like that.
    pub(crate) fn end(mut self, found: &Result<Passages, Error>) {
        self.verdict = match found {
            Ok(passages) => {
                self.trace.receipt(|receipt| receipt.admit(passages.len()));
                Verdict::Passed
            }
            Err(error) if error.kind() == ErrorKind::Isolation => Verdict::Foreign,
            Err(_) => Verdict::Failed,
        };
    }
}

impl Drop for Searching {
    fn drop(&mut self) {
        let (filter, verdict) = (self.filter.take(), self.verdict);
        self.trace.receipt(|receipt| {
            if verdict >= receipt.verdict {
                receipt.filter = filter;
                receipt.verdict = verdict;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::answer::{AbstainReason, Finish};
    use crate::error::Stage;
    use crate::stage::testing;

    fn search(trace: &TraceHandle, tenant: &str, found: Result<usize, ErrorKind>) {
        let searching = Searching::begin(trace, Confines::of(&testing::scope(tenant), &Filter::default()));
        let found = found.map_err(|kind| Error::new(kind, Stage::Retrieve)).map(|n| {
            let passage = testing::passage(tenant, "text", 1.0);
            Passages::check(&testing::scope(tenant), vec![passage; n]).unwrap()
        });
        searching.end(&found);
    }

    #[test]
    fn counts_of_several_searches_add_up_and_the_worst_verdict_stays() {
        let trace = TraceHandle::new();
        assert_eq!(trace.snapshot().receipt, IsolationReceipt::default());
        search(&trace, "a", Ok(3));
        search(&trace, "a", Ok(0));
        let receipt = trace.snapshot().receipt;
        assert_eq!((receipt.received, receipt.admitted, receipt.verdict), (3, 3, Verdict::Passed));
        search(&trace, "a", Err(ErrorKind::StoreUnavailable));
        search(&trace, "a", Ok(2));
        let receipt = trace.snapshot().receipt;
        assert_eq!((receipt.received, receipt.admitted, receipt.verdict), (5, 5, Verdict::Failed));
        trace.receipt(|receipt| receipt.turn_away(4));
        search(&trace, "b", Err(ErrorKind::Isolation));
        search(&trace, "a", Ok(1));
        let receipt = trace.snapshot().receipt;
        assert_eq!((receipt.received, receipt.admitted, receipt.dropped), (10, 6, 4));
        assert_eq!(receipt.verdict, Verdict::Foreign);
        assert_eq!(receipt.filter.unwrap().tenant_id, TenantId::named("b"), "the filter of what went wrong");
    }

    #[test]
    fn a_search_that_is_given_up_has_failed_and_says_what_it_was_confined_to() {
        let trace = TraceHandle::new();
        drop(Searching::begin(&trace, Confines::of(&testing::scope("a"), &Filter::default())));
        let receipt = trace.snapshot().receipt;
        assert_eq!(receipt.verdict, Verdict::Failed);
        assert_eq!(receipt.filter.unwrap().tenant_id, TenantId::named("a"));
    }

    #[test]
    fn whatever_failed_for_isolation_is_foreign_and_a_ticket_of_that_name_is_not() {
        let at_end = |outcome| IsolationReceipt::default().at_end(&outcome).verdict;
        let foreign = [
            Outcome::Failed(ErrorKind::Isolation, Stage::Memory),
            Outcome::Completed(Finish::Abstained(AbstainReason::Isolation)),
        ];
        assert_eq!(foreign.map(at_end), [Verdict::Foreign; 2]);
        let other = [
            Outcome::Completed(Finish::Handoff("isolation".into())),
            Outcome::Completed(Finish::Abstained(AbstainReason::FilterUnavailable)),
            Outcome::Completed(Finish::Stop),
        ];
        assert_eq!(other.map(at_end), [Verdict::NotSearched; 3]);
    }

    #[test]
    fn a_wrong_identity_is_not_overwritten() {
        let identity = |role: &str| Some(DatabaseIdentity { role: role.into(), tenant_setting: "".into() });
        let mut receipt = IsolationReceipt::default();
        receipt.read_as(identity("rag_tenant"));
        receipt.read_as(None);
        assert_eq!(receipt.database, identity("rag_tenant"));
        receipt.read_as(identity("postgres"));
        receipt.verdict = Verdict::Foreign;
        receipt.read_as(identity("rag_tenant"));
        assert_eq!(receipt.database, identity("postgres"));
    }

    #[test]
    fn a_receipt_as_it_was_before_is_read_and_a_full_one_comes_back() {
        let tenant = TenantId::named("a");
        let before =
            json!({"filter": {"tenant_id": tenant, "branches": null}, "admitted": 6, "verdict": "passed"});
        let before: IsolationReceipt = serde_json::from_value(before).unwrap();
        assert_eq!((before.admitted, before.received, before.verdict), (6, 0, Verdict::Passed));
        let full = json!({
            "filter": {"tenant_id": tenant, "branches": [tenant], "shared": [tenant]},
            "received": 3, "admitted": 0, "dropped": 3,
            "database": {"role": "rag_tenant", "tenant_setting": tenant},
            "cache": {
                "result": "miss",
                "partition": {"tenant_id": tenant, "branches": null, "role": "member", "shared": [tenant], "epoch": "1"},
            },
            "verdict": "foreign",
        });
        let read: IsolationReceipt = serde_json::from_value(full.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), full);
    }
}
