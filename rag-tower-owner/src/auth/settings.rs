//! What the layer and the services share.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::request::Parts;
use rag_tower::tenant::{AuthFailure, LoginThrottle};
use rag_tower::{Error, Stage};

use super::client;
use super::cookie::{Cookie, Found};
use super::password::{OwnerPassword, Verifier};
use super::scope::OwnerScope;
use super::session::{MemorySessions, OwnerSessions};
use super::token::{OWNER_AUDIENCE, TokenKey};
use crate::secret::{Secret, weakness};
use rag_tower::http::Origins;

/// The shortest signing secret accepted, in characters.
const MIN_SECRET_CHARS: usize = 32;

/// How the owner is known. Pass it to [`OwnerAuth::new`].
#[derive(Clone, Debug)]
pub struct OwnerAuthConfig {
    username: String,
    password: OwnerPassword,
    jwt_secret: Secret,
    lifetime: Duration,
    origins: Vec<String>,
    trusted_proxies: Vec<IpAddr>,
    throttle: LoginThrottle,
}

/// The owner's authentication: settings, live sessions, and what slows guessing down. Clones share all of it.
pub struct OwnerAuth<S = MemorySessions>(pub(super) Arc<Inner<S>>);

pub(super) struct Inner<S> {
    pub(super) username: Arc<str>,
    pub(super) password: Verifier,
    pub(super) key: TokenKey,
    pub(super) lifetime: Duration,
    pub(super) origins: Origins,
    pub(super) cookie: Cookie,
    pub(super) trusted_proxies: Vec<IpAddr>,
    pub(super) throttle: LoginThrottle,
    pub(super) sessions: S,
}

// === impl OwnerAuthConfig ===

impl OwnerAuthConfig {
    /// An owner with a name and a password, whose tokens are signed with `jwt_secret` (at least 32 characters).
    #[must_use]
    pub fn new(username: impl Into<String>, password: OwnerPassword, jwt_secret: Secret) -> Self {
        Self {
            username: username.into(),
            password,
            jwt_secret,
            lifetime: Duration::from_hours(24),
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
            throttle: LoginThrottle::new(),
        }
    }

    /// How long a login lasts, in whole seconds. Default: a day.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// The origins that the pages are served from, as `https://rag.example.com`, beside loopback addresses. When one
    /// is https, the cookie is for https only. Default: none.
    #[must_use]
    pub fn with_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Proxies whose `X-Forwarded-For` is believed. Default: none.
    #[must_use]
    pub fn with_trusted_proxies(mut self, proxies: impl IntoIterator<Item = IpAddr>) -> Self {
        self.trusted_proxies = proxies.into_iter().map(|address| address.to_canonical()).collect();
        self
    }

    /// What slows guessing down, shared with whatever other ways in there are. Default: one of its own.
    #[must_use]
    pub fn with_throttle(mut self, throttle: LoginThrottle) -> Self {
        self.throttle = throttle;
        self
    }
}

// === impl OwnerAuth ===

impl OwnerAuth {
    /// Authentication with sessions in memory. It hashes the password, which takes some tens of milliseconds: make it
    /// before serving.
    ///
    /// # Errors
    /// [`InvalidInput`](rag_tower::ErrorKind::InvalidInput) for a weak or example password or secret, a hash that is
    /// not argon2id, and an origin that is none.
    pub fn new(config: OwnerAuthConfig) -> Result<Self, Error> {
        Self::with_sessions(config, MemorySessions::new())
    }
}

impl<S> OwnerAuth<S> {
    /// Authentication with sessions elsewhere, such as a store that several replicas share.
    ///
    /// # Errors
    /// As [`new`](OwnerAuth::new).
    pub fn with_sessions(config: OwnerAuthConfig, sessions: S) -> Result<Self, Error> {
        if let Some(weakness) = weakness(config.jwt_secret.expose(), MIN_SECRET_CHARS) {
            return Err(Error::invalid(Stage::Http, format!("the signing secret is refused: {weakness}")));
        }
        if config.username.is_empty() {
            return Err(Error::invalid(Stage::Http, "the owner's user name is empty"));
        }
        let origins = Origins::parse(&config.origins)?;
        Ok(Self(Arc::new(Inner {
            username: config.username.into(),
            password: Verifier::new(&config.password)?,
            key: TokenKey::new(&config.jwt_secret, OWNER_AUDIENCE),
            lifetime: Duration::from_secs(config.lifetime.as_secs()),
            cookie: Cookie::new(origins.any_https()),
            origins,
            trusted_proxies: config.trusted_proxies,
            throttle: config.throttle,
            sessions,
        })))
    }
}

impl<S: OwnerSessions> OwnerAuth<S> {
    /// The owner's scope, when the request is the owner's.
    pub(super) async fn authorise(&self, parts: &Parts) -> Result<OwnerScope, Error> {
        let inner = &*self.0;
        let found = inner.cookie.find(&parts.headers).map_err(AuthFailure::refuse)?;
        if matches!(found, Found::Cookie(_)) && !is_safe(&parts.method) && !inner.origins.is_same(parts) {
            return Err(AuthFailure::CrossSite.refuse());
        }
        let claims = inner.key.verify(found.token()).map_err(AuthFailure::refuse)?;
        // A new owner's name ends the sessions of the one before.
        if claims.sub != *inner.username {
            return Err(AuthFailure::InvalidToken.refuse());
        }
        if !inner.sessions.is_live(&claims.jti).await? {
            return Err(AuthFailure::Revoked.refuse());
        }
        let client = client::address(parts, &inner.trusted_proxies);
        Ok(OwnerScope::mint(Arc::clone(&inner.username), claims.jti.into(), client))
    }
}

/// True for methods that change nothing: RFC 9110 section 9.2.1.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

impl<S> Clone for OwnerAuth<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for OwnerAuth<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerAuth").field("username", &self.0.username).finish_non_exhaustive()
    }
}
