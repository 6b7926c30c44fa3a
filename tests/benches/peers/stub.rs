//! The model server of all peers: the OpenAI API on the wire, and as little work as possible behind it, so that it is not
//! what limits a peer. Whole and streamed chat completions, and embeddings by the library's own local embedder.

use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use rag_tower::embed::LocalEmbedder;
use rag_tower_tests::model_stub as wire;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The model's name.
pub(crate) const MODEL: &str = "stub";
/// The embedding model's name.
pub(crate) const EMBEDDINGS: &str = "stub-embedding";
/// A question with this in it is answered with a piece each [`PACE`], any other one at once. It is no word: a question with one
/// more that no document has is another question, and now and then one that is not answered.
pub(crate) const SLOWLY: &str = "~~~~";
/// The time between two pieces.
const PACE: Duration = Duration::from_millis(1);
/// The pieces of an answer.
const PIECES: usize = 16;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What an answer is made of, made once.
struct Prepared {
    whole: Bytes,
    /// All frames in one piece.
    burst: Bytes,
    frames: Vec<Bytes>,
}

static PREPARED: LazyLock<Prepared> = LazyLock::new(Prepared::new);

/// The pieces of the answer, each another; spaces lead, as in models' tokens.
pub(crate) fn pieces() -> Vec<String> {
    (0..PIECES).map(|n| format!(" piece {n} of the answer [1].")).collect()
}

/// Serves for good.
pub(crate) async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                stream.set_nodelay(true).expect("TCP_NODELAY");
                let service = hyper::service::service_fn(answer);
                let io = hyper_util::rt::TokioIo::new(stream);
                connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    // a client that goes away is nobody to answer
    let Ok(body) = request.into_body().collect().await else { return Ok(refused(StatusCode::BAD_REQUEST)) };
    let body = body.to_bytes();
    Ok(match path.as_str() {
        "/v1/chat/completions" => chat(&body),
        "/v1/embeddings" => embeddings(&body),
        _ => refused(StatusCode::NOT_FOUND),
    })
}

fn chat(body: &[u8]) -> Response<Body> {
    if !(says(body, b"\"stream\":true") || says(body, b"\"stream\": true")) {
        return whole("application/json", PREPARED.whole.clone());
    }
    if !says(body, SLOWLY.as_bytes()) {
        let once = stream::iter([Ok(Frame::data(PREPARED.burst.clone()))]);
        return respond("text/event-stream", StreamBody::new(once).boxed_unsync());
    }
    // who speaks comes with the first piece, then one piece at a time, and the end with the last
    let paced = stream::unfold(0, |at| async move {
        let frames = &PREPARED.frames;
        let (frame, next) = match at {
            0 => (Bytes::from([&frames[0][..], &frames[1][..]].concat()), 2),
            at if at < PIECES => (frames[at].clone(), at + 1),
            at if at == PIECES => (Bytes::from(frames[at..].concat()), frames.len()),
            _ => return None,
        };
        if at > 0 {
            tokio::time::sleep(PACE).await;
        }
        Some((Ok(Frame::data(frame)), next))
    });
    respond("text/event-stream", StreamBody::new(paced).boxed_unsync())
}

fn embeddings(body: &[u8]) -> Response<Body> {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return refused(StatusCode::BAD_REQUEST) };
    let texts = match &body["input"] {
        Value::String(text) => vec![text.as_str()],
        input => input.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    let packed = body["encoding_format"] == "base64";
    let count = texts.len();
    // written as it is sent, without a tree of values: the less this program takes, the more is left to who is measured
    let mut json = String::with_capacity(8 * 1024 * count);
    json.push_str(r#"{"object":"list","data":["#);
    for (index, text) in texts.into_iter().enumerate() {
        let vector = LocalEmbedder::new().embed(text);
        json.push_str(if index == 0 { "" } else { "," });
        json.push_str(r#"{"object":"embedding","embedding":"#);
        if packed {
            let mut bytes = Vec::with_capacity(4 * vector.as_slice().len());
            vector.as_slice().iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
            json.push('"');
            BASE64_STANDARD.encode_string(bytes, &mut json);
            json.push('"');
        } else {
            json.push_str(&json!(vector.as_slice()).to_string());
        }
        json.push_str(&format!(r#","index":{index}}}"#));
    }
    let usage = json!({"prompt_tokens": count, "total_tokens": count});
    json.push_str(&format!(r#"],"model":"{EMBEDDINGS}","usage":{usage}}}"#));
    whole("application/json", json.into())
}

fn says(body: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(body, what).is_some()
}

fn whole(content_type: &'static str, body: Bytes) -> Response<Body> {
    respond(content_type, Full::new(body).boxed_unsync())
}

fn refused(status: StatusCode) -> Response<Body> {
    let mut response =
        whole("application/json", Bytes::from_static(b"{\"error\":{\"message\":\"no such thing\"}}"));
    *response.status_mut() = status;
    response
}

fn respond(content_type: &'static str, body: Body) -> Response<Body> {
    Response::builder().header("content-type", content_type).body(body).expect("valid headers")
}

// === impl Prepared ===

impl Prepared {
    fn new() -> Self {
        let pieces = pieces();
        let mut frames = vec![wire::role()];
        frames.extend(pieces.iter().map(|piece| wire::text(piece)));
        frames.extend([wire::finish("stop"), wire::usage(11, PIECES as u64), wire::done()]);
        let whole = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL,
            "choices": [{
                "index": 0, "finish_reason": "stop", "logprobs": null,
                "message": {"role": "assistant", "content": pieces.concat(), "refusal": null},
            }],
            "usage": {"prompt_tokens": 11, "completion_tokens": PIECES, "total_tokens": 11 + PIECES},
        });
        Self { whole: whole.to_string().into(), burst: frames.concat().into(), frames }
    }
}
