//! An answer's events as a client sees them, and how they are written.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Problem;
use crate::answer::{Answer, AnswerStream, Event, Finish, Usage};
use crate::ask::{AskId, SessionId};
use crate::error::{Error, ErrorKind, Stage};
use crate::passage::Source;
use crate::trace::TraceHandle;

/// One event on the wire.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerFrame {
    /// The ask was accepted and an answer begins.
    Start {
        /// The ask.
        trace_id: AskId,
        /// The conversation it belongs to, when conversations are remembered.
        session_id: Option<SessionId>,
    },
    /// What the answer may cite.
    Sources(Arc<[Source]>),
    /// The next piece of text.
    Delta(Arc<str>),
    /// The answer is complete. Nothing follows.
    End(Box<End>),
    /// The answer failed. Nothing follows for this ask.
    Error(Problem),
}

/// What is known of an answer at its end.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct End {
    /// The ask.
    pub trace_id: AskId,
    /// The conversation, to be sent with the next question.
    pub session_id: Option<SessionId>,
    /// The route that answered.
    pub route: Option<Arc<str>>,
    /// How it ended: `stop`, `length`, `abstained`, `out_of_domain` or `handoff`.
    pub finish: &'static str,
    /// Why it abstained, or which hand-off.
    pub finish_reason: Option<String>,
    /// Tokens.
    pub usage: TokenCounts,
    /// Who generated.
    pub llm_provider: Option<Arc<str>>,
    /// The model.
    pub llm_model: Option<Arc<str>>,
    /// How well what was found fits, 0 to 1.
    pub confidence: Option<f32>,
    /// Sources that were down while others answered.
    pub degraded: Vec<Arc<str>>,
    /// A tool's facts.
    pub tool_metadata: Map<String, Value>,
}

/// Tokens, as they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TokenCounts {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
    /// True when the counts are an estimate.
    pub estimated: bool,
}

/// Answer in, frames out: `Start`, then the events, then exactly one `End` or `Error`.
#[must_use = "streams do nothing unless polled"]
pub struct AnswerFrames {
    trace_id: AskId,
    session: Option<SessionId>,
    trace: TraceHandle,
    events: AnswerStream,
    usage: Option<Usage>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unstarted,
    Running,
    Ended,
}

// === impl ServerFrame ===

impl ServerFrame {
    /// The SSE `event` and the WebSocket `type`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Sources(_) => "sources",
            Self::Delta(_) => "delta",
            Self::End(_) => "end",
            Self::Error(_) => "error",
        }
    }

    /// True when nothing follows for this ask.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::End(_) | Self::Error(_))
    }

    /// As a server-sent event, its blank line included.
    #[must_use]
    pub fn to_sse(&self) -> Bytes {
        match self {
            Self::Delta(text) => delta("event: delta\ndata: {", text, "\n\n"),
            _ => format!("event: {}\ndata: {}\n\n", self.name(), self.data()),
        }
        .into()
    }

    /// As a WebSocket text message: a JSON object with `type`.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            Self::Delta(text) => delta("{\"type\":\"delta\",", text, ""),
            // A problem has a `type` of its own, which here gives way to the frame's.
            Self::Error(problem) => {
                let mut fields = serde_json::to_value(problem).unwrap_or_default();
                fields["type"] = self.name().into();
                fields.to_string()
            }
            _ => {
                let data = self.data();
                let fields = data.strip_prefix('{').unwrap_or("}");
                format!("{{\"type\":\"{}\",{fields}", self.name())
            }
        }
    }

    /// The data: a JSON object with at least one field, on one line.
    fn data(&self) -> String {
        let written = match self {
            Self::Start { trace_id, session_id } => {
                #[derive(Serialize)]
                struct Start<'a> {
                    trace_id: &'a AskId,
                    session_id: &'a Option<SessionId>,
                }
                serde_json::to_string(&Start { trace_id, session_id })
            }
            Self::Sources(sources) => {
                #[derive(Serialize)]
                struct Sources<'a> {
                    sources: &'a [Source],
                }
                serde_json::to_string(&Sources { sources })
            }
            Self::Delta(text) => Ok(delta("{", text, "")),
            Self::End(end) => serde_json::to_string(end),
            Self::Error(problem) => serde_json::to_string(problem),
        };
        // Plain data with string keys: writing it to memory cannot fail.
        written.unwrap_or_default()
    }
}

