//! Tickets: how a page that may not send headers proves who it is when it opens a WebSocket.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tower_service::Service;

use super::{AnswerBody, Problem};
use crate::error::{Error, ErrorKind, Stage};
use crate::tenant::{API_KEY_HEADER, AuthFailure, TENANT_HEADER, TenantScope};

/// How long a ticket may wait for its one use.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(30);

/// So many tickets wait at once.
pub(crate) const MAX_TICKETS: usize = 10_000;

/// The credential headers of the request that got a ticket. They take the ticket's place when the WebSocket opens and
/// at each ask on it, so that a revoked credential counts there too. `Debug` shows no value.
#[derive(Clone)]
pub struct TicketHolder(HeaderMap);

/// Where tickets wait: what a backend implements.
pub trait Tickets: Send + Sync + 'static {
    /// A new ticket: 32 random bytes as text, good for one use within [`TICKET_LIFETIME`].
    ///
    /// # Errors
    /// [`Overloaded`](ErrorKind::Overloaded) when too many wait, and
    /// [`StoreUnavailable`](ErrorKind::StoreUnavailable).
    fn issue(&self, holder: TicketHolder) -> impl Future<Output = Result<String, Error>> + Send;

    /// Uses a ticket up; none when it is unknown, used or too old.
    ///
    /// # Errors
    /// [`StoreUnavailable`](ErrorKind::StoreUnavailable).
    fn redeem(&self, ticket: &str) -> impl Future<Output = Result<Option<TicketHolder>, Error>> + Send;
}

/// Tickets of one process, known by their SHA-256. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryTickets(Arc<Mutex<Waiting>>);

/// By the ticket's hash: until when it is good, and whose it is.
type Waiting = HashMap<[u8; 32], (Instant, TicketHolder)>;

/// Gives tickets: a `POST` in, `{"ticket": …, "expires_in": seconds}` out.
///
/// - **Order**: inside a [`ResolveTenantLayer`](crate::tenant::ResolveTenantLayer), which has verified the credential.
///   Without its scope the answer is 401.
/// - **Readiness**: always ready.
/// - **Errors**: none; refusals are problems: 401, 405, 503.
#[derive(Clone)]
pub struct TicketService<T> {
    tickets: T,
    tenant_header: HeaderName,
}

/// The future of a [`TicketService`].
#[must_use = "futures do nothing unless polled"]
pub struct TicketFuture(Pin<Box<dyn Future<Output = Response<AnswerBody>> + Send>>);

// === impl TicketHolder ===

impl TicketHolder {
    fn new(headers: &HeaderMap, tenant_header: &HeaderName) -> Self {
        let mut kept = HeaderMap::new();
        for name in [&AUTHORIZATION, &API_KEY_HEADER, tenant_header] {
            for value in headers.get_all(name) {
                kept.append(name, value.clone());
            }
        }
        Self(kept)
    }

    /// What a store kept of another's [`headers`](Self::headers).
    #[must_use]
    pub fn from_headers(headers: HeaderMap) -> Self {
        Self(headers)
    }

    /// The headers. They are a credential: a store beyond this process keeps them encrypted.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.0
    }
}

impl fmt::Debug for TicketHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketHolder(…)")
    }
}

// === impl Tickets ===

impl<T: Tickets> Tickets for Arc<T> {
    fn issue(&self, holder: TicketHolder) -> impl Future<Output = Result<String, Error>> + Send {
        (**self).issue(holder)
    }

    fn redeem(&self, ticket: &str) -> impl Future<Output = Result<Option<TicketHolder>, Error>> + Send {
        (**self).redeem(ticket)
    }
}

// === impl MemoryTickets ===

impl MemoryTickets {
    /// No tickets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Tickets for MemoryTickets {
    async fn issue(&self, holder: TicketHolder) -> Result<String, Error> {
        let ticket = new_ticket()?;
        let now = Instant::now();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_TICKETS {
            waiting.retain(|_, (until, _)| *until > now);
        }
        if waiting.len() >= MAX_TICKETS {
            return Err(Error::new(ErrorKind::Overloaded, Stage::Http).with_retry_after(TICKET_LIFETIME));
        }
        waiting.insert(Sha256::digest(ticket.as_bytes()).into(), (now + TICKET_LIFETIME, holder));
        Ok(ticket)
    }

