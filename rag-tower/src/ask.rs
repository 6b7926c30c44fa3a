//! A question on its way in.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use crate::error::{Error, Stage};
use crate::filter::Filter;
use crate::memory::History;
use crate::scoped::{Scoped, Traceable};
use crate::tenant::{TenantScope, id};
use crate::trace::{Entry, TraceHandle};

/// The longest question accepted, in characters.
pub const MAX_QUESTION_CHARS: usize = 8_000;

id! {
    /// Identifies one ask and its trace row. UUIDv7: its milliseconds are when the ask began.
    AskId
}
id! {
    /// Identifies a conversation. Made by the server, never by a client.
    SessionId
}

/// One question of one tenant.
///
/// The scope is a constructor argument: an ask without a tenant cannot be written.
#[derive(Clone, Debug)]
pub struct Ask {
    id: AskId,
    scope: TenantScope,
    question: Question,
    session: Option<SessionId>,
    channel: Channel,
    request_id: Option<Arc<str>>,
    filter: Filter,
    history: Option<Arc<History>>,
    pieces: bool,
    trace: TraceHandle,
}

/// A question's text: NFC, trimmed, not empty, without control characters other than line breaks and tabs, at most
/// [`MAX_QUESTION_CHARS`] characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Question(Arc<str>);

/// How a question reached us. A closed set: it is a metric label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The command line.
    Cli,
    /// The chat page.
    Web,
    /// The chat page over a WebSocket.
    WebWs,
    /// A tenant's own chat widget.
    TenantChat,
    /// A program.
    #[default]
    Api,
    /// A question that the server asks itself, of a tenant that nobody is, to see whether tenants are kept apart. No caller
    /// may name it, and its asks count nowhere: they are rows like any other, in no rollup, no figure and no list, and of the
    /// metrics of asks in `rag_requests_total` alone.
    Canary,
}

// === impl AskId ===

impl AskId {
    /// A fresh id, now.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(Uuid::now_v7())
    }

    /// When the ask began, from the id itself, to the millisecond. `None` when the id is not a UUIDv7.
    #[must_use]
    pub fn timestamp(&self) -> Option<OffsetDateTime> {
        let (seconds, nanos) = self.as_uuid().get_timestamp()?.to_unix();
        let at = SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::new(seconds, nanos))?;
        Some(at.into())
    }
}

// === impl SessionId ===

impl SessionId {
    /// A fresh id.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(Uuid::now_v7())
    }
}

// === impl Ask ===

impl Ask {
    /// A question of a tenant, from the API channel, without session or filter.
    #[must_use]
    pub fn new(scope: TenantScope, question: Question) -> Self {
        Self {
            id: AskId::generate(),
            scope,
            question,
            session: None,
            channel: Channel::default(),
            request_id: None,
            filter: Filter::default(),
            history: None,
            pieces: true,
            trace: TraceHandle::new(),
        }
    }

    /// Continues a conversation. Default: a new one.
    #[must_use]
    pub fn with_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// Says how the question came. Default: [`Channel::Api`].
    #[must_use]
    pub fn with_channel(mut self, channel: Channel) -> Self {
        self.channel = channel;
        self
    }

    /// Keeps the caller's own request id beside ours. Default: none.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// Narrows what may be retrieved. Default: everything the scope admits.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Joins a trace that a layer further out has begun, such as the HTTP twin. Default: a fresh one.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceHandle) -> Self {
        self.trace = trace;
        self
    }

    /// Says that nobody sees the pieces of the answer, as where it is collected before it is sent: those that are there at
    /// the same time go on as one. Default: each goes on as it came.
    #[must_use]
    pub fn in_one_piece(mut self) -> Self {
        self.pieces = false;
        self
    }

    /// Whether somebody sees the pieces of the answer.
    pub(crate) fn wants_pieces(&self) -> bool {
        self.pieces
    }

    /// What the end of the pipeline hands on.
    pub(crate) fn into_parts(self) -> (AskId, TenantScope, Question, TraceHandle) {
        (self.id, self.scope, self.question, self.trace)
    }

    pub(crate) fn with_history(mut self, history: Arc<History>) -> Self {
        self.history = Some(history);
        self
    }

    /// Puts another question in place of this one, of the same ask: what a rewrite of a follow-up does.
    #[must_use]
    pub fn rewritten(mut self, question: Question) -> Self {
        self.question = question;
        self
    }

    /// The ask's id.
    #[must_use]
    pub fn id(&self) -> AskId {
        self.id
    }

    /// The question.
    #[must_use]
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// The conversation it continues, when it continues one.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// How it came.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// What narrows retrieval.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// What was said before, once memory has been loaded.
    #[must_use]
    pub fn history(&self) -> Option<&Arc<History>> {
        self.history.as_ref()
    }
}

impl Scoped for Ask {
    fn scope(&self) -> &TenantScope {
        &self.scope
    }

    fn trace(&self) -> &TraceHandle {
        &self.trace
    }
}

impl Traceable for Ask {
    fn id(&self) -> AskId {
        self.id
    }

    fn entry(&self) -> Entry {
        Entry {
            question: Some(self.question.0.clone()),
            session: self.session,
            channel: self.channel,
            request_id: self.request_id.clone(),
        }
    }
}

// === impl Question ===

impl Question {
    /// Reads a question as a person typed it.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when nothing is left after trimming, when it is longer than
    /// [`MAX_QUESTION_CHARS`], or when it holds a control character other than a line break or a tab.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // A longer text cannot get shorter than a third by composing: refuse it before doing the work.
        if text.len() > MAX_QUESTION_CHARS * 16 {
            return Err(too_long());
        }
        let text: String = text.nfc().collect();
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::invalid(Stage::Http, "the question is empty: send some text in \"question\""));
        }
        if text.chars().count() > MAX_QUESTION_CHARS {
            return Err(too_long());
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(Error::invalid(
                Stage::Http,
                "the question holds a control character: send plain text",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

fn too_long() -> Error {
    Error::invalid(Stage::Http, format!("the question is too long: at most {MAX_QUESTION_CHARS} characters"))
}

impl fmt::Debug for Question {
    /// Shows the length only: a question is user text and has no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question({} bytes)", self.0.len())
    }
}

// === impl Channel ===

impl Channel {
    /// Every channel, in the order of the declaration.
    pub const ALL: [Self; 6] = [Self::Cli, Self::Web, Self::WebWs, Self::TenantChat, Self::Api, Self::Canary];

    /// The metric label and the column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Web => "web",
            Self::WebWs => "web_ws",
            Self::TenantChat => "tenant_chat",
            Self::Api => "api",
            Self::Canary => "canary",
        }
    }

    /// True for a question that somebody asked: it counts. False for [`Canary`](Self::Canary).
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Canary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn question_is_composed_and_trimmed() {
        let question = Question::parse("  ho\u{0323}c phi\u{0301}  ").unwrap();
        assert_eq!(question.as_str(), "h\u{1ecd}c ph\u{ed}");
        assert!(!format!("{question:?}").contains("phí"));
    }

    #[test]
    fn question_refuses_what_is_not_one() {
        let long = "a".repeat(MAX_QUESTION_CHARS + 1);
        for text in ["", " \n ", "a\u{0}b", long.as_str()] {
            assert_eq!(Question::parse(text).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert!(Question::parse(&"ệ".repeat(MAX_QUESTION_CHARS)).is_ok());
    }

    #[test]
    fn the_id_knows_its_time() {
        let age = OffsetDateTime::now_utc() - AskId::generate().timestamp().unwrap();
        assert!(age.whole_seconds().abs() < 5, "{age}");
    }
}
