//! Whom a code is for, and for what.

use std::fmt;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;

use crate::error::{Error, Stage};
use crate::tenant::TenantScope;

/// The longest address, in bytes: RFC 5321 has no room for a longer one.
const MAX_EMAIL_BYTES: usize = 254;

/// What a code is good for. A code of one purpose is none of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodePurpose(&'static str);

/// An address of a tenant, and what a code for it is good for. It can only be made from a scope, and always holds the
/// tenant: a code of one tenant is none of another. `Debug` does not show the address.
#[derive(Clone)]
pub struct CodeSubject {
    scope: TenantScope,
    email: Arc<str>,
    purpose: CodePurpose,
}

// === impl CodePurpose ===

impl CodePurpose {
    /// To log in.
    pub const LOGIN: Self = Self("login");
    /// To show that an address is one's own.
    pub const VERIFY_EMAIL: Self = Self("verify_email");

    /// Another purpose, by its own name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

// === impl CodeSubject ===

impl CodeSubject {
    /// A subject of the scope's tenant. The address is composed (NFC), and its ASCII letters are made small.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for what cannot be an address.
    ///
    /// # Warning
    /// Mail to the address that your own records hold for the account, never to what was typed: two addresses that look
    /// alike need not be one mailbox.
    pub fn new(scope: &TenantScope, email: &str, purpose: CodePurpose) -> Result<Self, Error> {
        let invalid = || Error::invalid(Stage::Tenant, "this is not an e-mail address");
        if email.len() > 4 * MAX_EMAIL_BYTES {
            return Err(invalid());
        }
        let email: String = email.trim().nfc().map(|c| c.to_ascii_lowercase()).collect();
        let (local, domain) = email.rsplit_once('@').ok_or_else(invalid)?;
        let plain = !email.chars().any(|c| c.is_whitespace() || c.is_control());
        if local.is_empty() || domain.is_empty() || !plain || email.len() > MAX_EMAIL_BYTES {
            return Err(invalid());
        }
        Ok(Self { scope: scope.clone(), email: email.into(), purpose })
    }

    /// The tenant's scope.
    #[must_use]
    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// The address, as it is compared.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// What the code is good for.
    #[must_use]
    pub fn purpose(&self) -> CodePurpose {
        self.purpose
    }
}

impl fmt::Debug for CodeSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeSubject")
            .field("tenant", &self.scope.tenant())
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}