/// `head`, then `"text":"…"}`, then `tail`, in one allocation of the exact size: most frames are
/// deltas.
fn delta(head: &str, text: &str, tail: &str) -> String {
    const KEY: &str = "\"text\":\"";
    let size = head.len() + KEY.len() + text.len() + extra(text) + 2 + tail.len();
    let mut out = String::with_capacity(size);
    out.push_str(head);
    out.push_str(KEY);
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let Some(escape) = escape(byte) else { continue };
        // What is escaped is ASCII, so `at` is a character's border.
        out.push_str(&text[from..at]);
        match escape {
            Escape::Short(c) => {
                out.push('\\');
                out.push(c);
            }
            Escape::Code => {
                out.push_str("\\u00");
                out.push(if byte < 0x10 { '0' } else { '1' });
                out.push(char::from(b"0123456789abcdef"[usize::from(byte & 0xf)]));
            }
        }
        from = at + 1;
    }
    out.push_str(&text[from..]);
    out.push_str("\"}");
    out.push_str(tail);
    out
}

enum Escape {
    Short(char),
    Code,
}

/// What JSON needs escaped in a string: RFC 8259 section 7.
const fn escape(byte: u8) -> Option<Escape> {
    Some(match byte {
        b'"' => Escape::Short('"'),
        b'\\' => Escape::Short('\\'),
        b'\n' => Escape::Short('n'),
        b'\r' => Escape::Short('r'),
        b'\t' => Escape::Short('t'),
        0..0x20 => Escape::Code,
        _ => return None,
    })
}

/// How many bytes longer a text gets by escaping.
fn extra(text: &str) -> usize {
    text.bytes()
        .map(|byte| match escape(byte) {
            None => 0,
            Some(Escape::Short(_)) => 1,
            Some(Escape::Code) => 5,
        })
        .sum()
}

// === impl AnswerFrames ===

impl AnswerFrames {
    /// The frames of an answer. `trace` is its ask's handle, where the facts of the end are found; `session` the one
    /// the ask came with.
    pub fn new(answer: Answer, trace: TraceHandle, session: Option<SessionId>) -> Self {
        let trace_id = answer.id();
        let events = answer.into_stream();
        Self { trace_id, session, trace, events, usage: None, state: State::Unstarted }
    }

    /// The frames of an ask that failed before it had an answer: one `Error`.
    pub fn failed(trace_id: AskId, error: Error) -> Self {
        Self {
            trace_id,
            session: None,
            trace: TraceHandle::new(),
            events: AnswerStream::failed(error),
            usage: None,
            state: State::Running,
        }
    }

    fn session(&self) -> Option<SessionId> {
        self.trace.with(|facts| facts.session).or(self.session)
    }

    fn end(&self, finish: &Finish) -> ServerFrame {
        let facts = self.trace.snapshot();
        let usage = self.usage.or(facts.usage).unwrap_or_default();
        ServerFrame::End(Box::new(End {
            trace_id: self.trace_id,
            session_id: facts.session.or(self.session),
            route: facts.route,
            finish: finish.as_str(),
            finish_reason: finish.reason().map(str::to_owned),
            usage: TokenCounts {
                input_tokens: usage.input_tokens,
                output_tokens: usage.output_tokens,
                total_tokens: usage.total_tokens(),
                estimated: usage.estimated,
            },
            llm_provider: facts.llm_provider,
            llm_model: facts.llm_model,
            confidence: facts.confidence,
            degraded: facts.degraded,
            tool_metadata: facts.tool_metadata,
        }))
    }

    fn fail(&self, error: Error) -> ServerFrame {
        ServerFrame::Error(Problem::from(error).with_trace_id(self.trace_id))
    }
}

impl Stream for AnswerFrames {
    type Item = ServerFrame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ServerFrame>> {
        match self.state {
            State::Ended => return Poll::Ready(None),
            State::Unstarted => {
                self.state = State::Running;
                let start = ServerFrame::Start { trace_id: self.trace_id, session_id: self.session() };
                return Poll::Ready(Some(start));
            }
            State::Running => {}
        }
        let frame = loop {
            break match ready!(Pin::new(&mut self.events).poll_next(cx)) {
                Some(Ok(Event::Sources(sources))) => ServerFrame::Sources(sources),
                Some(Ok(Event::Delta(text))) => ServerFrame::Delta(text),
                Some(Ok(Event::Usage(usage))) => {
                    self.usage = Some(usage);
                    continue;
                }
                Some(Ok(Event::Finished(finish))) => self.end(&finish),
                Some(Err(error)) => self.fail(error),
                None => self.fail(Error::new(ErrorKind::Truncated, Stage::Generate)),
            };
        };
        if frame.is_last() {
            self.state = State::Ended;
        }
        Poll::Ready(Some(frame))
    }
}

