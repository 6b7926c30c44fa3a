//! What is read of a reply while it passes.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::super::sse::Decoder;
use super::super::wire::{Completion, WireError};
use crate::answer::{Finish, Usage};
use crate::trace::MAX_ANSWER_BYTES;

/// A document longer than this, in bytes, is passed on and not read.
const MOST_DOCUMENT: usize = 4 * 1024 * 1024;

/// A reply, as far as it has passed.
pub(super) struct Reading {
    form: Form,
    keeps_text: bool,
    pub(super) text: String,
    pub(super) chars: u64,
    pub(super) usage: Option<Usage>,
    ending: Option<Ending>,
    /// Some of it was a chunk or a document of the protocol.
    understood: bool,
    /// `[DONE]` was seen: nothing that matters follows.
    pub(super) done: bool,
}

enum Form {
    /// Server-sent events.
    Events(Decoder),
    /// One JSON document.
    Document(Document),
    /// Something that nobody can read.
    Opaque,
}

/// Pieces of a document. One that comes in one piece is not copied.
#[derive(Default)]
struct Document {
    first: Bytes,
    all: Vec<u8>,
    too_long: bool,
}

/// How a model's words ended.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// By themselves, or in a tool call, or at the limit of tokens.
    Finished(Finish),
    /// By the provider's content filter.
    Filtered,
    /// With an error object.
    Failed(WireError),
}

// === impl Reading ===

impl Reading {
    pub(super) fn of(headers: &HeaderMap, keeps_text: bool) -> Self {
        let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        let form = match () {
            () if kind.starts_with(b"text/event-stream") => Form::Events(Decoder::default()),
            () if kind.starts_with(b"application/json") => Form::Document(Document::default()),
            () => Form::Opaque,
        };
        Self {
            form,
            keeps_text,
            text: String::new(),
            chars: 0,
            usage: None,
            ending: None,
            understood: false,
            done: false,
        }
    }

    /// Reads what passes.
    pub(super) fn data(&mut self, bytes: &Bytes) {
        match &mut self.form {
            Form::Events(decoder) => {
                for event in decoder.push(bytes).into_iter().flatten() {
                    match event.trim() {
                        "[DONE]" => self.done = true,
                        event => self.read(event.as_bytes()),
                    }
                }
            }
            Form::Document(document) => document.push(bytes),
            Form::Opaque => {}
        }
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) {
        if let Form::Document(document) = &mut self.form {
            let document = std::mem::take(document);
            self.read(document.bytes());
            // A document ends by itself.
            self.ending.get_or_insert(Ending::Finished(Finish::Stop));
        }
    }

    /// How it ended; none when it did not.
    pub(super) fn ending(&self) -> Option<Ending> {
        match (&self.ending, &self.form) {
            (Some(ending), _) => Some(ending.clone()),
            (None, Form::Opaque) => Some(Ending::Finished(Finish::Stop)),
            (None, _) => self.done.then_some(Ending::Finished(Finish::Stop)),
        }
    }

    /// True when it was of a form that can be read.
    pub(super) fn is_understood(&self) -> bool {
        self.understood
    }

    /// True once there are words.
    pub(super) fn has_text(&self) -> bool {
        self.chars > 0
    }

    /// A chunk, or a whole document. One that cannot be read says nothing.
    fn read(&mut self, json: &[u8]) {
        let Ok(chunk) = serde_json::from_slice::<Completion>(json) else { return };
        self.understood = true;
        if let Some(text) = chunk.text() {
            self.chars += text.chars().count() as u64;
            if self.keeps_text && self.text.len() < MAX_ANSWER_BYTES {
                self.text.push_str(text);
            }
        }
        if let Some(usage) = chunk.usage_so_far() {
            self.usage = Some(usage);
        }
        match chunk.finish_reason() {
            Some("length" | "max_tokens") => self.ending = Some(Ending::Finished(Finish::Length)),
            Some("content_filter") => self.ending = Some(Ending::Filtered),
            Some(_) => self.ending = Some(Ending::Finished(Finish::Stop)),
            None => {}
        }
        if let Some(error) = chunk.error {
            self.ending = Some(Ending::Failed(error));
        }
    }
}

// === impl Document ===

impl Document {
    fn push(&mut self, bytes: &Bytes) {
        let so_far = self.first.len().max(self.all.len());
        self.too_long |= so_far + bytes.len() > MOST_DOCUMENT;
        if self.too_long {
            self.all = Vec::new();
        } else if so_far == 0 {
            self.first = bytes.clone();
        } else {
            if self.all.is_empty() {
                self.all.extend_from_slice(&self.first);
            }
            self.all.extend_from_slice(bytes);
        }
    }

    fn bytes(&self) -> &[u8] {
        match () {
            () if self.too_long => &[],
            () if self.all.is_empty() => &self.first,
            () => &self.all,
        }
    }
}
