//! The WebSocket of axum around [`converse`](super::converse).

mod inbound;
mod seats;

use std::fmt;
use std::future::pending;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::{IntoResponse, Response};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use self::inbound::{Pace, inbound};
use self::seats::{Seat, Seats};
use super::ws::going_away;
use super::{FrameSink, Origins, Problem, ServerFrame, Tickets, WsLimit, converse_until};
use crate::ask::Ask;
use crate::error::{Error, ErrorKind, Stage};
use crate::quota::Quota;
use crate::stage::Answers;
use crate::tenant::{API_KEY_HEADER, AuthFailure, ResolveTenant, TenantAuthority, TenantScope};

/// The subprotocol that the server speaks; offer it beside the one that carries a credential.
pub const SUBPROTOCOL: &str = "rag-tower";

/// The longest message and frame, in bytes.
const MAX_MESSAGE_BYTES: usize = 128 * 1024;
/// How often the credential of an open connection is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(3);
/// How long a client has to hear that its connection ends.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Names under which credentials have been put into URLs, where they end up in logs and histories.
const REFUSED_PARAMETERS: [&str; 6] = ["token", "access_token", "user_id", "api_key", "apikey", "key"];

/// Conversations on an axum route: `GET` with an upgrade in, [`ServerFrame`]s out.
///
/// A client says who it is in exactly one way: `?ticket=` or the subprotocol `ticket.<ticket>` with a ticket of a
/// [`TicketService`](super::TicketService), the subprotocol `bearer.<token or key>`, or, where it can send headers, a
/// header. Credentials in the URL are refused with 400. An `Origin` that is none of ours is refused with 403: browsers
/// let any page open a WebSocket. Mount it outside the [`ResolveTenantLayer`](crate::tenant::ResolveTenantLayer), since
/// it resolves by itself, at the upgrade and again for each ask.
///
/// A connection ends when its client leaves, and when its credential is refused (close code 1008): before an ask, or when
/// it is looked at every three seconds, so that a tenant that is suspended loses its connections, an answer under way
/// included. A store that is away refuses nothing there. Each open one counts in `rag_ws_connections`. When the server stops,
/// [`leave`](Self::leave) ends them all in order.
///
/// Limits, each of which counts in `rag_ws_limited_total`:
///
/// | what | how much, unless set | and beyond it |
/// |---|---|---|
/// | one message | 128 KiB | close code 1009 |
/// | messages a minute, pings among them | 120, all of which may come at once | an `error` frame `rate_limited`, close code 1008 |
/// | no message of the client's, not even a ping | 10 minutes | close code 1000 |
/// | the time to take a frame | 30 seconds | close code 1008, if it can still be sent |
/// | connections of a tenant | 1,000 | 429 instead of the upgrade |
/// | connections in all | 5,000 | 503 instead of the upgrade |
///
/// They are this instance's and its clones': several processes have several times as much.
pub struct WsAsks<S, R, T> {
    inner: Arc<Inner<S, R, T>>,
    limits: Limits,
}

struct Inner<S, R, T> {
    stack: S,
    authority: TenantAuthority,
    resolver: R,
    tickets: T,
    origins: Origins,
    seats: Seats,
    /// Once the server goes: until when answers that are under way may go on.
    leaving: watch::Sender<Option<Instant>>,
}

#[derive(Clone, Copy)]
struct Limits {
    pace: Pace,
    send: Duration,
    per_tenant: usize,
    in_all: usize,
}

/// Sends frames to a client that takes each in time.
struct Out<'a> {
    sink: SplitSink<WebSocket, Message>,
    time: Duration,
    hit: &'a OnceLock<WsLimit>,
}

// === impl WsAsks ===

