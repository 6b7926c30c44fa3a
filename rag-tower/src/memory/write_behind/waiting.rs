//! The turns that are not kept yet: in order, by tenant, and bounded.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::writer::LINGER;
use crate::ask::SessionId;
use crate::memory::NewTurn;
use crate::tenant::TenantId;

/// The most turns that wait, and the most text of theirs in bytes.
const TURNS: usize = 8_192;
const BYTES: usize = 32 * 1024 * 1024;

/// What has not been kept yet, turns that are being written included.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    tenants: HashMap<TenantId, Lane>,
    /// Tenants with turns that nobody writes yet, in the order in which they came.
    ready: VecDeque<TenantId>,
    /// How many turns of each session wait.
    sessions: HashMap<(TenantId, SessionId), usize>,
    turns: usize,
    bytes: usize,
    /// True while a question waits for a turn.
    wanted: bool,
    closed: bool,
}

/// One tenant's turns.
#[derive(Debug, Default)]
struct Lane {
    turns: VecDeque<NewTurn>,
    /// True while a batch of it is being written: what comes then waits for the next one, so that order is kept.
    busy: bool,
}

// === impl Waiting ===

impl Waiting {
    /// Takes a turn; false when there is no room for it.
    pub(super) fn push(&mut self, new: NewTurn) -> bool {
        let bytes = bytes(&new);
        if self.turns >= TURNS || self.bytes + bytes > BYTES {
            return false;
        }
        (self.turns, self.bytes) = (self.turns + 1, self.bytes + bytes);
        let tenant = new.scope.tenant();
        *self.sessions.entry((tenant, new.session)).or_default() += 1;
        let lane = self.tenants.entry(tenant).or_default();
        if lane.turns.is_empty() && !lane.busy {
            self.ready.push_back(tenant);
        }
        lane.turns.push_back(new);
        true
    }

    /// When turns that nobody writes yet are to be written, if there are any: at once where somebody waits for one, or the
    /// writer ends, or there are many; else a moment after the first was seen, which is what `due` says.
    pub(super) fn due(&mut self, due: Option<Instant>, many: usize) -> Option<Instant> {
        if self.ready.is_empty() {
            return None;
        }
        if std::mem::take(&mut self.wanted) || self.closed || self.turns >= many {
            return Some(Instant::now());
        }
        due.or_else(|| Some(Instant::now() + LINGER))
    }

    /// A question waits for a turn.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// The oldest turns of the tenant whose turn it is; they wait until [`settle`](Self::settle).
    pub(super) fn take(&mut self, most: usize) -> Option<Vec<NewTurn>> {
        let tenant = self.ready.pop_front()?;
        let lane = self.tenants.get_mut(&tenant)?;
        lane.busy = true;
        let most = most.min(lane.turns.len());
        Some(lane.turns.drain(..most).collect())
    }

    /// What [`take`](Self::take) gave has been kept or given up.
    pub(super) fn settle(&mut self, taken: &[NewTurn]) {
        let Some(tenant) = taken.first().map(|new| new.scope.tenant()) else { return };
        for new in taken {
            (self.turns, self.bytes) = (self.turns - 1, self.bytes - bytes(new));
            let session = (tenant, new.session);
            if let Some(count) = self.sessions.get_mut(&session) {
                *count -= 1;
                if *count == 0 {
                    self.sessions.remove(&session);
                }
            }
        }
        let Some(lane) = self.tenants.get_mut(&tenant) else { return };
        lane.busy = false;
        if lane.turns.is_empty() {
            self.tenants.remove(&tenant);
        } else {
            self.ready.push_back(tenant);
        }
    }

    /// True while a turn of the session waits.
    pub(super) fn holds(&self, tenant: TenantId, session: SessionId) -> bool {
        self.sessions.contains_key(&(tenant, session))
    }

    pub(super) fn len(&self) -> usize {
        self.turns
    }

    /// No turn is taken any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Gives up everything: how many turns that were.
    pub(super) fn clear(&mut self) -> usize {
        let turns = self.turns;
        *self = Self { closed: self.closed, ..Self::default() };
        turns
    }
}

fn bytes(new: &NewTurn) -> usize {
    new.turn.question.len() + new.turn.answer.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Turn;
    use crate::stage::testing::scope;

    fn new(tenant: &str, session: SessionId, text: &str) -> NewTurn {
        let turn = Turn { question: text.into(), answer: "".into(), route: None, pending: None };
        NewTurn { scope: scope(tenant), session, turn }
    }

    fn questions(taken: &[NewTurn]) -> Vec<&str> {
        taken.iter().map(|new| &*new.turn.question).collect()
    }

    #[test]
    fn t114_tenants_take_turns_and_their_turns_stay_in_order() {
        let (mut waiting, [one, two]) = (Waiting::default(), std::array::from_fn(|_| SessionId::generate()));
        for (tenant, session, text) in [("a", one, "1"), ("a", one, "2"), ("a", one, "3"), ("b", two, "4")] {
            assert!(waiting.push(new(tenant, session, text)));
        }
        let first = waiting.take(2).unwrap();
        assert_eq!(questions(&first), ["1", "2"]);
        assert!(waiting.push(new("a", one, "5")));
        let second = waiting.take(2).unwrap();
        assert_eq!(questions(&second), ["4"]);
        assert!(waiting.take(2).is_none(), "the first tenant is busy");
        waiting.settle(&first);
        let third = waiting.take(2).unwrap();
        assert_eq!(questions(&third), ["3", "5"]);
        assert!(waiting.holds(scope("a").tenant(), one), "two of its turns are being written");
        assert!(!waiting.holds(scope("b").tenant(), one), "a session is its tenant's");
        waiting.settle(&second);
        waiting.settle(&third);
        assert!(!waiting.holds(scope("a").tenant(), one));
        assert_eq!((waiting.len(), waiting.bytes, waiting.tenants.len()), (0, 0, 0));
    }

    #[test]
    fn there_is_room_for_so_many_turns_and_so_much_text() {
        let (mut waiting, session) = (Waiting::default(), SessionId::generate());
        for _ in 0..TURNS {
            assert!(waiting.push(new("a", session, "q")));
        }
        assert!(!waiting.push(new("a", session, "q")));
        let taken = waiting.take(1).unwrap();
        waiting.settle(&taken);
        assert!(waiting.push(new("a", session, "q")));
        assert_eq!(waiting.clear(), TURNS);
        assert!(waiting.push(new("a", session, &"q".repeat(BYTES))));
        assert!(!waiting.push(new("a", session, "q")));
    }
}
