//! What a model provider answers.

use std::cell::OnceCell;
use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::CONTENT_TYPE;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::runtime::{Builder, Runtime};

use super::{Broken, broken, hold};
use crate::answer::{Event, Finish};
use crate::error::{Error, ErrorKind};
use crate::openai::{Endpoint, replay};

/// Seeds carry it in what a provider says; no message of ours may.
const CANARY: &str = "sk-c4n4ry";
/// The longest body, in bytes: one that is cut into single bytes should not take long.
const LONGEST: usize = 16 * 1024;
/// So many characters are in one event of the stream that is made of the input.
const EVENT_CHARS: usize = 5;

thread_local! {
    static READER: OnceCell<(Runtime, Endpoint)> = const { OnceCell::new() };
}

/// What was read: each event, and how it ended when that was an error.
type Read = (Vec<Event>, Option<ErrorKind>);

/// Checks how an answer is read, as an event stream and as one document.
///
/// However the bytes are cut, the same comes out. An answer ends once: with its end, after its usage, or with an error,
/// which quotes nothing. Text that is sent as a stream comes out as it went in, whatever ends the lines.
///
/// # Errors
/// The property that does not hold.
pub fn provider_stream(data: &[u8]) -> Result<(), Broken> {
    let data = &data[..data.len().min(LONGEST)];
    for kind in ["text/event-stream", "application/json"] {
        let whole = read(data, data.len().max(1), kind)?;
        sound(&whole)?;
        for piece in [1, 2, 7] {
            let pieces = read(data, piece, kind)?;
            hold(pieces == whole, || format!("{kind} in pieces of {piece}: {pieces:?}, whole: {whole:?}"))?;
        }
    }
    there_and_back(&String::from_utf8_lossy(data))
}

/// Sends a text as a provider would, and reads it.
fn there_and_back(text: &str) -> Result<(), Broken> {
    let chars: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = chars.chunks(EVENT_CHARS).map(|piece| piece.iter().collect()).collect();
    if pieces.is_empty() {
        return Ok(());
    }
    for end in ["\n", "\r\n", "\r"] {
        let mut body = String::from("\u{feff}: hello");
        body += end;
        for piece in &pieces {
            let chunk = serde_json::json!({ "choices": [{ "delta": { "content": piece } }] });
            body += &format!("event: message{end}data: {chunk}{end}{end}");
        }
        body += &format!(
            "data: {{\"choices\":[{{\"finish_reason\":\"stop\"}}]}}{end}{end}data: [DONE]{end}{end}"
        );
        let (events, error) = read(body.as_bytes(), 64, "text/event-stream")?;
        hold(error.is_none(), || format!("lines ended by {end:?}: {error:?}"))?;
        let texts = events.iter().filter_map(|event| match event {
            Event::Delta(text) => Some(&**text),
            _ => None,
        });
        hold(texts.eq(pieces.iter().map(String::as_str)), || format!("{pieces:?} became {events:?}"))?;
    }
    Ok(())
}

fn sound((events, error): &Read) -> Result<(), Broken> {
    let ends = events.iter().filter(|event| matches!(event, Event::Finished(_))).count();
    let usages = events.iter().filter(|event| matches!(event, Event::Usage(_))).count();
    let text = events.iter().any(|event| matches!(event, Event::Delta(text) if !text.is_empty()));
    match (&events[..], error) {
        ([.., Event::Usage(_), Event::Finished(finish)], None) => {
            let said = text || *finish != Finish::Stop;
            hold(ends == 1 && usages == 1 && said, || format!("ended as {events:?}"))
        }
        (_, Some(_)) => hold(ends == 0, || format!("an error after the end: {events:?}")),
        (_, None) => Err(broken(format!("neither an end nor an error: {events:?}"))),
    }
}

fn read(data: &[u8], piece: usize, kind: &'static str) -> Result<Read, Broken> {
    READER.with(|reader| {
        if reader.get().is_none() {
            let runtime = Builder::new_current_thread().enable_time().build();
            let runtime = runtime.map_err(|error| broken(error.to_string()))?;
            let endpoint = Endpoint::builder("http://provider.example/v1").build();
            let endpoint = endpoint.map_err(|error| broken(error.to_string()))?;
            let _first = reader.set((runtime, endpoint));
        }
        let (runtime, endpoint) = reader.get().ok_or_else(|| broken("no reader"))?;
        runtime.block_on(read_with(endpoint, data, piece, kind))
    })
}

async fn read_with(
    endpoint: &Endpoint,
    data: &[u8],
    piece: usize,
    kind: &'static str,
) -> Result<Read, Broken> {
    let frame = |piece: &[u8]| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece)));
    let pieces: Vec<_> = data.chunks(piece).map(frame).collect();
    let response = http::Response::builder().header(CONTENT_TYPE, kind);
    let response = response.body(StreamBody::new(stream::iter(pieces)));
    let mut answer = replay(endpoint, response.map_err(|error| broken(error.to_string()))?);
    let mut events = Vec::new();
    while let Some(event) = answer.next().await {
        match event {
            Ok(event) => events.push(event),
            Err(error) => {
                silent(&error)?;
                hold(answer.next().await.is_none(), || "something after an error".to_owned())?;
                return Ok((events, Some(error.kind())));
            }
        }
    }
    Ok((events, None))
}

fn silent(error: &Error) -> Result<(), Broken> {
    let said = format!("{error} {error:?}");
    hold(!said.contains(CANARY), || format!("{said:?} quotes the provider"))
}
