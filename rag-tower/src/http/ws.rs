//! Conversations over a WebSocket of any library: client frames in, server frames out.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::{Pin, pin};

use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::once;
use http::StatusCode;
use serde::Deserialize;
use tower::ServiceExt;

use super::wire::{parse_id, read_object};
use super::{AnswerFrames, Problem, ServerFrame};
use crate::ask::{Ask, AskId, Channel, Question, SessionId};
use crate::error::{Error, Stage};
use crate::scoped::Scoped;
use crate::stage::Answers;
use crate::tenant::TenantScope;

/// So many messages wait while one is answered.
pub const MAX_WAITING_MESSAGES: usize = 4;

/// What a client sends: `{"message": …, "session_id"?: …}` or `{"type": "cancel"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientFrame {
    /// A question.
    Message {
        /// What is asked.
        message: Question,
        /// The conversation to continue. Without one the connection's own goes on.
        session_id: Option<SessionId>,
    },
    /// Stops the answer that is under way.
    Cancel,
}

/// A limit of a connection that its client went beyond. A closed set: it is the label of `rag_ws_limited_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WsLimit {
    /// A message that is too long.
    FrameSize,
    /// Messages that come too fast, pings among them.
    FrameRate,
    /// Nothing for too long.
    Idle,
    /// A frame that the client did not take in time.
    SlowConsumer,
    /// As many connections of the tenant as it may have.
    TenantConnections,
    /// As many connections as the server has room for.
    Connections,
}

/// Where server frames go: what the glue of a WebSocket library implements.
pub trait FrameSink: Send {
    /// Sends one frame.
    ///
    /// # Errors
    /// Any error ends the conversation.
    fn send(&mut self, frame: ServerFrame) -> impl Future<Output = Result<(), Error>> + Send;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    r#type: Option<String>,
    message: Option<String>,
    session_id: Option<String>,
}

/// Where a conversation stands.
#[derive(Default)]
struct Talk {
    waiting: VecDeque<(Question, Option<SessionId>)>,
    /// The connection's own session.
    session: Option<SessionId>,
    /// It ends with the answer that is under way.
    leaves: bool,
}

/// What ended an answer.
enum Ended {
    /// Its last frame was sent.
    Whole,
    /// The client stopped it.
    Cancelled,
    /// The client is gone.
    Gone,
}

/// Answers the messages of one connection, one at a time, until `inbound` ends.
///
/// Each ask gets a scope of its own from `renew`, so that a credential that was revoked since the connection began
/// opens nothing more: when `renew` refuses, the client is told and the conversation ends. Up to
/// [`MAX_WAITING_MESSAGES`] messages wait their turn; more are refused. `cancel` drops the answer under way, which is
/// then a cancelled row, and is answered with an `error` frame of kind `cancelled`. When `inbound` ends everything is
/// dropped. A frame that cannot be read is answered with an `error` frame and does no harm.
///
/// # Errors
/// `renew`'s refusal, and what `out` fails with.
pub async fn converse<S, I, O, F, Fut>(renew: F, stack: S, inbound: I, out: &mut O) -> Result<(), Error>
where
    S: Answers<Ask>,
    I: Stream<Item = Result<ClientFrame, Error>> + Send,
    O: FrameSink,
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = Result<TenantScope, Error>> + Send,
{
    converse_until(pending(), renew, stack, inbound, out).await
}

/// [`converse`], until the server has to go: when `leaving` is ready.
///
/// Then the answer that is under way goes on to its end, and the conversation ends with it; one that waits for its client
/// ends at once. Messages that wait, and those that still come, are refused with an `error` frame of kind `going_away`: its
/// client connects again, and asks there.
///
/// # Errors
/// As [`converse`].
pub async fn converse_until<S, I, O, F, Fut>(
    leaving: impl Future<Output = ()> + Send,
    mut renew: F,
    stack: S,
    inbound: I,
    out: &mut O,
) -> Result<(), Error>
where
    S: Answers<Ask>,
    I: Stream<Item = Result<ClientFrame, Error>> + Send,
    O: FrameSink,
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = Result<TenantScope, Error>> + Send,
{
    let mut leaving = pin!(leaving);
    let mut inbound = pin!(inbound);
    let mut talk = Talk::default();
    loop {
        let Some((question, named)) = talk.waiting.pop_front() else {
            if talk.leaves {
                return Ok(());
            }
            let frame = tokio::select! {
                biased;
                () = &mut leaving => return Ok(()),
                frame = inbound.next() => frame,
            };
            match frame {
                None => return Ok(()),
                Some(Ok(ClientFrame::Message { message, session_id })) => {
                    talk.waiting.push_back((message, session_id));
                }
                Some(Ok(ClientFrame::Cancel)) => {}
                Some(Err(error)) => out.send(ServerFrame::Error(error.into())).await?,
            }
            continue;
        };
        let scope = match renew().await {
            Ok(scope) => scope,
            Err(error) => {
                out.send(ServerFrame::Error(Problem::from(&error))).await?;
                return Err(error);
            }
        };
        let mut ask = Ask::new(scope, question).with_channel(Channel::WebWs);
        if let Some(session) = named.or(talk.session) {
            ask = ask.with_session(session);
        }
        let (id, trace, asked) = (ask.id(), ask.trace().clone(), ask.session());
        let answering = stack.clone().oneshot(ask);
        let frames = once(async move {
            match answering.await {
                Ok(answer) => AnswerFrames::new(answer, trace, asked),
                Err(error) => AnswerFrames::failed(id, error),
            }
        });
        match answer(frames.flatten(), inbound.as_mut(), leaving.as_mut(), &mut talk, out).await? {
            Ended::Whole => {}
            Ended::Cancelled => out.send(ServerFrame::Error(cancelled(id))).await?,
            Ended::Gone => return Ok(()),
        }
    }
}