impl<S, R, T> WsAsks<S, R, T>
where
    S: Answers<Ask>,
    R: ResolveTenant,
    T: Tickets,
{
    /// Conversations with `stack`. Wrap `resolver` in [`Asserted`](crate::tenant::Asserted), as the layer does.
    #[must_use]
    pub fn new(stack: S, authority: TenantAuthority, resolver: R, tickets: T, origins: Origins) -> Self {
        let seats = Seats::default();
        let pace = Pace { idle: Duration::from_mins(10), rate: Quota::per_minute(120) };
        let limits = Limits { pace, send: Duration::from_secs(30), per_tenant: 1_000, in_all: 5_000 };
        let leaving = watch::Sender::new(None);
        let inner = Inner { stack, authority, resolver, tickets, origins, seats, leaving };
        Self { inner: Arc::new(inner), limits }
    }

    /// How many messages a client may send in a minute, pings among them; all of them may come at once. Default: 120. A
    /// quota of 0 is off.
    #[must_use]
    pub fn with_frame_rate(mut self, rate: Quota) -> Self {
        self.limits.pace.rate = rate;
        self
    }

    /// How long a client may send nothing, not even a ping. Default: 10 minutes.
    #[must_use]
    pub fn with_idle_time(mut self, time: Duration) -> Self {
        self.limits.pace.idle = time;
        self
    }

    /// How long a client may take for one frame. Default: 30 seconds.
    #[must_use]
    pub fn with_send_time(mut self, time: Duration) -> Self {
        self.limits.send = time;
        self
    }

    /// How many connections one tenant may have open. Default: 1,000.
    #[must_use]
    pub fn with_max_tenant_connections(mut self, connections: usize) -> Self {
        self.limits.per_tenant = connections;
        self
    }

    /// How many connections all tenants together may have open. Default: 5,000.
    #[must_use]
    pub fn with_max_connections(mut self, connections: usize) -> Self {
        self.limits.in_all = connections;
        self
    }

    /// Ends every connection, for a server that stops: this instance's and its clones'. Servers of HTTP know nothing of
    /// connections that were upgraded, and wait for none of them.
    ///
    /// A connection that waits for its client is closed at once, with code 1001. An answer that is under way goes on for at most
    /// `grace`, and what is asked meanwhile is refused with an `error` frame of kind `going_away`; then its connection is closed
    /// in the same way. There is no way back: who wants to connect from now on gets a 503 of that kind.
    ///
    /// Returns when all are closed, two seconds after `grace` at the latest: whether every answer came to its end.
    ///
    /// # Cancellation
    /// Connections end all the same, with nobody to wait for them.
    pub async fn leave(&self, grace: Duration) -> bool {
        let by = Instant::now() + grace;
        self.inner.leaving.send_replace(Some(by));
        let seats = &self.inner.seats;
        let whole = tokio::time::timeout_at(by, seats.all_given_back()).await.is_ok();
        if !whole {
            let _told = timeout(CLOSE_TIME, seats.all_given_back()).await;
        }
        whole
    }

    /// Answers one request: the upgrade, or a problem. Use it as a handler:
    /// `get(move |request| async move { asks.upgrade(request).await })`.
    ///
    /// # Cancellation
    /// Dropping the future refuses the upgrade; a ticket that was shown may be used up. A connection that is upgraded goes on in a
    /// task of its own until one side ends it.
    pub async fn upgrade<B>(self, request: Request<B>) -> Response {
        let (mut parts, _none) = request.into_parts();
        let (credential, scope) = match self.identify(&mut parts).await {
            Ok(identified) => identified,
            Err(problem) => return problem.into_response(),
        };
        let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade,
            Err(rejection) => return rejection.into_response(),
        };
        let upgrade = upgrade.protocols([SUBPROTOCOL]);
        if self.inner.leaving.borrow().is_some() {
            return going_away().into_response();
        }
        // One that is somewhat too long is read, so that its client can be told; a longer one is not.
        let upgrade = upgrade.max_message_size(2 * MAX_MESSAGE_BYTES).max_frame_size(2 * MAX_MESSAGE_BYTES);
        let seat = match self.inner.seats.take(&scope, self.limits.per_tenant, self.limits.in_all) {
            Ok(seat) => seat,
            Err(error) => return Problem::from(error).into_response(),
        };
        upgrade.on_upgrade(move |socket| self.talk(socket, credential, seat))
    }

    /// Checks where an upgrade comes from and whose it is. What comes back stands for the client from here on.
    async fn identify(&self, parts: &mut Parts) -> Result<(Arc<Parts>, TenantScope), Problem> {
        let inner = &*self.inner;
        let ticket = ticket_of(parts.uri.query().unwrap_or_default())?;
        if parts.headers.contains_key(ORIGIN) && !inner.origins.is_same(parts) {
            return Err(AuthFailure::CrossSite.refuse().into());
        }
        let mut credential = parts.clone();
        // Nothing of the URL goes any further than this.
        credential.uri = parts.uri.path().parse().unwrap_or_default();
        let offered = offered(&parts.headers).map_err(AuthFailure::refuse)?;
        let presented =
            credential.headers.contains_key(AUTHORIZATION) || credential.headers.contains_key(API_KEY_HEADER);
        let ticket = match (ticket, offered, presented) {
            (None, None, _) => None,
            (Some(ticket), None, false) | (None, Some(Offered::Ticket(ticket)), false) => Some(ticket),
            (None, Some(Offered::Bearer(token)), false) => {
                let value = HeaderValue::try_from(format!("Bearer {token}"));
                credential.headers.insert(AUTHORIZATION, value.map_err(|_| AuthFailure::Malformed.refuse())?);
                None
            }
            _ => return Err(AuthFailure::Conflicting.refuse().into()),
        };
        if let Some(ticket) = ticket {
            let holder = inner.tickets.redeem(&ticket).await?;
            let holder = holder.ok_or_else(|| AuthFailure::InvalidTicket.refuse())?;
            for (name, value) in holder.headers() {
                credential.headers.append(name, value.clone());
            }
        }
        let credential = Arc::new(credential);
        let scope = self.scope(Arc::clone(&credential)).await?;
        Ok((credential, scope))
    }

    async fn talk(self, socket: WebSocket, credential: Arc<Parts>, _seat: Seat) {
        let (sink, mut stream) = socket.split();
        let hit = OnceLock::new();
        let mut out = Out { sink, time: self.limits.send, hit: &hit };
        let ended = {
            let renew = || self.scope(Arc::clone(&credential));
            let inbound = inbound(&mut stream, self.limits.pace, &hit);
            let leaving = async {
                let _by = self.leaves().await;
            };
            tokio::select! {
                biased;
                ended = converse_until(leaving, renew, self.inner.stack.clone(), inbound, &mut out) => ended,
                refusal = self.refused(&credential) => Err(refusal),
                () = async { sleep_until(self.leaves().await).await } => Ok(()),
            }
        };
        let leaves = self.inner.leaving.borrow().is_some();
        if let Some(limit) = hit.get() {
            limit.count();
        }
        let (code, reason) = farewell(hit.get().copied(), &ended, leaves);
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        // What the client still sends is read and dropped: a connection that is closed before its input was read is
        // reset, and its client may never see why. It may be gone already: there is nobody to tell then.
        let closing = async {
            if out.sink.send(close).await.is_ok() {
                while let Some(Ok(_)) = stream.next().await {}
            }
        };
        let _told = timeout(CLOSE_TIME, closing).await;
    }

    /// Waits until the server goes: by when it will have gone.
    async fn leaves(&self) -> Instant {
        let mut leaving = self.inner.leaving.subscribe();
        let by = leaving.wait_for(Option::is_some).await.ok().and_then(|by| *by);
        match by {
            Some(by) => by,
            // who says so is in there as long as anybody listens
            None => pending().await,
        }
    }

    /// Waits until the credential is refused.
    async fn refused(&self, credential: &Arc<Parts>) -> Error {
        loop {
            tokio::time::sleep(CHECK_EVERY).await;
            match self.scope(Arc::clone(credential)).await {
                Err(error) if is_refusal(&error) => return error,
                _ => {}
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the resolver has just verified the credential, or a ticket stands for it"
    )]
    async fn scope(&self, credential: Arc<Parts>) -> Result<TenantScope, Error> {
        self.inner.resolver.resolve(&credential).await.map(|grant| self.inner.authority.grant(grant))
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::Forbidden)
}

