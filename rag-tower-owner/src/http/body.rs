//! A request's body in, a value of ours out, or a problem that says what was expected.

use axum::body::{Body, Bytes};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError};
use rag_tower::http::Problem;
use serde::de::DeserializeOwned;

use crate::routes::MAX_BODY;

/// Reads a JSON body. `expected` shows one, for the message to whoever sent something else.
pub(crate) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    expected: &'static str,
) -> Result<T, Problem> {
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(';').next().is_some_and(|kind| kind.trim() == "application/json"));
    if !json {
        // a form of another site cannot send this content type
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid_input",
            "send JSON, with the header Content-Type: application/json",
        ));
    }
    let bytes = read_bytes(body, MAX_BODY).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        // the error's own text can quote what was sent
        let place = if error.is_data() {
            "a field is missing, unknown or of the wrong type".to_owned()
        } else {
            format!("it is not JSON at line {}, column {}", error.line(), error.column())
        };
        invalid(format!("the body cannot be used: {place}; expected {expected}"))
    })
}

/// Reads the body of a request that says all with its address: none, or `{}`.
pub(crate) async fn nothing(body: Body) -> Result<(), Problem> {
    let bytes = read_bytes(body, MAX_BODY).await?;
    match bytes.trim_ascii() {
        b"" | b"{}" => Ok(()),
        _ => Err(invalid("the body cannot be used: expected none, or {}".to_owned())),
    }
}

/// Reads a body whole. `most` is what the edge lets through, for the message.
pub(crate) async fn read_bytes(body: Body, most: usize) -> Result<Bytes, Problem> {
    match body.collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if is_too_long(&error) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_input",
            format!("the body is too long: at most {most} bytes"),
        )),
        Err(_) => Err(invalid("the body could not be read to its end".to_owned())),
    }
}

/// [`StatusCode::BAD_REQUEST`] with a sentence.
pub(crate) fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_input", detail)
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(this) = error {
        if this.is::<LengthLimitError>() {
            return true;
        }
        error = this.source();
    }
    false
}
