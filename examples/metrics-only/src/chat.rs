//! The service as it was, and what it now says of itself.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, StatusCode};
use rag_tower::{BoxError, Stage, TraceHandle, Usage};

/// The model's name, which becomes a label.
pub(crate) const MODEL: &str = "parrot-1";
/// The longest question, in bytes.
const LONGEST: usize = 8 * 1024;

/// Answers the text of a request with text.
pub(crate) async fn chat<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible>
where
    B: hyper::body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    // what the layer around this has put here: all that is said to it is counted
    let trace = request.extensions().get::<TraceHandle>().cloned().unwrap_or_default();
    trace.set_route("chat");
    let Ok(question) = Limited::new(request.into_body(), LONGEST).collect().await else {
        let mut refused = Response::new(Full::from("a question is text, of at most 8 KiB\n"));
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refused);
    };

    let timer = trace.time(Stage::Generate);
    let question = question.to_bytes();
    let answer = parrot(&question).await;
    drop(timer);

    trace.set_provider("parrot", MODEL);
    let (asked, said) = (String::from_utf8_lossy(&question), String::from_utf8_lossy(&answer));
    trace.set_usage(Usage::estimate(&asked, &said));
    Ok(Response::new(Full::new(answer)))
}

/// The model: takes its time and says it again.
async fn parrot(question: &Bytes) -> Bytes {
    tokio::time::sleep(Duration::from_millis(5)).await;
    question.clone()
}