/// The code and the reason of the close frame.
fn farewell(hit: Option<WsLimit>, ended: &Result<(), Error>, leaves: bool) -> (u16, &'static str) {
    match (hit, ended) {
        (Some(WsLimit::FrameSize), _) => (close_code::SIZE, "a message was too long"),
        (Some(WsLimit::FrameRate), _) => (close_code::POLICY, "messages came faster than is allowed"),
        (Some(WsLimit::SlowConsumer), _) => (close_code::POLICY, "frames were not taken in time"),
        (Some(WsLimit::Idle), _) => (close_code::NORMAL, "nothing was sent for too long"),
        (_, Ok(())) if leaves => (close_code::AWAY, "the server is going away: connect again"),
        (_, Ok(())) => (close_code::NORMAL, ""),
        (_, Err(error)) if is_refusal(error) => (close_code::POLICY, "the credential is not valid any more"),
        (_, Err(_)) => (close_code::ERROR, "an error ended the conversation"),
    }
}

/// A credential in the list of subprotocols, the one header that a page may choose.
enum Offered {
    Ticket(String),
    Bearer(String),
}

fn offered(headers: &HeaderMap) -> Result<Option<Offered>, AuthFailure> {
    let mut found = None;
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        for protocol in value.to_str().map_err(|_| AuthFailure::Malformed)?.split(',').map(str::trim) {
            let offered = if let Some(ticket) = protocol.strip_prefix("ticket.") {
                Offered::Ticket(ticket.to_owned())
            } else if let Some(token) = protocol.strip_prefix("bearer.") {
                Offered::Bearer(token.to_owned())
            } else {
                continue;
            };
            if found.replace(offered).is_some() {
                return Err(AuthFailure::Conflicting);
            }
        }
    }
    Ok(found)
}

