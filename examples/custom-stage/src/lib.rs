#![doc = include_str!("../README.md")]

use std::task::{Context, Poll};

use rag_tower::stage::{Answers, Retrieved, StageLayer};
use rag_tower::{Answer, Error, Passage, Scoped, Stage};
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};
use tower::{Layer, Service};

/// [`Retrieved`] in, [`Retrieved`] out: of passages that fit alike, the newer one first.
///
/// A passage's score is halved for each half-life of its document's age, which is in the file's name:
/// `2026-03-01-fees.md`. A document without a date keeps its score.
///
/// - **Order:** after retrieval; after a reranker too, which would score anew what this has scored.
/// - **Readiness:** that of the stage inside.
/// - **Cancellation:** nothing of its own to cancel.
/// - **Panics:** never.
#[derive(Clone, Copy, Debug)]
pub struct FreshnessLayer {
    half_life: Duration,
}

/// The service of [`FreshnessLayer`].
#[derive(Clone, Debug)]
pub struct Freshness<S> {
    inner: S,
    half_life: Duration,
}

// === impl FreshnessLayer ===

impl FreshnessLayer {
    /// Halves a score for each `half_life` of age.
    #[must_use]
    pub fn new(half_life: Duration) -> Self {
        Self { half_life }
    }
}

/// What a stage takes and gives. With this, `Pipeline::stage` puts it where it fits and nowhere else.
impl StageLayer for FreshnessLayer {
    type In = Retrieved;
    type Out = Retrieved;
}

impl<S> Layer<S> for FreshnessLayer {
    type Service = Freshness<S>;

    fn layer(&self, inner: S) -> Freshness<S> {
        Freshness { inner, half_life: self.half_life }
    }
}

// === impl Freshness ===

impl<S: Answers<Retrieved>> Service<Retrieved> for Freshness<S> {
    type Response = Answer;
    type Error = Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut found: Retrieved) -> S::Future {
        let timer = found.trace().time(Stage::Rerank); // its share of the time is on the row
        let today = OffsetDateTime::now_utc().date();
        let half_life = self.half_life;
        found.passages.rescore(|passage| passage.score * worth(passage, today, half_life));
        drop(timer);
        self.inner.call(found)
    }
}

/// What age leaves of a score: 1 today and for what has no date, a half after a half-life.
fn worth(passage: &Passage, today: Date, half_life: Duration) -> f32 {
    let Some(written) = date(&passage.file_name) else { return 1.0 };
    let age = (today - written).max(Duration::ZERO);
    0.5_f64.powf(age / half_life) as f32
}

/// The date at the beginning of a file's name.
fn date(file_name: &str) -> Option<Date> {
    Date::parse(file_name.get(..10)?, format_description!("[year]-[month]-[day]")).ok()
}

#[cfg(test)]
mod tests;
