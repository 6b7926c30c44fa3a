//! How asks ended: how many with which status and for which reason in, a funnel out, from all that came to those that were
//! answered. Its steps add up: what is left after the last is what was answered.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

/// The steps in their order, each with the statuses that end there.
const STEPS: [(&str, &[&str]); 4] = [
    ("refused", &["RATE_LIMITED", "OVER_BUDGET"]),
    ("broken", &["ERROR", "CANCELLED"]),
    ("fail_closed", &["FAIL_CLOSED"]),
    ("abstained", &["ABSTAINED"]),
];
/// Tenants that are shown one by one.
const SHOWN: usize = 50;

/// How all asks of a range ended, and how those of each tenant did.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Funnel {
    /// All of them.
    #[serde(flatten)]
    pub all: Steps,
    /// Those of each tenant, the tenants with the most asks that were not answered first; at most 50 tenants.
    pub tenants: Vec<TenantFunnel>,
    /// Those of all other tenants together; none when there are no others.
    pub other: Option<OtherFunnel>,
    /// False when so many tenants asked over so long a time that there was no time to tell them apart.
    pub by_tenant: bool,
}

/// How the asks of a tenant ended.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TenantFunnel {
    /// Whose they are.
    pub tenant_id: Uuid,
    /// The tenant's slug, when the registry knows it.
    pub tenant: Option<String>,
    /// How they ended.
    #[serde(flatten)]
    pub steps: Steps,
}

/// How the asks of several tenants ended.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct OtherFunnel {
    /// How many tenants they are of.
    pub tenant_count: u64,
    /// How they ended.
    #[serde(flatten)]
    pub steps: Steps,
}

/// From all asks to those that were answered. `asked` is `answered` and the counts of all steps. A share is of all asks; none
/// when there are none.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Steps {
    /// Asks.
    pub asked: i64,
    /// Where they were lost, in the order of the way: before any work (`refused`), on the way (`broken`), because isolation
    /// could not be shown (`fail_closed`), for want of knowledge (`abstained`).
    pub steps: Vec<Step>,
    /// Asks that were answered, were out of domain, or were handed to a person.
    pub answered: i64,
    /// Their share.
    pub answered_share: Option<f64>,
}

/// A step at which asks are lost.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Asks that ended here; exact.
    pub count: i64,
    /// Their share.
    pub share: Option<f64>,
    /// Asks that came further.
    pub left: i64,
    /// How they ended, the most first: by status, and where one status is a step, by reason.
    pub parts: Vec<StepPart>,
    /// How many of them are in `parts`: reasons are those of the newest, as far as their rows are kept.
    pub told_apart: i64,
}

/// Asks that ended alike.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct StepPart {
    /// The status.
    pub status: &'static str,
    /// The reason, where a status is told apart by it.
    pub reason: Option<String>,
    /// How many.
    pub count: i64,
    /// Their share.
    pub share: Option<f64>,
}