/// The ticket in a query; refuses whatever else looks like a credential.
fn ticket_of(query: &str) -> Result<Option<String>, Problem> {
    let mut ticket = None;
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = name.to_ascii_lowercase();
        if REFUSED_PARAMETERS.contains(&name.as_str()) {
            let message = format!(
                "\"{name}\" does not belong into a URL, where it ends up in logs: get a ticket with POST and pass \
                 \"ticket\""
            );
            return Err(Error::invalid(Stage::Http, message).into());
        }
        if name == "ticket" && ticket.replace(value.to_owned()).is_some() {
            return Err(AuthFailure::Conflicting.refuse().into());
        }
    }
    Ok(ticket)
}

impl<S, R, T> Clone for WsAsks<S, R, T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), limits: self.limits }
    }
}

impl<S, R, T> fmt::Debug for WsAsks<S, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsAsks").finish_non_exhaustive()
    }
}

// === impl Out ===

impl FrameSink for Out<'_> {
    async fn send(&mut self, frame: ServerFrame) -> Result<(), Error> {
        let sending = self.sink.send(Message::Text(frame.to_json().into()));
        match timeout(self.time, sending).await {
            Ok(sent) => sent.map_err(|error| Error::internal(Stage::Http, error)),
            Err(_) => {
                let _first = self.hit.set(WsLimit::SlowConsumer);
                Err(Error::new(ErrorKind::Timeout, Stage::Http))
            }
        }
    }
}

#[cfg(test)]
mod tests;
