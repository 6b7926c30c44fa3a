//! [`Retrieved`] in, [`Retrieved`] out: the same passages, or fewer, in a better order.

use std::fmt;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use tower::ServiceExt;
use tower_layer::Layer;
use tower_service::Service;

use super::known::KnownTerms;
use super::{Answers, ResponseFuture, Retrieved, StageLayer, take_ready};
use crate::answer::Answer;
use crate::error::{Error, ErrorKind, Stage};
use crate::passage::Passages;
use crate::port::{Rerank, RerankRequest};
use crate::scoped::Scoped;
use crate::text::wording;

/// Puts passages in a better order.
///
/// A reranker that fails leaves the order as it was and is noted as degraded (`rerank`). What it returns is compared
/// with the scope again: a reranker that mixes up asks fails them closed.
///
/// - **Order:** after retrieval, before [`ConfidenceLayer`](super::ConfidenceLayer) and
///   [`PromptLayer`](super::PromptLayer).
/// - **Readiness:** that of the stage inside; the reranker is asked for its own while the ask is being answered.
/// - **Cancellation:** dropping the future drops the reranker's.
/// - **Panics:** never of its own.
#[derive(Clone, Debug)]
pub struct RerankLayer<K> {
    reranker: K,
    keep: usize,
}

/// The service of [`RerankLayer`].
#[derive(Clone, Debug)]
pub struct RerankStage<S, K> {
    inner: S,
    layer: RerankLayer<K>,
}

/// A reranker without a model: how much of the question's wording a passage's title and text hold.
///
/// The score is 0 to 1: the weights of the question's terms that the passage holds over the weights of all of them. Terms
/// are those of [`text`](crate::text), so diacritics count but need not be typed. A term's weight is its own times
/// `ln(1 + (N - n + 0.5) / (n + 0.5))` (the inverse document frequency of BM25, Robertson and Zaragoza 2009) over the `N`
/// candidates of which `n` hold it, so words that every candidate holds weigh little in any language, and rare words that
/// none holds pull the score down.
///
/// The search has weighed more than wording, so for the order the score of the `n`-th passage is multiplied by
/// `1.5 / (1.5 + n - 1)`: a passage overtakes those before it only when it holds clearly more of the question. Whichever is
/// first then has its own score, and the others theirs in proportion.
///
/// Splitting text into terms costs far more than comparing them, and passages come back: the terms of the last few
/// thousand passages are kept, under their chunk and what they say. Clones share them.
#[derive(Clone)]
pub struct LexicalRerank {
    known: KnownTerms,
}

/// How soon a passage's place counts.
const PLACE: f32 = 1.5;

// === impl RerankLayer ===

impl<K> RerankLayer<K> {
    /// A layer that asks `reranker`, a [`Rerank`].
    pub fn new(reranker: K) -> Self {
        Self { reranker, keep: usize::MAX }
    }

    /// The most passages that go on. Default: all.
    #[must_use]
    pub fn with_keep(mut self, keep: usize) -> Self {
        self.keep = keep;
        self
    }
}

impl<S, K: Clone> Layer<S> for RerankLayer<K> {
    type Service = RerankStage<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        RerankStage { inner, layer: self.clone() }
    }
}

impl<K> StageLayer for RerankLayer<K> {
    type In = Retrieved;
    type Out = Retrieved;
}

// === impl RerankStage ===

impl<S: Answers<Retrieved>, K: Rerank> Service<Retrieved> for RerankStage<S, K> {
    type Response = Answer;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Retrieved) -> Self::Future {
        let mut inner = take_ready(&mut self.inner);
        let RerankLayer { reranker, keep } = self.layer.clone();
        ResponseFuture::new(async move {
            if !request.passages.is_empty() {
                request.passages = rerank(reranker, &request).await?;
            }
            request.passages.truncate(keep);
            inner.call(request).await
        })
    }
}

async fn rerank<K: Rerank>(reranker: K, request: &Retrieved) -> Result<Passages, Error> {
    let trace = request.trace();
    let timer = trace.time(Stage::Rerank);
    let result = reranker
        .oneshot(RerankRequest {
            scope: request.scope().clone(),
            trace: trace.clone(),
            question: request.ask.question().clone(),
            passages: request.passages.clone(),
        })
        .await;
    drop(timer);
    let passages = match result {
        Ok(passages) => {
            passages.check_again(request.scope())?;
            passages
        }
        Err(error) if error.kind() == ErrorKind::Isolation => return Err(error),
        Err(error) => {
            tracing::warn!(kind = %error.kind(), "the reranker failed; passages keep their order");
            trace.degrade("rerank");
            return Ok(request.passages.clone());
        }
    };
    trace.with(|facts| {
        for hit in &mut facts.hits {
            if let Some(passage) = passages.iter().find(|passage| passage.chunk == hit.chunk) {
                hit.fused = passage.score;
            }
        }
    });
    Ok(passages)
}

// === impl LexicalRerank ===

impl LexicalRerank {
    /// The floor for a [`ConfidenceLayer`](super::ConfidenceLayer) after this reranker: the share of the question's weight
    /// that the best passage must hold.
    ///
    /// Found with [`calibrate`](super::calibrate()) on questions in English, Vietnamese and Persian, each asked of documents
    /// that answer it and of documents about other things: of what reaches it, three quarters can be answered when half of
    /// the questions cannot be, and of the answerable ones 94 % reach it.
    pub const FLOOR: f32 = 0.35;

