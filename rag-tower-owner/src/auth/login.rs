//! `{"username": …, "password": …}` → a session's cookie.

use std::convert::Infallible;
use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use rag_tower::http::Problem;
use rag_tower::tenant::AuthFailure;
use rag_tower::{BoxError, Error, ErrorKind, Stage};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tower_service::Service;

use super::client;
use super::event::{AuthEvent, AuthEventKind};
use super::respond::{AuthFuture, ok, only_post};
use super::session::{MemorySessions, OwnerSessions};
use super::settings::OwnerAuth;
use crate::secret::Secret;

/// The longest body, in bytes.
const MAX_BODY_BYTES: usize = 4 * 1024;
/// The longest that a body may take.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Logs the owner in: a `POST` with JSON in, `{"ok":true}` and a cookie out.
///
/// An unknown user and a wrong password look alike: same status, same body, same time. Guessing is slowed down per
/// client address and per account with 429 and `Retry-After`. The address is the connection's
/// ([`ClientAddr`](super::ClientAddr)); requests without one share one allowance.
///
/// - **Readiness**: always ready.
/// - **Cancellation**: dropping the future gives the attempt up, which counts as failed.
/// - **Errors**: none; refusals are problems: 400, 401, 403 from another site, 405, 413, 415, 429, 503.
pub struct LoginService<S = MemorySessions> {
    auth: OwnerAuth<S>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    username: String,
    password: String,
}

// === impl LoginService ===

impl<S> LoginService<S> {
    /// A login over shared settings and sessions.
    #[must_use]
    pub fn new(auth: OwnerAuth<S>) -> Self {
        Self { auth }
    }
}

impl<S, B> Service<Request<B>> for LoginService<S>
where
    S: OwnerSessions,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = AuthFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> AuthFuture {
        let auth = self.auth.clone();
        AuthFuture::new(async move { login(&auth, request).await })
    }
}

async fn login<S, B>(auth: &OwnerAuth<S>, request: Request<B>) -> Result<Response<Full<Bytes>>, Problem>
where
    S: OwnerSessions,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let inner = &*auth.0;
    let (parts, body) = request.into_parts();
    check_head(auth, &parts)?;
    let credentials = read(body).await?;

    let address = client::address(&parts, &inner.trusted_proxies);
    inner.throttle.begin(address, credentials.username.as_bytes()).map_err(|wait| {
        let error = Error::new(ErrorKind::RateLimited, Stage::Http).with_retry_after(wait);
        Problem::from(error.with_message("too many failed logins: try again later"))
    })?;
    // The password is compared whoever the user is, so that the time does not tell.
    let matches = inner.password.verify(Secret::new(credentials.password)).await?;
    let known: bool = credentials.username.as_bytes().ct_eq(inner.username.as_bytes()).into();
    let username = known.then(|| inner.username.to_string());
    let mut event = AuthEvent { what: AuthEventKind::Refused, username, client: address };
    if !(known & matches) {
        tracing::warn!(address = address.map(tracing::field::display), "a login as the owner failed");
        if let Err(error) = inner.sessions.record(&event).await {
            tracing::error!(%error, "a refused login could not be recorded");
        }
        return Err(AuthFailure::WrongPassword.refuse().into());
    }
    inner.throttle.succeed(address, credentials.username.as_bytes());

    let (token, id) = inner.key.sign(&inner.username, inner.lifetime)?;
    inner.sessions.start(&id, inner.lifetime).await?;
    event.what = AuthEventKind::Login;
    inner.sessions.record(&event).await?;
    Ok(ok(inner.cookie.set(&token, inner.lifetime)))
}

fn check_head<S>(auth: &OwnerAuth<S>, parts: &Parts) -> Result<(), Problem> {
    if parts.method != Method::POST {
        return Err(only_post());
    }
    // A program sends no origin; a page that does must be ours, or it could log a visitor in as somebody else.
    if parts.headers.contains_key(ORIGIN) && !auth.0.origins.is_same(parts) {
        return Err(AuthFailure::CrossSite.refuse().into());
    }
    let mime = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !mime.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send user name and password as \"Content-Type: application/json\"",
        ));
    }
    Ok(())
}

async fn read<B>(body: B) -> Result<Credentials, Problem>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let reading = tokio::time::timeout(BODY_TIME, Limited::new(body, MAX_BODY_BYTES).collect());
    let body = match reading.await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("the body is too large: at most {MAX_BODY_BYTES} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
        }
        Ok(Err(_)) | Err(_) => {
            return Err(Error::invalid(Stage::Http, "the body did not arrive in full").into());
        }
    };
    // Not the parser's own message: it may quote a password.
    serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = format!(
            "the body is not a login: expected {{\"username\": …, \"password\": …}}, both texts; it goes wrong at \
             line {line} column {column}"
        );
        Error::invalid(Stage::Http, message).into()
    })
}

impl<S> Clone for LoginService<S> {
    fn clone(&self) -> Self {
        Self { auth: self.auth.clone() }
    }
}

impl<S> fmt::Debug for LoginService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginService").field("auth", &self.auth).finish()
    }
}
