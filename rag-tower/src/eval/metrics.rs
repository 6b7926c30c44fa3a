//! A ranking and its judgements in, one number out.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// The share of the relevant documents among the first `k`: `|relevant ∩ first k| / |relevant|`, from 0 to 1, and 0
/// without relevant documents.
///
/// A document is relevant when its grade is above 0. As in trec_eval (`recall_k`), more than `k` relevant documents
/// cannot all be found. A document that a ranking names twice counts once, where it stands first.
#[must_use]
pub fn recall_at<T: Eq + Hash>(k: usize, ranking: &[T], grades: &HashMap<T, u32>) -> f64 {
    let relevant = grades.values().filter(|grade| **grade > 0).count();
    if relevant == 0 {
        return 0.0;
    }
    let found = graded(k, ranking, grades).filter(|(_, grade)| *grade > 0).count();
    found as f64 / relevant as f64
}

/// `1 / rank` of the first relevant document among the first `k`, and 0 when there is none. Its mean over queries is
/// the mean reciprocal rank, MRR@k (Voorhees, *The TREC-8 Question Answering Track Report*, 1999).
#[must_use]
pub fn reciprocal_rank_at<T: Eq + Hash>(k: usize, ranking: &[T], grades: &HashMap<T, u32>) -> f64 {
    let first = graded(k, ranking, grades).find(|(_, grade)| *grade > 0);
    first.map_or(0.0, |(rank, _)| 1.0 / rank as f64)
}

/// Normalised discounted cumulative gain: `DCG / ideal DCG` with `DCG = Σ grade / log2(rank + 1)` over the first `k`,
/// from 0 to 1, and 0 without relevant documents.
///
/// The discount is that of Järvelin and Kekäläinen, *Cumulated Gain-Based Evaluation of IR Techniques* (2002), the gain is
/// the grade itself, as in trec_eval (`ndcg_cut`) and so in the figures that BEIR publishes.
#[must_use]
pub fn ndcg_at<T: Eq + Hash>(k: usize, ranking: &[T], grades: &HashMap<T, u32>) -> f64 {
    let gain = |rank: usize, grade: u32| f64::from(grade) / (rank as f64 + 1.0).log2();
    let mut best: Vec<u32> = grades.values().copied().collect();
    best.sort_unstable_by(|a, b| b.cmp(a));
    let ideal: f64 = (1..=k).zip(best).map(|(rank, grade)| gain(rank, grade)).sum();
    if ideal == 0.0 {
        return 0.0;
    }
    graded(k, ranking, grades).map(|(rank, grade)| gain(rank, grade)).sum::<f64>() / ideal
}

/// The smallest of the values that at least `share` (0 to 1) of all values do not exceed (nearest rank), and 0 of none.
#[must_use]
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

/// Ranks from 1 and grades of the first `k`; a repeated document has grade 0.
fn graded<'a, T: Eq + Hash>(
    k: usize,
    ranking: &'a [T],
    grades: &'a HashMap<T, u32>,
) -> impl Iterator<Item = (usize, u32)> + 'a {
    let mut seen = HashSet::new();
    (1..=k).zip(ranking).map(move |(rank, document)| {
        let grade = if seen.insert(document) { grades.get(document).copied().unwrap_or(0) } else { 0 };
        (rank, grade)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn figures_worked_out_by_hand() {
        let grades = HashMap::from([("a", 2), ("b", 1), ("c", 0)]);
        let ranking = ["x", "a", "c", "b"];
        assert_eq!(recall_at(1, &ranking, &grades), 0.0);
        assert_eq!(recall_at(2, &ranking, &grades), 0.5);
        assert_eq!(recall_at(10, &ranking, &grades), 1.0);
        assert_eq!(reciprocal_rank_at(10, &ranking, &grades), 0.5);
        assert_eq!(reciprocal_rank_at(1, &ranking, &grades), 0.0);
        // (2 / log2 3 + 1 / log2 5) / (2 / log2 2 + 1 / log2 3)
        assert!((ndcg_at(10, &ranking, &grades) - 0.643_3).abs() < 1e-3);
        assert_eq!(ndcg_at(10, &["a", "b"], &grades), 1.0);
        let none = HashMap::from([("c", 0)]);
        assert_eq!((recall_at(5, &ranking, &none), ndcg_at(5, &ranking, &none)), (0.0, 0.0));
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(
            [0.0, 0.5, 0.51, 0.99, 1.0].map(|share| percentile(&values, share)),
            [1.0, 2.0, 3.0, 4.0, 4.0]
        );
        assert_eq!(percentile(&[], 0.5), 0.0);
    }

    /// The same by counting, without iterators over grades.
    fn naive(k: usize, ranking: &[u8], grades: &HashMap<u8, u32>) -> (f64, f64, f64) {
        let (mut hits, mut first, mut dcg) = (0.0, 0.0, 0.0);
        for at in 0..ranking.len().min(k) {
            let grade = *grades.get(&ranking[at]).unwrap_or(&0);
            if ranking[..at].contains(&ranking[at]) || grade == 0 {
                continue;
            }
            hits += 1.0;
            if first == 0.0 {
                first = 1.0 / (at + 1) as f64;
            }
            dcg += f64::from(grade) / ((at + 2) as f64).log2();
        }
        let mut sorted: Vec<_> = grades.values().copied().collect();
        sorted.sort_unstable();
        let (mut ideal, mut relevant) = (0.0, 0.0);
        for (at, grade) in sorted.iter().rev().enumerate() {
            relevant += if *grade > 0 { 1.0 } else { 0.0 };
            ideal += if at < k { f64::from(*grade) / ((at + 2) as f64).log2() } else { 0.0 };
        }
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        (share(hits, relevant), first, share(dcg, ideal))
    }

    proptest! {
        #[test]
        fn every_metric_is_the_naive_one_and_within_zero_and_one(
            k in 0_usize..12,
            ranking in proptest::collection::vec(0_u8..20, 0..15),
            grades in proptest::collection::hash_map(0_u8..20, 0_u32..4, 0..10),
        ) {
            let (recall, rank, ndcg) = naive(k, &ranking, &grades);
            prop_assert!((recall_at(k, &ranking, &grades) - recall).abs() < 1e-9);
            prop_assert!((reciprocal_rank_at(k, &ranking, &grades) - rank).abs() < 1e-9);
            prop_assert!((ndcg_at(k, &ranking, &grades) - ndcg).abs() < 1e-9);
            for figure in [recall, rank, ndcg] {
                prop_assert!((0.0..=1.0 + 1e-9).contains(&figure));
            }
        }

        #[test]
        fn the_grades_in_order_are_the_best_ranking(
            grades in proptest::collection::hash_map(0_u8..20, 1_u32..4, 1..10),
        ) {
            let mut best: Vec<u8> = grades.keys().copied().collect();
            best.sort_by_key(|id| std::cmp::Reverse(grades[id]));
            prop_assert!((ndcg_at(10, &best, &grades) - 1.0).abs() < 1e-9);
            prop_assert_eq!(reciprocal_rank_at(10, &best, &grades), 1.0);
        }
    }
}