    /// A reranker that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { known: KnownTerms::new() }
    }
}

impl Default for LexicalRerank {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LexicalRerank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LexicalRerank").finish_non_exhaustive()
    }
}

impl Service<RerankRequest> for LexicalRerank {
    type Response = Passages;
    type Error = Error;
    type Future = Ready<Result<Passages, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RerankRequest) -> Self::Future {
        let mut passages = request.passages;
        let terms = self.known.of(&passages);
        let wording = wording(request.question.as_str());
        let asked = wording.as_slice();
        // for each passage, whether it holds each of the terms asked for
        let held: Vec<Vec<bool>> = terms
            .iter()
            .map(|terms| asked.iter().map(|(term, _)| terms.binary_search(term).is_ok()).collect())
            .collect();
        let count = held.len() as f32;
        let weights: Vec<f32> = (0..)
            .zip(asked)
            .map(|(at, (_, weight)): (usize, _)| {
                let n = held.iter().filter(|holds| holds[at]).count() as f32;
                weight * (1.0 + (count - n + 0.5) / (n + 0.5)).ln()
            })
            .collect();
        let all: f32 = weights.iter().sum();
        let covered = |holds: &[bool]| {
            let met = weights.iter().zip(holds).filter(|(_, holds)| **holds).map(|(weight, _)| weight);
            if all > 0.0 { met.sum::<f32>() / all } else { 0.0 }
        };
        // passages that the search scored alike share a place
        let place =
            |at: usize| passages.iter().position(|other| other.score <= passages[at].score).unwrap_or(at);
        let trust = |at: usize| PLACE / (PLACE + place(at) as f32);
        let scores: Vec<f32> =
            held.iter().enumerate().map(|(at, holds)| covered(holds) * trust(at)).collect();
        // the first of the new order scores what it holds, and the others beside it
        let best = (0..scores.len()).rev().max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let first = best.map_or(1.0, trust);
        // rescoring visits the passages in the order they have
        let mut each = scores.iter();
        passages.rescore(|_| each.next().map_or(0.0, |score| score / first));
        ready(Ok(passages))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Leaf};
    use super::*;

    fn texts(request: &Retrieved) -> Vec<&str> {
        request.passages.iter().map(|passage| &*passage.text).collect()
    }

    #[tokio::test]
    async fn the_passage_with_the_questions_words_comes_first() {
        let request = testing::retrieved(
            "hoc phi khoa ielts",
            &[("Giờ mở cửa của trung tâm", 0.9), ("Học phí khóa IELTS là 5 triệu", 0.8), ("Khóa TOEIC", 0.7)],
        );
        request.trace().record_hits(request.passages.iter().map(|passage| crate::trace::HitRecord {
            source: "dense".into(),
            rank: 1,
            chunk: passage.chunk,
            document: passage.document,
            score: passage.score,
            fused: passage.score,
            used: false,
        }));
        let trace = request.trace().clone();
        let leaf = Leaf::answering("ok");
        drop(
            RerankLayer::new(LexicalRerank::new())
                .with_keep(2)
                .layer(leaf.clone())
                .oneshot(request)
                .await
                .unwrap(),
        );
        let seen = leaf.only_request();
        assert_eq!(texts(&seen), ["Học phí khóa IELTS là 5 triệu", "Khóa TOEIC"]);
        assert!(seen.passages[0].score > 0.99, "{}", seen.passages[0].score);
        assert_eq!(trace.snapshot().hits[1].fused, seen.passages[0].score);
    }

    #[tokio::test]
    async fn words_that_nothing_holds_pull_the_score_down() {
        let request = testing::retrieved(
            "what is the weather in Hanoi",
            &[("what is the fee", 1.0), ("the hours", 1.0)],
        );
        let leaf = Leaf::answering("ok");
        drop(RerankLayer::new(LexicalRerank::new()).layer(leaf.clone()).oneshot(request).await.unwrap());
        let best = leaf.only_request().passages[0].score;
        assert!(best < 0.4, "{best}");
    }

    #[tokio::test]
    async fn a_failed_reranker_degrades_and_keeps_the_order() {
        let failing = tower::service_fn(|_: RerankRequest| {
            ready(Err::<Passages, _>(Error::new(ErrorKind::ProviderUnavailable, Stage::Rerank)))
        });
        let request = testing::retrieved("q", &[("one", 0.9), ("two", 0.8)]);
        let trace = request.trace().clone();
        let leaf = Leaf::answering("ok");
        drop(RerankLayer::new(failing).layer(leaf.clone()).oneshot(request).await.unwrap());
        assert_eq!(texts(&leaf.only_request()), ["one", "two"]);
        assert_eq!(trace.snapshot().degraded.join(","), "rerank");
    }

    #[tokio::test]
    async fn t14_a_reranker_that_returns_another_tenants_passages_fails_closed() {
        let mixed_up = tower::service_fn(|_: RerankRequest| {
            let foreign = vec![testing::passage("b", "canary", 1.0)];
            ready(Passages::check(&testing::scope("b"), foreign))
        });
        let leaf = Leaf::<Retrieved>::answering("never");
        let request = testing::retrieved("q", &[("one", 0.9)]);
        let error = RerankLayer::new(mixed_up).layer(leaf.clone()).oneshot(request).await.unwrap_err();
        assert_eq!((error.kind(), leaf.calls()), (ErrorKind::Isolation, 0));
    }
}
