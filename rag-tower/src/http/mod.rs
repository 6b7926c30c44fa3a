//! The border between HTTP and the stack: one leaf that turns a request into an ask and its answer into JSON or
//! server-sent events, WebSocket conversations, and problems.
//!
//! Events over SSE (`event:` and `data:`) and over a WebSocket (`type` and the same fields) are the same
//! [`ServerFrame`]s:
//!
//! | event | data |
//! |---|---|
//! | `start` | `trace_id`, `session_id` |
//! | `sources` | `sources`: `[{n, doc_id, file_name, title, chunk, snippet, score}]` |
//! | `delta` | `text` |
//! | `end` | `trace_id`, `session_id`, `route`, `finish`, `finish_reason`, `usage`, `llm_provider`, `llm_model`, `confidence`, `degraded`, `tool_metadata` |
//! | `error` | a [`Problem`] |
//!
//! An answer ends with exactly one `end` or `error`. The JSON answer holds the fields of `end`, and `answer` and
//! `sources`.

mod ask_service;
mod body;
mod frame;
mod origin;
mod problem;
pub(crate) mod ticket;
mod wire;
mod ws;
#[cfg(feature = "axum")]
mod ws_axum;

pub use self::ask_service::{AskFuture, AskService};
pub use self::body::AnswerBody;
pub use self::frame::{AnswerFrames, End, ServerFrame, TokenCounts};
pub use self::origin::Origins;
pub use self::problem::Problem;
pub use self::ticket::{MemoryTickets, TICKET_LIFETIME, TicketFuture, TicketHolder, TicketService, Tickets};
#[cfg(feature = "openai")]
pub(crate) use self::wire::read_within;
pub use self::wire::{AskRequest, DEFAULT_BODY_LIMIT};
pub use self::ws::{ClientFrame, FrameSink, MAX_WAITING_MESSAGES, WsLimit, converse, converse_until};
#[cfg(feature = "axum")]
#[cfg_attr(not(docsrs), doc = "<span class='stab portability'><code>axum</code></span>")]
pub use self::ws_axum::{SUBPROTOCOL, WsAsks};
