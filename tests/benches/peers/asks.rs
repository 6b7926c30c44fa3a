//! The requests of each peer's wire, none like another, so that no cache answers for the model.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::Request;
use serde_json::json;
use uuid::Uuid;

use crate::stub::{MODEL, SLOWLY};

/// A question that goes through every stage: embedded, searched, reranked, prompted, generated.
pub(crate) const QUESTION: &str = "Trung tâm có chính sách hoàn học phí không?";
/// Turns of a conversation before the next begins.
const TURNS: usize = 8;
const SESSION: &[u8] = br#""session_id":""#;

/// How a peer is asked.
#[derive(Clone, Copy)]
pub(crate) enum Wire {
    /// As OpenAI is, below a path, the model's name behind a prefix.
    Chat {
        /// Ends with `/chat/completions`.
        path: &'static str,
        prefix: &'static str,
    },
    /// The reference server's.
    Server,
    /// The FastAPI design's.
    FastApi,
}

/// A source of requests. Clones go on counting together.
#[derive(Clone)]
pub(crate) struct Asks {
    wire: Wire,
    key: Option<String>,
    next: Arc<AtomicU64>,
}

/// A conversation over one connection.
#[derive(Default)]
pub(crate) struct Talk {
    turn: usize,
    session: Option<String>,
}

// === impl Asks ===

impl Asks {
    pub(crate) fn new(wire: Wire, key: Option<String>) -> Self {
        Self { wire, key, next: Arc::default() }
    }

    /// The next question.
    pub(crate) fn whole(&self, addr: SocketAddr) -> Request<Bytes> {
        self.request(addr, "", false, None)
    }

    /// The next question in a conversation, given the answer before. A new conversation begins after some turns.
    pub(crate) fn in_talk(&self, addr: SocketAddr, talk: &mut Talk, before: &[u8]) -> Request<Bytes> {
        let first = talk.turn.is_multiple_of(TURNS);
        talk.turn += 1;
        talk.session = match self.wire {
            // the server names a conversation, the other takes a name
            Wire::Server if first => None,
            Wire::FastApi if first => Some(Uuid::now_v7().to_string()),
            _ => session_of(before).or(talk.session.take()),
        };
        self.request(addr, "", false, talk.session.as_deref())
    }

    /// The next question, answered as a stream; slowly, or as fast as it goes.
    pub(crate) fn stream(&self, addr: SocketAddr, slowly: bool) -> Request<Bytes> {
        self.request(addr, if slowly { SLOWLY } else { "" }, true, None)
    }

    fn request(&self, addr: SocketAddr, mark: &str, stream: bool, session: Option<&str>) -> Request<Bytes> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        // a word that is in no document: a number is, and then it is another question
        let question = format!("{QUESTION} (q{n}) {mark}");
        let (path, body) = match self.wire {
            Wire::Chat { path, prefix } => {
                let mut body = json!({
                    "model": format!("{prefix}{MODEL}"),
                    "messages": [{"role": "user", "content": question}],
                });
                if stream {
                    body["stream"] = json!(true);
                    body["stream_options"] = json!({"include_usage": true});
                }
                (path, body)
            }
            Wire::Server | Wire::FastApi => {
                let path =
                    if stream && matches!(self.wire, Wire::FastApi) { "/query/stream" } else { "/query" };
                (path, json!({"question": question, "session_id": session}))
            }
        };
        let mut request =
            Request::post(path).header("host", addr.to_string()).header("content-type", "application/json");
        if stream {
            request = request.header("accept", "text/event-stream");
        }
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request.body(body.to_string().into()).expect("a request")
    }
}

/// The session that an answer names.
fn session_of(answer: &[u8]) -> Option<String> {
    let at = answer.windows(SESSION.len()).position(|part| part == SESSION)? + SESSION.len();
    let id = answer.get(at..at + 36)?;
    Some(std::str::from_utf8(id).ok()?.to_owned())
}
