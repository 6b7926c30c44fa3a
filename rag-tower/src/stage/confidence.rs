//! [`Retrieved`] in, [`Retrieved`] out: answers "I don't know" instead when nothing fits well enough.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{PassOr, Retrieved, StageLayer};
use crate::answer::{AbstainReason, Answer, Finish};
use crate::error::{Error, Stage};
use crate::passage::Passages;
use crate::scoped::Scoped;
use crate::wording::Wordings;

/// Abstains, without calling the stage inside, when confidence is below a floor or nothing was found.
///
/// Confidence is the best passage's score, brought to 0 to 1, unless [`with_measure`](Self::with_measure) says
/// otherwise; it is written to the trace in every case. The answer then says that it does not know, says how many passages
/// were looked at and where the nearest are from, and offers a person. It ends as [`Finish::Abstained`], whose reason is on
/// the trace.
///
/// A floor fits one scorer: [`LexicalRerank::FLOOR`](super::LexicalRerank::FLOOR) the reranker that needs no model. For
/// another, [`calibrate`](super::calibrate()) finds it from questions of your own of which you know whether your documents
/// answer them.
///
/// A fused rank says nothing about fit: the best of a bad lot still comes first and scores 1. After
/// [`Hybrid`](crate::retrieve::Hybrid) or [`Weighted`](crate::retrieve::Weighted) either rerank before this layer, or
/// measure by what one source said itself:
///
/// ```
/// use rag_tower::stage::ConfidenceLayer;
///
/// let by_meaning = ConfidenceLayer::new(0.4).with_measure(|passages| {
///     passages.iter().filter_map(|passage| passage.found.get("dense")).map(|found| found.score).fold(0.0, f32::max)
/// });
/// ```
///
/// - **Order:** after the last stage that scores, which gives scores their scale.
/// - **Readiness:** that of the stage inside.
/// - **Cancellation:** nothing of its own to cancel.
/// - **Panics:** when the measure does.
#[derive(Clone)]
pub struct ConfidenceLayer {
    floor: f32,
    measure: Measure,
    wordings: Arc<Wordings>,
}

type Measure = Arc<dyn Fn(&Passages) -> f32 + Send + Sync>;

/// The service of [`ConfidenceLayer`].
#[derive(Clone, Debug)]
pub struct ConfidenceStage<S> {
    inner: S,
    // Shared as a whole: a service is cloned for each ask.
    layer: Arc<ConfidenceLayer>,
}

/// The most titles named in an answer.
const NAMED_TITLES: usize = 3;

// === impl ConfidenceLayer ===

impl ConfidenceLayer {
    /// Abstains below `floor`, 0 to 1. At 0 it abstains only when nothing was found.
    #[must_use]
    pub fn new(floor: f32) -> Self {
        Self { floor, measure: Arc::new(best_score), wordings: Arc::default() }
    }

    /// How confidence is measured, 0 to 1. Default: the best passage's score.
    #[must_use]
    pub fn with_measure(mut self, measure: impl Fn(&Passages) -> f32 + Send + Sync + 'static) -> Self {
        self.measure = Arc::new(measure);
        self
    }

    /// What is said. Default: Vietnamese to a Vietnamese question, English to any other.
    #[must_use]
    pub fn with_wordings(mut self, wordings: Wordings) -> Self {
        self.wordings = Arc::new(wordings);
        self
    }

    fn abstain(&self, request: &Retrieved, reason: AbstainReason) -> Answer {
        let words = self.wordings.of(request.ask.question().as_str());
        let mut titles: Vec<&str> = Vec::new();
        for passage in request.passages.iter() {
            if titles.len() < NAMED_TITLES && !titles.contains(&&*passage.title) {
                titles.push(&passage.title);
            }
        }
        let searched = match titles.as_slice() {
            [] => words.nothing.to_string(),
            titles => words
                .searched
                .replace("{count}", &looked_at(request).to_string())
                .replace("{titles}", &titles.join(", ")),
        };
        let text = format!("{} {searched} {}", words.unknown, words.offer);
        Answer::text(request.ask.id(), text, Finish::Abstained(reason))
    }
}

