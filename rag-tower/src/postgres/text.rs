//! Text that Postgres accepts: it stores every character but NUL.

use std::borrow::Cow;

use serde_json::Value;

/// The text with each NUL replaced by U+FFFD.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The same for every string and key inside a JSON value.
pub(super) fn clean_json(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(clean(&text).into_owned()),
        Value::Array(values) => Value::Array(values.into_iter().map(clean_json).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter().map(|(key, value)| (clean(&key).into_owned(), clean_json(value))).collect(),
        ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn replaces_nul_everywhere() {
        assert_eq!(clean("a\0b"), "a\u{fffd}b");
        assert!(matches!(clean("ab"), Cow::Borrowed("ab")));
        assert_eq!(clean_json(json!({"k\0": ["\0", 1, null]})), json!({"k\u{fffd}": ["\u{fffd}", 1, null]}));
    }
}
