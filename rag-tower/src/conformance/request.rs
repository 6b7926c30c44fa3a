//! An entry, a principal and a value for each reference in, one HTTP request out.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;
use serde_json::Value;

use super::entry::{Entry, Payload, Place};
use super::fixture::text_of;
use super::principal::Principal;

/// A request that is about to be sent.
pub(super) struct Sending {
    pub(super) request: Request<Full<Bytes>>,
    /// What it is, for the report.
    pub(super) shown: String,
}

/// A request of the entry; `values` has what goes into each reference, in the entry's order.
pub(super) fn request(
    entry: &Entry,
    principal: &Principal,
    values: &[Value],
    header: Option<(&HeaderName, &str)>,
) -> Result<Sending, String> {
    let mut path = entry.path.clone();
    let mut query = Vec::new();
    let mut headers = entry.headers.clone();
    let mut body = entry.body.clone();
    let plain = entry.plain.iter().filter_map(|(place, value)| Some((place, Value::from(value.as_deref()?))));
    let given = entry.references.iter().map(|reference| &reference.place).zip(values.iter().cloned());
    for (place, value) in plain.chain(given) {
        match place {
            Place::Path(name) => fill(&mut path, name, &text_of(&value))?,
            Place::Query(name) => query.push(format!("{}={}", escaped(name), escaped(&text_of(&value)))),
            Place::Header(name) => headers.push((name.to_string(), text_of(&value))),
            Place::Body(pointer) => {
                let slot = match &mut body {
                    Some(Payload::Json(body)) => body.pointer_mut(pointer),
                    _ => None,
                };
                *slot.ok_or_else(|| format!("the entry's JSON body has nothing at {pointer:?}"))? = value;
            }
        }
    }
    if let Some(open) = path.find('{') {
        return Err(format!("the entry does not say what goes into {}", &path[open..]));
    }
    if !query.is_empty() {
        let sign = if path.contains('?') { '&' } else { '?' };
        path = format!("{path}{sign}{}", query.join("&"));
    }
    let (content_type, bytes) = match body {
        None => (None, Bytes::new()),
        Some(Payload::Json(body)) => (Some("application/json".to_owned()), Bytes::from(body.to_string())),
        Some(Payload::Bytes { content_type, bytes }) => (Some(content_type), bytes),
    };
    let mut shown = format!("{} {path} as {}", entry.method, principal.name);
    if let Some((name, value)) = header {
        shown = format!("{shown}, {name}: {value}");
        headers.push((name.to_string(), value.to_owned()));
    }
    if !bytes.is_empty() {
        shown = format!("{shown}: {}", String::from_utf8_lossy(&bytes));
    }
    let mut built = Request::builder().method(entry.method.clone()).uri(&path);
    // the client of a server at an address sets its own
    built = built.header(HOST, "localhost").header(ACCEPT_ENCODING, "identity");
    if let Some(kind) = content_type {
        built = built.header(CONTENT_TYPE, kind).header(CONTENT_LENGTH, bytes.len());
    }
    let built =
        built.body(Full::new(bytes)).map_err(|error| format!("no request can be made of {path}: {error}"))?;
    let (mut parts, body) = built.into_parts();
    for (name, value) in headers {
        let header = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(&value).ok());
        let (name, value) = header.ok_or_else(|| format!("{name} is no header"))?;
        parts.headers.insert(name, value);
    }
    principal.sign(&mut parts)?;
    Ok(Sending { request: Request::from_parts(parts, body), shown })
}

/// Puts a value in place of `{name}` or `{*name}`.
fn fill(path: &mut String, name: &str, value: &str) -> Result<(), String> {
    let slots = [(format!("{{{name}}}"), escaped(value)), (format!("{{*{name}}}"), value.to_owned())];
    for (slot, value) in slots {
        if let Some(at) = path.find(&slot) {
            path.replace_range(at..at + slot.len(), &value);
            return Ok(());
        }
    }
    Err(format!("the path has no {{{name}}}"))
}

/// Text as it is written in a path or a query.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;

    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // writing to memory cannot fail
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(entry: &Entry, values: &[Value]) -> Result<Sending, String> {
        request(entry, &Principal::member("acme").bearer("t0ken-of-acme"), values, None)
    }

    #[test]
    fn values_go_where_the_entry_says() {
        let entry = Entry::post("/notes/{id}/{*file}")
            .reference(Place::path("id"), "note")
            .value(Place::path("file"), "a/b.txt")
            .reference(Place::query("of"), "note")
            .reference(Place::body("/ids"), "note")
            .json(json!({ "ids": [], "title": "x" }));
        let Sending { request, shown } =
            sent(&entry, &[json!("n/1"), json!("ü"), json!([1, 2])]).ok().unwrap();
        assert_eq!(request.uri(), "/notes/n%2F1/a/b.txt?of=%C3%BC");
        assert_eq!(request.headers()["authorization"], "Bearer t0ken-of-acme");
        assert_eq!(request.headers()["content-length"], "25");
        assert!(shown.ends_with(r#"as member of acme: {"ids":[1,2],"title":"x"}"#), "{shown}");
    }

    #[test]
    fn what_cannot_be_sent_is_said() {
        let error = |entry: Entry, values: &[Value]| sent(&entry, values).err().unwrap();
        assert!(error(Entry::get("/{id}"), &[]).contains("{id}"));
        let lost = Entry::post("/").reference(Place::body("/ids/0"), "note").json(json!({ "ids": [] }));
        assert!(error(lost, &[json!(1)]).contains("nothing at \"/ids/0\""));
        assert!(error(Entry::get("/").header("a b", "c"), &[]).contains("no header"));
    }
}
