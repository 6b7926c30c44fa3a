#![cfg_attr(not(docsrs), doc = "<span class='stab portability'><code>codes</code></span>")]
//! One-time codes: an e-mail address in, six digits to mail to it out, and back again once.
//!
//! A code is good for one use, for ten minutes and for five tries, by the address, the tenant and the purpose that it was
//! made for; a new one takes its place. What is stored is a keyed hash: neither the code nor the address.
//!
//! ```
//! use rag_tower::tenant::code::{CodeKey, CodePurpose, CodeSubject, LoginCodes, MemoryCodes};
//! use rag_tower::tenant::{LoginThrottle, TenantScope};
//!
//! # async fn login(scope: &TenantScope, client: Option<std::net::IpAddr>, typed: &str) -> rag_tower::Result<()> {
//! let key = CodeKey::new(b"32 random bytes, kept as a secret")?;
//! let codes = LoginCodes::new(key, MemoryCodes::new(), LoginThrottle::new());
//! let subject = CodeSubject::new(scope, "lan@example.com", CodePurpose::LOGIN)?;
//! let issued = codes.issue(&subject, client, true).await?;
//! if let Some(code) = issued.to_mail {
//!     // queue a mail with code.expose(): sending it here would tell by its time who has an account
//! }
//! codes.redeem(&subject, client, typed).await // Ok: whoever typed it reads that mailbox
//! # }
//! ```
//!
//! **Guessing.** Five tries of a million per code, and at most [`MAX_CODES_A_DAY`] codes for one address of a tenant: fifty
//! guesses a day, however often somebody asks for new codes and from however many addresses. Each call passes the
//! [`LoginThrottle`] too; give it the one that the other ways in have.
//!
//! **Who has an account** does not show. For an address without one, [`LoginCodes::issue`] does the same and gives nothing
//! to mail; refusals say the same for a wrong, an old, a burnt and a code that never was.
//!
//! **What a stranger can do** to somebody whose address they know: make mails come, as many as the limit lets, and burn
//! codes by wrong tries. They cannot read the mails; and while asking is refused, the last code that was mailed still
//! counts. Offer a second way in where that matters.

mod memory;
mod port;
mod secret;
mod subject;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

pub use self::memory::MemoryCodes;
pub use self::port::{CODE_LIFETIME, CODE_TRIES, Codes, MAX_CODES_A_DAY, MAX_CODES_AT_ONCE};
pub use self::secret::{CodeHash, CodeKey, CodeSlot, OneTimeCode};
pub use self::subject::{CodePurpose, CodeSubject};
use super::{AuthFailure, LoginThrottle};
use crate::error::{Error, ErrorKind, Stage};
use crate::quota::Verdict;

/// A longer text is no code; it is compared all the same.
const MAX_TYPED_BYTES: usize = 64;

/// Makes codes and takes them back. See the [module](self).
#[derive(Clone)]
pub struct LoginCodes<C = MemoryCodes> {
    key: CodeKey,
    codes: C,
    throttle: LoginThrottle,
}

/// A code that was made. `Debug` does not show it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssuedCode {
    /// The code to mail; none when the address has no account, and then nothing is to be mailed.
    pub to_mail: Option<OneTimeCode>,
    /// How long it is good for.
    pub expires_in: Duration,
}

// === impl LoginCodes ===

impl<C: Codes> LoginCodes<C> {
    /// Codes hashed with `key` and kept in `codes`. Several processes share both.
    #[must_use]
    pub fn new(key: CodeKey, codes: C, throttle: LoginThrottle) -> Self {
        Self { key, codes, throttle }
    }

    /// Makes a code, which takes the place of the one before. `known` says whether the address has an account; tell the
    /// client nothing of it, and answer the same in either case.
    ///
    /// # Errors
    /// [`RateLimited`](ErrorKind::RateLimited) with the wait, when the address has had too many or the client tries too
    /// often: the code before still counts then. [`Overloaded`](ErrorKind::Overloaded) and
    /// [`StoreUnavailable`](ErrorKind::StoreUnavailable) by the store.
    ///
    /// # Cancellation
    /// The client's attempt counts. The code before may be void already, and the new one is known to nobody.
    pub async fn issue(
        &self,
        subject: &CodeSubject,
        client: Option<IpAddr>,
        known: bool,
    ) -> Result<IssuedCode, Error> {
        let slot = self.key.slot(subject);
        self.throttle.begin(client, &slot.asking()).map_err(too_often)?;
        let (code, nobody) = (OneTimeCode::generate()?, secret::random::<32>()?);
        // What nobody has been told, nobody can type: it is no six digits.
        let hash = self.key.hash(subject, if known { code.expose().as_bytes() } else { &nobody });
        match self.codes.put(subject.scope(), &slot, hash).await? {
            Verdict::Allowed => Ok(IssuedCode { to_mail: known.then_some(code), expires_in: CODE_LIFETIME }),
            Verdict::Wait(wait) => Err(too_often(wait)),
        }
    }

    /// Takes a code back, as it was typed. Spaces in it do not count.
    ///
    /// # Errors
    /// [`Unauthenticated`](ErrorKind::Unauthenticated) for whatever is not the one code that counts now, and a try of it is
    /// spent; [`RateLimited`](ErrorKind::RateLimited) with the wait, when the client tries too often, and none is spent;
    /// [`StoreUnavailable`](ErrorKind::StoreUnavailable).
    ///
    /// # Cancellation
    /// The try counts, and a right code may be used up.
    pub async fn redeem(
        &self,
        subject: &CodeSubject,
        client: Option<IpAddr>,
        typed: &str,
    ) -> Result<(), Error> {
        let slot = self.key.slot(subject);
        self.throttle.begin(client, slot.mailbox()).map_err(too_often)?;
        let typed = if typed.len() > MAX_TYPED_BYTES { "" } else { typed };
        let digits: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
        let hash = self.key.hash(subject, digits.as_bytes());
        if !self.codes.redeem(subject.scope(), &slot, hash).await? {
            return Err(AuthFailure::WrongCode.refuse());
        }
        self.throttle.succeed(client, slot.mailbox());
        Ok(())
    }
}

fn too_often(wait: Duration) -> Error {
    let error = Error::new(ErrorKind::RateLimited, Stage::Tenant).with_retry_after(wait);
    error.with_message("too many codes or tries: try again later")
}

impl<C> fmt::Debug for LoginCodes<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginCodes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
