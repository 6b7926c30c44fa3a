//! [`Prompt`] in, [`Answer`] out: the leaf of the pipeline, where a model speaks.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use metrics::Counter;
use tower::ServiceExt;
use tower_service::Service;

use super::{Prompt, ResponseFuture};
use crate::answer::{Answer, AnswerStream, CitationFilter, Event, Finish, Joined, Usage};
use crate::error::{Error, Stage};
use crate::passage::Source;
use crate::port::{GenerateRequest, Generator, Message};
use crate::trace::{StageTimer, TraceHandle};

/// Answers a prompt with a [`Generator`].
///
/// The first event is `Sources`, then come the generator's own. Citations of anything but these sources are removed, see
/// [`CitationFilter`]; both kinds are counted in `rag_citations_total{result}`, and those removed stand on the trace as
/// `citations_removed` in `tool_metadata`. When the generator reports no usage, an estimate
/// (`ceil(chars / 4)`) comes before `Finished`, and an answer that ends early leaves its estimate on the trace: what
/// was generated has been paid for, whether or not somebody read it.
///
/// - **Order:** innermost.
/// - **Readiness:** always ready; the generator is asked for its own while the ask is being answered.
/// - **Cancellation:** dropping the future or the answer drops the generator's stream.
/// - **Panics:** never of its own.
#[derive(Clone, Debug)]
pub struct Generate<G> {
    generator: G,
    named: Option<(Arc<str>, Arc<str>)>,
    max_output_tokens: Option<u32>,
    series: Series,
}

/// Citations that have passed and that were removed. Looked up once.
#[derive(Clone, Debug)]
struct Series {
    kept: Counter,
    removed: Counter,
}

/// Sources first, usage before the end.
struct Generated {
    sources: Option<Arc<[Source]>>,
    events: AnswerStream,
    meter: Meter,
    citations: CitationFilter,
    series: Series,
    ending: VecDeque<Event>,
    /// Dropped with the stream, which is at the terminal event.
    _timer: StageTimer,
}

/// Counts what a generator may not count itself.
struct Meter {
    trace: TraceHandle,
    messages: Arc<[Message]>,
    output_chars: u64,
    reported: bool,
}

// === impl Generate ===

impl<G> Generate<G> {
    /// A leaf that asks `generator`.
    pub fn new(generator: G) -> Self {
        let series = |result| metrics::counter!("rag_citations_total", "result" => result);
        let series = Series { kept: series("kept"), removed: series("removed") };
        Self { generator, named: None, max_output_tokens: None, series }
    }

    /// Names provider and model on the trace; a generator that knows better, such as a chain of fallbacks, may write
    /// over it. Default: whatever the generator says.
    #[must_use]
    pub fn with_provider(mut self, provider: impl Into<Arc<str>>, model: impl Into<Arc<str>>) -> Self {
        self.named = Some((provider.into(), model.into()));
        self
    }

    /// The most tokens to answer with. Default: the provider's own limit.
    #[must_use]
    pub fn with_max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }
}

impl<G: Generator> Service<Prompt> for Generate<G> {
    type Response = Answer;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Prompt { ask, messages, passages, sources }: Prompt) -> Self::Future {
        let (generator, pieces) = (self.generator.clone(), ask.wants_pieces());
        let (id, scope, question, trace) = ask.into_parts();
        if let Some((provider, model)) = &self.named {
            trace.set_provider(Arc::clone(provider), Arc::clone(model));
        }
        let request = GenerateRequest {
            scope,
            trace: trace.clone(),
            question,
            messages: Arc::clone(&messages),
            passages,
            sources: Arc::clone(&sources),
            max_output_tokens: self.max_output_tokens,
        };
        let passages = sources.len();
        let series = self.series.clone();
        ResponseFuture::new(async move {
            let timer = trace.time(Stage::Generate);
            let events = generator.oneshot(request).await?;
            let events = if pieces { events } else { AnswerStream::new(Joined::of(events)) };
            Ok(Answer::new(
                id,
                Generated {
                    sources: Some(sources),
                    citations: CitationFilter::new(passages),
                    series,
                    events,
                    meter: Meter { trace, messages, output_chars: 0, reported: false },
                    ending: VecDeque::new(),
                    _timer: timer,
                },
            ))
        })
    }
}

