//! API keys: known by their SHA-256, never stored.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::credential::{AuthFailure, Presented};
use super::{Grant, ResolveTenant};
use crate::error::{Error, Stage};

/// The shortest API key accepted, in characters.
pub const MIN_API_KEY_CHARS: usize = 32;

/// The SHA-256 of an API key: what is stored and looked up. Compared in constant time.
///
/// A fast hash is right here: a key of 32 random characters cannot be guessed, unlike a password.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

/// Where keys are known: what a backend implements.
pub trait ApiKeys: Send + Sync + 'static {
    /// What the key of that hash grants; none for an unknown, expired or revoked key and for a suspended tenant.
    ///
    /// # Errors
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable): the request is then refused, never let through.
    fn find(&self, hash: KeyHash) -> impl Future<Output = Result<Option<Grant>, Error>> + Send;
}

/// Resolves `Authorization: Bearer <key>` and `X-Api-Key: <key>`.
#[derive(Clone, Debug)]
pub struct ApiKeyResolver<K> {
    keys: K,
}

/// Keys in memory, fixed at start: for a demonstration and for tests.
#[derive(Clone, Default)]
pub struct MemoryApiKeys(Vec<(KeyHash, Grant)>);

// === impl KeyHash ===

impl KeyHash {
    /// The hash of a key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ConstantTimeEq for KeyHash {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

// === impl ApiKeys ===

impl<K: ApiKeys> ApiKeys for Arc<K> {
    fn find(&self, hash: KeyHash) -> impl Future<Output = Result<Option<Grant>, Error>> + Send {
        (**self).find(hash)
    }
}

// === impl ApiKeyResolver ===

impl<K: ApiKeys> ApiKeyResolver<K> {
    /// Looks keys up in `keys`.
    #[must_use]
    pub fn new(keys: K) -> Self {
        Self { keys }
    }

    pub(super) async fn grant(&self, key: &str) -> Result<Grant, Error> {
        if key.len() < MIN_API_KEY_CHARS {
            return Err(AuthFailure::Malformed.refuse());
        }
        match self.keys.find(KeyHash::of(key)).await? {
            Some(grant) => Ok(grant),
            None => Err(AuthFailure::UnknownKey.refuse()),
        }
    }
}

impl<K: ApiKeys> ResolveTenant for ApiKeyResolver<K> {
    async fn resolve(&self, parts: &Parts) -> Result<Grant, Error> {
        let presented = Presented::find(&parts.headers).map_err(AuthFailure::refuse)?;
        self.grant(presented.text()).await
    }
}

// === impl MemoryApiKeys ===

impl MemoryApiKeys {
    /// No keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key. The key itself is not kept.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when it is shorter than [`MIN_API_KEY_CHARS`], or is not
    /// plain printable ASCII without spaces and commas: such a key could not be sent.
    pub fn with(mut self, key: &str, grant: impl Into<Grant>) -> Result<Self, Error> {
        if key.len() < MIN_API_KEY_CHARS {
            let message = format!(
                "an API key of {} characters is too short: use at least {MIN_API_KEY_CHARS}, made at random",
                key.len()
            );
            return Err(Error::invalid(Stage::Tenant, message));
        }
        if key.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b',') {
            return Err(Error::invalid(
                Stage::Tenant,
                "an API key may hold printable ASCII only, without spaces and commas",
            ));
        }
        self.0.push((KeyHash::of(key), grant.into()));
        Ok(self)
    }
}

impl ApiKeys for MemoryApiKeys {
    async fn find(&self, hash: KeyHash) -> Result<Option<Grant>, Error> {
        // Every entry is compared, so that the time says nothing of the place.
        let mut found = None;
        for (known, grant) in &self.0 {
            if *known == hash {
                found = Some(grant);
            }
        }
        Ok(found.cloned())
    }
}

impl fmt::Debug for MemoryApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryApiKeys({} keys)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, TenantId};

    const KEY: &str = "rt_demo_0123456789abcdef0123456789abcdef";

    fn parts(name: &'static str, value: &str) -> Parts {
        http::Request::builder().header(name, value).body(()).unwrap().into_parts().0
    }

    fn resolver() -> ApiKeyResolver<MemoryApiKeys> {
        ApiKeyResolver::new(MemoryApiKeys::new().with(KEY, TenantId::named("acme")).unwrap())
    }

    #[tokio::test]
    async fn a_known_key_opens_its_tenant_either_way() {
        for (name, value) in [("x-api-key", KEY.to_owned()), ("authorization", format!("Bearer {KEY}"))] {
            let grant = resolver().resolve(&parts(name, &value)).await.unwrap();
            assert_eq!(grant.tenant(), TenantId::named("acme"));
        }
    }

    #[tokio::test]
    async fn any_other_key_opens_nothing() {
        let longer = format!("{KEY}x");
        for key in ["short", &KEY[..39], &longer, &KEY.to_uppercase()] {
            let error = resolver().resolve(&parts("x-api-key", key)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
            assert!(!format!("{error} {error:?}").contains(key));
        }
    }

    #[test]
    fn t43_a_weak_key_is_not_taken_in() {
        for key in ["short", &"a b".repeat(20), &"a,".repeat(20)] {
            assert!(MemoryApiKeys::new().with(key, TenantId::named("acme")).is_err());
        }
    }

    #[tokio::test]
    async fn a_store_that_is_away_lets_nobody_in() {
        struct Away;
        impl ApiKeys for Away {
            async fn find(&self, _: KeyHash) -> Result<Option<Grant>, Error> {
                Err(Error::store(Stage::Tenant, "connection refused"))
            }
        }
        let error = ApiKeyResolver::new(Away).resolve(&parts("x-api-key", KEY)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
    }
}
