//! Scores of questions that can and cannot be answered in, the floor that tells them apart out.

/// A question whose answer is, or is not, in the documents, and the confidence that was measured for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labelled {
    /// The confidence, 0 to 1, as [`ConfidenceLayer`](super::ConfidenceLayer) writes it to the trace.
    pub confidence: f32,
    /// True when the documents hold the answer.
    pub answerable: bool,
}

/// A floor, and what it does to the questions that it was found on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Calibration {
    /// The floor for [`ConfidenceLayer::new`](super::ConfidenceLayer::new).
    pub floor: f32,
    /// Of the questions at or above the floor, the share that can be answered. 1 when there is none.
    pub precision: f32,
    /// Of the answerable questions, the share at or above the floor.
    pub answered: f32,
    /// Of the unanswerable questions, the share below the floor.
    pub refused: f32,
    /// The chance that an answerable question has more confidence than an unanswerable one, whatever the floor: the area
    /// under the ROC curve, which is the Mann-Whitney statistic over all pairs (Hanley and McNeil 1982). Half is chance.
    pub auroc: f32,
}

/// The lowest floor, and so the one that answers most, at which at least `precision` (0 to 1) of what is answered can be
/// answered. The floor stands halfway between two scores that occur.
///
/// Nothing is found when either kind of question is missing, a confidence is not a number, or no floor is that precise.
///
/// ```
/// use rag_tower::stage::{Labelled, calibrate};
///
/// let labelled = [(0.9, true), (0.7, true), (0.5, false), (0.4, true), (0.1, false)];
/// let labelled = labelled.map(|(confidence, answerable)| Labelled { confidence, answerable });
/// let found = calibrate(&labelled, 0.95).ok_or("cannot be told apart")?;
/// assert!((found.floor - 0.6).abs() < 1e-6 && found.precision == 1.0 && found.refused == 1.0);
/// # Ok::<_, &str>(())
/// ```
#[must_use]
pub fn calibrate(labelled: &[Labelled], precision: f32) -> Option<Calibration> {
    let answerable = labelled.iter().filter(|one| one.answerable).count();
    let unanswerable = labelled.len() - answerable;
    if answerable == 0 || unanswerable == 0 || labelled.iter().any(|one| one.confidence.is_nan()) {
        return None;
    }
    let mut ranked = labelled.to_vec();
    ranked.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    // From the highest score down: what each floor lets through.
    let (mut right, mut wrong, mut found) = (0, 0, None);
    // Pairs that are in the right order, in halves: a tie is half a pair.
    let mut halves = 0;
    let mut groups = ranked.chunk_by(|a, b| a.confidence == b.confidence).peekable();
    while let Some(group) = groups.next() {
        let of_group = group.iter().filter(|one| one.answerable).count();
        let against = group.len() - of_group;
        halves += of_group * (2 * (unanswerable - wrong - against) + against);
        right += of_group;
        wrong += against;
        let reached = right as f32 / (right + wrong) as f32;
        if reached >= precision && right > 0 {
            let here = group.first().map_or(0.0, |one| one.confidence);
            let next = groups.peek().and_then(|group| group.first()).map_or(0.0, |one| one.confidence);
            found = Some((f32::midpoint(here, next), reached, right, wrong));
        }
    }
    let (floor, precision, right, wrong) = found?;
    Some(Calibration {
        floor,
        precision,
        answered: right as f32 / answerable as f32,
        refused: 1.0 - wrong as f32 / unanswerable as f32,
        auroc: halves as f32 / (2 * answerable * unanswerable) as f32,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labelled(scores: &[(f32, bool)]) -> Vec<Labelled> {
        scores.iter().map(|&(confidence, answerable)| Labelled { confidence, answerable }).collect()
    }

    #[test]
    fn the_lowest_floor_that_is_precise_enough() {
        let scores = labelled(&[(0.9, true), (0.8, true), (0.6, false), (0.6, true), (0.2, false)]);
        let strict = calibrate(&scores, 1.0).unwrap();
        assert!((strict.floor - 0.7).abs() < 1e-6 && strict.precision == 1.0);
        assert!((strict.answered - 2.0 / 3.0).abs() < 1e-6 && strict.refused == 1.0);
        let loose = calibrate(&scores, 0.7).unwrap();
        assert!((loose.floor - 0.4).abs() < 1e-6 && loose.answered == 1.0 && loose.refused == 0.5);
        // Six pairs: five in order, one tie.
        assert!((strict.auroc - 5.5 / 6.0).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_calibrated_is_not() {
        assert_eq!(calibrate(&labelled(&[(0.9, true)]), 0.9), None);
        assert_eq!(calibrate(&labelled(&[(0.9, false), (0.1, true)]), 0.9), None);
        assert_eq!(calibrate(&labelled(&[(f32::NAN, false), (0.1, true)]), 0.1), None);
    }

    proptest! {
        #[test]
        fn agrees_with_trying_every_floor(scores in prop::collection::vec((0_u8..20, any::<bool>()), 2..40), target in 0.3_f32..1.0) {
            let scores: Vec<(f32, bool)> = scores.into_iter().map(|(s, a)| (f32::from(s) / 20.0, a)).collect();
            let kinds = |kind| scores.iter().filter(move |(_, a)| *a == kind);
            prop_assume!(kinds(true).count() > 0 && kinds(false).count() > 0);
            let found = calibrate(&labelled(&scores), target);
            // Every score that occurs, as a floor.
            let naive = scores.iter().map(|(floor, _)| *floor).filter(|floor| {
                let right = kinds(true).filter(|(s, _)| s >= floor).count() as f32;
                let wrong = kinds(false).filter(|(s, _)| s >= floor).count() as f32;
                right > 0.0 && right / (right + wrong) >= target
            });
            let naive = naive.fold(None, |least: Option<f32>, floor| Some(least.map_or(floor, |l| l.min(floor))));
            prop_assert_eq!(found.is_some(), naive.is_some());
            if let (Some(found), Some(naive)) = (found, naive) {
                let kept = |floor: f32| kinds(true).filter(|(s, _)| *s >= floor).count();
                prop_assert_eq!(kept(found.floor), kept(naive));
                let pairs = kinds(true).flat_map(|(a, _)| kinds(false).map(move |(b, _)| (a, b)));
                let order: f32 = pairs.map(|(a, b)| if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 }).sum();
                let all = (kinds(true).count() * kinds(false).count()) as f32;
                prop_assert!((found.auroc - order / all).abs() < 1e-4);
            }
        }
    }
}
