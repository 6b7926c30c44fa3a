//! [`Retrieved`] in, [`Retrieved`] out: the best passages that do not say the same.

use std::fmt;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::known::{KnownTerms, Terms};
use super::{Retrieved, StageLayer};
use crate::answer::Answer;
use crate::error::{Error, Stage};
use crate::passage::Passages;
use crate::scoped::Scoped;

/// Keeps the passages of highest maximal marginal relevance, and no near-copies.
///
/// Room in a prompt that two versions of one page take twice is lost to what else there is to say. Passages are chosen one
/// by one: each time the one with the highest `λ · relevance − (1 − λ) · likeness`, where likeness is that to the most
/// alike of those chosen before (Carbonell and Goldstein 1998, *The Use of MMR, Diversity-Based Reranking for Reordering
/// Documents and Producing Summaries*). Relevance is the passage's score, brought to 0 to 1 among these passages; likeness
/// is the Jaccard likeness of the terms of title and text, 0 to 1. A passage whose likeness to a chosen one reaches the
/// limit of [`with_copies_from`](Self::with_copies_from) is left out, however relevant. The best passage always stays, and
/// scores stay as they were.
///
/// - **Order:** after the last stage that scores and before [`PromptLayer`](super::PromptLayer). It may drop passages, so
///   give [`RerankLayer`](super::RerankLayer) more to keep than are wanted here.
/// - **Readiness:** that of the stage inside.
/// - **Cancellation:** nothing of its own to cancel.
/// - **Panics:** never.
#[derive(Clone)]
pub struct DiversifyLayer {
    keep: usize,
    lambda: f32,
    copies: f32,
    known: KnownTerms,
}

/// The service of [`DiversifyLayer`].
#[derive(Clone, Debug)]
pub struct DiversifyStage<S> {
    inner: S,
    layer: DiversifyLayer,
}

/// A passage that may be chosen.
struct Candidate {
    at: usize,
    /// How many of those chosen it was compared with, and how alike it is to the nearest of them.
    compared: usize,
    nearest: f32,
}

/// How many terms of a list are compared with as many of another in one step.
const AT_ONCE: usize = 8;

// === impl DiversifyLayer ===

impl DiversifyLayer {
    /// Keeps at most `keep` passages.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self { keep, lambda: 0.9, copies: 0.9, known: KnownTerms::new() }
    }

    /// The λ of the formula, 0 to 1: at 1 only relevance counts and only near-copies go, at 0 only novelty. Default: 0.9,
    /// which decides among passages of about the same relevance and leaves clear differences alone.
    #[must_use]
    pub fn with_lambda(mut self, lambda: f32) -> Self {
        self.lambda = lambda.clamp(0.0, 1.0);
        self
    }

    /// The likeness from which two passages are copies of each other, 0 to 1; above 1 none are. Default: 0.9.
    #[must_use]
    pub fn with_copies_from(mut self, likeness: f32) -> Self {
        self.copies = likeness;
        self
    }

    /// The places of the passages to keep, in order.
    ///
    /// Likeness to what is chosen only grows, so worth only falls: a passage whose worth is exact and not below what the
    /// others were worth at their last look is the best, and most passages are compared with few of those chosen.
    pub(crate) fn choose(&self, passages: &Passages) -> Vec<usize> {
        let terms: Vec<Terms> = self.known.of(passages);
        let relevance = relevance(&passages.iter().map(|passage| passage.score).collect::<Vec<_>>());
        let mut left: Vec<Candidate> = (0..passages.len()).map(Candidate::new).collect();
        let mut chosen: Vec<usize> = Vec::with_capacity(self.keep.min(passages.len()));
        while chosen.len() < self.keep {
            let worth = |candidate: &Candidate| match chosen.is_empty() {
                true => relevance[candidate.at],
                false => self.lambda * relevance[candidate.at] - (1.0 - self.lambda) * candidate.nearest,
            };
            // Of equals the earlier one: the last that `max_by` sees.
            let best = (0..left.len()).rev().max_by(|a, b| worth(&left[*a]).total_cmp(&worth(&left[*b])));
            let Some(best) = best else { break };
            let candidate = &mut left[best];
            if candidate.compared == chosen.len() {
                chosen.push(left.remove(best).at);
                continue;
            }
            for other in &chosen[candidate.compared..] {
                candidate.nearest = candidate.nearest.max(likeness(&terms[candidate.at], &terms[*other]));
            }
            candidate.compared = chosen.len();
            if candidate.nearest >= self.copies {
                left.remove(best);
            }
        }
        chosen
    }
}

