//! Signed tokens: verified with a pinned algorithm, strict about every claim.

mod claims;
mod key;
mod mint;
mod revocation;

use std::fmt;
use std::time::Duration;

use http::request::Parts;
use jsonwebtoken::errors::ErrorKind as JwtErrorKind;
use jsonwebtoken::{Validation, decode, decode_header, get_current_timestamp};

use self::claims::Claims;
pub use self::key::JwtKey;
pub use self::mint::{MintedToken, TokenMinter};
pub use self::revocation::{MemoryRevocations, NoRevocations, Revocations, TokenIdentity};
use super::credential::{AuthFailure, Presented};
use super::{ApiKeyResolver, ApiKeys, Grant, ResolveTenant};
use crate::error::Error;

/// The audience of tenant tokens. Owner tokens have another: neither opens what the other does.
pub const TENANT_AUDIENCE: &str = "rag-tower/tenant";

/// Clocks may differ by this much.
const LEEWAY: Duration = Duration::from_secs(5);

/// The longest life of a token that is accepted, unless configured otherwise.
const MAX_LIFETIME: Duration = Duration::from_hours(31 * 24);

/// Longer texts are not tokens of ours.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Resolves `Authorization: Bearer <token>`.
///
/// A token is accepted when its `kid` (or the absence of one) names a key, its `alg` is that key's and its signature
/// verifies; when `iss` and `aud` ([`TENANT_AUDIENCE`], a single string) are right; when `exp`, `iat` and, where it
/// is there, `nbf` are whole seconds in the right order around now; when `sub`, `jti`, `tid` (the tenant's UUID),
/// `branches` (`"*"` or a list of UUIDs) and `role` (`member`, `agent`, `admin`) are there; and when it is not
/// revoked. Anything else is a 401.
#[derive(Clone)]
pub struct JwtResolver<R = NoRevocations> {
    issuer: String,
    keys: Vec<JwtKey>,
    max_lifetime: Duration,
    revocations: R,
}

/// Resolves either kind of credential: a token or an API key after `Authorization: Bearer`, or an API key in
/// `X-Api-Key`.
#[derive(Clone, Debug)]
pub struct CredentialResolver<K, R = NoRevocations> {
    keys: ApiKeyResolver<K>,
    tokens: JwtResolver<R>,
}

// === impl JwtResolver ===

impl JwtResolver {
    /// Accepts tokens of `issuer` signed with `key`.
    #[must_use]
    pub fn new(issuer: impl Into<String>, key: JwtKey) -> Self {
        Self {
            issuer: issuer.into(),
            keys: vec![key],
            max_lifetime: MAX_LIFETIME,
            revocations: NoRevocations,
        }
    }
}

impl<R> JwtResolver<R> {
    /// Accepts a further key, told apart by its `kid`: what a rotation needs.
    #[must_use]
    pub fn with_key(mut self, key: JwtKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Refuses tokens that live longer than this. Default: 31 days.
    #[must_use]
    pub fn with_max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// Asks whether a token was revoked. Default: none is.
    #[must_use]
    pub fn with_revocations<S>(self, revocations: S) -> JwtResolver<S> {
        JwtResolver { issuer: self.issuer, keys: self.keys, max_lifetime: self.max_lifetime, revocations }
    }

    fn verify(&self, token: &str) -> Result<Claims, AuthFailure> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthFailure::Malformed);
        }
        let header = decode_header(token).map_err(|_| AuthFailure::InvalidToken)?;
        // `crit` asks for extensions that must be understood: there are none here.
        if header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) || header.crit.is_some() {
            return Err(AuthFailure::InvalidToken);
        }
        let key = self.keys.iter().find(|key| key.kid() == header.kid.as_deref());
        let key = key.ok_or(AuthFailure::InvalidToken)?;
        let mut rules = Validation::new(key.algorithm());
        rules.leeway = LEEWAY.as_secs();
        rules.validate_nbf = true;
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[TENANT_AUDIENCE]);
        let claims: Claims = decode(token, key.verifier(), &rules)
            .map_err(|error| match error.kind() {
                JwtErrorKind::ExpiredSignature => AuthFailure::Expired,
                _ => AuthFailure::InvalidToken,
            })?
            .claims;
        let latest_start = get_current_timestamp() + LEEWAY.as_secs();
        let lifetime = claims.exp.checked_sub(claims.iat).ok_or(AuthFailure::InvalidToken)?;
        if claims.iat > latest_start || lifetime > self.max_lifetime.as_secs() || !claims.is_sound() {
            return Err(AuthFailure::InvalidToken);
        }
        Ok(claims)
    }
}

impl<R: Revocations> JwtResolver<R> {
    pub(super) async fn grant(&self, token: &str) -> Result<Grant, Error> {
        let claims = self.verify(token).map_err(AuthFailure::refuse)?;
        let (identity, grant) = claims.split();
        if self.revocations.is_revoked(&identity).await? {
            return Err(AuthFailure::Revoked.refuse());
        }
        Ok(grant)
    }
}

impl<R: Revocations> ResolveTenant for JwtResolver<R> {
    async fn resolve(&self, parts: &Parts) -> Result<Grant, Error> {
        match Presented::find(&parts.headers).map_err(AuthFailure::refuse)? {
            Presented::Bearer(token) => self.grant(token).await,
            Presented::Key(_) => Err(AuthFailure::Malformed.refuse()),
        }
    }
}

impl<R> fmt::Debug for JwtResolver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtResolver").field("issuer", &self.issuer).field("keys", &self.keys).finish()
    }
}

// === impl CredentialResolver ===

impl<K, R> CredentialResolver<K, R> {
    /// Accepts what either resolver accepts.
    #[must_use]
    pub fn new(keys: ApiKeyResolver<K>, tokens: JwtResolver<R>) -> Self {
        Self { keys, tokens }
    }
}

impl<K: ApiKeys, R: Revocations> ResolveTenant for CredentialResolver<K, R> {
    async fn resolve(&self, parts: &Parts) -> Result<Grant, Error> {
        let presented = Presented::find(&parts.headers).map_err(AuthFailure::refuse)?;
        match presented.is_token() {
            true => self.tokens.grant(presented.text()).await,
            false => self.keys.grant(presented.text()).await,
        }
    }
}

#[cfg(test)]
mod tests;
