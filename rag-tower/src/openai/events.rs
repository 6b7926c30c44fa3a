//! A provider's response to the events of an answer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use http::Response;
use http::header::CONTENT_TYPE;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use super::endpoint::Endpoint;
use super::meter::{Meter, Meters};
use super::refusal;
use super::sse::{Decoder, NotUtf8};
use super::wire::Completion;
use crate::answer::{AnswerStream, Event, Finish, Usage};
use crate::error::{BoxError, Error, ErrorKind, Stage};

/// A response longer than this, in bytes, is no answer.
const LONGEST: usize = 16 * 1024 * 1024;
/// How long usage may lag behind the finish reason.
const USAGE_GRACE: Duration = Duration::from_secs(2);

/// How long the end of the body may lag behind `[DONE]`: a body that is read to its end leaves a connection to use again.
const END_GRACE: Duration = Duration::from_millis(20);

/// Where a response comes from, and what is known of its request.
pub(super) struct Origin {
    pub(super) endpoint: Endpoint,
    pub(super) meter: Meter,
    pub(super) first_by: Instant,
    pub(super) input_tokens: u64,
}

/// The pieces of a body, as they come.
type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Cut>> + Send>>;

/// What the pieces are of.
enum Form {
    /// Server-sent events, one for each piece of the answer.
    Events(Decoder),
    /// One JSON document, which is read when it is there.
    Document(Vec<u8>),
}

/// Why a body cannot be read on.
#[derive(Debug)]
enum Cut {
    Transport(BoxError),
    TooLong,
    NotUtf8,
}

/// The body of a response, which comes in pieces.
pub(crate) trait Piecewise: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static {}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static> Piecewise for B {}

/// An answer being read.
struct Reading {
    origin: Origin,
    pieces: Pieces,
    form: Form,
    by: Instant,
    /// An event has come since the last piece was waited for.
    heard: bool,
    ready: VecDeque<Event>,
    /// Comes after what is ready.
    failure: Option<Error>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    output_chars: u64,
    /// `[DONE]` has come.
    done: bool,
    ended: bool,
}

/// The events of a response with a status of success.
pub(super) fn events(response: Response<impl Piecewise>, origin: Origin) -> AnswerStream {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let one_document = kind.starts_with("application/json");
    let form = if one_document { Form::Document(Vec::new()) } else { Form::Events(Decoder::default()) };
    let reading = Reading {
        by: origin.first_by,
        origin,
        pieces: Box::pin(pieces(response)),
        form,
        heard: false,
        ready: VecDeque::new(),
        failure: None,
        finish: None,
        usage: None,
        output_chars: 0,
        done: false,
        ended: false,
    };
    AnswerStream::new(stream::unfold(reading, |mut reading| async move {
        let event = reading.next().await?;
        Some((event, reading))
    }))
}

/// The events of a response that was not asked for: for tests of what a provider may send.
pub(crate) fn replay(endpoint: &Endpoint, response: Response<impl Piecewise>) -> AnswerStream {
    let none: Arc<str> = Arc::from("none");
    let meter = Meters::new("chat", endpoint.name(), &none).start();
    let first_by = endpoint.first_by();
    events(response, Origin { endpoint: endpoint.clone(), meter, first_by, input_tokens: 0 })
}

fn pieces(response: Response<impl Piecewise>) -> impl Stream<Item = Result<Bytes, Cut>> + Send {
    let mut room = LONGEST;
    response.into_body().into_data_stream().map(move |piece| {
        let piece = piece.map_err(|error| Cut::Transport(error.into()))?;
        room = room.checked_sub(piece.len()).ok_or(Cut::TooLong)?;
        Ok(piece)
    })
}

// === impl Reading ===