impl fmt::Debug for ConfidenceLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfidenceLayer").field("floor", &self.floor).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ConfidenceLayer {
    type Service = ConfidenceStage<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ConfidenceStage { inner, layer: Arc::new(self.clone()) }
    }
}

impl StageLayer for ConfidenceLayer {
    type In = Retrieved;
    type Out = Retrieved;
}

/// How many passages were looked at: those that were found, though fewer may have come this far.
fn looked_at(request: &Retrieved) -> usize {
    let found = request.trace().with(|facts| {
        let mut chunks: Vec<_> = facts.hits.iter().map(|hit| hit.chunk).collect();
        chunks.sort_unstable();
        chunks.dedup();
        chunks.len()
    });
    found.max(request.passages.len())
}

fn best_score(passages: &Passages) -> f32 {
    passages.iter().map(|passage| passage.score).fold(0.0, f32::max)
}

// === impl ConfidenceStage ===

impl<S: Service<Retrieved, Response = Answer, Error = Error>> Service<Retrieved> for ConfidenceStage<S> {
    type Response = Answer;
    type Error = Error;
    type Future = PassOr<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Retrieved) -> Self::Future {
        let timer = request.trace().time(Stage::Confidence);
        let confidence = (self.layer.measure)(&request.passages).clamp(0.0, 1.0);
        request.trace().set_confidence(confidence.max(0.0));
        drop(timer);
        let reason = if request.passages.is_empty() {
            AbstainReason::NoDocuments
        } else if confidence >= self.layer.floor {
            return PassOr::pass(self.inner.call(request));
        } else {
            // Also where the measure is not a number.
            AbstainReason::BelowThreshold
        };
        PassOr::ready(Ok(self.layer.abstain(&request, reason)))
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::super::testing::{self, Leaf};
    use super::*;
    use crate::answer::Event;

    async fn answer(layer: ConfidenceLayer, request: Retrieved) -> (Vec<Event>, usize, Option<f32>) {
        let trace = request.trace().clone();
        let leaf = Leaf::answering("the model speaks");
        let events = layer.layer(leaf.clone()).oneshot(request).await.unwrap().collect().await.unwrap();
        (events, leaf.calls(), trace.snapshot().confidence)
    }

    #[tokio::test]
    async fn the_model_is_not_called_below_the_floor() {
        let request = testing::retrieved("what is the fee?", &[("one", 0.29), ("two", 0.1)]);
        let (events, calls, confidence) = answer(ConfidenceLayer::new(0.3), request).await;
        assert_eq!(events.last(), Some(&Event::Finished(Finish::Abstained(AbstainReason::BelowThreshold))));
        assert_eq!((calls, confidence), (0, Some(0.29)));
        let text = testing::text(&events);
        assert!(text.contains("I don't know") && text.contains("looked at 2 passages"), "{text}");
        assert!(
            text.contains("in: Title of one, Title of two.") && text.contains("member of staff"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn nothing_found_is_said_in_the_persons_language() {
        let (events, calls, confidence) =
            answer(ConfidenceLayer::new(0.0), testing::retrieved("học phí?", &[])).await;
        assert_eq!(events.last(), Some(&Event::Finished(Finish::Abstained(AbstainReason::NoDocuments))));
        assert_eq!((calls, confidence), (0, Some(0.0)));
        assert!(testing::text(&events).contains("không thấy"), "{events:?}");
    }

    #[tokio::test]
    async fn at_the_floor_the_ask_goes_on() {
        let (events, calls, confidence) =
            answer(ConfidenceLayer::new(0.3), testing::retrieved("q", &[("one", 0.3)])).await;
        assert_eq!((testing::text(&events).as_str(), calls, confidence), ("the model speaks", 1, Some(0.3)));
    }

    #[tokio::test]
    async fn a_measure_that_is_not_a_number_abstains() {
        let layer = ConfidenceLayer::new(0.0).with_measure(|_| f32::NAN);
        let (_, calls, _) = answer(layer, testing::retrieved("q", &[("one", 0.9)])).await;
        assert_eq!(calls, 0);
    }
}
