//! The digits, and the keyed hashes that stand for them where they are kept.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::CodeSubject;
use super::subject::CodePurpose;
use crate::error::{Error, Stage};

/// The shortest key accepted, in bytes: as long as the hash.
const MIN_KEY_BYTES: usize = 32;
/// How many codes there are, and the bits that hold at least as many.
const CODES: u32 = 1_000_000;
const CODE_BITS: u32 = 20;

/// Six digits, each as likely as any other six. `Debug` does not show them.
#[derive(Clone)]
pub struct OneTimeCode(String);

/// The key of the hashes. A million codes are hashed in no time: only a key that the store does not hold keeps them secret.
#[derive(Clone)]
pub struct CodeKey(Hmac<Sha256>);

/// The keyed hash of a code, with whom and what it is for: what is kept. Compared in constant time.
#[derive(Clone, Copy)]
pub struct CodeHash([u8; 32]);

/// Where the code of a subject is kept: its mailbox, as a keyed hash, and its purpose. The tenant is the scope's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodeSlot {
    mailbox: [u8; 32],
    purpose: CodePurpose,
}

// === impl OneTimeCode ===

impl OneTimeCode {
    pub(super) fn generate() -> Result<Self, Error> {
        loop {
            if let Some(code) = Self::of(u32::from_be_bytes(random()?)) {
                return Ok(code);
            }
        }
    }

    /// The code of some random bits; none for the bits beyond the last code, which would make others likelier.
    pub(super) fn of(random: u32) -> Option<Self> {
        let number = random >> (u32::BITS - CODE_BITS);
        (number < CODES).then(|| Self(format!("{number:06}")))
    }

    /// The digits, for the mail.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeCode(…)")
    }
}

// === impl CodeKey ===

impl CodeKey {
    /// A key, made at random and used for nothing else.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when it is shorter than 32 bytes.
    pub fn new(key: &[u8]) -> Result<Self, Error> {
        let short = || {
            let message = format!(
                "a key of {} bytes is too short: use at least {MIN_KEY_BYTES}, made at random",
                key.len()
            );
            Error::invalid(Stage::Tenant, message)
        };
        if key.len() < MIN_KEY_BYTES {
            return Err(short());
        }
        Hmac::new_from_slice(key).map(Self).map_err(|_| short())
    }

    pub(super) fn slot(&self, subject: &CodeSubject) -> CodeSlot {
        let tenant = subject.scope().tenant().as_uuid();
        let mailbox = self.mac(&[b"mailbox", tenant.as_bytes(), subject.email().as_bytes()]);
        CodeSlot { mailbox, purpose: subject.purpose() }
    }

    pub(super) fn hash(&self, subject: &CodeSubject, code: &[u8]) -> CodeHash {
        let tenant = subject.scope().tenant().as_uuid();
        let (purpose, email) = (subject.purpose().as_str().as_bytes(), subject.email().as_bytes());
        CodeHash(self.mac(&[b"code", tenant.as_bytes(), purpose, email, code]))
    }

    /// Each part is preceded by its length, so that no two lists of parts are the same bytes.
    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeKey(…)")
    }
}

// === impl CodeHash ===

impl CodeHash {
    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ConstantTimeEq for CodeHash {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for CodeHash {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for CodeHash {}

impl fmt::Debug for CodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeHash(…)")
    }
}

// === impl CodeSlot ===

impl CodeSlot {
    /// The address of the tenant, as a keyed hash. All its purposes share what may be mailed to it.
    #[must_use]
    pub fn mailbox(&self) -> &[u8; 32] {
        &self.mailbox
    }

    /// The purpose.
    #[must_use]
    pub fn purpose(&self) -> CodePurpose {
        self.purpose
    }

    /// Asking for codes is another account to the throttle than trying them, or a login would count as two attempts.
    pub(super) fn asking(&self) -> Vec<u8> {
        [b"asking", &self.mailbox[..]].concat()
    }
}

impl fmt::Debug for CodeSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeSlot").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut random = [0; N];
    getrandom::fill(&mut random).map_err(|error| Error::internal(Stage::Tenant, error))?;
    Ok(random)
}
