//! Codes that one process mails and another takes.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use ::redis::Script;

use super::Redis;
use crate::error::{Error, ErrorKind, Stage};
use crate::quota::Verdict;
use crate::tenant::TenantScope;
use crate::tenant::code::{
    CODE_LIFETIME, CODE_TRIES, CodeHash, CodeSlot, Codes, MAX_CODES_A_DAY, MAX_CODES_AT_ONCE,
};

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/put.lua")));
static REDEEM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/redeem_code.lua")));

/// So many mailboxes of one tenant have codes in a day.
const MAX_TENANT_MAILBOXES: usize = 65_536;
/// A mailbox is forgotten after so long without a code.
const DAY: Duration = Duration::from_hours(24);
/// What the script says when there is no room.
const NO_ROOM: i64 = -1;

/// One-time codes in Redis, as keyed hashes of code and address. See the [module](super).
///
/// A tenant has room for 65,536 addresses a day. One more is refused with [`Overloaded`](ErrorKind::Overloaded); none that has had a
/// code gives way, so that nobody has more of them than the limit by flooding the store.
#[derive(Clone)]
pub struct RedisCodes(Redis);

// === impl RedisCodes ===

impl RedisCodes {
    /// Codes in this Redis.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        Self(redis.clone())
    }

    /// The mailbox, and all of the tenant's.
    fn keys(&self, scope: &TenantScope, slot: &CodeSlot) -> [String; 2] {
        let tenant = scope.tenant().to_string();
        let mailbox = super::hex(slot.mailbox());
        [self.0.key("codes", &[&tenant, &mailbox]), self.0.key("codes", &[&tenant])]
    }
}

impl Codes for RedisCodes {
    async fn put(&self, scope: &TenantScope, slot: &CodeSlot, code: CodeHash) -> Result<Verdict, Error> {
        let mut put = PUT.prepare_invoke();
        put.key(&self.keys(scope, slot)[..]).arg(slot.purpose().as_str()).arg(&code.as_bytes()[..]);
        put.arg(millis(CODE_LIFETIME)).arg(MAX_CODES_AT_ONCE).arg(millis(DAY)).arg(MAX_CODES_A_DAY);
        put.arg(MAX_TENANT_MAILBOXES);
        match self.0.run(&put).await.map_err(|error| error.at(Stage::Tenant))? {
            NO_ROOM => Err(Error::new(ErrorKind::Overloaded, Stage::Tenant).with_retry_after(CODE_LIFETIME)),
            wait if wait > 0 => Ok(Verdict::Wait(Duration::from_millis(wait.unsigned_abs()))),
            _ => Ok(Verdict::Allowed),
        }
    }

    async fn redeem(&self, scope: &TenantScope, slot: &CodeSlot, code: CodeHash) -> Result<bool, Error> {
        let mut redeem = REDEEM.prepare_invoke();
        redeem.key(&self.keys(scope, slot)[0]).arg(slot.purpose().as_str()).arg(&code.as_bytes()[..]);
        redeem.arg(millis(CODE_LIFETIME)).arg(CODE_TRIES);
        self.0.run(&redeem).await.map_err(|error| error.at(Stage::Tenant))
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

impl fmt::Debug for RedisCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisCodes")
    }
}
