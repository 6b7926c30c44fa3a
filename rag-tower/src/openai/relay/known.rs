//! What is read of a call's body: as little as is needed, and never as a condition for passing it on.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What is known of a body. Of one that is not what it should be nothing is, and the provider will say so.
#[derive(Debug, Default)]
pub(super) struct Known {
    model: Option<Arc<str>>,
    /// Where the model's name stands in the body, quotes included.
    model_at: Range<usize>,
    temperature: Option<f64>,
    /// Where what is asked stands in the body: a JSON value.
    question_at: Range<usize>,
    /// The length of all texts, in bytes.
    texts: usize,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(borrow, default)]
    messages: Vec<Message<'a>>,
    #[serde(borrow, default)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// A content: a text, or parts of which some are.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

// === impl Known ===

impl Known {
    pub(super) fn read(body: &[u8]) -> Self {
        let Ok(wire) = serde_json::from_slice::<Wire<'_>>(body) else { return Self::default() };
        let place = |raw: Option<&RawValue>| raw.map_or(0..0, |raw| place_in(body, raw));
        let asked = wire.messages.iter().rev().find(|message| {
            message.role.is_some_and(|role| role.get() == "\"user\"") && message.content.is_some()
        });
        let said = wire.messages.iter().filter_map(|message| message.content);
        let texts = said.chain(wire.prompt).chain(wire.input).map(|raw| raw.get().len()).sum();
        Self {
            model: wire.model.and_then(|raw| serde_json::from_str(raw.get()).ok()),
            model_at: place(wire.model),
            temperature: wire.temperature,
            question_at: place(asked.and_then(|message| message.content).or(wire.prompt).or(wire.input)),
            texts,
        }
    }

    pub(super) fn model(&self) -> Option<&Arc<str>> {
        self.model.as_ref()
    }

    pub(super) fn temperature(&self) -> Option<f64> {
        self.temperature
    }

    pub(super) fn question(&self, body: &[u8]) -> Option<String> {
        let content = serde_json::from_slice(body.get(self.question_at.clone())?).ok()?;
        let text = match content {
            Content::Text(text) => text.into_owned(),
            Content::Parts(parts) => {
                let texts: Vec<_> = parts.into_iter().filter_map(|part| part.text).collect();
                texts.join("\n")
            }
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// A token is about four characters.
    pub(super) fn estimated_tokens(&self) -> u64 {
        self.texts.div_ceil(4) as u64
    }

    /// The body with another name in the place of the model's; nothing else of it changes.
    pub(super) fn with_model(&self, body: &Bytes, model: &str) -> Bytes {
        let (Some(before), Some(after)) = (body.get(..self.model_at.start), body.get(self.model_at.end..))
        else {
            return body.clone();
        };
        if self.model_at.is_empty() {
            return body.clone();
        }
        let name = serde_json::Value::from(model).to_string();
        [before, name.as_bytes(), after].concat().into()
    }
}

/// Where a value that borrows from `body` stands in it.
fn place_in(body: &[u8], raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr().addr().saturating_sub(body.as_ptr().addr());
    start..start + raw.get().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(body: &str) -> Option<String> {
        Known::read(body.as_bytes()).question(body.as_bytes())
    }

    #[test]
    fn the_last_words_of_a_user_are_the_question() {
        let body = r#"{"model": "m", "messages": [
            {"role": "system", "content": "be brief"}, {"role": "user", "content": "one"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "x"}]},
            {"role": "user", "content": [{"type": "text", "text": "t\u01b0?"},
                {"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "text", "text": "three"}]},
            {"role": "assistant", "content": "four"}]}"#;
        assert_eq!(question(body).as_deref(), Some("tư?\nthree"));
        assert_eq!(question(r#"{"prompt": "say"}"#).as_deref(), Some("say"));
        assert_eq!(question(r#"{"input": ["a", "b"]}"#), None);
        for nothing in
            ["", "{", "[]", "{}", r#"{"messages": 1}"#, r#"{"messages": [{"role": "user"}]}"#, "\u{feff}{}"]
        {
            assert_eq!(question(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn the_model_s_name_is_exchanged_and_nothing_else() {
        let body = Bytes::from_static(
            br#"{ "a" : [1,  2], "model":"\u0067pt" , "seed": 12345678901234567890, "x": {"model": 1}}"#,
        );
        let known = Known::read(&body);
        assert_eq!(known.model().map(|model| &**model), Some("gpt"));
        let expected =
            br#"{ "a" : [1,  2], "model":"o\"ther" , "seed": 12345678901234567890, "x": {"model": 1}}"#;
        assert_eq!(known.with_model(&body, "o\"ther"), &expected[..]);
        let none = Bytes::from_static(b"{\"a\": 1}");
        assert_eq!(Known::read(&none).with_model(&none, "m"), none);
    }

    #[test]
    fn only_a_temperature_of_nothing_is_nothing() {
        let of = |body: &str| Known::read(body.as_bytes()).temperature();
        assert_eq!(of(r#"{"temperature": 0}"#), Some(0.0));
        assert_eq!(of(r#"{"temperature": 0.7}"#), Some(0.7));
        assert_eq!(
            (of("{}"), of(r#"{"temperature": null}"#), of(r#"{"temperature": "0"}"#)),
            (None, None, None)
        );
    }
}