// === impl Generated ===

impl Stream for Generated {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(sources) = self.sources.take() {
            return Poll::Ready(Some(Ok(Event::Sources(sources))));
        }
        loop {
            if let Some(ending) = self.ending.pop_front() {
                return Poll::Ready(Some(Ok(ending)));
            }
            let polled = Pin::new(&mut self.events).poll_next(cx);
            match &polled {
                // The prompt decides what may be cited.
                Poll::Ready(Some(Ok(Event::Sources(_)))) => continue,
                Poll::Ready(Some(Ok(Event::Delta(text)))) => {
                    self.meter.output_chars += text.chars().count() as u64;
                    let said = self.citations.push(text);
                    match said {
                        "" => continue,
                        same if *same == **text => {}
                        _ => return Poll::Ready(Some(Ok(Event::Delta(said.into())))),
                    }
                }
                Poll::Ready(Some(Ok(Event::Usage(usage)))) => {
                    self.meter.report(*usage);
                    let usage = *usage;
                    self.end_text();
                    self.ending.push_back(Event::Usage(usage));
                    continue;
                }
                Poll::Ready(Some(Ok(Event::Finished(finish)))) => {
                    let finish = finish.clone();
                    self.finish(finish);
                    continue;
                }
                _ => {}
            }
            return polled;
        }
    }
}

impl Generated {
    /// What the filter still holds is text.
    fn end_text(&mut self) {
        let held = self.citations.finish();
        if !held.is_empty() {
            self.ending.push_back(Event::Delta(held.into()));
        }
    }

    fn finish(&mut self, finish: Finish) {
        self.end_text();
        if !self.meter.reported {
            let usage = self.meter.estimate();
            self.meter.report(usage);
            self.ending.push_back(Event::Usage(usage));
        }
        self.ending.push_back(Event::Finished(finish));
        let removed = self.citations.removed();
        self.series.kept.increment(self.citations.kept());
        self.series.removed.increment(removed);
        if removed > 0 {
            self.meter.trace.set_tool_metadata("citations_removed", removed);
        }
    }
}

// === impl Meter ===

impl Meter {
    fn report(&mut self, usage: Usage) {
        self.reported = true;
        self.trace.set_usage(usage);
    }

