//! [`Call`] in, [`Reply`] out, and what was asked and answered on the call's trace.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::body::{Reply, Tap};
use super::call::Call;
use super::metered::SharedReading;
use super::upstream::Refused;
use crate::answer::Usage;
use crate::error::{Error, ErrorKind, Stage};
use crate::scoped::Scoped;
use crate::trace::Outcome;

/// Writes down what passes: the operation as the row's route, the question, and of the reply its text, tokens, first piece
/// of text and how it ended. Nothing of it is changed or held back.
///
/// Tokens are those that the provider reports on the way; where it reports none they are `ceil(characters / 4)`, marked as
/// estimated, and so they are for a reply that its client did not wait for. A stream that ends without `[DONE]` and without
/// a finish reason is truncated.
///
/// - **Order:** directly inside [`RelayLayer`](super::RelayLayer), so that what the limits refuse and what the cache answers
///   has its question too.
/// - **Readiness:** forwarded verbatim.
/// - **Cancellation:** what has passed so far goes to the row.
/// - **Panics:** none of its own.
#[derive(Clone, Copy, Debug)]
pub struct RecordLayer {
    texts: bool,
}

/// The service of [`RecordLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Record<S> {
    inner: S,
    layer: RecordLayer,
}

pin_project! {
    /// The future of [`Record`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RecordFuture<F> {
        #[pin]
        inner: F,
        call: Option<Call>,
        texts: bool,
    }
}

/// Reads a reply as it passes, and settles once.
struct Recorder {
    call: Call,
    reading: SharedReading,
    /// Nobody reads it further in, as is so of what the cache answered.
    reads: bool,
    texted: bool,
    settled: bool,
}

// === impl RecordLayer ===

impl RecordLayer {
    /// Records texts and tokens.
    #[must_use]
    pub fn new() -> Self {
        Self { texts: true }
    }

    /// Whether questions and answers go to the row. Default: true.
    #[must_use]
    pub fn with_texts(mut self, texts: bool) -> Self {
        self.texts = texts;
        self
    }
}

impl Default for RecordLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for RecordLayer {
    type Service = Record<S>;

    fn layer(&self, inner: S) -> Record<S> {
        Record { inner, layer: *self }
    }
}

// === impl Record ===

impl<S: Service<Call, Response = Reply, Error = Error>> Service<Call> for Record<S> {
    type Response = Reply;
    type Error = Error;
    type Future = RecordFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let question = if self.layer.texts { call.question() } else { None };
        call.trace().with(|facts| {
            facts.route = Some(call.operation().as_str().into());
            facts.question = question.map(Arc::from);
        });
        let inner = self.inner.call(call.clone());
        RecordFuture { inner, call: Some(call), texts: self.layer.texts }
    }
}

// === impl RecordFuture ===

impl<F: Future<Output = Result<Reply, Error>>> Future for RecordFuture<F> {
    type Output = Result<Reply, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let reply = ready!(this.inner.poll(cx))?;
        let Some(call) = this.call.take() else { return Poll::Ready(Ok(reply)) };
        if let Some(refused) = reply.extensions().get::<Refused>() {
            call.trace().with(|facts| {
                facts.outcome = Some(Outcome::Failed(refused.kind(), Stage::Generate));
                facts.error = Some(Arc::clone(refused.message()));
            });
            return Poll::Ready(Ok(reply));
        }
        let read = reply.extensions().get::<SharedReading>().cloned();
        let reads = read.is_none();
        let reading = read.unwrap_or_else(|| SharedReading::of(reply.headers()));
        reading.lock().seen.keeps_text = *this.texts;
        let recorder = Recorder { call, reading, reads, texted: false, settled: false };
        Poll::Ready(Ok(reply.map(|body| body.tap(recorder))))
    }
}

// === impl Recorder ===

impl Recorder {
    fn settle(&mut self, ended: Option<(Outcome, Option<Arc<str>>)>) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let (text, usage, chars) = {
            let seen = &mut self.reading.lock().seen;
            (std::mem::take(&mut seen.text), seen.usage, seen.chars)
        };
        let usage = self.call.operation().is_metered().then(|| {
            usage.unwrap_or_else(|| Usage {
                input_tokens: self.call.estimated_tokens(),
                output_tokens: chars.div_ceil(4),
                estimated: true,
            })
        });
        self.call.trace().with(|facts| {
            // What the cache answered has cost nothing, and it has said so.
            facts.usage = facts.usage.or(usage);
            if !text.is_empty() {
                facts.answer = Some(text.into());
            }
            if let Some((outcome, error)) = ended {
                facts.outcome = Some(outcome);
                facts.error = error.or(facts.error.take());
            }
        });
    }

    fn ended(&self) -> (Outcome, Option<Arc<str>>) {
        let provider = self.call.trace().with(|facts| facts.llm_provider.clone()).unwrap_or_default();
        let ended = self.reading.lock().outcome(&provider);
        match ended {
            Ok(finish) => (Outcome::Completed(finish), None),
            Err(error) if error.kind() == ErrorKind::Truncated => {
                (Outcome::Truncated, Some(error.to_string().into()))
            }
            Err(error) => (Outcome::Failed(error.kind(), error.stage()), Some(error.to_string().into())),
        }
    }
}

impl Tap for Recorder {
    fn data(&mut self, bytes: &Bytes) {
        let (texted, done) = {
            let mut reading = self.reading.lock();
            if self.reads {
                reading.data(bytes);
            }
            (reading.seen.chars > 0, reading.seen.done)
        };
        if texted && !self.texted {
            self.texted = true;
            self.call.trace().first_text();
        }
        // A client may go away once it has seen this, and misses nothing.
        if done {
            self.settle(Some(self.ended()));
        }
    }

    fn end(&mut self, failure: Option<&Error>) {
        if self.reads {
            self.reading.lock().end();
        }
        let ended = match failure {
            Some(error) => (Outcome::Failed(error.kind(), error.stage()), Some(error.to_string().into())),
            None => self.ended(),
        };
        self.settle(Some(ended));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.settle(None);
    }
}