impl fmt::Debug for AnswerFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerFrames").field("trace_id", &self.trace_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use serde_json::json;

    use super::*;

    fn sse(frame: &ServerFrame) -> String {
        String::from_utf8(frame.to_sse().to_vec()).unwrap()
    }

    #[test]
    fn a_delta_is_written_exactly_as_a_serialiser_would() {
        let hostile: String = (0..0x30_u8).map(char::from).chain("\"\\/\u{7f}\u{2028}ệ🎓".chars()).collect();
        for text in ["", "plain", "Học phí: 4.500.000đ\nkhóa \"IELTS\"", &hostile] {
            let frame = ServerFrame::Delta(text.into());
            let data = sse(&frame);
            let data = data.strip_prefix("event: delta\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
            assert!(!data.contains(['\n', '\r']), "{data:?}");
            assert_eq!(serde_json::from_str::<Value>(data).unwrap(), json!({ "text": text }));
            let message: Value = serde_json::from_str(&frame.to_json()).unwrap();
            assert_eq!(message, json!({ "type": "delta", "text": text }));
            let written = delta("", text, "");
            assert_eq!(written.capacity(), written.len(), "one allocation, of the exact size");
        }
        assert_eq!(sse(&ServerFrame::Delta("a\nb".into())), "event: delta\ndata: {\"text\":\"a\\nb\"}\n\n");
    }

    #[tokio::test]
    async fn frames_carry_the_facts_of_the_trace() {
        let (id, session) = (AskId::generate(), SessionId::generate());
        let trace = TraceHandle::new();
        trace.set_session(session);
        let usage = Usage { input_tokens: 3, output_tokens: 4, estimated: true };
        let events = vec![
            Event::Sources(Arc::from([])),
            Event::Delta("hi".into()),
            Event::Usage(usage),
            Event::Finished(Finish::Handoff("T-1".into())),
        ];
        let frames = AnswerFrames::new(Answer::ready(id, events), trace.clone(), None);
        trace.set_route("create_ticket");
        trace.set_tool_metadata("ticket_id", "T-1");
        trace.degrade("keyword");
        let frames: Vec<_> = frames.collect().await;
        let expected = [
            format!("event: start\ndata: {{\"trace_id\":\"{id}\",\"session_id\":\"{session}\"}}\n\n"),
            "event: sources\ndata: {\"sources\":[]}\n\n".to_owned(),
            "event: delta\ndata: {\"text\":\"hi\"}\n\n".to_owned(),
        ];
        assert_eq!(frames[..3].iter().map(sse).collect::<Vec<_>>(), expected);
        let end: Value = serde_json::from_str(&frames[3].to_json()).unwrap();
        let expected = json!({
            "type": "end", "trace_id": id, "session_id": session, "route": "create_ticket", "finish": "handoff",
            "finish_reason": "T-1", "llm_provider": null, "llm_model": null, "confidence": null,
            "usage": { "input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "estimated": true },
            "degraded": ["keyword"], "tool_metadata": { "ticket_id": "T-1" },
        });
        assert_eq!(end, expected);
        assert_eq!(frames.len(), 4);
    }

    #[tokio::test]
    async fn a_cut_answer_ends_with_an_error() {
        let id = AskId::generate();
        let answer = Answer::ready(id, vec![Event::Delta("half".into())]);
        let frames: Vec<_> = AnswerFrames::new(answer, TraceHandle::new(), None).collect().await;
        let ServerFrame::Error(problem) = frames.last().unwrap() else { panic!("{frames:?}") };
        assert_eq!(problem.kind(), "truncated");
        let failed: Vec<_> =
            AnswerFrames::failed(id, Error::new(ErrorKind::Timeout, Stage::Embed)).collect().await;
        assert_eq!(failed.iter().map(ServerFrame::name).collect::<Vec<_>>(), ["error"]);
        let message: Value = serde_json::from_str(&failed[0].to_json()).unwrap();
        let expected = json!({
            "type": "error", "title": "Gateway Timeout", "status": 504, "detail": "the request took too long",
            "kind": "timeout", "trace_id": id,
        });
        assert_eq!(message, expected);
    }
}
