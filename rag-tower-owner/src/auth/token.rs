//! The signed token of a session, and of the operator on this machine.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind as JwtErrorKind;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    get_current_timestamp,
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
/// No token of ours lives longer, and none began later than this from now: the clocks of two servers differ a little.
const LONGEST: u64 = 366 * 24 * 3_600;
const AHEAD: u64 = 60;

/// Signs and verifies with HS256 and nothing else.
pub(crate) struct TokenKey {
    audience: &'static str,
    signer: EncodingKey,
    verifier: DecodingKey,
    rules: Validation,
}

/// Every claim is required and has one type: serde reads whole seconds only. No other is expected, `nbf` among them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
        // what the header names beside the algorithm, no token of ours has
        let header = decode_header(token).map_err(|_| AuthFailure::InvalidToken)?;
        if header.typ.as_deref() != Some("JWT") || header.kid.is_some() || header.crit.is_some() {
            return Err(AuthFailure::InvalidToken);
        }
        let verified = decode::<OwnerClaims>(token, &self.verifier, &self.rules);
        let claims = verified.map(|data| data.claims).map_err(|error| match error.kind() {
            JwtErrorKind::ExpiredSignature => AuthFailure::Expired,
            _ => AuthFailure::InvalidToken,
        })?;
        let lifetime = claims.exp.checked_sub(claims.iat).ok_or(AuthFailure::InvalidToken)?;
        if lifetime > LONGEST || claims.iat > get_current_timestamp().saturating_add(AHEAD) {
            return Err(AuthFailure::InvalidToken);
        }
        Ok(claims)
    }
}
