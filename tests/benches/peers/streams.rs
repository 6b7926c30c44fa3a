//! Streams, one after the other over one connection: when the first piece comes, and whether each piece comes as it was sent.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use rag_tower_tests::figures::quantile;
use rag_tower_tests::frames::{Frames, text_of};
use rag_tower_tests::load::Connection;

/// What streams were like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    /// Half of the first pieces came within this.
    pub(crate) first_p50: Duration,
    pub(crate) first_p99: Duration,
    /// All streams, and those whose pieces each came in a frame of its own, in order, and all of them.
    pub(crate) all: usize,
    pub(crate) exact: usize,
    /// The pieces of a stream that was otherwise.
    pub(crate) otherwise: Option<Vec<String>>,
}

/// Asks for streams until `end`, at least one; each should bring these pieces.
///
/// # Errors
/// A stream that did not come.
pub(crate) async fn run(
    addr: SocketAddr,
    length: Duration,
    pieces: &[String],
    request: impl Fn() -> Request<Bytes>,
) -> Result<Streams, String> {
    let end = Instant::now() + length;
    let mut connection = Connection::open(addr).await.ok_or("nobody listens")?;
    let (mut firsts, mut exact, mut otherwise) = (Vec::new(), 0, None);
    loop {
        let (first, found) = one(&mut connection, request()).await?;
        firsts.push(first);
        if found == pieces {
            exact += 1;
        } else {
            otherwise = Some(found);
        }
        if Instant::now() > end {
            break;
        }
    }
    firsts.sort_unstable();
    let at = |p| quantile(&firsts, p).unwrap_or_default();
    Ok(Streams { first_p50: at(0.5), first_p99: at(0.99), all: firsts.len(), exact, otherwise })
}

/// When the first piece came, and all pieces, by frame.
async fn one(
    connection: &mut Connection,
    request: Request<Bytes>,
) -> Result<(Duration, Vec<String>), String> {
    let began = Instant::now();
    let answer = connection.send(request).await.ok_or("the connection was closed")?;
    let status = answer.status();
    let mut body = answer.into_body();
    let (mut frames, mut pieces, mut first) = (Frames::default(), Vec::new(), None);
    while let Some(part) = body.frame().await {
        let data = part.map_err(|error| error.to_string())?.into_data().unwrap_or_default();
        pieces.extend(frames.push(&data).iter().filter_map(|frame| text_of(frame)));
        if first.is_none() && !pieces.is_empty() {
            first = Some(began.elapsed());
        }
    }
    match first {
        Some(first) if status == StatusCode::OK => Ok((first, pieces)),
        _ => Err(format!("a stream without a piece of text: {status}")),
    }
}
