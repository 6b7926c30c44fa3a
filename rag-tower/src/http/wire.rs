//! What a client sends: read strictly, with messages that say what to mend.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;

use super::Problem;
use crate::ask::{Ask, Channel, Question, SessionId};
use crate::error::{BoxError, Error, Stage};
use crate::tenant::{BranchId, TenantScope};

/// The longest body accepted, in bytes, unless configured otherwise: the longest question, every character escaped.
pub const DEFAULT_BODY_LIMIT: usize = 128 * 1024;

/// The longest request id that is kept, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// The longest reason for a refusal, in characters: it may quote what was sent.
const MAX_REASON_CHARS: usize = 200;

/// The body of a question: `{"question": …, "session_id"?: …, "branch_id"?: …, "channel"?: …}`. Anything else in it
/// is refused, a tenant above all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AskRequest {
    /// What is asked.
    pub question: Question,
    /// The conversation to continue.
    pub session_id: Option<SessionId>,
    /// The one branch to look in.
    pub branch_id: Option<BranchId>,
    /// How the question came. Default: [`Channel::Api`].
    pub channel: Channel,
}

const EXPECTED: &str = "{\"question\": \"…\", \"session_id\"?, \"branch_id\"?, \"channel\"?}";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    question: String,
    session_id: Option<String>,
    branch_id: Option<String>,
    channel: Option<Channel>,
}

// === impl AskRequest ===

impl AskRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): not UTF-8, not JSON (says where), an unknown field, an id
    /// that is not a UUID, or what [`Question::parse`] refuses.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(body).map_err(|error| {
            let at = error.valid_up_to();
            Error::invalid(Stage::Http, format!("the body is not UTF-8: byte {at} is wrong"))
        })?;
        if text.trim().is_empty() {
            return Err(Error::invalid(Stage::Http, "the body is empty: send {\"question\": \"…\"} as JSON"));
        }
        let raw: Raw = read_object(text).map_err(|why| {
            Error::invalid(Stage::Http, format!("the body is not the JSON object {EXPECTED}: {why}"))
        })?;
        Ok(Self {
            question: Question::parse(&raw.question)?,
            session_id: raw.session_id.map(|id| parse_id(&id, "session_id")).transpose()?,
            branch_id: raw.branch_id.map(|id| parse_id(&id, "branch_id")).transpose()?,
            channel: named(raw.channel.unwrap_or_default())?,
        })
    }

    /// The ask of a scope.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when the scope does not grant the branch.
    pub fn into_ask(self, scope: TenantScope) -> Result<Ask, Error> {
        let scope = match self.branch_id {
            Some(branch) => scope.narrow(branch)?,
            None => scope,
        };
        let ask = Ask::new(scope, self.question).with_channel(self.channel);
        Ok(match self.session_id {
            Some(session) => ask.with_session(session),
            None => ask,
        })
    }
}

/// A channel that a caller may name. One that counts nowhere is the server's own: whoever could claim it would be unseen.
fn named(channel: Channel) -> Result<Channel, Error> {
    if channel.counts() {
        return Ok(channel);
    }
    let names: Vec<_> = Channel::ALL.into_iter().filter(|one| one.counts()).map(Channel::as_str).collect();
    let expected = names.join(", ");
    Err(Error::invalid(Stage::Http, format!("\"channel\" is not one of yours: expected one of {expected}")))
}

/// Reads an object, or says why that is none without quoting it at length. Serde alone would take a list of the values too.
pub(super) fn read_object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, String> {
    if json.trim_start().starts_with('[') {
        return Err("it is a list".to_owned());
    }
    serde_json::from_str(json).map_err(|error| {
        let why = error.to_string();
        match why.char_indices().nth(MAX_REASON_CHARS) {
            Some((end, _)) => format!("{}… at line {} column {}", &why[..end], error.line(), error.column()),
            None => why,
        }
    })
}

/// Reads an id, naming the field where it is none.
pub(super) fn parse_id<T: std::str::FromStr>(text: &str, field: &str) -> Result<T, Error> {
    text.parse().map_err(|_| {
        Error::invalid(
            Stage::Http,
            format!("\"{field}\" is not a UUID: send the id you were given, or leave it out"),
        )
    })
}

/// Refuses a body that says it is something other than JSON. One that says nothing is taken for JSON.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let mime = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if mime.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "send the question as \"Content-Type: application/json\"",
    ))
}

