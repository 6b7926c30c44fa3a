//! What is read of a provider's responses: as little as is needed, since compatible servers leave out the rest.

use std::borrow::Cow;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::Usage;

/// A chunk of a stream, or a whole completion.
#[derive(Deserialize)]
pub(super) struct Completion<'a> {
    #[serde(default, borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    pub(super) error: Option<WireError>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default, alias = "message", borrow)]
    delta: Option<Content<'a>>,
    #[serde(default, borrow)]
    finish_reason: Option<Text<'a>>,
    /// Of a completion that is no chat.
    #[serde(default, borrow)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(default, borrow)]
    content: Option<Text<'a>>,
}

/// A text that is copied only where it is written with escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
}

/// An error object. Its message is not read: it may quote the key or the question.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct WireError {
    #[serde(default)]
    code: Option<Value>,
    #[serde(default)]
    r#type: Option<Value>,
}

// === impl Completion ===

impl Completion<'_> {
    /// The text of the first choice, when there is any.
    pub(super) fn text(&self) -> Option<&str> {
        let choice = self.choice()?;
        let said = choice.delta.as_ref().and_then(|delta| delta.content.as_ref()).or(choice.text.as_ref());
        said.map(|text| &*text.0).filter(|text| !text.is_empty())
    }

    /// Why the first choice ended, once it has.
    pub(super) fn finish_reason(&self) -> Option<&str> {
        self.choice()?.finish_reason.as_ref().map(|reason| &*reason.0).filter(|reason| !reason.is_empty())
    }

    /// The usage, when it is there in full.
    pub(super) fn usage(&self) -> Option<Usage> {
        let usage = self.usage.as_ref()?;
        let (input_tokens, output_tokens) = (usage.prompt_tokens?, usage.completion_tokens?);
        Some(Usage { input_tokens, output_tokens, estimated: false })
    }

    /// True when its text belongs to the first of several answers.
    pub(super) fn is_first(&self) -> bool {
        self.choice().and_then(|choice| choice.index).unwrap_or_default() == 0
    }

    /// The usage, where what is made is no text: then there are tokens of the prompt alone.
    pub(super) fn usage_so_far(&self) -> Option<Usage> {
        let usage = self.usage.as_ref()?;
        let output_tokens = usage.completion_tokens.unwrap_or_default();
        Some(Usage { input_tokens: usage.prompt_tokens?, output_tokens, estimated: false })
    }

    fn choice(&self) -> Option<&Choice<'_>> {
        self.choices.as_deref()?.first()
    }
}

// === impl WireError ===

impl WireError {
    /// The code or the type, when it looks like an identifier: short, lower case, no words of anybody.
    pub(super) fn identifier(&self) -> Option<String> {
        let of = |value: &Value| {
            let text = value.as_str()?;
            let plain = |c: char| c.is_ascii_lowercase() || c == '_';
            (!text.is_empty() && text.len() <= 40 && text.chars().all(plain)).then(|| text.to_owned())
        };
        self.code.as_ref().and_then(of).or_else(|| self.r#type.as_ref().and_then(of))
    }

    /// The code as an HTTP status, which some gateways put there.
    pub(super) fn status(&self) -> Option<StatusCode> {
        let code = self.code.as_ref()?;
        let number = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
        StatusCode::from_u16(u16::try_from(number).ok()?).ok().filter(|status| status.as_u16() >= 400)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Completion<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_servers_leave_out_or_send_as_null_is_no_error() {
        for json in [
            "{}",
            r#"{"choices":null,"usage":null}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":""}],"usage":{"total_tokens":3}}"#,
        ] {
            let chunk = read(json);
            assert!(
                chunk.text().is_none() && chunk.finish_reason().is_none() && chunk.usage().is_none(),
                "{json}"
            );
        }
        let whole = read(r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#);
        assert_eq!((whole.text(), whole.finish_reason()), (Some("hi"), Some("stop")));
    }

    #[test]
    fn only_identifiers_leave_an_error_object() {
        let of = |json: &str| serde_json::from_str::<WireError>(json).unwrap().identifier();
        assert_eq!(of(r#"{"code":"model_not_found"}"#).as_deref(), Some("model_not_found"));
        assert_eq!(of(r#"{"code":"sk-SECRET1","type":"auth_error"}"#).as_deref(), Some("auth_error"));
        assert_eq!(of(r#"{"code":429,"message":"call 0912 000 111"}"#), None);
    }
}
