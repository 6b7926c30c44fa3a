//! A key and the one algorithm it is for.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey};

use crate::error::{Error, Stage};

/// The shortest secret accepted, in bytes: as long as the hash, as RFC 7518 section 3.2 asks.
pub(super) const MIN_SECRET_BYTES: usize = 32;

/// A key that verifies tokens, bound to one algorithm: what a token's header says can never choose another.
#[derive(Clone)]
pub struct JwtKey {
    kid: Option<String>,
    algorithm: Algorithm,
    verifier: DecodingKey,
}

// === impl JwtKey ===

impl JwtKey {
    /// A shared secret, for HS256.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when it is shorter than 32 bytes.
    pub fn hs256(secret: &[u8]) -> Result<Self, Error> {
        check_secret(secret)?;
        Ok(Self::of(Algorithm::HS256, DecodingKey::from_secret(secret)))
    }

    /// An Ed25519 public key in PEM, for `EdDSA`.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when it is not such a key.
    pub fn eddsa_pem(pem: &[u8]) -> Result<Self, Error> {
        let key = DecodingKey::from_ed_pem(pem).map_err(|error| bad_pem("Ed25519", error))?;
        Ok(Self::of(Algorithm::EdDSA, key))
    }

    /// An RSA public key in PEM, for RS256.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when it is not such a key.
    pub fn rs256_pem(pem: &[u8]) -> Result<Self, Error> {
        let key = DecodingKey::from_rsa_pem(pem).map_err(|error| bad_pem("RSA", error))?;
        Ok(Self::of(Algorithm::RS256, key))
    }

    /// Verifies only tokens with this `kid`. Default: only tokens without one.
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    fn of(algorithm: Algorithm, verifier: DecodingKey) -> Self {
        Self { kid: None, algorithm, verifier }
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn verifier(&self) -> &DecodingKey {
        &self.verifier
    }
}

pub(super) fn check_secret(secret: &[u8]) -> Result<(), Error> {
    if secret.len() < MIN_SECRET_BYTES {
        let message = format!(
            "a signing secret of {} bytes is too short: use at least {MIN_SECRET_BYTES}, made at random",
            secret.len()
        );
        return Err(Error::invalid(Stage::Tenant, message));
    }
    Ok(())
}

fn bad_pem(kind: &str, error: jsonwebtoken::errors::Error) -> Error {
    Error::invalid(Stage::Tenant, format!("this is not an {kind} public key in PEM")).with_source(error)
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
