//! Guesses about labelled texts in, accuracy, out-of-scope recall and AUROC out; and the threshold that parts them.
//!
//! A guess is *accepted* at a threshold when its score is at least that; otherwise the text is taken for out of scope.
//!
//! - **In-scope accuracy:** of the texts that have a label, the part whose guess is accepted and right.
//! - **Out-of-scope recall:** of the texts that have none, the part whose guess is not accepted.
//! - **AUROC:** the probability that a text with a label, drawn by chance, scores higher than one without, ties counting
//!   one half; whether the guess is right does not matter.
//!
//! As in Larson et al., *An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction* (2019).

use crate::route::{Guess, IntentModel, Labelled};

/// What became of one text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The text's label; none when it is out of scope.
    pub expected: Option<u32>,
    /// What it was taken for.
    pub guess: Guess,
}

/// How well guesses do at one threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// The least score that is accepted.
    pub threshold: f32,
    /// In-scope accuracy, 0 to 1; none when no text has a label.
    pub in_scope_accuracy: Option<f64>,
    /// Out-of-scope recall, 0 to 1; none when every text has a label.
    pub oos_recall: Option<f64>,
}

// === impl Outcome ===

impl Outcome {
    /// What a model makes of a text; none when the model knows no label.
    #[must_use]
    pub fn of(model: &IntentModel, example: &Labelled<'_>) -> Option<Self> {
        Some(Self { expected: example.label, guess: model.guess(example.text)? })
    }

    /// True when the guess names the label that the text has.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.expected == Some(self.guess.label)
    }
}

/// How well guesses do at a threshold.
#[must_use]
pub fn at_threshold(outcomes: &[Outcome], threshold: f32) -> CurvePoint {
    let accepted = |outcome: &Outcome| outcome.guess.score >= threshold;
    let (inside, outside): (Vec<&Outcome>, Vec<&Outcome>) =
        outcomes.iter().partition(|outcome| outcome.expected.is_some());
    let right = inside.iter().filter(|outcome| outcome.is_right() && accepted(outcome)).count();
    let refused = outside.iter().filter(|outcome| !accepted(outcome)).count();
    CurvePoint {
        threshold,
        in_scope_accuracy: part(right, inside.len()),
        oos_recall: part(refused, outside.len()),
    }
}

/// The area under the receiver operating characteristic, 0 to 1; none unless there are texts of both kinds.
#[must_use]
pub fn auroc(outcomes: &[Outcome]) -> Option<f64> {
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by(|a, b| a.guess.score.total_cmp(&b.guess.score));
    // Mann and Whitney: the pairs in which the text with a label scores higher, counted twice; ties once.
    let (mut below, mut pairs) = (0_u64, 0_u64);
    for tied in sorted.chunk_by(|a, b| a.guess.score == b.guess.score) {
        let inside = tied.iter().filter(|outcome| outcome.expected.is_some()).count() as u64;
        let outside = tied.len() as u64 - inside;
        pairs += inside * (2 * below + outside);
        below += outside;
    }
    let inside = outcomes.len() as u64 - below;
    (inside > 0 && below > 0).then(|| pairs as f64 / (2 * inside * below) as f64)
}

/// Accuracy and recall from accepting everything to turning away every right guess, in `steps` equal steps of in-scope
/// accuracy lost.
#[must_use]
pub fn curve(outcomes: &[Outcome], steps: usize) -> Vec<CurvePoint> {
    let mut thresholds: Vec<f32> =
        (0..=steps).map(|step| choose_threshold(outcomes, step as f64 / steps.max(1) as f64)).collect();
    thresholds.dedup();
    thresholds.into_iter().map(|threshold| at_threshold(outcomes, threshold)).collect()
}

/// The highest threshold that turns away at most a share of the guesses that are right: `loss` of 0.01 costs at most one
/// in a hundred of the texts that would go the right way. It needs no text that is out of scope.
///
/// Without a right guess, or when all may be lost, nothing is accepted: the threshold is above every score.
#[must_use]
pub fn choose_threshold(outcomes: &[Outcome], loss: f64) -> f32 {
    let mut right: Vec<f32> =
        outcomes.iter().filter(|outcome| outcome.is_right()).map(|outcome| outcome.guess.score).collect();
    right.sort_by(f32::total_cmp);
    let may_go = (right.len() as f64 * loss.max(0.0)).floor() as usize;
    right.get(may_go).copied().unwrap_or(f32::INFINITY)
}

