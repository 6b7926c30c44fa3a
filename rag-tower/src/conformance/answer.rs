//! A response as it is compared, searched for canaries, and shown.

use std::time::Duration;

use bytes::{BufMut, Bytes};
use http::{HeaderName, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::ServiceExt;
use tower_service::Service;

use crate::error::BoxError;

/// So much of a body is read; what a longer one holds after that is not looked at, and it is not compared.
const MAX_BODY: usize = 1024 * 1024;

/// Headers that say nothing of what was asked for.
const IGNORED: [&str; 3] = ["date", "x-request-id", "content-length"];

/// A response.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Names and values, in order of the names.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// False when the body was too long or did not end in time.
    pub(super) whole: bool,
}

/// What two answers may differ in without telling anything.
#[derive(Default)]
pub(super) struct Sameness {
    pub(super) headers: Vec<HeaderName>,
    pub(super) fields: Vec<String>,
    pub(super) normalize: Option<Box<Normalize>>,
}

type Normalize = dyn Fn(String) -> String + Send + Sync;

/// Sends a request and reads the answer, within the deadline.
pub(super) async fn ask<S, B>(
    service: S,
    request: Request<Full<Bytes>>,
    deadline: Duration,
) -> Result<Answer, String>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Error: Into<BoxError>>,
{
    let end = tokio::time::Instant::now() + deadline;
    let late = |_| format!("no answer within {} s", deadline.as_secs_f64());
    let response = tokio::time::timeout_at(end, service.oneshot(request)).await.map_err(late)?;
    let (parts, body) = response.map_err(|error| format!("no answer: {}", error.into()))?.into_parts();
    let mut headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    headers.sort();
    let (body, whole) = read(body, end).await?;
    Ok(Answer { status: parts.status, headers, body, whole })
}

/// Reads a body until it ends, is too long, or the time has come.
async fn read<B>(body: B, end: tokio::time::Instant) -> Result<(Bytes, bool), String>
where
    B: Body<Error: Into<BoxError>>,
{
    let mut body = std::pin::pin!(body);
    let mut read = Vec::new();
    loop {
        let Ok(frame) = tokio::time::timeout_at(end, body.frame()).await else {
            return Ok((read.into(), false));
        };
        let Some(frame) = frame else { return Ok((read.into(), true)) };
        let frame = frame.map_err(|error| format!("the answer broke off: {}", error.into()))?;
        if let Ok(data) = frame.into_data() {
            read.put(data);
        }
        if read.len() >= MAX_BODY {
            return Ok((read.into(), false));
        }
    }
}

// === impl Answer ===

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first of these that is in the body or a header.
    pub(super) fn holds<'m>(&self, marks: impl IntoIterator<Item = &'m String>) -> Option<&'m String> {
        let body = self.text();
        let in_header =
            |mark: &str| self.headers.iter().any(|(name, value)| value.contains(mark) || name.contains(mark));
        marks.into_iter().find(|mark| body.contains(mark.as_str()) || in_header(mark))
    }
}

// === impl Sameness ===

impl Sameness {
    /// What tells the answer to one id from the answer to another. Each id stands for itself: where an answer repeats
    /// what it was asked for, that is no difference.
    pub(super) fn difference(
        &self,
        (one, its): (&Answer, &str),
        (two, own): (&Answer, &str),
    ) -> Option<String> {
        if one.status != two.status {
            return Some(format!("the status is {}, not {}", one.status.as_u16(), two.status.as_u16()));
        }
        let (left, right) = (self.headers_of(one, its), self.headers_of(two, own));
        let odd = left.iter().find(|header| !right.contains(header));
        let odd = odd.or_else(|| right.iter().find(|header| !left.contains(header)));
        if let Some((name, _)) = odd {
            return Some(format!("the header {name} differs"));
        }
        let (left, right) = (self.body_of(one, its), self.body_of(two, own));
        if left == right {
            return None;
        }
        let at = left.iter().zip(&right).take_while(|(left, right)| left == right).count();
        Some(format!("the bodies differ from byte {at} on"))
    }

