//! The body of a question, and a frame of a WebSocket.

use serde_json::{Value, json};
use unicode_normalization::is_nfc;

use super::{Broken, broken, hold};
use crate::ErrorKind;
use crate::ask::{MAX_QUESTION_CHARS, Question};
use crate::error::Error;
use crate::http::{AskRequest, ClientFrame};
use crate::scoped::Scoped;
use crate::tenant::{BranchId, Branches, TenantId};

/// The longest refusal, in bytes: what was sent is not sent back at length.
const LONGEST_REFUSAL: usize = 600;

/// Checks what is read as [`AskRequest`] and as [`ClientFrame`].
///
/// What is taken has no field but the known ones, holds a question that is composed, trimmed and not too long, and reads
/// the same when it is written again; the ask that is made of it is its scope's, or narrower. What is refused is refused
/// shortly, as the caller's own mistake.
///
/// # Errors
/// The property that does not hold.
pub fn query_body(data: &[u8]) -> Result<(), Broken> {
    match AskRequest::parse(data) {
        Ok(request) => taken(data, &request)?,
        Err(error) => refused(&error)?,
    }
    let Ok(text) = str::from_utf8(data) else { return Ok(()) };
    match ClientFrame::parse(text) {
        Ok(ClientFrame::Message { message, session_id }) => {
            sound(&message)?;
            known(data, &["type", "message", "session_id"])?;
            let written = json!({ "message": message.as_str(), "session_id": session_id }).to_string();
            let again = ClientFrame::parse(&written).ok();
            let same = again == Some(ClientFrame::Message { message, session_id });
            hold(same, || "a frame reads otherwise when it is written again".to_owned())
        }
        Ok(ClientFrame::Cancel) => known(data, &["type", "message", "session_id"]),
        Err(error) => refused(&error),
    }
}

fn taken(data: &[u8], request: &AskRequest) -> Result<(), Broken> {
    sound(&request.question)?;
    known(data, &["question", "session_id", "branch_id", "channel"])?;
    let written = json!({
        "question": request.question.as_str(), "session_id": request.session_id, "branch_id": request.branch_id,
        "channel": request.channel,
    });
    let again = AskRequest::parse(written.to_string().as_bytes()).ok();
    hold(again.as_ref() == Some(request), || "a body reads otherwise when it is written again".to_owned())?;

    let tenant = TenantId::named("acme");
    let own = BranchId::named(tenant, "north");
    let whole = crate::test_util::granted(tenant);
    let narrow = whole.narrow(own).map_err(|error| broken(error.to_string()))?;
    for scope in [whole, narrow] {
        let granted = request.branch_id.is_none_or(|branch| scope.branches().contains(branch));
        match request.clone().into_ask(scope.clone()) {
            Ok(ask) => {
                let wider = match (ask.scope().branches(), request.branch_id) {
                    (branches, None) => branches != scope.branches(),
                    (Branches::Only(only), Some(branch)) => only[..] != [branch],
                    (Branches::All, Some(_)) => true,
                };
                let own = ask.scope().tenant() == tenant && granted && !wider;
                hold(own, || format!("{:?} became {:?}", scope.branches(), ask.scope().branches()))?;
            }
            Err(error) => {
                let not_found = error.kind() == ErrorKind::NotFound && !granted;
                hold(not_found, || format!("a branch that is granted was refused: {error}"))?;
            }
        }
    }
    Ok(())
}

fn sound(question: &Question) -> Result<(), Broken> {
    let text = question.as_str();
    let sound = !text.is_empty() && text == text.trim() && is_nfc(text);
    let plain = text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
    let short = text.chars().count() <= MAX_QUESTION_CHARS;
    hold(sound && plain && short, || format!("{text:?} is no question"))
}

/// Each field of the object is one of these: none can name a tenant.
fn known(data: &[u8], names: &[&str]) -> Result<(), Broken> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(data) else {
        return Err(broken("something that is no JSON object was taken"));
    };
    let other = fields.keys().find(|name| !names.contains(&name.as_str()));
    hold(other.is_none(), || format!("{other:?} was taken"))
}

fn refused(error: &Error) -> Result<(), Broken> {
    hold(error.kind() == ErrorKind::InvalidInput, || format!("refused as {:?}", error.kind()))?;
    let length = error.to_string().len();
    hold(length <= LONGEST_REFUSAL, || format!("refused with {length} bytes"))
}