/// Reads a body of at most `most` bytes within `time`.
pub(crate) async fn read_within<B>(
    body: B,
    headers: &HeaderMap,
    most: usize,
    time: Duration,
) -> Result<Bytes, Problem>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let too_large = || {
        let detail = format!("the body is too large: at most {most} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    };
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let reading = Limited::new(body, most).collect();
    match tokio::time::timeout(time, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Error::invalid(Stage::Http, "the body ended before it was complete")
            .with_source(error)
            .into()),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "the body took too long: send it at once",
        )),
    }
}

/// True when the client would rather have server-sent events than JSON.
pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    let (mut events, mut json) = (0.0, 0.0);
    for value in headers.get_all(ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let mime = parts.next().unwrap_or_default();
            let quality =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
            let quality: f32 = quality.unwrap_or(0.0);
            if mime.eq_ignore_ascii_case("text/event-stream") {
                events = quality;
            } else if mime.eq_ignore_ascii_case("application/json") {
                json = quality;
            }
        }
    }
    events > 0.0 && events >= json
}

/// The caller's own id for the request, when it is short and plain.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    (!id.is_empty() && id.len() <= MAX_REQUEST_ID_BYTES).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, TenantId};

    fn refusal(body: &[u8]) -> String {
        let error = AskRequest::parse(body).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.to_string()
    }

    #[test]
    fn a_wrong_body_says_what_is_wrong() {
        assert!(refusal(b"").contains("empty"));
        assert!(refusal(b"{\"question\": \"\xff\"}").contains("not UTF-8: byte 14"));
        assert!(refusal(b"{\"question\": ").contains("line 1 column 13"));
        assert!(refusal(b"{}").contains("missing field `question`"));
        assert!(refusal(b"{\"question\": 1}").contains("expected a string"));
        assert!(refusal(b"{\"question\": \" \"}").contains("question is empty"));
        assert!(refusal(br#"{"question": "a", "tenant_id": "x"}"#).contains("unknown field `tenant_id`"));
        assert!(refusal(br#"{"question": "a", "question": "b"}"#).contains("duplicate field"));
        assert!(refusal(br#"{"question": "a", "session_id": "x"}"#).contains("\"session_id\" is not a UUID"));
        assert!(refusal(br#"{"question": "a", "channel": "fax"}"#).contains("unknown variant `fax`"));
        let canary = refusal(br#"{"question": "a", "channel": "canary"}"#);
        assert!(canary.contains("expected one of cli, web, web_ws, tenant_chat, api"), "{canary}");
        assert!(refusal(br#"{"question": "a\u0000b"}"#).contains("control character"));
        assert!(refusal(br#"{"question": "\ud800"}"#).contains("line 1"));
        let long = format!("{{\"question\": \"{}\"}}", "a".repeat(9_000));
        assert!(refusal(long.as_bytes()).contains("at most 8000 characters"));
        assert!(refusal(br#"["a", null, null, null]"#).contains("it is a list"));
        let unknown = refusal(format!("{{\"{}\": 1}}", "x".repeat(10_000)).as_bytes());
        assert!(unknown.len() < 500 && unknown.contains("… at line 1 column"), "{unknown}");
        let deep = format!("{{\"question\": {}", "[".repeat(10_000));
        assert!(refusal(deep.as_bytes()).contains("expected a string"));
    }

    #[test]
    fn a_branch_narrows_or_is_not_found() {
        let tenant = TenantId::named("acme");
        let north = BranchId::named(tenant, "north");
        let scope = crate::test_util::granted(tenant).narrow(north).unwrap();
        let ask = |branch: BranchId| {
            let body = format!("{{\"question\": \"a\", \"branch_id\": \"{branch}\"}}");
            AskRequest::parse(body.as_bytes()).unwrap().into_ask(scope.clone())
        };
        assert!(ask(north).is_ok());
        let foreign = BranchId::named(TenantId::named("rival"), "north");
        assert_eq!(ask(foreign).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn accept_chooses_the_form() {
        let wants = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            wants_events(&headers)
        };
        assert!(wants("text/event-stream"));
        assert!(wants("application/json;q=0.5, text/event-stream"));
        assert!(!wants("*/*"));
        assert!(!wants("application/json, text/event-stream;q=0.1"));
        assert!(!wants("text/event-stream;q=0"));
        assert!(!wants_events(&HeaderMap::new()));
    }
}
