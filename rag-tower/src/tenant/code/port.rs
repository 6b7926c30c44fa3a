//! Where codes are kept: what a shared store implements.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::{CodeHash, CodeSlot};
use crate::error::Error;
use crate::quota::Verdict;
use crate::tenant::TenantScope;

/// How long a code is good for.
pub const CODE_LIFETIME: Duration = Duration::from_mins(10);
/// So many tries, right or wrong, and a code is burnt.
pub const CODE_TRIES: u32 = 5;
/// So many codes go to one address of a tenant in the lifetime of one.
pub const MAX_CODES_AT_ONCE: usize = 3;
/// So many go to it in a day, of 24 hours.
pub const MAX_CODES_A_DAY: usize = 10;

/// Keeps codes. Each method is one step: what happens at the same time happens one after another.
pub trait Codes: Send + Sync + 'static {
    /// Puts a code where it counts for [`CODE_LIFETIME`] and [`CODE_TRIES`], in the place of the slot's code before. When
    /// the slot's mailbox has had [`MAX_CODES_AT_ONCE`] or [`MAX_CODES_A_DAY`], of whatever purpose, nothing changes.
    ///
    /// # Errors
    /// [`Overloaded`](crate::ErrorKind::Overloaded) when there is no room, and
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable).
    fn put(
        &self,
        scope: &TenantScope,
        slot: &CodeSlot,
        code: CodeHash,
    ) -> impl Future<Output = Result<Verdict, Error>> + Send;

    /// Spends one try of the slot's code. True when it is this one, which is used up by that; a code is burnt by its last
    /// try.
    ///
    /// # Errors
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable): nobody is let in then.
    fn redeem(
        &self,
        scope: &TenantScope,
        slot: &CodeSlot,
        code: CodeHash,
    ) -> impl Future<Output = Result<bool, Error>> + Send;
}

// === impl Codes ===

impl<C: Codes> Codes for Arc<C> {
    fn put(
        &self,
        scope: &TenantScope,
        slot: &CodeSlot,
        code: CodeHash,
    ) -> impl Future<Output = Result<Verdict, Error>> + Send {
        (**self).put(scope, slot, code)
    }

    fn redeem(
        &self,
        scope: &TenantScope,
        slot: &CodeSlot,
        code: CodeHash,
    ) -> impl Future<Output = Result<bool, Error>> + Send {
        (**self).redeem(scope, slot, code)
    }
}
