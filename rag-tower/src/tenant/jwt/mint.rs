//! Makes tenant tokens, for programs that issue their own.

use std::fmt;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use uuid::Uuid;

use super::claims::{BranchClaim, Claims, Star};
use super::key::check_secret;
use super::{JwtKey, TENANT_AUDIENCE};
use crate::error::{Error, Stage};
use crate::tenant::{Branches, Grant};

/// Signs tokens with HS256 that a [`JwtResolver`](super::JwtResolver) of the same issuer and secret accepts.
///
/// Whoever holds one can become any tenant.
#[derive(Clone)]
pub struct TokenMinter {
    issuer: String,
    kid: Option<String>,
    signer: EncodingKey,
}

/// A fresh token. `Debug` does not show it.
#[derive(Clone)]
#[non_exhaustive]
pub struct MintedToken {
    /// The token, to be sent after `Authorization: Bearer`.
    pub token: String,
    /// Its own id, for revoking it.
    pub jti: String,
    /// How long it lives.
    pub expires_in: Duration,
}

// === impl TokenMinter ===

impl TokenMinter {
    /// A minter, and the key that verifies what it mints.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when the secret is shorter than 32 bytes.
    pub fn hs256(issuer: impl Into<String>, secret: &[u8]) -> Result<(Self, JwtKey), Error> {
        check_secret(secret)?;
        let minter = Self { issuer: issuer.into(), kid: None, signer: EncodingKey::from_secret(secret) };
        Ok((minter, JwtKey::hs256(secret)?))
    }

    /// Names the key in each token. Default: no `kid`.
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// A token that grants just that for `lifetime`, in whole seconds.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when the grant has no subject: a token says whose it is.
    pub fn mint(&self, grant: &Grant, lifetime: Duration) -> Result<MintedToken, Error> {
        let subject = grant.subject().ok_or_else(|| {
            Error::invalid(Stage::Tenant, "a token needs a subject: name the grant's holder")
        })?;
        let jti = Uuid::now_v7().to_string();
        let iat = get_current_timestamp();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: TENANT_AUDIENCE.to_owned(),
            sub: subject.to_string(),
            exp: iat.saturating_add(lifetime.as_secs()),
            iat,
            nbf: None,
            jti: jti.clone(),
            tid: grant.tenant(),
            branches: match grant.branches() {
                Branches::All => BranchClaim::All(Star),
                Branches::Only(some) => BranchClaim::Only(some.to_vec()),
            },
            role: grant.role(),
        };
        let mut header = Header::new(Algorithm::HS256);
        header.kid.clone_from(&self.kid);
        let token =
            encode(&header, &claims, &self.signer).map_err(|error| Error::internal(Stage::Tenant, error))?;
        Ok(MintedToken { token, jti, expires_in: Duration::from_secs(lifetime.as_secs()) })
    }
}

impl fmt::Debug for TokenMinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMinter")
            .field("issuer", &self.issuer)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

// === impl MintedToken ===

impl fmt::Debug for MintedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MintedToken")
            .field("jti", &self.jti)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}
