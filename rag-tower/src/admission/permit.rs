//! The count of running asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tenant::TenantId;

/// Counts running asks. One short lock per take and per release; a tenant without running asks has no entry.
#[derive(Debug)]
pub(super) struct Gate {
    global: usize,
    per_tenant: usize,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    total: usize,
    by_tenant: HashMap<TenantId, usize>,
}

/// The right of one ask to run, given back when dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Permit {
    gate: Arc<Gate>,
    tenant: TenantId,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Global,
    Tenant,
}

// === impl Gate ===

impl Gate {
    pub(super) fn new(global: usize, per_tenant: usize) -> Self {
        Self { global, per_tenant, running: Mutex::default() }
    }

    pub(super) fn try_acquire(self: &Arc<Self>, tenant: TenantId) -> Result<Permit, Full> {
        let mut running = self.running();
        if running.total >= self.global {
            return Err(Full::Global);
        }
        let of_tenant = running.by_tenant.entry(tenant).or_insert(0);
        // The limit is at least one, so a refusal never leaves a fresh entry behind.
        if *of_tenant >= self.per_tenant {
            return Err(Full::Tenant);
        }
        *of_tenant += 1;
        running.total += 1;
        drop(running);
        Ok(Permit { gate: Arc::clone(self), tenant })
    }

    pub(super) fn in_use(&self) -> (usize, usize) {
        let running = self.running();
        (running.total, running.by_tenant.len())
    }

    pub(super) fn limits(&self) -> (usize, usize) {
        (self.global, self.per_tenant)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Permit ===

impl Drop for Permit {
    fn drop(&mut self) {
        let mut running = self.gate.running();
        running.total = running.total.saturating_sub(1);
        if let Some(of_tenant) = running.by_tenant.get_mut(&self.tenant) {
            *of_tenant = of_tenant.saturating_sub(1);
            if *of_tenant == 0 {
                running.by_tenant.remove(&self.tenant);
            }
        }
    }
}
