//! Masking of what a row holds: a value in, the same with telephone numbers and e-mail addresses hidden out.

use rag_tower::masking;
use serde_json::Value;
use uuid::Uuid;

pub(super) fn mask(text: &mut Option<String>) {
    if let Some(text) = text {
        *text = masking::text(text).into_owned();
    }
}

/// A name that may be an id of ours, which is no telephone number.
pub(super) fn mask_name(text: &mut Option<String>) {
    if text.as_ref().is_some_and(|text| text.parse::<Uuid>().is_err()) {
        mask(text);
    }
}

/// Masks the strings inside; numbers stay, ids are not telephone numbers to the mask.
pub(super) fn mask_json(value: &mut Value) {
    match value {
        Value::String(text) if text.parse::<Uuid>().is_err() => *text = masking::text(text).into_owned(),
        Value::Array(values) => values.iter_mut().for_each(mask_json),
        Value::Object(map) => map.values_mut().for_each(mask_json),
        _ => {}
    }
}
