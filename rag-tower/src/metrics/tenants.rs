//! Tenants in, labels out: each of the first so many has its own, all that come later share one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::OTHER;
use crate::tenant::TenantId;

/// The tenants that have a label of their own.
#[derive(Debug)]
pub(super) struct Tenants {
    most: usize,
    other: Arc<str>,
    names: HashMap<TenantId, Arc<str>>,
    /// Each that has asked, as long as there was room: its place, counted from 1, and its label.
    seen: RwLock<HashMap<TenantId, (usize, Arc<str>)>>,
}

// === impl Tenants ===

impl Tenants {
    /// None has asked yet; at most so many will be told apart.
    pub(super) fn new(most: usize) -> Self {
        Self { most, other: OTHER.into(), names: HashMap::new(), seen: RwLock::default() }
    }

    /// The same with names. No two tenants get one name, and none gets one that could be a tenant's id.
    pub(super) fn named<T: Into<Arc<str>>>(&self, names: impl IntoIterator<Item = (TenantId, T)>) -> Self {
        let mut kept: HashMap<TenantId, Arc<str>> = HashMap::new();
        for (tenant, name) in names {
            let name = name.into();
            let taken = kept.values().any(|known| *known == name) || name.parse::<TenantId>().is_ok();
            if !taken && *name != *OTHER {
                kept.entry(tenant).or_insert(name);
            }
        }
        Self { names: kept, ..Self::new(self.most) }
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// The label that is shared.
    pub(super) fn other(&self) -> Arc<str> {
        Arc::clone(&self.other)
    }

    /// The place of a tenant, its label, and whether it has just got them. Place 0 is that of all that share a label.
    pub(super) fn place(&self, tenant: TenantId) -> (usize, Arc<str>, bool) {
        let full = {
            let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((place, label)) = seen.get(&tenant) {
                return (*place, Arc::clone(label), false);
            }
            seen.len() >= self.most
        };
        // nobody ever leaves, so that a full map need not be locked for everybody
        if full {
            return (0, Arc::clone(&self.other), false);
        }
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let places = seen.len();
        if let Some((place, label)) = seen.get(&tenant) {
            return (*place, Arc::clone(label), false);
        }
        if places >= self.most {
            return (0, Arc::clone(&self.other), false);
        }
        let label = self.names.get(&tenant).cloned().unwrap_or_else(|| tenant.to_string().into());
        seen.insert(tenant, (places + 1, Arc::clone(&label)));
        (places + 1, label, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t103_each_tenant_has_a_label_of_its_own_until_there_is_no_room() {
        let tenants = Tenants::new(2);
        let (a, b, c) = (TenantId::named("a"), TenantId::named("b"), TenantId::named("c"));
        assert_eq!(tenants.place(a), (1, a.to_string().into(), true));
        assert_eq!(tenants.place(b), (2, b.to_string().into(), true));
        assert_eq!(tenants.place(c), (0, "other".into(), false));
        assert_eq!(tenants.place(a), (1, a.to_string().into(), false), "it keeps what it has");
    }

    #[test]
    fn t103_no_name_is_given_twice_and_none_stands_for_somebody_else() {
        let (a, b, c, d) =
            (TenantId::named("a"), TenantId::named("b"), TenantId::named("c"), TenantId::named("d"));
        let id = c.to_string();
        let names = [(a, "cafe"), (b, "cafe"), (c, "other"), (d, &*id)];
        let tenants = Tenants::new(9).named(names);
        let label = |tenant| tenants.place(tenant).1.to_string();
        assert_eq!([a, b, c, d].map(label), ["cafe".to_owned(), b.to_string(), c.to_string(), d.to_string()]);
    }

    #[test]
    fn tenants_that_come_at_once_never_share_a_place() {
        let tenants = Tenants::new(20);
        let ids: Vec<TenantId> = (0..40).map(|n| TenantId::named(&n.to_string())).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| ids.iter().for_each(|id| drop(tenants.place(*id))));
            }
        });
        let mut places: Vec<usize> = ids.iter().map(|id| tenants.place(*id).0).collect();
        places.sort_unstable();
        let expected: Vec<usize> = std::iter::repeat_n(0, 20).chain(1..=20).collect();
        assert_eq!(places, expected);
    }
}
