//! The session's cookie, and where a request's token is found.

use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};
use rag_tower::tenant::AuthFailure;

/// Its name and attributes, which depend on whether pages come over https.
#[derive(Clone, Copy)]
pub(super) struct Cookie {
    https: bool,
}

/// A token as it came. Only one from a cookie was sent without the page's doing.
pub(super) enum Found<'a> {
    Cookie(&'a str),
    Bearer(&'a str),
}

// === impl Cookie ===

impl Cookie {
    pub(super) fn new(https: bool) -> Self {
        Self { https }
    }

    pub(super) fn name(self) -> &'static str {
        if self.https { "__Host-owner_token" } else { "owner_token" }
    }

    /// The header that sets it.
    pub(super) fn set(self, token: &str, lifetime: Duration) -> Option<HeaderValue> {
        let secure = if self.https { "; Secure" } else { "" };
        let (name, seconds) = (self.name(), lifetime.as_secs());
        let text = format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The header that takes it away.
    pub(super) fn clear(self) -> Option<HeaderValue> {
        self.set("", Duration::ZERO)
    }

    /// The one token of a request.
    pub(super) fn find(self, headers: &HeaderMap) -> Result<Found<'_>, AuthFailure> {
        let mut found = Vec::new();
        for value in headers.get_all(AUTHORIZATION) {
            let value = value.to_str().map_err(|_| AuthFailure::Malformed)?;
            let (scheme, token) = value.split_once(' ').ok_or(AuthFailure::Malformed)?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(AuthFailure::Malformed);
            }
            found.push(Found::Bearer(token.trim()));
        }
        for value in headers.get_all(COOKIE) {
            // Another cookie's odd bytes are no reason to refuse ours.
            for pair in value.as_bytes().split(|byte| *byte == b';') {
                let Ok(pair) = std::str::from_utf8(pair) else { continue };
                let Some((name, token)) = pair.trim().split_once('=') else { continue };
                if name == self.name() && !token.is_empty() {
                    found.push(Found::Cookie(token));
                }
            }
        }
        match found.len() {
            0 => Err(AuthFailure::Missing),
            1 => found.pop().ok_or(AuthFailure::Missing),
            _ => Err(AuthFailure::Conflicting),
        }
    }
}

// === impl Found ===

impl<'a> Found<'a> {
    pub(super) fn token(&self) -> &'a str {
        match self {
            Self::Cookie(token) | Self::Bearer(token) => token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_attributes_follow_the_scheme() {
        let hour = Duration::from_hours(1);
        let plain = Cookie::new(false).set("t", hour).unwrap();
        assert_eq!(plain, "owner_token=t; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600");
        let secure = Cookie::new(true).set("t", hour).unwrap();
        assert_eq!(secure, "__Host-owner_token=t; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600; Secure");
        assert!(secure.is_sensitive());
    }

    #[test]
    fn exactly_one_token_counts() {
        let found = |headers: &[(http::HeaderName, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, HeaderValue::from_static(value));
            }
            Cookie::new(false).find(&map).map(|found| found.token().to_owned())
        };
        assert_eq!(found(&[(COOKIE, "a=b; owner_token=t; c=d")]), Ok("t".into()));
        assert_eq!(found(&[(COOKIE, "a=b"), (COOKIE, "owner_token=t")]), Ok("t".into()));
        assert_eq!(found(&[(AUTHORIZATION, "Bearer t")]), Ok("t".into()));
        assert_eq!(found(&[(COOKIE, "xowner_token=t; owner_token=")]), Err(AuthFailure::Missing));
        assert_eq!(found(&[(COOKIE, "__Host-owner_token=t")]), Err(AuthFailure::Missing));
        assert_eq!(found(&[(COOKIE, "owner_token=t; owner_token=u")]), Err(AuthFailure::Conflicting));
        assert_eq!(
            found(&[(COOKIE, "owner_token=t"), (AUTHORIZATION, "Bearer t")]),
            Err(AuthFailure::Conflicting)
        );
        assert_eq!(found(&[(AUTHORIZATION, "Basic t")]), Err(AuthFailure::Malformed));
    }
}
