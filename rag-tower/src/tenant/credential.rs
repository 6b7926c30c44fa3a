//! What a request presents to say who it is, and the ways in which that fails.

use std::fmt;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::error::{Error, ErrorKind, Stage};

/// The header that carries an API key; `Authorization: Bearer` does too.
pub const API_KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// Why a request was refused before it became an ask. A closed set: it is the label of `rag_auth_failures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthFailure {
    /// No credential at all.
    Missing,
    /// A credential that is not of any known shape.
    Malformed,
    /// More than one credential.
    Conflicting,
    /// A token whose signature, algorithm, audience, issuer or claims are wrong.
    InvalidToken,
    /// A token or a session that has ended.
    Expired,
    /// A token that was revoked.
    Revoked,
    /// An API key that nobody has.
    UnknownKey,
    /// A tenant header that names another tenant than the credential does.
    TenantMismatch,
    /// A tenant that does not exist, from a gateway that is trusted to name it.
    UnknownTenant,
    /// A WebSocket ticket that is unknown, used or too old.
    InvalidTicket,
    /// A user name and password that do not match.
    WrongPassword,
    /// A one-time code that is not the one that counts now.
    WrongCode,
    /// A request from another site.
    CrossSite,
}

/// One credential, still unverified. It has no `Display`, and its `Debug` shows the kind only.
#[derive(Clone, Copy)]
pub(super) enum Presented<'a> {
    /// After `Authorization: Bearer`: a token or an API key.
    Bearer(&'a str),
    /// In `X-Api-Key`.
    Key(&'a str),
}

// === impl AuthFailure ===

impl AuthFailure {
    /// Every failure, so that an exporter can start each series at 0.
    pub const ALL: [Self; 13] = [
        Self::Missing,
        Self::Malformed,
        Self::Conflicting,
        Self::InvalidToken,
        Self::Expired,
        Self::Revoked,
        Self::UnknownKey,
        Self::TenantMismatch,
        Self::UnknownTenant,
        Self::InvalidTicket,
        Self::WrongPassword,
        Self::WrongCode,
        Self::CrossSite,
    ];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Conflicting => "conflicting",
            Self::InvalidToken => "invalid_token",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::UnknownKey => "unknown_key",
            Self::TenantMismatch => "tenant_mismatch",
            Self::UnknownTenant => "unknown_tenant",
            Self::InvalidTicket => "invalid_ticket",
            Self::WrongPassword => "wrong_password",
            Self::WrongCode => "wrong_code",
            Self::CrossSite => "cross_site",
        }
    }

    /// Counts it in `rag_auth_failures_total` and gives the error to answer with:
    /// [`ErrorKind::Forbidden`] for a mismatch and a cross-site request, else [`ErrorKind::Unauthenticated`].
    #[must_use]
    pub fn refuse(self) -> Error {
        metrics::counter!("rag_auth_failures_total", "kind" => self.as_str()).increment(1);
        let kind = match self {
            Self::TenantMismatch | Self::CrossSite => ErrorKind::Forbidden,
            _ => ErrorKind::Unauthenticated,
        };
        Error::new(kind, Stage::Tenant).with_message(self.message())
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Missing => "a credential is required: send \"Authorization: Bearer <API key or token>\"",
            Self::Malformed => {
                "the credential is malformed: send \"Authorization: Bearer <API key or token>\" or \"X-Api-Key\""
            }
            Self::Conflicting => "more than one credential was sent: send exactly one",
            Self::InvalidToken => "the token is not valid here",
            Self::Expired => "the token has expired: get a new one",
            Self::Revoked => "the token was revoked: get a new one",
            Self::UnknownKey => "the API key is not valid",
            Self::TenantMismatch => "the tenant header names a tenant that this credential does not grant",
            Self::UnknownTenant => "the tenant header is missing, or names no tenant",
            Self::InvalidTicket => "the ticket is unknown, used or too old: get a new one",
            Self::WrongPassword => "wrong user name or password",
            Self::WrongCode => "the code is wrong, used or too old: ask for a new one",
            Self::CrossSite => "requests from another site are refused",
        }
    }
}

// === impl Presented ===

impl<'a> Presented<'a> {
    /// Finds the one credential of a request.
    pub(super) fn find(headers: &'a HeaderMap) -> Result<Self, AuthFailure> {
        let mut all = headers.get_all(AUTHORIZATION).iter().map(|value| (true, value));
        let mut keys = headers.get_all(API_KEY_HEADER).iter().map(|value| (false, value));
        let (bearer, value) = match (all.next(), keys.next()) {
            (None, None) => return Err(AuthFailure::Missing),
            (Some(_), Some(_)) => return Err(AuthFailure::Conflicting),
            (Some(one), None) | (None, Some(one)) => one,
        };
        if all.next().is_some() || keys.next().is_some() {
            return Err(AuthFailure::Conflicting);
        }
        let value = value.to_str().map_err(|_| AuthFailure::Malformed)?;
        if !bearer {
            return Self::plain(value).map(Self::Key);
        }
        let (scheme, rest) = value.split_once(' ').ok_or(AuthFailure::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(AuthFailure::Malformed);
        }
        Self::plain(rest.trim_matches(' ')).map(Self::Bearer)
    }

    fn plain(text: &str) -> Result<&str, AuthFailure> {
        match text.is_empty() || text.contains([' ', ',', '\t']) {
            true => Err(AuthFailure::Malformed),
            false => Ok(text),
        }
    }

    /// True when it has the three parts of a signed token. API keys have none.
    #[cfg(feature = "jwt")]
    pub(super) fn is_token(self) -> bool {
        matches!(self, Self::Bearer(text) if text.split('.').count() == 3)
    }

    pub(super) fn text(self) -> &'a str {
        match self {
            Self::Bearer(text) | Self::Key(text) => text,
        }
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer(…)",
            Self::Key(_) => "Key(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(&'static str, &'static str)]) -> Result<String, AuthFailure> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Presented::find(&map).map(|presented| presented.text().to_owned())
    }

    #[test]
    fn exactly_one_credential_counts() {
        assert_eq!(found(&[("authorization", "Bearer abc")]), Ok("abc".into()));
        assert_eq!(found(&[("authorization", "bearer  abc")]), Ok("abc".into()));
        assert_eq!(found(&[("x-api-key", "abc")]), Ok("abc".into()));
        assert_eq!(found(&[]), Err(AuthFailure::Missing));
        for two in [
            [("authorization", "Bearer a"), ("authorization", "Bearer a")],
            [("x-api-key", "a"), ("x-api-key", "b")],
            [("authorization", "Bearer a"), ("x-api-key", "a")],
        ] {
            assert_eq!(found(&two), Err(AuthFailure::Conflicting));
        }
        for bad in ["Basic abc", "Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "abc"] {
            assert_eq!(found(&[("authorization", bad)]), Err(AuthFailure::Malformed), "{bad}");
        }
        assert_eq!(found(&[("x-api-key", "")]), Err(AuthFailure::Malformed));
    }
}
