//! Asks as they are written, as a stream of server-sent events.
//!
//! | event | data | id |
//! |---|---|---|
//! | `line` | an ask as lists show it | its place: with it as `Last-Event-ID` a stream goes on after it |
//!
//! A stream looks each second, and only while it is read: what a slow reader does not take waits in the database, not here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use http::{HeaderMap, StatusCode};
use rag_tower::http::Problem;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::asked::filtered;
use crate::app::App;
use crate::auth::{OwnerScope, OwnerSessions};
use crate::http::invalid;
use crate::owner_store::{Cursor, LogLine, Tail};

/// Streams at once.
pub(crate) const TAILS: usize = 8;
/// How often a stream looks.
const EVERY: Duration = Duration::from_secs(1);
/// How often it makes sure that the owner is still logged in.
const CHECKED: Duration = Duration::from_secs(2);
/// How often it says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// When a stream that was refused may be tried again.
const AGAIN: Duration = Duration::from_secs(10);

filtered!(TailParams {});

/// A stream on its way.
struct Watch {
    app: Arc<App>,
    owner: OwnerScope,
    tail: Tail,
    /// Asks that have been read and not taken.
    ready: VecDeque<(Cursor, LogLine)>,
    ticks: Interval,
    checked: Instant,
    _permit: OwnedSemaphorePermit,
}

/// Asks from now on, or after a place. The stream ends with the session, and with the server.
pub(super) async fn tail(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    headers: HeaderMap,
    asked: Result<Query<TailParams>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, Problem> {
    let which = TailParams::read(asked)?.which(&app.zone)?;
    let from = match headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default()) {
        None | Some("") => None,
        Some(id) => Some(id.parse().map_err(|_| {
            invalid("`Last-Event-ID` cannot be used: expected the id of an event of this stream".to_owned())
        })?),
    };
    let permit = Arc::clone(&app.tails).try_acquire_owned().map_err(|_| {
        let detail = format!("there are {TAILS} live views already: close one, or try again later");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).with_retry_after(AGAIN)
    })?;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch {
        app,
        owner,
        tail: Tail::new(which.into(), from),
        ready: VecDeque::new(),
        ticks,
        checked: Instant::now(),
        _permit: permit,
    };
    let events = unfold(watch, |mut watch| async move {
        let (at, line) = watch.next().await?;
        Some((Event::default().event("line").id(at.to_string()).json_data(line), watch))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

// === impl Watch ===

impl Watch {
    /// The next ask; none at the end.
    async fn next(&mut self) -> Option<(Cursor, LogLine)> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                return Some(next);
            }
            tokio::select! {
                _ = self.ticks.tick() => {}
                () = self.app.closing.cancelled() => return None,
            }
            if self.checked.elapsed() >= CHECKED {
                // a session that cannot be looked up is not shown more
                if !self.app.sessions.is_live(self.owner.session()).await.unwrap_or(false) {
                    return None;
                }
                self.checked = Instant::now();
            }
            // a look that fails is one that found nothing: the next may
            let found = self.app.owner.look(&self.owner, &mut self.tail).await;
            self.ready.extend(found.unwrap_or_default());
        }
    }
}