// === impl Candidate ===

impl Candidate {
    fn new(at: usize) -> Self {
        Self { at, compared: 0, nearest: 0.0 }
    }
}

impl fmt::Debug for DiversifyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keep, lambda, copies, .. } = self;
        f.debug_struct("DiversifyLayer")
            .field("keep", keep)
            .field("lambda", lambda)
            .field("copies", copies)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for DiversifyLayer {
    type Service = DiversifyStage<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DiversifyStage { inner, layer: self.clone() }
    }
}

impl StageLayer for DiversifyLayer {
    type In = Retrieved;
    type Out = Retrieved;
}

/// Scores brought to 0 to 1 among themselves; all 1 where they are equal, 0 for what is not a number.
fn relevance(scores: &[f32]) -> Vec<f32> {
    let real = || scores.iter().copied().filter(|score| score.is_finite());
    let (low, high) = (real().fold(f32::INFINITY, f32::min), real().fold(f32::NEG_INFINITY, f32::max));
    let scale = |score: &f32| match () {
        () if !score.is_finite() => 0.0,
        () if high > low => (score - low) / (high - low),
        () => 1.0,
    };
    scores.iter().map(scale).collect()
}

/// Jaccard likeness of two ascending lists, 0 to 1; nothing is like nothing.
fn likeness(a: &[u32], b: &[u32]) -> f32 {
    let both = in_both(a, b);
    let either = a.len() + b.len() - both;
    if either == 0 { 0.0 } else { both as f32 / either as f32 }
}

/// How many terms stand in both of two ascending lists, which have none twice.
///
/// A few of one list are compared with a few of the other at once, which takes a fourth of the time of one by one: a processor
/// has instructions for that. Then those go whose last is the smaller, since what follows in the other list is larger.
fn in_both(mut a: &[u32], mut b: &[u32]) -> usize {
    let mut both = [0_u32; AT_ONCE];
    while let (Some(some), Some(others)) = (a.first_chunk::<AT_ONCE>(), b.first_chunk::<AT_ONCE>()) {
        for other in others {
            for (both, one) in both.iter_mut().zip(some) {
                *both += u32::from(one == other);
            }
        }
        let (last, other) = (some[AT_ONCE - 1], others[AT_ONCE - 1]);
        a = &a[AT_ONCE * usize::from(last <= other)..];
        b = &b[AT_ONCE * usize::from(other <= last)..];
    }
    let mut both = both.iter().sum::<u32>() as usize;
    while let ([one, rest @ ..], [other, others @ ..]) = (a, b) {
        a = if one <= other { rest } else { a };
        b = if other <= one { others } else { b };
        both += usize::from(one == other);
    }
    both
}

// === impl DiversifyStage ===

