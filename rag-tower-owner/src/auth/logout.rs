//! A session's cookie → no session.

use std::convert::Infallible;
use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::Full;
use rag_tower::ErrorKind;
use rag_tower::http::Problem;
use tower_service::Service;

use super::event::{AuthEvent, AuthEventKind};
use super::respond::{AuthFuture, ok, only_post};
use super::session::{MemorySessions, OwnerSessions};
use super::settings::OwnerAuth;

/// Logs out: a `POST` in, `{"ok":true}` and a cleared cookie out. The session ends at once, wherever its token is.
///
/// Without a live session it is `{"ok":true}` too. The body is not read.
///
/// - **Readiness**: always ready.
/// - **Errors**: none; refusals are problems: 403 from another site, 405, 503 when the session could not be ended.
pub struct LogoutService<S = MemorySessions> {
    auth: OwnerAuth<S>,
}

// === impl LogoutService ===

impl<S> LogoutService<S> {
    /// A logout over shared settings and sessions.
    #[must_use]
    pub fn new(auth: OwnerAuth<S>) -> Self {
        Self { auth }
    }
}

impl<S: OwnerSessions, B> Service<Request<B>> for LogoutService<S> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = AuthFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> AuthFuture {
        let auth = self.auth.clone();
        let (parts, _unread) = request.into_parts();
        AuthFuture::new(async move { logout(&auth, &parts).await })
    }
}

async fn logout<S: OwnerSessions>(
    auth: &OwnerAuth<S>,
    parts: &Parts,
) -> Result<Response<Full<Bytes>>, Problem> {
    if parts.method != Method::POST {
        return Err(only_post());
    }
    match auth.authorise(parts).await {
        Ok(scope) => {
            auth.0.sessions.end(scope.session()).await?;
            let event = AuthEvent {
                what: AuthEventKind::Logout,
                username: Some(scope.username().to_owned()),
                client: scope.client(),
            };
            if let Err(error) = auth.0.sessions.record(&event).await {
                tracing::error!(%error, "a logout could not be recorded");
            }
        }
        Err(error) if error.kind() == ErrorKind::Unauthenticated => {}
        Err(error) => return Err(error.into()),
    }
    Ok(ok(auth.0.cookie.clear()))
}

impl<S> Clone for LogoutService<S> {
    fn clone(&self) -> Self {
        Self { auth: self.auth.clone() }
    }
}

impl<S> fmt::Debug for LogoutService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogoutService").field("auth", &self.auth).finish()
    }
}