impl Reading {
    async fn next(&mut self) -> Option<Result<Event, Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            let read = match self.failure.take() {
                Some(error) => Err(error),
                None if self.done => {
                    let pieces = &mut self.pieces;
                    drop(timeout(END_GRACE, async { while let Some(Ok(_)) = pieces.next().await {} }).await);
                    self.end()
                }
                None => {
                    // from now, and not from when the events came: who takes them may have been slow
                    if std::mem::take(&mut self.heard) {
                        self.by = Instant::now() + self.patience();
                    }
                    let piece = timeout_at(self.by, self.pieces.next()).await;
                    self.take(piece)
                }
            };
            if let Err(error) = read {
                self.ended = true;
                self.origin.meter.failed(error.kind());
                return Some(Err(error));
            }
        }
    }

    /// Takes in what has come: a piece, an error, the end, or nothing in time.
    fn take(&mut self, piece: Result<Option<Result<Bytes, Cut>>, Elapsed>) -> Result<(), Error> {
        let error = match piece {
            Ok(Some(Ok(piece))) => {
                self.feed(&piece);
                return Ok(());
            }
            Ok(None) => match self.document() {
                Some(document) => return self.whole(document),
                None => self.truncated(),
            },
            Ok(Some(Err(cut))) => self.broken(cut),
            Err(_) => refusal::silent(self.provider(), Stage::Generate),
        };
        // Once the model has finished, only its usage is missing, and that can be estimated.
        if self.finish.is_some() { self.end() } else { Err(error) }
    }

    fn feed(&mut self, piece: &[u8]) {
        match &mut self.form {
            Form::Document(so_far) => so_far.extend_from_slice(piece),
            Form::Events(decoder) => {
                let mut decoder = std::mem::take(decoder);
                decoder.each(piece, |data| self.event(data));
                self.form = Form::Events(decoder);
            }
        }
    }

    /// Takes the data of an event. What comes after the end, or after what cannot be read, says nothing.
    fn event(&mut self, data: Result<&str, NotUtf8>) {
        if self.done || self.failure.is_some() {
            return;
        }
        let read = match data.map(|data| (data, data.trim())) {
            Ok((_, "")) => Ok(()),
            Ok((_, "[DONE]")) => {
                self.finish.get_or_insert(Finish::Stop);
                self.done = true;
                Ok(())
            }
            Ok((data, _)) => self.read(data),
            Err(NotUtf8) if self.finish.is_some() => {
                self.done = true;
                Ok(())
            }
            Err(NotUtf8) => Err(self.broken(Cut::NotUtf8)),
        };
        self.failure = read.err();
    }

    /// The document, once, when there is one.
    fn document(&mut self) -> Option<Vec<u8>> {
        let Form::Document(document) = &mut self.form else { return None };
        let document = std::mem::take(document);
        // a body that has ended is not read again
        self.pieces = Box::pin(stream::empty());
        (!document.trim_ascii().is_empty()).then_some(document)
    }

    fn whole(&mut self, document: Vec<u8>) -> Result<(), Error> {
        let document = String::from_utf8(document).map_err(|_| self.broken(Cut::NotUtf8))?;
        self.read(&document)
    }

    fn read(&mut self, data: &str) -> Result<(), Error> {
        let chunk: Completion<'_> = serde_json::from_str(data)
            .map_err(|error| refusal::unreadable(self.provider(), Stage::Generate, &error))?;
        if let Some(error) = &chunk.error {
            return Err(refusal::reported(self.provider(), Stage::Generate, error));
        }
        self.heard = true;
        if let Some(text) = chunk.text() {
            self.origin.meter.chunk();
            self.output_chars += text.chars().count() as u64;
            self.ready.push_back(Event::Delta(text.into()));
        }
        if let Some(usage) = chunk.usage() {
            self.usage = Some(usage);
        }
        if let Some(reason) = chunk.finish_reason() {
            self.finish = Some(self.finish(reason)?);
        }
        Ok(())
    }

    /// How long the next event may take.
    fn patience(&self) -> Duration {
        let idle = self.origin.endpoint.idle();
        if self.finish.is_some() { USAGE_GRACE.min(idle) } else { idle }
    }

    fn finish(&self, reason: &str) -> Result<Finish, Error> {
        match reason {
            "length" | "max_tokens" => Ok(Finish::Length),
            "content_filter" => Err(Error::new(ErrorKind::ProviderRejected, Stage::Generate).with_message(
                format!("the model provider {} withheld the answer by its content filter", self.provider()),
            )),
            "tool_calls" | "function_call" => {
                let what = "called a tool that it was not offered";
                Err(refusal::invalid(self.provider(), Stage::Generate, what))
            }
            _ => Ok(Finish::Stop),
        }
    }

    /// The model has finished: what is left to say are usage and the end.
    fn end(&mut self) -> Result<(), Error> {
        let Some(finish) = self.finish.take() else { return Err(self.truncated()) };
        if self.output_chars == 0 && finish == Finish::Stop {
            return Err(refusal::invalid(self.provider(), Stage::Generate, "sent an empty answer"));
        }
        self.ended = true;
        self.origin.meter.done(self.usage);
        let usage = self.usage.unwrap_or(Usage {
            input_tokens: self.origin.input_tokens,
            output_tokens: self.output_chars.div_ceil(4),
            estimated: true,
        });
        self.ready.extend([Event::Usage(usage), Event::Finished(finish)]);
        Ok(())
    }

    fn broken(&self, cut: Cut) -> Error {
        let what = match cut {
            Cut::Transport(error) => return self.truncated().with_source(error),
            Cut::TooLong => "sent an answer of more than 16 MiB",
            Cut::NotUtf8 => "sent something that is not an event stream",
        };
        refusal::invalid(self.provider(), Stage::Generate, what)
    }

    fn truncated(&self) -> Error {
        refusal::truncated(self.provider())
    }

    fn provider(&self) -> &str {
        self.origin.endpoint.name()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body::Frame;
    use http_body_util::StreamBody;
    use tokio::time::sleep;

    use super::*;

    /// An answer in pieces of two words, which come so long after they are waited for.
    fn answer<const N: usize>(seconds: [u64; N]) -> AnswerStream {
        let pieces = stream::iter(seconds).then(async |seconds| {
            sleep(Duration::from_secs(seconds)).await;
            let word = "data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}]}\n\n";
            Ok::<_, Infallible>(Frame::data(Bytes::from([word, word].concat())))
        });
        let endpoint = Endpoint::builder("http://provider.example/v1").build().unwrap();
        replay(&endpoint, Response::new(StreamBody::new(pieces)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not_taken_for_a_silent_provider() {
        let mut answer = answer([0, 29, 29]);
        for _ in 0..6 {
            assert_eq!(answer.next().await.unwrap().unwrap(), Event::Delta("word".into()));
            sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(answer.next().await.unwrap().unwrap_err().kind(), ErrorKind::Truncated);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_provider_is_not_waited_for() {
        let mut answer = answer([0, 31]);
        for _ in 0..2 {
            assert!(answer.next().await.unwrap().is_ok());
        }
        let asked = Instant::now();
        assert_eq!(answer.next().await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        let waited = asked.elapsed();
        assert!((30_000..30_010).contains(&waited.as_millis()), "{waited:?}");
    }
}
