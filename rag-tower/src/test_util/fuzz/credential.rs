//! The headers that say who asks.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};

use super::{Broken, broken, hold};
use crate::error::{Error, ErrorKind};
use crate::tenant::{
    API_KEY_HEADER, ApiKeyResolver, ApiKeys, Asserted, Grant, KeyHash, MIN_API_KEY_CHARS, ResolveTenant,
    TENANT_HEADER, TenantId,
};

/// So many headers are read; what follows is left out.
const MOST_HEADERS: usize = 16;
/// Seeds carry it in their credentials; no message may.
const CANARY: &str = "c4n4ry";

/// Knows every key, all of one tenant, and which was asked for.
#[derive(Clone, Default)]
struct AnyKey(Arc<Mutex<Option<KeyHash>>>);

/// Checks how a credential is found: each line is a header, `name: value`.
///
/// A request is let in when it presents exactly one credential of a known form, as the key that stands there, and when no
/// tenant header names another tenant than the key's. Nothing of a credential is in a refusal.
///
/// # Errors
/// The property that does not hold.
pub fn credential(data: &[u8]) -> Result<(), Broken> {
    let parts = parts(data);
    let keys = AnyKey::default();
    let resolved = resolve(&keys, &parts)?;
    let presented = presented(&parts);
    let mut named = parts.headers.get_all(TENANT_HEADER).iter();
    let own = named.all(|value| value.to_str().is_ok_and(|name| names(name.trim(), tenant())));
    match (resolved, presented) {
        (Ok(grant), Some(key)) => {
            hold(grant.tenant() == tenant() && own, || "a foreign tenant was let in".to_owned())?;
            let asked = keys.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            hold(asked == Some(KeyHash::of(&key)), || format!("another key than {key:?} was looked up"))
        }
        (Ok(_), None) => Err(broken("what presents no single credential was let in")),
        (Err(error), presented) => {
            let kind = if presented.is_some() { ErrorKind::Forbidden } else { ErrorKind::Unauthenticated };
            hold(error.kind() == kind, || format!("refused as {:?}", error.kind()))?;
            hold(!(own && presented.is_some()), || "a sound credential was refused".to_owned())?;
            silent(&error)
        }
    }
}

/// The one credential by the rules in the documentation: exactly one header, one word, long enough for a key.
fn presented(parts: &Parts) -> Option<String> {
    let bearers = parts.headers.get_all(AUTHORIZATION).iter().map(|value| (true, value));
    let keys = parts.headers.get_all(API_KEY_HEADER).iter().map(|value| (false, value));
    let [(bearer, value)] = bearers.chain(keys).collect::<Vec<_>>()[..] else { return None };
    let mut text = value.to_str().ok()?;
    if bearer {
        let (scheme, rest) = text.split_at_checked("bearer ".len())?;
        text = scheme.eq_ignore_ascii_case("bearer ").then(|| rest.trim_matches(' '))?;
    }
    (text.len() >= MIN_API_KEY_CHARS && !text.contains([' ', ',', '\t'])).then(|| text.to_owned())
}

fn names(name: &str, tenant: TenantId) -> bool {
    !name.is_empty() && name.parse().unwrap_or_else(|_| TenantId::named(name)) == tenant
}

fn silent(error: &Error) -> Result<(), Broken> {
    let said = format!("{error} {error:?}");
    hold(!said.contains(CANARY), || format!("{said:?} holds a part of the credential"))
}

fn parts(data: &[u8]) -> Parts {
    let mut request = Request::new(());
    for line in data.split(|byte| *byte == b'\n').take(MOST_HEADERS) {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (halves.next(), halves.next()) else { continue };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            request.headers_mut().append(name, value);
        }
    }
    request.into_parts().0
}

fn resolve(keys: &AnyKey, parts: &Parts) -> Result<Result<Grant, Error>, Broken> {
    let resolver = Asserted::new(ApiKeyResolver::new(keys.clone()));
    let resolved = resolver.resolve(parts).now_or_never();
    resolved.ok_or_else(|| broken("a resolver without a store waits"))
}

fn tenant() -> TenantId {
    TenantId::named("acme")
}

#[cfg(test)]
pub(super) fn is_taken(data: &[u8]) -> bool {
    resolve(&AnyKey::default(), &parts(data)).is_ok_and(|resolved| resolved.is_ok())
}

// === impl AnyKey ===

impl ApiKeys for AnyKey {
    async fn find(&self, hash: KeyHash) -> Result<Option<Grant>, Error> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(hash);
        Ok(Some(Grant::new(tenant())))
    }
}
