//! The messages of a socket in, the client's frames out, within limits.

use std::sync::OnceLock;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::stream::{SplitStream, unfold};
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use super::MAX_MESSAGE_BYTES;
use crate::error::{Error, ErrorKind, Stage};
use crate::http::{ClientFrame, WsLimit};
use crate::quota::Quota;

/// What a connection may do.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) idle: Duration,
    pub(super) rate: Quota,
}

struct Reading<'a> {
    stream: &'a mut SplitStream<WebSocket>,
    pace: Pace,
    /// When the next message is due, by the quota; one that comes earlier uses up what is allowed at once.
    due: Instant,
    hit: &'a OnceLock<WsLimit>,
}

/// The client's frames, until it leaves or goes beyond a limit, which is then set in `hit`.
pub(super) fn inbound<'a>(
    stream: &'a mut SplitStream<WebSocket>,
    pace: Pace,
    hit: &'a OnceLock<WsLimit>,
) -> impl Stream<Item = Result<ClientFrame, Error>> + Send + 'a {
    let reading = Reading { stream, pace, due: Instant::now(), hit };
    unfold(reading, |mut reading| async move {
        let frame = reading.next().await?;
        Some((frame, reading))
    })
}

// === impl Reading ===

impl Reading<'_> {
    async fn next(&mut self) -> Option<Result<ClientFrame, Error>> {
        while self.hit.get().is_none() {
            let Ok(message) = tokio::time::timeout(self.pace.idle, self.stream.next()).await else {
                return self.stop(WsLimit::Idle);
            };
            // What the WebSocket library itself refuses is the end, as its client's leaving is.
            let Some(Ok(message)) = message else { return None };
            if let Err(wait) = self.count() {
                let error = Error::new(ErrorKind::RateLimited, Stage::Http).with_retry_after(wait);
                let _stopped: Option<()> = self.stop(WsLimit::FrameRate);
                return Some(Err(error.with_message("messages came faster than is allowed")));
            }
            match message {
                Message::Text(text) if text.len() > MAX_MESSAGE_BYTES => {
                    return self.stop(WsLimit::FrameSize);
                }
                Message::Binary(bytes) if bytes.len() > MAX_MESSAGE_BYTES => {
                    return self.stop(WsLimit::FrameSize);
                }
                Message::Text(text) => return Some(ClientFrame::parse(text.as_str())),
                Message::Binary(_) => {
                    let what = "send text messages: binary ones mean nothing";
                    return Some(Err(Error::invalid(Stage::Http, what)));
                }
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(_) => return None,
            }
        }
        None
    }

    /// One message more, of whatever kind: each costs.
    fn count(&mut self) -> Result<(), Duration> {
        if self.pace.rate.is_off() {
            return Ok(());
        }
        let now = Instant::now();
        let ahead = self.pace.rate.step(self.due.saturating_duration_since(now))?;
        self.due = now + ahead;
        Ok(())
    }

    fn stop<T>(&self, limit: WsLimit) -> Option<T> {
        let _first = self.hit.set(limit);
        None
    }
}