    fn headers_of(&self, answer: &Answer, id: &str) -> Vec<(String, String)> {
        let told =
            |name: &str| !IGNORED.contains(&name) && !self.headers.iter().any(|ignored| ignored == name);
        let headers = answer.headers.iter().filter(|(name, _)| told(name));
        headers.map(|(name, value)| (name.clone(), without(value, id))).collect()
    }

    fn body_of(&self, answer: &Answer, id: &str) -> Vec<u8> {
        // what is no text is compared as it is
        let Ok(text) = std::str::from_utf8(&answer.body) else { return answer.body.to_vec() };
        let mut text = without(text, id);
        if !self.fields.is_empty()
            && let Ok(mut json) = serde_json::from_str::<Value>(&text)
        {
            self.forget(&mut json);
            text = json.to_string();
        }
        match &self.normalize {
            Some(normalize) => normalize(text).into_bytes(),
            None => text.into_bytes(),
        }
    }

    /// Drops the values of fields that differ each time.
    fn forget(&self, json: &mut Value) {
        match json {
            Value::Array(items) => items.iter_mut().for_each(|item| self.forget(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    if self.fields.contains(name) {
                        *value = Value::Null;
                    } else {
                        self.forget(value);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The text with `{id}` where the id stands as a word of its own.
fn without(text: &str, id: &str) -> String {
    if id.is_empty() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(id) {
        let (before, after) = (&rest[..at], &rest[at + id.len()..]);
        let previous = before.chars().next_back().or_else(|| out.chars().next_back());
        let inside = |next: Option<char>| next.is_some_and(char::is_alphanumeric);
        out.push_str(before);
        out.push_str(if inside(previous) || inside(after.chars().next()) { id } else { "{id}" });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into(), whole: true }
    }

    #[test]
    fn answers_differ_by_status_headers_or_body() {
        let same = Sameness::default();
        let unknown = answer(404, &[("date", "2"), ("etag", "x")], "no note 9");
        let difference = |foreign: &Answer| same.difference((foreign, "7"), (&unknown, "9"));
        assert_eq!(difference(&answer(404, &[("date", "1"), ("etag", "x")], "no note 7")), None);
        for (foreign, says) in [
            (answer(403, &[("etag", "x")], "no note 7"), "status"),
            (answer(404, &[("etag", "y")], "no note 7"), "header etag"),
            (answer(404, &[], "no note 7"), "header etag"),
            (answer(404, &[("etag", "x"), ("x-owner", "b")], "no note 7"), "header x-owner"),
            (answer(404, &[("etag", "x")], "no note 9"), "byte 8"),
            (answer(404, &[("etag", "x")], "no note 77"), "byte 8"),
        ] {
            let found = difference(&foreign).expect(says);
            assert!(found.contains(says), "{found}");
        }
    }

    #[test]
    fn what_differs_each_time_is_left_out_where_it_is_named() {
        let (one, two) = (
            answer(200, &[], r#"{"a": [{"trace_id": 1, "b": 2}]}"#),
            answer(200, &[], r#"{"a": [{"trace_id": 3, "b": 2}]}"#),
        );
        assert!(Sameness::default().difference((&one, ""), (&two, "")).is_some());
        let named = Sameness { fields: vec!["trace_id".to_owned()], ..Sameness::default() };
        assert_eq!(named.difference((&one, ""), (&two, "")), None);
        let by_hand =
            Sameness { normalize: Some(Box::new(|text| text.replace('3', "1"))), ..Sameness::default() };
        assert_eq!(by_hand.difference((&one, ""), (&two, "")), None);
    }

    #[test]
    fn an_id_is_replaced_as_a_word() {
        assert_eq!(without("7 of 17, 7/70 (7)", "7"), "{id} of 17, {id}/70 ({id})");
        assert_eq!(without("77", "7"), "77");
    }
}
