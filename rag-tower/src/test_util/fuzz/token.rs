//! A token as it comes, whole or broken.

use std::time::Duration;

use futures_util::FutureExt;
use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

use super::{Broken, broken, hold};
use crate::error::{Error, ErrorKind};
use crate::tenant::{Grant, JwtKey, JwtResolver, ResolveTenant};

/// The key of the seeds, and who issued them.
pub(super) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
pub(super) const ISSUER: &str = "https://id.example";
/// So that a seed does not get too old: they live from 2020 to 2100.
const LIFETIME: Duration = Duration::from_secs(100 * 366 * 24 * 3_600);

/// Checks [`JwtResolver`]: a token that the key has not signed is never accepted, and no other spelling of one that it
/// has.
///
/// # Errors
/// The property that does not hold.
pub fn token(data: &[u8]) -> Result<(), Broken> {
    let Ok(token) = str::from_utf8(data) else { return Ok(()) };
    // Spaces around it are the header's.
    let token = token.trim_matches(' ');
    match resolve(token)? {
        Ok(_) => {
            let (message, signature) =
                token.rsplit_once('.').ok_or_else(|| broken("one part is no token"))?;
            let expected = sign(message)?;
            hold(signature == expected, || {
                format!("the signature {signature:?} was accepted for {expected:?}")
            })?;
            hold(message.split('.').count() == 2, || "not three parts".to_owned())
        }
        Err(error) => {
            hold(error.kind() == ErrorKind::Unauthenticated, || format!("refused as {:?}", error.kind()))
        }
    }
}

pub(super) fn sign(message: &str) -> Result<String, Broken> {
    crypto::sign(message.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256)
        .map_err(|error| broken(format!("cannot sign: {error}")))
}

pub(super) fn resolve(token: &str) -> Result<Result<Grant, Error>, Broken> {
    let key = JwtKey::hs256(SECRET).map_err(|error| broken(error.to_string()))?;
    let resolver = JwtResolver::new(ISSUER, key).with_max_lifetime(LIFETIME);
    let mut request = Request::new(());
    // What cannot be a header never comes as far.
    let Ok(value) = HeaderValue::try_from(format!("Bearer {token}")) else {
        return Ok(Err(Error::new(ErrorKind::Unauthenticated, crate::Stage::Tenant)));
    };
    request.headers_mut().insert(AUTHORIZATION, value);
    let resolved = resolver.resolve(&request.into_parts().0).now_or_never();
    resolved.ok_or_else(|| broken("a resolver without a store waits"))
}

#[cfg(test)]
pub(super) fn is_taken(data: &[u8]) -> bool {
    str::from_utf8(data).is_ok_and(|token| resolve(token).is_ok_and(|resolved| resolved.is_ok()))
}