impl<S: Service<Retrieved, Response = Answer, Error = Error>> Service<Retrieved> for DiversifyStage<S> {
    type Response = Answer;
    type Error = Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Retrieved) -> Self::Future {
        if request.passages.len() > 1 {
            let timer = request.trace().time(Stage::Rerank);
            let chosen = self.layer.choose(&request.passages);
            request.passages.select(&chosen);
            drop(timer);
        } else {
            request.passages.truncate(self.layer.keep);
        }
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use tower::ServiceExt;

    use super::super::testing::{Leaf, retrieved};
    use super::*;

    async fn kept(layer: DiversifyLayer, passages: &[(&str, f32)]) -> Vec<String> {
        let leaf = Leaf::answering("ok");
        drop(layer.layer(leaf.clone()).oneshot(retrieved("q", passages)).await.unwrap());
        let seen: Retrieved = leaf.only_request();
        seen.passages.iter().map(|passage| passage.text.to_string()).collect()
    }

    #[tokio::test]
    async fn copies_go_and_what_is_new_moves_up() {
        let passages = [
            ("the pool opens at six in the morning every day", 0.9),
            ("The pool opens at six in the morning, every day!", 0.88),
            ("the pool opens at six in the morning on weekdays", 0.5),
            ("tickets for children are free of charge", 0.5),
            ("nothing of interest", 0.1),
        ];
        let said = kept(DiversifyLayer::new(3).with_copies_from(0.7), &passages).await;
        assert_eq!(said, [passages[0].0, passages[3].0, passages[4].0].map(str::to_owned));
        let relevant = kept(DiversifyLayer::new(3).with_lambda(1.0).with_copies_from(2.0), &passages).await;
        assert_eq!(relevant, [passages[0].0, passages[1].0, passages[2].0].map(str::to_owned));
        assert_eq!(kept(DiversifyLayer::new(0), &passages[..1]).await, Vec::<String>::new());
        assert_eq!(kept(DiversifyLayer::new(2), &[]).await, Vec::<String>::new());
    }

    #[test]
    fn scores_of_any_scale_are_compared() {
        assert_eq!(relevance(&[-4.0, 6.0, 1.0, f32::NAN]), [0.0, 1.0, 0.5, 0.0]);
        assert_eq!(relevance(&[0.3, 0.3]), [1.0, 1.0]);
    }

    proptest! {
        #[test]
        fn what_is_in_both_is_their_intersection(
            a in prop::collection::btree_set(0_u32..60, 0..50),
            b in prop::collection::btree_set(0_u32..60, 0..50),
        ) {
            let (first, second): (Vec<u32>, Vec<u32>) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert_eq!(in_both(&first, &second), a.intersection(&b).count());
        }

        #[test]
        fn agrees_with_the_formula_written_out(
            texts in prop::collection::vec(("[a-f]( [a-f]){0,6}", 0_u8..10), 1..9),
            lambda in 0.0_f32..=1.0,
            keep in 1_usize..9,
        ) {
            let passages: Vec<(&str, f32)> = texts.iter().map(|(text, score)| (text.as_str(), f32::from(*score))).collect();
            let passages = retrieved("q", &passages).passages;
            let layer = DiversifyLayer::new(keep).with_lambda(lambda);
            let terms = layer.known.of(&passages);
            let sets: Vec<BTreeSet<u32>> = terms.iter().map(|terms| terms.iter().copied().collect()).collect();
            let like = |a: usize, b: usize| {
                sets[a].intersection(&sets[b]).count() as f32 / sets[a].union(&sets[b]).count() as f32
            };
            let relevance = relevance(&passages.iter().map(|p| p.score).collect::<Vec<_>>());
            let mut naive: Vec<usize> = Vec::new();
            for _ in 0..keep {
                let mut best: Option<(usize, f32)> = None;
                for (at, relevance) in relevance.iter().enumerate() {
                    let nearest = naive.iter().map(|c| like(at, *c)).fold(0.0, f32::max);
                    if naive.contains(&at) || (!naive.is_empty() && nearest >= 0.9) {
                        continue;
                    }
                    let worth = if naive.is_empty() { *relevance } else { lambda * relevance - (1.0 - lambda) * nearest };
                    if best.is_none_or(|(_, most)| worth > most) {
                        best = Some((at, worth));
                    }
                }
                naive.extend(best.map(|(at, _)| at));
            }
            prop_assert_eq!(layer.choose(&passages), naive);
        }
    }
}
