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

/// The data of each server-sent event, `[DONE]` included.
type Chunks = Pin<Box<dyn Stream<Item = Result<String, Cut>> + Send>>;

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
    chunks: Chunks,
    by: Instant,
    ready: VecDeque<Event>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    output_chars: u64,
    ended: bool,
}

/// The events of a response with a status of success.
pub(super) fn events(response: Response<impl Piecewise>, origin: Origin) -> AnswerStream {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let one_document = kind.starts_with("application/json");
    let chunks: Chunks = if one_document { Box::pin(document(response)) } else { Box::pin(chunks(response)) };
    let reading = Reading {
        by: origin.first_by,
        origin,
        chunks,
        ready: VecDeque::new(),
        finish: None,
        usage: None,
        output_chars: 0,
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

fn bytes(response: Response<impl Piecewise>) -> impl Stream<Item = Result<Bytes, Cut>> + Send {
    let mut room = LONGEST;
    response.into_body().into_data_stream().map(move |chunk| {
        let chunk = chunk.map_err(|error| Cut::Transport(error.into()))?;
        room = room.checked_sub(chunk.len()).ok_or(Cut::TooLong)?;
        Ok(chunk)
    })
}

fn chunks(response: Response<impl Piecewise>) -> impl Stream<Item = Result<String, Cut>> + Send {
    let mut decoder = Decoder::default();
    bytes(response).flat_map(move |piece| {
        stream::iter(match piece {
            Ok(piece) => decoder.push(&piece).into_iter().map(|data| data.map_err(Cut::from)).collect(),
            Err(cut) => vec![Err(cut)],
        })
    })
}

/// A whole JSON document as if it were the one event of a stream.
fn document(response: Response<impl Piecewise>) -> impl Stream<Item = Result<String, Cut>> + Send {
    let whole = async move {
        let mut all = Vec::new();
        let mut bytes = std::pin::pin!(bytes(response));
        while let Some(chunk) = bytes.next().await {
            all.extend_from_slice(&chunk?);
        }
        String::from_utf8(all).map_err(|_| Cut::NotUtf8)
    };
    stream::once(whole)
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
            let chunk = timeout_at(self.by, self.chunks.next()).await;
            if matches!(&chunk, Ok(Some(Ok(data))) if data.trim() == "[DONE]") {
                drop(timeout(END_GRACE, self.chunks.next()).await);
            }
            if let Err(error) = self.take(chunk) {
                self.ended = true;
                self.origin.meter.failed(error.kind());
                return Some(Err(error));
            }
        }
    }

    /// Takes in what has come: a chunk, an error, the end, or nothing in time.
    fn take(
        &mut self,
        chunk: Result<Option<Result<String, Cut>>, tokio::time::error::Elapsed>,
    ) -> Result<(), Error> {
        match chunk {
            Ok(Some(Ok(data))) if data.trim() == "[DONE]" => {
                self.finish.get_or_insert(Finish::Stop);
                self.end()
            }
            Ok(Some(Ok(data))) if data.trim().is_empty() => Ok(()),
            Ok(Some(Ok(data))) => self.read(&data),
            // Once the model has finished, only its usage is missing, and that can be estimated.
            _ if self.finish.is_some() => self.end(),
            Ok(Some(Err(cut))) => Err(self.broken(cut)),
            Ok(None) => Err(self.truncated()),
            Err(_) => Err(refusal::silent(self.provider(), Stage::Generate)),
        }
    }

    fn read(&mut self, data: &str) -> Result<(), Error> {
        let chunk: Completion = serde_json::from_str(data)
            .map_err(|error| refusal::unreadable(self.provider(), Stage::Generate, &error))?;
        if let Some(error) = &chunk.error {
            return Err(refusal::reported(self.provider(), Stage::Generate, error));
        }
        self.by = Instant::now() + self.origin.endpoint.idle();
        if let Some(text) = chunk.text() {
            self.origin.meter.chunk();
            self.output_chars += text.chars().count() as u64;
            self.ready.push_back(Event::Delta(text.clone()));
        }
        if let Some(usage) = chunk.usage() {
            self.usage = Some(usage);
        }
        if let Some(reason) = chunk.finish_reason() {
            self.finish = Some(self.finish(reason)?);
            self.by = Instant::now() + USAGE_GRACE.min(self.origin.endpoint.idle());
        }
        Ok(())
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

// === impl Cut ===

impl From<NotUtf8> for Cut {
    fn from(NotUtf8: NotUtf8) -> Self {
        Self::NotUtf8
    }
}
