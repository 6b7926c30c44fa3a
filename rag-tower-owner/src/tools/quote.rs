//! What a course costs: pure arithmetic on whole dong.
//!
//! - Percentages are taken from the list fee of one learner and added, never multiplied. Each discount's amount is rounded
//!   down to a whole dong, so that nobody is promised more than the percentage.
//! - Of more discounts than may be combined the highest percentages count. When together they pass the cap, the later,
//!   smaller ones are cut to what is left of it.
//! - Each instalment is rounded down to a whole dong and the last one is what remains, so that they add up to the total.

use serde::Serialize;

use crate::tenant_data::{Course, Discount, Plan, TenantData};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// How many learn; none when nobody said.
    pub(super) learners: Option<u32>,
    /// Discounts that are claimed, by their place in the tenant's list.
    pub(super) claimed: Vec<usize>,
    /// How it is paid.
    pub(super) payment: Payment,
}

/// How a fee is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Payment {
    /// At once.
    #[default]
    Full,
    /// In so many parts, or in as many as the course allows.
    Parts(Option<u32>),
}

/// The fee of one course. Amounts are dong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Quote<'a> {
    pub(super) course_id: &'a str,
    /// For one learner, before discounts.
    pub(super) list_fee_vnd: u64,
    pub(super) learners: u32,
    /// For one learner each.
    pub(super) discounts: Vec<Applied<'a>>,
    /// What was claimed in vain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) refused: Vec<Refused<'a>>,
    /// In all, after the cap.
    pub(super) discount_percent: u32,
    /// For one learner.
    pub(super) fee_each_vnd: u64,
    /// For all learners.
    pub(super) total_vnd: u64,
    /// For all learners, first part first; empty when paid at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) instalments_vnd: Vec<u64>,
    #[serde(skip)]
    pub(super) plan: Option<&'a Plan>,
}

/// A discount that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Applied<'a> {
    pub(super) id: &'a str,
    /// What counts of its percentage, after the cap.
    pub(super) percent: u32,
    pub(super) amount_vnd: u64,
    #[serde(skip)]
    pub(super) discount: &'a Discount,
}

/// A discount that does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Refused<'a> {
    pub(super) id: &'a str,
    pub(super) reason: Reason,
    #[serde(skip)]
    pub(super) discount: &'a Discount,
}

/// Why a discount does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// Not on this course.
    Course,
    /// It needs more learners.
    Learners,
    /// It needs the full fee at once.
    FullPayment,
    /// So many others count already, or the cap is reached.
    Limit,
}

/// The fee of a course under these wishes.
pub(super) fn quote<'a>(data: &'a TenantData, course: &'a Course, wishes: &Wishes) -> Quote<'a> {
    let plan = plan(data, course, wishes.payment);
    let (mut discounts, mut refused) = (Vec::new(), Vec::new());
    for discount in wishes.claimed.iter().filter_map(|claimed| data.discounts.get(*claimed)) {
        match refusal(data, course, discount, wishes.learners, plan.is_some()) {
            None => discounts.push(discount),
            Some(reason) => refused.push(Refused { id: &discount.id, reason, discount }),
        }
    }
    // A stable sort: of equal percentages the one that was claimed first counts.
    discounts.sort_by_key(|discount| std::cmp::Reverse(discount.percent));
    let (mut applied, mut left) = (Vec::new(), data.stacking.max_percent.min(100));
    for discount in discounts {
        let percent = discount.percent.min(left);
        if applied.len() >= data.stacking.max_discounts as usize || percent == 0 {
            refused.push(Refused { id: &discount.id, reason: Reason::Limit, discount });
            continue;
        }
        left -= percent;
        let amount_vnd = share(course.fee_vnd, percent);
        applied.push(Applied { id: &discount.id, percent, amount_vnd, discount });
    }
    let learners = wishes.learners.unwrap_or(1).max(1);
    let off: u64 = applied.iter().map(|applied| applied.amount_vnd).sum();
    let fee_each_vnd = course.fee_vnd.saturating_sub(off);
    let total_vnd = fee_each_vnd.saturating_mul(u64::from(learners));
    Quote {
        course_id: &course.id,
        list_fee_vnd: course.fee_vnd,
        learners,
        discount_percent: applied.iter().map(|applied| applied.percent).sum(),
        discounts: applied,
        refused,
        fee_each_vnd,
        total_vnd,
        instalments_vnd: plan.map(|plan| parts(total_vnd, plan)).unwrap_or_default(),
        plan,
    }
}

