//! Codes of one process.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::port::{CODE_LIFETIME, CODE_TRIES, Codes, MAX_CODES_A_DAY, MAX_CODES_AT_ONCE};
use super::{CodeHash, CodePurpose, CodeSlot};
use crate::error::{Error, ErrorKind, Stage};
use crate::quota::Verdict;
use crate::tenant::{TenantId, TenantScope};

/// So many mailboxes of one tenant are remembered, and so many of all.
pub(super) const MAX_TENANT_MAILBOXES: usize = 4_096;
const MAX_MAILBOXES: usize = 65_536;
/// A mailbox is forgotten after so long without a code.
const DAY: Duration = Duration::from_hours(24);

/// Codes in memory. Clones share them.
///
/// Each tenant has room of its own, so that nobody can push out another's. Where it is used up, the mailbox that had the
/// fewest codes gives way, and none whose code still counts.
#[derive(Clone, Default)]
pub struct MemoryCodes(Arc<Mutex<Tenants>>);

type Tenants = HashMap<TenantId, HashMap<[u8; 32], Mailbox>>;

#[derive(Default)]
struct Mailbox {
    /// When its codes of the last day were made, oldest first.
    made: VecDeque<Instant>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    purpose: CodePurpose,
    code: CodeHash,
    until: Instant,
    tries: u32,
}

// === impl MemoryCodes ===

impl MemoryCodes {
    /// No codes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Codes for MemoryCodes {
    async fn put(&self, scope: &TenantScope, slot: &CodeSlot, code: CodeHash) -> Result<Verdict, Error> {
        let now = Instant::now();
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tenants.get(&scope.tenant()).is_some_and(|own| own.contains_key(slot.mailbox()));
        if !known {
            make_room(&mut tenants, scope.tenant(), now)?;
        }
        let mailbox = tenants.entry(scope.tenant()).or_default().entry(*slot.mailbox()).or_default();
        if let Some(wait) = mailbox.wait(now) {
            return Ok(Verdict::Wait(wait));
        }
        mailbox.made.push_back(now);
        mailbox.waiting.retain(|waiting| waiting.purpose != slot.purpose() && waiting.until > now);
        mailbox.waiting.push(Waiting { purpose: slot.purpose(), code, until: now + CODE_LIFETIME, tries: 0 });
        Ok(Verdict::Allowed)
    }

    async fn redeem(&self, scope: &TenantScope, slot: &CodeSlot, code: CodeHash) -> Result<bool, Error> {
        let now = Instant::now();
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mailbox = tenants.get_mut(&scope.tenant()).and_then(|own| own.get_mut(slot.mailbox()));
        let Some(mailbox) = mailbox else { return Ok(false) };
        mailbox.waiting.retain(|waiting| waiting.until > now);
        let at = mailbox.waiting.iter().position(|waiting| waiting.purpose == slot.purpose());
        let Some(at) = at else { return Ok(false) };
        let waiting = &mut mailbox.waiting[at];
        waiting.tries += 1;
        let right = waiting.code == code;
        if right || waiting.tries >= CODE_TRIES {
            mailbox.waiting.swap_remove(at);
        }
        Ok(right)
    }
}

/// Makes room for one mailbox more of the tenant, or says that there is none.
fn make_room(tenants: &mut Tenants, tenant: TenantId, now: Instant) -> Result<(), Error> {
    let count = |tenants: &Tenants| tenants.values().map(HashMap::len).sum::<usize>();
    let full = |tenants: &Tenants| {
        tenants.get(&tenant).map_or(0, HashMap::len) >= MAX_TENANT_MAILBOXES
            || count(tenants) >= MAX_MAILBOXES
    };
    if !full(tenants) {
        return Ok(());
    }
    for own in tenants.values_mut() {
        own.retain(|_, mailbox| !mailbox.is_forgotten(now));
    }
    tenants.retain(|_, own| !own.is_empty());
    if full(tenants)
        && let Some(own) = tenants.get_mut(&tenant)
    {
        let quiet = own.iter().filter(|(_, mailbox)| mailbox.is_quiet(now));
        // Not one that was asked for often: it would be as if it never had been.
        let least = quiet.min_by_key(|(_, mailbox)| (mailbox.made.len(), mailbox.made.back().copied()));
        if let Some(least) = least.map(|(key, _)| *key) {
            own.remove(&least);
        }
    }
    if full(tenants) {
        return Err(Error::new(ErrorKind::Overloaded, Stage::Tenant).with_retry_after(CODE_LIFETIME));
    }
    Ok(())
}

impl fmt::Debug for MemoryCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryCodes")
    }
}

// === impl Mailbox ===

impl Mailbox {
    /// How long until it may have another code, when that is not now.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        while self.made.front().is_some_and(|made| now.duration_since(*made) >= DAY) {
            self.made.pop_front();
        }
        let nth_last = |n: usize| self.made.len().checked_sub(n).map(|at| self.made[at]);
        let until = |n: usize, span: Duration| nth_last(n).map(|made| made + span);
        let until = until(MAX_CODES_AT_ONCE, CODE_LIFETIME).max(until(MAX_CODES_A_DAY, DAY))?;
        Some(until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        self.made.back().is_none_or(|made| now.duration_since(*made) >= DAY)
    }

    /// True when none of its codes counts.
    fn is_quiet(&self, now: Instant) -> bool {
        self.waiting.iter().all(|waiting| waiting.until <= now)
    }
}