    async fn redeem(&self, ticket: &str) -> Result<Option<TicketHolder>, Error> {
        let hash: [u8; 32] = Sha256::digest(ticket.as_bytes()).into();
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash);
        Ok(found.filter(|(until, _)| *until > Instant::now()).map(|(_, holder)| holder))
    }
}

/// 32 random bytes, as text.
pub(crate) fn new_ticket() -> Result<String, Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| Error::internal(Stage::Http, error))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl fmt::Debug for MemoryTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryTickets")
    }
}

// === impl TicketService ===

impl<T> TicketService<T> {
    /// Gives tickets out of `tickets`.
    #[must_use]
    pub fn new(tickets: T) -> Self {
        Self { tickets, tenant_header: TENANT_HEADER }
    }

    /// Names the tenant header, which a ticket keeps beside the credential. Default: [`TENANT_HEADER`].
    #[must_use]
    pub fn with_tenant_header(mut self, header: HeaderName) -> Self {
        self.tenant_header = header;
        self
    }
}

impl<T: Tickets + Clone, B> Service<Request<B>> for TicketService<T> {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = TicketFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> TicketFuture {
        let Self { tickets, tenant_header } = self.clone();
        let (parts, _unread) = request.into_parts();
        TicketFuture(Box::pin(async move {
            if parts.method != Method::POST {
                let problem = Problem::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "get a ticket with POST",
                );
                let mut response = problem.into_response();
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                return response;
            }
            if parts.extensions.get::<TenantScope>().is_none() {
                return Problem::from(AuthFailure::Missing.refuse()).into_response();
            }
            match tickets.issue(TicketHolder::new(&parts.headers, &tenant_header)).await {
                Ok(ticket) => issued(&ticket),
                Err(error) => Problem::from(error).into_response(),
            }
        }))
    }
}

fn issued(ticket: &str) -> Response<AnswerBody> {
    let body = serde_json::json!({ "ticket": ticket, "expires_in": TICKET_LIFETIME.as_secs() });
    let mut response = Response::new(AnswerBody::from(Bytes::from(body.to_string())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl<T> fmt::Debug for TicketService<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketService").finish_non_exhaustive()
    }
}

// === impl TicketFuture ===

impl Future for TicketFuture {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for TicketFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketFuture")
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;

    fn holder() -> TicketHolder {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        headers.insert("cookie", HeaderValue::from_static("a=b"));
        TicketHolder::new(&headers, &TENANT_HEADER)
    }

    #[tokio::test(start_paused = true)]
    async fn t62_a_ticket_is_good_once_and_for_half_a_minute() {
        let tickets = MemoryTickets::new();
        let (one, two) = (tickets.issue(holder()).await.unwrap(), tickets.issue(holder()).await.unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 64);
        let redeemed = tickets.redeem(&one).await.unwrap().unwrap();
        assert_eq!(redeemed.headers()[AUTHORIZATION], "Bearer secret");
        assert!(!redeemed.headers().contains_key("cookie") && !format!("{redeemed:?}").contains("secret"));
        assert!(tickets.redeem(&one).await.unwrap().is_none(), "used");
        assert!(tickets.redeem("guess").await.unwrap().is_none());
        tokio::time::advance(TICKET_LIFETIME).await;
        assert!(tickets.redeem(&two).await.unwrap().is_none(), "too old");
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_tickets_and_no_more() {
        let tickets = MemoryTickets::new();
        for _ in 0..MAX_TICKETS {
            tickets.issue(holder()).await.unwrap();
        }
        assert_eq!(tickets.issue(holder()).await.unwrap_err().kind(), ErrorKind::Overloaded);
        tokio::time::advance(TICKET_LIFETIME).await;
        assert!(tickets.issue(holder()).await.is_ok());
    }

    #[tokio::test]
    async fn t62_no_scope_no_ticket() {
        let service = TicketService::new(MemoryTickets::new());
        let response = service.clone().oneshot(Request::post("/ws/ticket").body(()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 401);
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), 405);
    }
}
