//! What is read of a reply while it passes.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::super::refusal;
use super::super::sse::Decoder;
use super::super::wire::{Completion, WireError};
use crate::answer::{Finish, Usage};
use crate::error::{Error, ErrorKind, Stage};
use crate::trace::MAX_ANSWER_BYTES;

/// A stream with an event longer than this, in bytes, is passed on and not read from there on.
const MOST_EVENT: usize = 1024 * 1024;
/// A document longer than this, in bytes, is passed on and not read.
const MOST_DOCUMENT: usize = 4 * 1024 * 1024;

/// A reply, as far as it has passed.
pub(super) struct Reading {
    form: Form,
    pub(super) seen: Seen,
}

/// What its words come to.
#[derive(Default)]
pub(super) struct Seen {
    /// Whether `text` is wanted.
    pub(super) keeps_text: bool,
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
    /// Something that cannot be read: another kind, compressed, or too much of it.
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
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        let form = match () {
            () if headers.contains_key(CONTENT_ENCODING) => Form::Opaque,
            () if kind.starts_with(b"text/event-stream") => Form::Events(Decoder::default()),
            () if kind.starts_with(b"application/json") => Form::Document(Document::default()),
            () => Form::Opaque,
        };
        Self { form, seen: Seen::default() }
    }

    /// Reads what passes.
    pub(super) fn data(&mut self, bytes: &Bytes) {
        let Self { form, seen } = self;
        match form {
            Form::Events(decoder) => {
                decoder.each(bytes, |event| match event.map(str::trim) {
                    Ok("[DONE]") => seen.done = true,
                    Ok(event) => seen.read(event.as_bytes()),
                    // A provider's own matter, and its client's: it has no words that we know of.
                    Err(_) => {}
                });
                if decoder.held() > MOST_EVENT {
                    *form = Form::Opaque;
                    seen.understood = false;
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
            self.seen.read(document.bytes());
            // A document ends by itself.
            self.seen.ending.get_or_insert(Ending::Finished(Finish::Stop));
        }
    }

    /// How it ended; none when it did not.
    pub(super) fn ending(&self) -> Option<Ending> {
        match (&self.seen.ending, &self.form) {
            (Some(ending), _) => Some(ending.clone()),
            (None, Form::Opaque) => Some(Ending::Finished(Finish::Stop)),
            (None, _) => self.seen.done.then_some(Ending::Finished(Finish::Stop)),
        }
    }

    /// How it has ended, which it has not always done when its bytes have: by the model's own end, or by what else.
    pub(super) fn outcome(&self, provider: &str) -> Result<Finish, Error> {
        match self.ending() {
            Some(Ending::Finished(finish)) => Ok(finish),
            None => Err(refusal::truncated(provider)),
            Some(Ending::Failed(error)) => Err(refusal::reported(provider, Stage::Generate, &error)),
            Some(Ending::Filtered) => Err(Error::new(ErrorKind::ProviderRejected, Stage::Generate)
                .with_message(format!(
                    "the model provider {provider} withheld the answer by its content filter"
                ))),
        }
    }

    /// True when it was of a form that can be read.
    pub(super) fn is_understood(&self) -> bool {
        self.seen.understood
    }
}

// === impl Seen ===

impl Seen {
    /// A chunk, or a whole document. One that cannot be read says nothing.
    fn read(&mut self, json: &[u8]) {
        let Ok(chunk) = serde_json::from_slice::<Completion<'_>>(json) else { return };
        self.understood = true;
        if let Some(text) = chunk.text() {
            self.chars += text.chars().count() as u64;
            if self.keeps_text && chunk.is_first() && self.text.len() < MAX_ANSWER_BYTES {
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