/// Why a discount that is claimed does not count, taken alone.
fn refusal(
    data: &TenantData,
    course: &Course,
    discount: &Discount,
    learners: Option<u32>,
    in_parts: bool,
) -> Option<Reason> {
    if data.stacking.excluded_courses.contains(&course.id) || discount.excluded_courses.contains(&course.id) {
        Some(Reason::Course)
    } else if discount.full_payment && in_parts {
        Some(Reason::FullPayment)
    } else if learners.is_some_and(|learners| learners < discount.min_learners) {
        Some(Reason::Learners)
    } else {
        None
    }
}

/// The plan by which a course is paid in parts: the one that was asked for, else the one with the most parts that the
/// course allows; none when the course is paid at once.
fn plan<'a>(data: &'a TenantData, course: &Course, payment: Payment) -> Option<&'a Plan> {
    let Payment::Parts(wanted) = payment else { return None };
    let parts = |plan: &&Plan| plan.percents.len();
    let allowed = || data.plans.iter().filter(|plan| plan.percents.len() <= course.instalments as usize);
    let exact = allowed().find(|plan| wanted.is_some_and(|wanted| parts(plan) == wanted as usize));
    exact.or_else(|| allowed().max_by_key(parts))
}

fn parts(total: u64, plan: &Plan) -> Vec<u64> {
    let (last, first) =
        plan.percents.split_last().map_or((None, &[][..]), |(last, first)| (Some(last), first));
    let mut parts: Vec<u64> = first.iter().map(|percent| share(total, *percent)).collect();
    let rest = total.saturating_sub(parts.iter().sum());
    parts.extend(last.map(|_| rest));
    parts
}