/// Sends one answer while it listens to the client. Returning drops what is left of the answer.
async fn answer<I, O>(
    frames: impl Stream<Item = ServerFrame> + Send,
    mut inbound: Pin<&mut I>,
    mut leaving: Pin<&mut impl Future<Output = ()>>,
    talk: &mut Talk,
    out: &mut O,
) -> Result<Ended, Error>
where
    I: Stream<Item = Result<ClientFrame, Error>> + Send,
    O: FrameSink,
{
    let mut frames = pin!(frames);
    loop {
        tokio::select! {
            biased;
            () = &mut leaving, if !talk.leaves => {
                talk.leaves = true;
                for _ in talk.waiting.drain(..) {
                    out.send(ServerFrame::Error(going_away())).await?;
                }
            }
            frame = inbound.next() => match frame {
                None => return Ok(Ended::Gone),
                Some(Ok(ClientFrame::Cancel)) => return Ok(Ended::Cancelled),
                Some(Ok(ClientFrame::Message { .. })) if talk.leaves => {
                    out.send(ServerFrame::Error(going_away())).await?;
                }
                Some(Ok(ClientFrame::Message { message, session_id })) => {
                    if talk.waiting.len() < MAX_WAITING_MESSAGES {
                        talk.waiting.push_back((message, session_id));
                    } else {
                        out.send(ServerFrame::Error(too_many())).await?;
                    }
                }
                Some(Err(error)) => out.send(ServerFrame::Error(error.into())).await?,
            },
            frame = frames.next() => {
                let Some(frame) = frame else { return Ok(Ended::Whole) };
                match &frame {
                    ServerFrame::Start { session_id: Some(id), .. } => talk.session = Some(*id),
                    ServerFrame::End(end) => talk.session = end.session_id.or(talk.session),
                    _ => {}
                }
                out.send(frame).await?;
            }
        }
    }
}

fn too_many() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_waiting",
        format!("{MAX_WAITING_MESSAGES} messages wait already: this one was not taken, send it again later"),
    )
}

/// What a client is told that should be elsewhere by now.
pub(super) fn going_away() -> Problem {
    let detail = "the server is going away and takes no more questions: connect again, and ask there";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "going_away", detail)
}

fn cancelled(id: AskId) -> Problem {
    // What nginx calls a request that its client gave up; HTTP itself has no such status.
    let status = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
    Problem::new(status, "cancelled", "the answer was stopped as asked").with_trace_id(id)
}

// === impl WsLimit ===

impl WsLimit {
    /// Every limit, so that an exporter can start each series at 0.
    pub const ALL: [Self; 6] = [
        Self::FrameSize,
        Self::FrameRate,
        Self::Idle,
        Self::SlowConsumer,
        Self::TenantConnections,
        Self::Connections,
    ];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FrameSize => "frame_size",
            Self::FrameRate => "frame_rate",
            Self::Idle => "idle",
            Self::SlowConsumer => "slow_consumer",
            Self::TenantConnections => "tenant_connections",
            Self::Connections => "connections",
        }
    }

    /// Counts it in `rag_ws_limited_total`: for the glue of a WebSocket library, once for each connection that ends, or
    /// does not begin, by it.
    pub fn count(self) {
        metrics::counter!("rag_ws_limited_total", "limit" => self.as_str()).increment(1);
    }
}

// === impl ClientFrame ===

impl ClientFrame {
    /// Reads a text message.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): not JSON (says where), neither form, an unknown field, or what
    /// [`Question::parse`] refuses.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let raw: Raw = read_object(text)
            .map_err(|why| Error::invalid(Stage::Http, format!("the message is not a valid frame: {why}")))?;
        match (raw.r#type.as_deref(), raw.message) {
            (Some("cancel"), None) => Ok(Self::Cancel),
            (None | Some("message"), Some(message)) => Ok(Self::Message {
                message: Question::parse(&message)?,
                session_id: raw.session_id.map(|id| parse_id(&id, "session_id")).transpose()?,
            }),
            _ => Err(Error::invalid(
                Stage::Http,
                "the message is not a valid frame: send {\"message\": \"…\"} or {\"type\": \"cancel\"}",
            )),
        }
    }
}

#[cfg(test)]
mod tests;
