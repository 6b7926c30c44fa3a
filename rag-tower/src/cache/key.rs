//! When two asks may share an answer.

use std::sync::Arc;

use crate::ask::Ask;
use crate::filter::Filter;
use crate::passage::DocumentId;
use crate::scoped::Scoped;
use crate::tenant::{Branches, TenantId, TenantScope};
use crate::trace::CachePartition;

/// Everything that an answer without a conversation depends on. Keys are compared whole, never by a digest alone: no
/// collision can hand one tenant another's answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// What keeps tenants, branches and roles apart.
    partition: CachePartition,
    question: Box<str>,
    filter: Filter,
}

// === impl Key ===

impl Key {
    pub(super) fn of(ask: &Ask, epoch: Arc<str>) -> Self {
        Self {
            partition: partition_of(ask.scope(), epoch),
            question: normalise(ask.question().as_str()),
            filter: ask.filter().clone(),
        }
    }

    /// All of it but the question and its filter.
    pub(super) fn partition(&self) -> &CachePartition {
        &self.partition
    }

    pub(super) fn tenant(&self) -> TenantId {
        self.partition.tenant_id
    }

    pub(super) fn bytes(&self) -> usize {
        let filter: usize = self
            .filter
            .conditions()
            .iter()
            .map(|condition| match condition {
                crate::filter::Condition::Document(documents) => documents.len() * size_of::<DocumentId>(),
                crate::filter::Condition::Label { name, any_of } => {
                    name.len() + any_of.iter().map(String::len).sum::<usize>()
                }
            })
            .sum();
        size_of::<Self>() + self.partition.heap_bytes() + self.question.len() + filter
    }
}

/// The part of a cache that a scope may be answered from: the part of every key that keeps tenants, branches and roles
/// apart. `epoch` names what answers are made with.
pub(crate) fn partition_of(scope: &TenantScope, epoch: Arc<str>) -> CachePartition {
    CachePartition {
        tenant_id: scope.tenant(),
        branches: match scope.branches() {
            Branches::All => None,
            Branches::Only(some) => Some(sorted(some)),
        },
        role: scope.role(),
        shared: sorted(scope.shared()),
        epoch,
    }
}

fn sorted<T: Copy + Ord>(ids: &[T]) -> Box<[T]> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids.into()
}

/// Lower case, single spaces, no punctuation at the end. Diacritics stay: they change the meaning.
fn normalise(question: &str) -> Box<str> {
    let lower = question.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    words
        .join(" ")
        .trim_end_matches(|c: char| matches!(c, '?' | '!' | '.' | '…' | '？') || c.is_whitespace())
        .into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::filter::Condition;
    use crate::stage::testing;
    use crate::tenant::{BranchId, Grant, Role};

    fn key(
        (tenant, branches, role, question, filter, epoch): &(
            u8,
            Option<Vec<u8>>,
            Role,
            String,
            Option<u8>,
            u8,
        ),
    ) -> Key {
        let id = |n: &u8| uuid::Uuid::from_u128(u128::from(*n));
        let branches = match branches {
            None => Branches::All,
            Some(some) => Branches::Only(some.iter().map(|n| BranchId::new(id(n))).collect()),
        };
        let grant = Grant::new(TenantId::new(id(tenant))).with_branches(branches).with_role(*role);
        let mut narrowed = Filter::default();
        if let Some(document) = filter {
            narrowed = narrowed.and(Condition::Document(vec![DocumentId::new(id(document))])).unwrap();
        }
        let ask = Ask::new(testing::granted(grant), testing::question(question)).with_filter(narrowed);
        Key::of(&ask, epoch.to_string().into())
    }

    fn parts() -> impl Strategy<Value = (u8, Option<Vec<u8>>, Role, String, Option<u8>, u8)> {
        (
            0_u8..3,
            proptest::option::of(proptest::collection::btree_set(0_u8..3, 0..3).prop_map(Vec::from_iter)),
            prop_oneof![Just(Role::Member), Just(Role::Agent), Just(Role::Admin)],
            "[ab]{1,3}",
            proptest::option::of(0_u8..2),
            0_u8..2,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn t31_keys_are_equal_exactly_when_all_their_parts_are(x in parts(), y in parts()) {
            prop_assert_eq!(key(&x) == key(&y), x == y);
        }

        #[test]
        fn t30_tenants_never_share_a_key(x in parts()) {
            let mut other = x.clone();
            other.0 += 1;
            prop_assert_ne!(key(&x), key(&other));
        }
    }

    proptest! {
        #[test]
        fn partitions_are_equal_exactly_when_all_but_the_question_is(x in parts(), y in parts()) {
            let of = |parts: &(u8, Option<Vec<u8>>, Role, String, Option<u8>, u8)| {
                (parts.0, parts.1.clone(), parts.2, parts.5)
            };
            prop_assert_eq!(key(&x).partition() == key(&y).partition(), of(&x) == of(&y));
        }
    }

    #[test]
    fn typing_differently_is_not_asking_differently() {
        assert_eq!(normalise("  What  is\nit ? "), normalise("what is it"));
        assert_ne!(normalise("ma"), normalise("má"));
    }
}
