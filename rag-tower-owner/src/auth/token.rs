//! The signed token of a session, and of the operator on this machine.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind as JwtErrorKind;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp,
};
use rag_tower::tenant::AuthFailure;
use rag_tower::{Error, Stage};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::secret::Secret;

/// The audience of the owner's tokens. Tenant tokens have another: neither opens what the other does.
pub const OWNER_AUDIENCE: &str = "rag-tower/owner";

const ISSUER: &str = "rag-tower";
const MAX_TOKEN_BYTES: usize = 4 * 1024;

/// Signs and verifies with HS256 and nothing else.
pub(crate) struct TokenKey {
    audience: &'static str,
    signer: EncodingKey,
    verifier: DecodingKey,
    rules: Validation,
}

/// Every claim is required and has one type: serde reads whole seconds only.
#[derive(Serialize, Deserialize)]
pub(crate) struct OwnerClaims {
    iss: String,
    aud: String,
    pub(crate) sub: String,
    exp: u64,
    iat: u64,
    pub(crate) jti: String,
}

// === impl TokenKey ===

impl TokenKey {
    /// A key for tokens of one audience, which no key of another accepts.
    pub(crate) fn new(secret: &Secret, audience: &'static str) -> Self {
        let secret = secret.expose().as_bytes();
        let mut rules = Validation::new(Algorithm::HS256);
        rules.leeway = 0;
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[audience]);
        Self {
            audience,
            signer: EncodingKey::from_secret(secret),
            verifier: DecodingKey::from_secret(secret),
            rules,
        }
    }

    /// A token of a new session, and the session's id.
    pub(crate) fn sign(&self, username: &str, lifetime: Duration) -> Result<(String, String), Error> {
        let jti = Uuid::now_v7().to_string();
        let iat = get_current_timestamp();
        let claims = OwnerClaims {
            iss: ISSUER.to_owned(),
            aud: self.audience.to_owned(),
            sub: username.to_owned(),
            exp: iat.saturating_add(lifetime.as_secs()),
            iat,
            jti: jti.clone(),
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.signer)
            .map_err(|error| Error::internal(Stage::Http, error))?;
        Ok((token, jti))
    }

    pub(crate) fn verify(&self, token: &str) -> Result<OwnerClaims, AuthFailure> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthFailure::Malformed);
        }
        let verified = decode::<OwnerClaims>(token, &self.verifier, &self.rules);
        verified.map(|data| data.claims).map_err(|error| match error.kind() {
            JwtErrorKind::ExpiredSignature => AuthFailure::Expired,
            _ => AuthFailure::InvalidToken,
        })
    }
}