/// A percentage of an amount, rounded down.
fn share(amount: u64, percent: u32) -> u64 {
    (u128::from(amount) * u128::from(percent) / 100).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::centre;
    use super::*;

    fn course<'a>(data: &'a TenantData, id: &str) -> &'a Course {
        data.courses.iter().find(|course| course.id == id).unwrap()
    }

    fn claim(data: &TenantData, ids: &[&str]) -> Vec<usize> {
        ids.iter().map(|id| data.discounts.iter().position(|discount| discount.id == *id).unwrap()).collect()
    }

    #[test]
    fn every_pair_of_discounts_on_ielts_6_5() {
        let data = centre();
        let fees = [
            ("early-bird", "early-bird", 9_450_000),
            ("early-bird", "sibling", 8_400_000),
            ("early-bird", "group", 8_400_000),
            ("early-bird", "returning", 8_610_000),
            ("early-bird", "student", 8_925_000),
            ("sibling", "sibling", 9_450_000),
            ("sibling", "group", 8_400_000),
            ("sibling", "returning", 8_610_000),
            ("sibling", "student", 8_925_000),
            ("group", "group", 9_240_000),
            ("group", "returning", 8_400_000),
            ("group", "student", 8_715_000),
            ("returning", "returning", 9_660_000),
            ("returning", "student", 9_135_000),
            ("student", "student", 9_975_000),
        ];
        for (a, b, fee) in fees {
            let mut claimed = claim(&data, &[a, b]);
            claimed.dedup();
            for claimed in [claimed.clone(), claimed.into_iter().rev().collect()] {
                let wishes = Wishes { claimed, ..Wishes::default() };
                let quote = quote(&data, course(&data, "ielts-6-5"), &wishes);
                assert_eq!((quote.fee_each_vnd, quote.list_fee_vnd), (fee, 10_500_000), "{a} and {b}");
                assert!(quote.refused.is_empty() && quote.discount_percent <= 20);
            }
        }
    }

    #[test]
    fn of_three_discounts_the_two_highest_count() {
        let data = centre();
        let wishes =
            Wishes { claimed: claim(&data, &["student", "returning", "sibling"]), ..Wishes::default() };
        let quote = quote(&data, course(&data, "ielts-7-0"), &wishes);
        assert_eq!(
            quote.discounts.iter().map(|a| (a.id, a.percent, a.amount_vnd)).collect::<Vec<_>>(),
            [("sibling", 10, 1_380_000), ("returning", 8, 1_104_000),]
        );
        assert_eq!((quote.refused[0].id, quote.refused[0].reason), ("student", Reason::Limit));
        assert_eq!(quote.total_vnd, 11_316_000);
    }

    #[test]
    fn the_cap_cuts_the_smaller_discount() {
        let data = centre();
        let claimed = claim(&data, &["early-bird", "group"]);
        let quote = quote(
            &data,
            course(&data, "ielts-7-0"),
            &Wishes { learners: Some(3), claimed, ..Wishes::default() },
        );
        assert_eq!(
            quote.discounts.iter().map(|a| (a.id, a.percent, a.amount_vnd)).collect::<Vec<_>>(),
            [("group", 12, 1_656_000), ("early-bird", 8, 1_104_000),]
        );
        assert_eq!(
            (quote.discount_percent, quote.fee_each_vnd, quote.total_vnd),
            (20, 11_040_000, 33_120_000)
        );
    }

    #[test]
    fn discounts_that_do_not_apply_are_refused_with_their_reason() {
        let data = centre();
        for (id, claimed, learners, payment, fee, reason) in [
            ("kids-movers", "student", None, Payment::Full, 7_800_000, Reason::Course),
            ("one-to-one", "early-bird", None, Payment::Full, 12_000_000, Reason::Course),
            ("ielts-6-5", "group", Some(2), Payment::Full, 10_500_000, Reason::Learners),
            ("ielts-6-5", "sibling", Some(1), Payment::Full, 10_500_000, Reason::Learners),
            ("ielts-6-5", "early-bird", None, Payment::Parts(None), 10_500_000, Reason::FullPayment),
        ] {
            let wishes = Wishes { learners, claimed: claim(&data, &[claimed]), payment };
            let quote = quote(&data, course(&data, id), &wishes);
            assert_eq!((quote.fee_each_vnd, quote.refused[0].reason), (fee, reason), "{claimed} on {id}");
        }
    }

    #[test]
    fn instalments_follow_the_course() {
        let data = centre();
        for (id, wanted, parts) in [
            ("ielts-5-5", None, &[5_040_000, 3_360_000][..]),
            ("ielts-5-5", Some(3), &[5_040_000, 3_360_000]),
            ("ielts-7-0", None, &[5_520_000, 4_140_000, 4_140_000]),
            ("ielts-7-0", Some(2), &[8_280_000, 5_520_000]),
            ("ielts-7-0", Some(5), &[5_520_000, 4_140_000, 4_140_000]),
            ("toeic-650", None, &[]),
            ("toeic-650", Some(2), &[]),
        ] {
            let wishes = Wishes { payment: Payment::Parts(wanted), ..Wishes::default() };
            assert_eq!(quote(&data, course(&data, id), &wishes).instalments_vnd, parts, "{id} in {wanted:?}");
        }
        // A course that is paid at once keeps the discount that needs the full fee.
        let claimed = claim(&data, &["early-bird"]);
        let wishes = Wishes { payment: Payment::Parts(None), claimed, ..Wishes::default() };
        assert_eq!(quote(&data, course(&data, "toeic-650"), &wishes).total_vnd, 4_050_000);
    }

    proptest! {
        #[test]
        fn totals_stay_between_nothing_and_the_list_fee(
            fee in 1_u64..10_000_000_000,
            learners in proptest::option::of(1_u32..1000),
            percents in proptest::collection::vec(0_u32..=100, 1..6),
            max_discounts in 0_u32..6,
            max_percent in 0_u32..=100,
            in_parts in proptest::option::of(proptest::option::of(0_u32..5)),
            cut in 1_u32..50,
        ) {
            let mut data = centre();
            let template = Discount { min_learners: 1, full_payment: false, ..data.discounts[0].clone() };
            data.discounts = percents.iter().map(|percent| Discount { percent: *percent, ..template.clone() }).collect();
            data.stacking.max_discounts = max_discounts;
            data.stacking.max_percent = max_percent;
            data.plans[1].percents = vec![cut, cut, 100 - 2 * cut];
            data.courses[3].fee_vnd = fee;
            let claimed = (0..percents.len()).collect();
            let payment = in_parts.map_or(Payment::Full, Payment::Parts);
            let quote = quote(&data, &data.courses[3], &Wishes { learners, claimed, payment });
            let list = fee * u64::from(quote.learners);
            prop_assert!(quote.total_vnd <= list);
            prop_assert!(u128::from(list - quote.total_vnd) * 100 <= u128::from(list) * u128::from(max_percent));
            prop_assert!(quote.discounts.len() <= max_discounts as usize);
            prop_assert_eq!(quote.total_vnd, quote.fee_each_vnd * u64::from(quote.learners));
            if in_parts.is_some() {
                prop_assert_eq!(quote.instalments_vnd.iter().sum::<u64>(), quote.total_vnd);
            } else {
                prop_assert!(quote.instalments_vnd.is_empty());
            }
        }
    }
}