/// What a model says of each example of one part of `parts`, when it has learnt from the other parts: part number `part`,
/// from 0. The examples of each label are dealt to the parts in turn, in the order in which they are given.
///
/// All parts together are a cross-validation. It takes as long as [`IntentModel::learn`], and is work for the processor
/// alone.
#[must_use]
pub fn held_out(examples: &[Labelled<'_>], part: usize, parts: usize) -> Vec<Outcome> {
    let mut dealt = std::collections::HashMap::<Option<u32>, usize>::new();
    let (held, learnt): (Vec<_>, Vec<_>) = examples.iter().copied().partition(|example| {
        let turn = dealt.entry(example.label).or_default();
        *turn += 1;
        (*turn - 1) % parts.max(1) == part
    });
    let model = IntentModel::learn(&learnt);
    held.iter().filter_map(|example| Outcome::of(&model, example)).collect()
}

fn part(count: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| count as f64 / of as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
        let one =
            (proptest::option::of(0..3_u32), 0..3_u32, -4..5_i8).prop_map(|(expected, label, score)| {
                Outcome { expected, guess: Guess { label, score: f32::from(score) / 2.0 } }
            });
        proptest::collection::vec(one, 0..60)
    }

    fn naive_auroc(outcomes: &[Outcome]) -> Option<f64> {
        let (mut won, mut pairs) = (0.0, 0.0);
        for a in outcomes.iter().filter(|outcome| outcome.expected.is_some()) {
            for b in outcomes.iter().filter(|outcome| outcome.expected.is_none()) {
                pairs += 1.0;
                won += match a.guess.score.total_cmp(&b.guess.score) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        (pairs > 0.0).then(|| won / pairs)
    }

    proptest! {
        #[test]
        fn the_area_is_that_of_counting_every_pair(outcomes in outcomes()) {
            match (auroc(&outcomes), naive_auroc(&outcomes)) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-9, "{a} {b}"),
                (a, b) => prop_assert_eq!(a, b),
            }
        }

        #[test]
        fn accuracy_and_recall_are_those_of_counting_one_by_one(outcomes in outcomes(), at in -5..6_i8) {
            let threshold = f32::from(at) / 2.0;
            let (mut inside, mut right, mut outside, mut refused) = (0, 0, 0, 0);
            for Outcome { expected, guess } in &outcomes {
                let said = (guess.score >= threshold).then_some(guess.label);
                match expected {
                    Some(label) => (inside, right) = (inside + 1, right + i32::from(said == Some(*label))),
                    None => (outside, refused) = (outside + 1, refused + i32::from(said.is_none())),
                }
            }
            let point = at_threshold(&outcomes, threshold);
            let part = |a: i32, b: i32| (b > 0).then(|| f64::from(a) / f64::from(b));
            prop_assert_eq!((point.in_scope_accuracy, point.oos_recall), (part(right, inside), part(refused, outside)));
        }

        #[test]
        fn the_threshold_is_the_highest_that_loses_no_more(outcomes in outcomes(), loss in 0.0..1.0_f64) {
            let threshold = choose_threshold(&outcomes, loss);
            let right: Vec<f32> = outcomes.iter().filter(|o| o.is_right()).map(|o| o.guess.score).collect();
            let lost = |threshold: f32| right.iter().filter(|score| **score < threshold).count() as f64;
            let may = right.len() as f64 * loss;
            prop_assert!(lost(threshold) <= may);
            if let Some(next) = right.iter().copied().filter(|score| *score > threshold).reduce(f32::min) {
                prop_assert!(lost(next) > may);
            }
        }

        #[test]
        fn along_the_curve_accuracy_falls_and_recall_rises(outcomes in outcomes(), steps in 1..30_usize) {
            let points = curve(&outcomes, steps);
            for pair in points.windows(2) {
                prop_assert!(pair[0].threshold < pair[1].threshold);
                prop_assert!(pair[0].in_scope_accuracy >= pair[1].in_scope_accuracy);
                prop_assert!(pair[0].oos_recall <= pair[1].oos_recall);
            }
        }
    }

    #[test]
    fn every_example_is_held_out_once_and_never_learnt_from_then() {
        let texts: Vec<(String, Option<u32>)> = ('甲'..)
            .zip(0..23)
            .map(|(letter, at)| (letter.to_string(), (at % 4 != 3).then_some(at % 4)))
            .collect();
        let examples: Vec<Labelled<'_>> =
            texts.iter().map(|(text, label)| Labelled { text, label: *label }).collect();
        let parts: Vec<Vec<Outcome>> = (0..5).map(|part| held_out(&examples, part, 5)).collect();
        let labels = |outcomes: Vec<Option<u32>>| {
            let mut labels = outcomes;
            labels.sort_unstable();
            labels
        };
        assert_eq!(
            labels(parts.iter().flatten().map(|outcome| outcome.expected).collect()),
            labels(examples.iter().map(|example| example.label).collect())
        );
        // No text has anything in common with another: what was not learnt from is all the same to the model.
        for part in &parts {
            assert!(part.windows(2).all(|pair| pair[0].guess == pair[1].guess), "{part:?}");
        }
        let model = IntentModel::learn(&examples);
        let inside = examples.iter().filter(|example| example.label.is_some());
        assert!(inside.filter_map(|example| Outcome::of(&model, example)).all(|outcome| outcome.is_right()));
    }
}
