//! Ranked lists in, one ranked list out: reciprocal-rank fusion, the same wherever it is computed.

use std::collections::HashMap;

use crate::passage::{ChunkId, Found};
use crate::port::{FusedHit, Hit};

/// The constant of reciprocal-rank fusion: Cormack, Clarke and Büttcher, *Reciprocal Rank Fusion outperforms Condorcet
/// and individual Rank Learning Methods* (2009).
pub(crate) const RRF_K: u16 = 60;

/// Reciprocal-rank fusion of lists, each with its weight: a key scores `Σ weight / (60 + rank)` over the lists that hold
/// it, times 61 so that with weights that sum to 1 the best possible score is 1. Best first, equal scores by key.
pub(crate) fn rrf<K, L>(lists: impl IntoIterator<Item = (f32, L)>) -> Vec<(K, f32)>
where
    K: Copy + Ord,
    L: IntoIterator<Item = K>,
{
    let mut ranked = Vec::new();
    for (weight, list) in lists {
        let ranks = (1_u16..).zip(list);
        ranked.extend(ranks.map(|(rank, key)| (key, weight / (f32::from(rank) + f32::from(RRF_K)))));
    }
    let mut ranked = added_up(ranked);
    for (_, sum) in &mut ranked {
        *sum = scaled(*sum);
    }
    ranked.sort_unstable_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
    ranked
}

/// Weights of keys in any order in, each key once and ascending with the sum of its weights out, added in the order given.
pub(crate) fn added_up<K: Copy + Ord>(mut weights: Vec<(K, f32)>) -> Vec<(K, f32)> {
    weights.sort_by_key(|(key, _)| *key);
    weights.dedup_by(|(key, weight), (same, sum)| {
        let again = key == same;
        *sum += if again { *weight } else { 0.0 };
        again
    });
    weights
}

/// A sum of weighted reciprocal ranks as a score of at most 1, to a millionth: sums that are equal on paper are equal
/// here, in whatever order they were added, and so ordered alike everywhere.
pub(crate) fn scaled(sum: f32) -> f32 {
    (sum * (f32::from(RRF_K) + 1.0) * 1e6).round() / 1e6
}

/// The hits of two searches as those of one.
pub(crate) fn fuse_hits(dense: Vec<Hit>, sparse: Vec<Hit>, dense_weight: f32, limit: usize) -> Vec<FusedHit> {
    let chunks = |hits: &[Hit]| hits.iter().map(|hit| hit.chunk).collect::<Vec<_>>();
    let ranked = rrf([(dense_weight, chunks(&dense)), (1.0 - dense_weight, chunks(&sparse))]);
    let mut hits = HashMap::<ChunkId, FusedHit>::new();
    for (rank, hit) in (1..).zip(dense) {
        let found = Found { rank, score: hit.score };
        hits.insert(hit.chunk, FusedHit { hit, dense: Some(found), sparse: None });
    }
    for (rank, hit) in (1..).zip(sparse) {
        let found = Found { rank, score: hit.score };
        hits.entry(hit.chunk).or_insert(FusedHit { hit, dense: None, sparse: None }).sparse = Some(found);
    }
    let fused = ranked.into_iter().take(limit).filter_map(|(chunk, score)| {
        let mut fused = hits.remove(&chunk)?;
        fused.hit.score = score;
        Some(fused)
    });
    fused.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The formula, word for word.
    fn naive(lists: &[(f32, Vec<u8>)]) -> Vec<(u8, f32)> {
        let score = |key: u8| {
            let of = |(weight, list): &(f32, Vec<u8>)| {
                list.iter().position(|had| *had == key).map(|at| weight * 61.0 / (61.0 + at as f32))
            };
            lists.iter().filter_map(of).sum::<f32>()
        };
        let mut keys: Vec<u8> = lists.iter().flat_map(|(_, list)| list.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().map(|key| (key, score(key))).collect()
    }

    fn list() -> impl Strategy<Value = Vec<u8>> {
        proptest::sample::subsequence((0..30).collect::<Vec<u8>>(), 0..20).prop_shuffle()
    }

    proptest! {
        #[test]
        fn fusion_is_the_formula(lists in proptest::collection::vec((0.1_f32..1.0, list()), 0..4)) {
            let mut ranked = rrf(lists.clone());
            prop_assert!(ranked.windows(2).all(|pair| (pair[1].1, pair[0].0) <= (pair[0].1, pair[1].0)));
            ranked.sort_unstable_by_key(|(key, _)| *key);
            let expected = naive(&lists);
            prop_assert_eq!(ranked.len(), expected.len());
            for ((key, score), (wanted, exact)) in ranked.into_iter().zip(expected) {
                prop_assert_eq!(key, wanted);
                prop_assert!((score - exact).abs() < 1e-5, "{} {}", score, exact);
            }
        }

        #[test]
        fn the_order_of_two_lists_does_not_matter(a in list(), b in list()) {
            prop_assert_eq!(rrf([(0.5, a.clone()), (0.5, b.clone())]), rrf([(0.5, b), (0.5, a)]));
        }
    }
}
