//! Asks without an answer in, gaps out: one for each tenant and question.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{GapStanding, GapState};

/// An ask without an answer.
#[derive(Clone, Debug, FromRow)]
pub(super) struct Missed {
    pub(super) trace_id: Uuid,
    pub(super) ts: OffsetDateTime,
    pub(super) tenant_id: Uuid,
    pub(super) tenant: Option<String>,
    pub(super) branch_id: Option<Uuid>,
    pub(super) reason: String,
    pub(super) confidence: Option<f32>,
    pub(super) question: Option<String>,
    /// None when no text of the question is left.
    pub(super) key: Option<Vec<u8>>,
}

/// A question that is asked and not answered.
#[derive(Clone, Debug)]
pub(super) struct Gap {
    pub(super) key: Uuid,
    pub(super) newest: Missed,
    pub(super) count: u64,
    pub(super) first_at: OffsetDateTime,
    pub(super) reasons: BTreeMap<String, u64>,
    pub(super) branches: BTreeSet<Uuid>,
    pub(super) best_confidence: Option<f32>,
    /// What the owner said of it.
    pub(super) said: Option<GapStanding>,
}

/// How often a gap was asked, and when last by which ask.
type Order = (Reverse<u64>, Reverse<(OffsetDateTime, Uuid)>);

/// Groups asks: the most asked gaps first, and of those that are asked alike the one that was asked last. Asks without text are
/// left out.
pub(super) fn grouped(missed: Vec<Missed>) -> Vec<Gap> {
    let mut gaps: HashMap<(Uuid, Uuid), Gap> = HashMap::new();
    for ask in missed {
        let Some(key) = ask.key.as_deref().and_then(|key| Uuid::from_slice(key).ok()) else { continue };
        gaps.entry((ask.tenant_id, key)).or_insert_with(|| Gap::new(key, ask.clone())).add(ask);
    }
    let mut gaps: Vec<Gap> = gaps.into_values().collect();
    gaps.sort_by_key(Gap::order);
    gaps
}

// === impl Gap ===

impl Gap {
    fn new(key: Uuid, ask: Missed) -> Self {
        Self {
            key,
            count: 0,
            first_at: ask.ts,
            newest: ask,
            reasons: BTreeMap::new(),
            branches: BTreeSet::new(),
            best_confidence: None,
            said: None,
        }
    }

    fn add(&mut self, ask: Missed) {
        self.count += 1;
        self.first_at = self.first_at.min(ask.ts);
        self.branches.extend(ask.branch_id);
        let confidence = ask.confidence.filter(|confidence| confidence.is_finite());
        self.best_confidence = self.best_confidence.into_iter().chain(confidence).reduce(f32::max);
        *self.reasons.entry(ask.reason.clone()).or_default() += 1;
        if (ask.ts, ask.trace_id) > (self.newest.ts, self.newest.trace_id) {
            self.newest = ask;
        }
    }

    /// Where it stands in a list.
    pub(super) fn order(&self) -> Order {
        (Reverse(self.count), Reverse((self.newest.ts, self.newest.trace_id)))
    }

    /// Closed, unless it was asked again since.
    pub(super) fn state(&self) -> GapState {
        let resolved_at = self.said.as_ref().and_then(|said| said.resolved_at);
        match resolved_at {
            Some(resolved_at) if resolved_at >= self.newest.ts => GapState::Resolved,
            _ => GapState::Open,
        }
    }
}
