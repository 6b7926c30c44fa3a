//! The WebSocket of axum around [`converse`](super::converse).

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::{IntoResponse, Response};
use futures_util::future::{Either, select};
use futures_util::stream::{SplitSink, SplitStream, unfold};
use futures_util::{SinkExt, Stream, StreamExt};
use http::header::{AUTHORIZATION, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request};

use super::{ClientFrame, FrameSink, Origins, Problem, ServerFrame, Tickets, converse};
use crate::ask::Ask;
use crate::error::{Error, ErrorKind, Stage};
use crate::stage::Answers;
use crate::tenant::{API_KEY_HEADER, AuthFailure, ResolveTenant, TenantAuthority, TenantScope};

/// The subprotocol that the server speaks; offer it beside the one that carries a credential.
pub const SUBPROTOCOL: &str = "rag-tower";

/// The longest message and frame, in bytes.
const MAX_MESSAGE_BYTES: usize = 128 * 1024;
/// How often the credential of an open connection is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(3);
/// A client that does not take a frame in this time is gone.
const SEND_TIME: Duration = Duration::from_secs(30);

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
/// A connection ends when its client leaves or sends nothing for ten minutes (pings count), when a frame cannot be
/// sent within 30 seconds, and when its credential is refused (close code 1008): before an ask, or when it is looked at
/// every three seconds, so that a tenant that is suspended loses its connections, an answer under way included. A
/// store that is away refuses nothing there. Each open one counts in `rag_ws_connections`.
pub struct WsAsks<S, R, T>(Arc<Inner<S, R, T>>);

struct Inner<S, R, T> {
    stack: S,
    authority: TenantAuthority,
    resolver: R,
    tickets: T,
    origins: Origins,
    idle: Duration,
}

struct Out(SplitSink<WebSocket, Message>);

/// Counts a connection while it lives.
struct Open;

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
        Self(Arc::new(Inner { stack, authority, resolver, tickets, origins, idle: Duration::from_mins(10) }))
    }

    /// Answers one request: the upgrade, or a problem. Use it as a handler:
    /// `get(move |request| async move { asks.upgrade(request).await })`.
    pub async fn upgrade<B>(self, request: Request<B>) -> Response {
        let (mut parts, _none) = request.into_parts();
        let credential = match self.identify(&mut parts).await {
            Ok(credential) => credential,
            Err(problem) => return problem.into_response(),
        };
        let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade,
            Err(rejection) => return rejection.into_response(),
        };
        let upgrade = upgrade.protocols([SUBPROTOCOL]);
        let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
        upgrade.on_upgrade(move |socket| self.talk(socket, credential))
    }

    /// Checks where an upgrade comes from and whose it is. What comes back stands for the client from here on.
    async fn identify(&self, parts: &mut Parts) -> Result<Arc<Parts>, Problem> {
        let inner = &*self.0;
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
        inner.resolver.resolve(&credential).await?;
        Ok(Arc::new(credential))
    }

    async fn talk(self, socket: WebSocket, credential: Arc<Parts>) {
        let _open = Open::new();
        let (sink, stream) = socket.split();
        let mut out = Out(sink);
        let renew = || self.scope(Arc::clone(&credential));
        let talking = converse(renew, self.0.stack.clone(), inbound(stream, self.0.idle), &mut out);
        let ended = match select(pin!(talking), pin!(self.refused(&credential))).await {
            Either::Left((ended, _)) => ended,
            Either::Right((refusal, _)) => Err(refusal),
        };
        let (code, reason) = match &ended {
            Ok(()) => (close_code::NORMAL, ""),
            Err(error) if is_refusal(error) => (close_code::POLICY, "the credential is not valid any more"),
            Err(_) => (close_code::ERROR, "an error ended the conversation"),
        };
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        // The client may be gone already: there is nobody to tell then.
        let _told = tokio::time::timeout(SEND_TIME, out.0.send(close)).await;
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
        self.0.resolver.resolve(&credential).await.map(|grant| self.0.authority.grant(grant))
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::Forbidden)
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

/// The client's frames, until it leaves or is silent for too long.
fn inbound(
    stream: SplitStream<WebSocket>,
    idle: Duration,
) -> impl Stream<Item = Result<ClientFrame, Error>> + Send {
    unfold(stream, move |mut stream| async move {
        loop {
            let Ok(Some(Ok(message))) = tokio::time::timeout(idle, stream.next()).await else { return None };
            let frame = match message {
                Message::Text(text) => ClientFrame::parse(text.as_str()),
                Message::Binary(_) => {
                    Err(Error::invalid(Stage::Http, "send text messages: binary ones mean nothing"))
                }
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Close(_) => return None,
            };
            return Some((frame, stream));
        }
    })
}

impl<S, R, T> Clone for WsAsks<S, R, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, R, T> fmt::Debug for WsAsks<S, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsAsks").finish_non_exhaustive()
    }
}

// === impl Out ===

impl FrameSink for Out {
    async fn send(&mut self, frame: ServerFrame) -> Result<(), Error> {
        let sending = self.0.send(Message::Text(frame.to_json().into()));
        match tokio::time::timeout(SEND_TIME, sending).await {
            Ok(sent) => sent.map_err(|error| Error::internal(Stage::Http, error)),
            Err(_) => Err(Error::new(ErrorKind::Timeout, Stage::Http)),
        }
    }
}

// === impl Open ===

impl Open {
    fn new() -> Self {
        metrics::gauge!("rag_ws_connections").increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("rag_ws_connections").decrement(1);
    }
}

#[cfg(test)]
mod tests;