/// Asks by status.
pub(super) type Statuses = BTreeMap<String, i64>;
/// The newest asks by status and reason.
pub(super) type Reasons = BTreeMap<(&'static str, String), i64>;

// === impl Funnel ===

impl Funnel {
    /// Of what is known of each tenant: every status, and the reasons of the newest.
    pub(super) fn new(ends: BTreeMap<Uuid, Statuses>, reasons: &BTreeMap<Uuid, Reasons>) -> Self {
        let none = Reasons::new();
        let reasons_of = |tenant: &Uuid| reasons.get(tenant).unwrap_or(&none);
        let whole = |some: &[(Uuid, Statuses)]| {
            let statuses = sum(some.iter().map(|(_, statuses)| statuses));
            Steps::new(&statuses, &sum(some.iter().map(|(tenant, _)| reasons_of(tenant))))
        };
        let mut ends: Vec<_> = ends.into_iter().collect();
        let all = whole(&ends);
        ends.sort_by_cached_key(|(tenant, statuses)| {
            let asked: i64 = statuses.values().sum();
            (-(asked - answered(statuses)), -asked, *tenant)
        });
        let rest = ends.split_off(ends.len().min(SHOWN));
        let tenants = ends.iter().map(|(tenant_id, statuses)| TenantFunnel {
            tenant_id: *tenant_id,
            tenant: None,
            steps: Steps::new(statuses, reasons_of(tenant_id)),
        });
        let other =
            (!rest.is_empty()).then(|| OtherFunnel { tenant_count: rest.len() as u64, steps: whole(&rest) });
        Self { all, tenants: tenants.collect(), other, by_tenant: true }
    }

    /// Of what is known of all tenants together.
    pub(super) fn of_all(statuses: &Statuses, reasons: &BTreeMap<Uuid, Reasons>) -> Self {
        let all = Steps::new(statuses, &sum(reasons.values()));
        Self { all, tenants: Vec::new(), other: None, by_tenant: false }
    }
}

/// What several have together.
fn sum<'a, K: Ord + Clone + 'a>(parts: impl Iterator<Item = &'a BTreeMap<K, i64>>) -> BTreeMap<K, i64> {
    let mut sum = BTreeMap::new();
    for (kind, asks) in parts.flatten() {
        *sum.entry(kind.clone()).or_default() += asks;
    }
    sum
}

fn lost(statuses: &Statuses) -> i64 {
    let all = STEPS.iter().flat_map(|(_, ending)| *ending);
    all.filter_map(|status| statuses.get(*status)).sum()
}

fn answered(statuses: &Statuses) -> i64 {
    statuses.values().sum::<i64>() - lost(statuses)
}

// === impl Steps ===

impl Steps {
    fn new(statuses: &Statuses, reasons: &Reasons) -> Self {
        let asked: i64 = statuses.values().sum();
        let share = |count: i64| (asked > 0).then(|| count as f64 / asked as f64);
        let part = |status, reason, count| StepPart { status, reason, count, share: share(count) };
        let mut left = asked;
        let steps = STEPS.map(|(name, ending)| {
            let count_of = |status: &str| statuses.get(status).copied().unwrap_or(0);
            let count: i64 = ending.iter().map(|status| count_of(status)).sum();
            left -= count;
            let mut parts: Vec<StepPart> = match ending {
                [one] => reasons
                    .iter()
                    .filter(|((status, _), _)| status == one)
                    .map(|((status, reason), asks)| part(*status, Some(reason.clone()), *asks))
                    .collect(),
                several => several.iter().map(|status| part(*status, None, count_of(status))).collect(),
            };
            parts.retain(|part| part.count > 0);
            parts.sort_by_key(|part| -part.count);
            let told_apart = parts.iter().map(|part| part.count).sum();
            Step { name, count, share: share(count), left, parts, told_apart }
        });
        let answered = answered(statuses);
        Self { asked, steps: steps.into(), answered, answered_share: share(answered) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rag_tower::trace::Status;

    use super::*;

    fn statuses(counts: &[i64]) -> Statuses {
        Status::ALL.iter().zip(counts).map(|(status, asks)| (status.as_str().to_owned(), *asks)).collect()
    }

    #[test]
    fn every_status_has_its_place() {
        let known: Vec<&str> = STEPS.iter().flat_map(|(_, ending)| *ending).copied().collect();
        for status in Status::ALL {
            assert_eq!(known.contains(&status.as_str()), status != Status::Success, "{status:?}");
        }
    }

    #[test]
    fn nothing_has_no_shares() {
        let none = Funnel::new(BTreeMap::new(), &BTreeMap::new());
        assert_eq!((none.all.asked, none.all.answered_share, none.all.steps[0].share), (0, None, None));
        assert!(none.tenants.is_empty() && none.other.is_none());
    }

    proptest! {
        #[test]
        fn steps_and_tenants_add_up(tenants in prop::collection::vec(prop::collection::vec(0_i64..50, 7), 0..70)) {
            let ids = |n: usize| Uuid::from_u128(n as u128);
            let ends: BTreeMap<Uuid, Statuses> =
                tenants.iter().enumerate().map(|(n, counts)| (ids(n), statuses(counts))).collect();
            let reasons = ends.iter().map(|(id, statuses)| {
                let abstained = statuses["ABSTAINED"] / 2;
                (*id, Reasons::from([(("ABSTAINED", "no_documents".to_owned()), abstained)]))
            });
            let reasons = reasons.collect();
            let funnel = Funnel::new(ends.clone(), &reasons);
            prop_assert_eq!(&funnel.all, &Funnel::of_all(&sum(ends.values()), &reasons).all);
            let all = funnel.tenants.iter().map(|one| &one.steps).chain(funnel.other.iter().map(|other| &other.steps));
            let all: Vec<_> = all.collect();
            prop_assert_eq!(all.iter().map(|steps| steps.asked).sum::<i64>(), funnel.all.asked);
            prop_assert_eq!(all.iter().map(|steps| steps.answered).sum::<i64>(), funnel.all.answered);
            for steps in all.into_iter().chain([&funnel.all]) {
                prop_assert_eq!(steps.steps.iter().map(|step| step.count).sum::<i64>() + steps.answered, steps.asked);
                prop_assert_eq!(steps.steps.last().unwrap().left, steps.answered);
                prop_assert!(steps.steps.iter().all(|step| step.told_apart <= step.count));
            }
            let shown = funnel.tenants.len() as u64 + funnel.other.map_or(0, |other| other.tenant_count);
            prop_assert_eq!(shown, tenants.len() as u64);
            let lost: Vec<i64> = funnel.tenants.iter().map(|one| one.steps.asked - one.steps.answered).collect();
            prop_assert!(lost.is_sorted_by(|a, b| a >= b));
        }
    }
}