    fn estimate(&self) -> Usage {
        Usage {
            input_tokens: self
                .messages
                .iter()
                .map(|message| crate::answer::estimate_tokens(&message.text))
                .sum(),
            output_tokens: self.output_chars.div_ceil(4),
            estimated: true,
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if !self.reported {
            let usage = self.estimate();
            self.report(usage);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::super::testing;
    use super::*;
    use crate::answer::Finish;
    use crate::port::Speaker;
    use crate::scoped::Scoped;

    fn prompt() -> Prompt {
        let retrieved = testing::retrieved("q", &[("one", 0.9)]);
        Prompt {
            messages: [Message { speaker: Speaker::User, text: "12345".into() }].into(),
            sources: retrieved.passages.iter().map(|passage| Source::new(1, passage)).collect(),
            passages: retrieved.passages,
            ask: retrieved.ask,
        }
    }

    fn saying(events: Vec<Event>) -> Generate<impl Generator> {
        Generate::new(tower::service_fn(move |request: GenerateRequest| {
            assert_eq!((request.passages.len(), request.sources.len()), (1, 1));
            std::future::ready(Ok::<_, Error>(AnswerStream::ready(events.clone())))
        }))
    }

    const ESTIMATE: Usage = Usage { input_tokens: 2, output_tokens: 1, estimated: true };

    #[tokio::test]
    async fn sources_come_first_and_usage_is_estimated_when_none_was_sent() {
        let prompt = prompt();
        let (trace, sources, id) = (prompt.trace().clone(), Arc::clone(&prompt.sources), prompt.ask.id());
        let said = vec![Event::Delta("a".into()), Event::Delta("bc".into()), Event::Finished(Finish::Length)];
        let answer = saying(said).with_provider("local", "tiny").oneshot(prompt).await.unwrap();
        assert_eq!(answer.id(), id);
        let events = answer.collect().await.unwrap();
        let expected = [
            Event::Sources(sources),
            Event::Delta("a".into()),
            Event::Delta("bc".into()),
            Event::Usage(ESTIMATE),
            Event::Finished(Finish::Length),
        ];
        assert_eq!(events, expected);
        let facts = trace.snapshot();
        assert_eq!((facts.usage, facts.llm_model.as_deref()), (Some(ESTIMATE), Some("tiny")));
        assert_eq!(facts.spans.last().unwrap().stage, Stage::Generate);
    }

    #[tokio::test]
    async fn the_providers_own_usage_wins_and_its_sources_do_not() {
        let usage = Usage { input_tokens: 70, output_tokens: 7, estimated: false };
        let prompt = prompt();
        let trace = prompt.trace().clone();
        let said = vec![Event::Sources([].into()), Event::Usage(usage), Event::Finished(Finish::Stop)];
        let events = saying(said).oneshot(prompt).await.unwrap().collect().await.unwrap();
        assert_eq!(events[1..], [Event::Usage(usage), Event::Finished(Finish::Stop)]);
        assert_eq!(trace.snapshot().usage, Some(usage));
    }

    #[tokio::test]
    async fn a_citation_of_what_was_not_given_is_removed_and_counted_however_it_is_cut() {
        let prompt = prompt();
        let trace = prompt.trace().clone();
        let said = ["Ten [1] or", " [9", "9", "] so [2]", ". And [1"].map(|text| Event::Delta(text.into()));
        let said = said.into_iter().chain([Event::Finished(Finish::Length)]).collect();
        let events = saying(said).oneshot(prompt).await.unwrap().collect().await.unwrap();
        assert_eq!(testing::text(&events), "Ten [1] or so. And [1");
        assert!(matches!(events[events.len() - 3..], [Event::Delta(_), Event::Usage(_), Event::Finished(_)]));
        assert_eq!(trace.snapshot().tool_metadata["citations_removed"], 2);
    }

    #[tokio::test]
    async fn an_answer_that_is_wanted_whole_says_the_same_in_one_piece() {
        let mut prompt = prompt();
        prompt.ask = prompt.ask.in_one_piece();
        let trace = prompt.trace().clone();
        let said = ["Ten [1] or", " [9", "9", "] so"].map(|text| Event::Delta(text.into()));
        let said = said.into_iter().chain([Event::Finished(Finish::Stop)]).collect();
        let events = saying(said).oneshot(prompt).await.unwrap().collect().await.unwrap();
        assert_eq!(events[1], Event::Delta("Ten [1] or so".into()));
        assert!(matches!(events[2..], [Event::Usage(_), Event::Finished(_)]));
        assert_eq!(trace.snapshot().tool_metadata["citations_removed"], 1);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_to_its_end_leaves_its_estimate() {
        let prompt = prompt();
        let trace = prompt.trace().clone();
        let said = vec![Event::Delta("abc".into()), Event::Finished(Finish::Stop)];
        let mut events = saying(said).oneshot(prompt).await.unwrap().into_stream();
        events.next().await.unwrap().unwrap();
        events.next().await.unwrap().unwrap();
        assert_eq!(trace.snapshot().usage, None);
        drop(events);
        assert_eq!(trace.snapshot().usage, Some(ESTIMATE));
    }
}
