//! Point ids in, what the index says of each: whose it is, and of which chunk and document. Kept in process, since reading a
//! payload from the index is as much work as finding the point.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use qdrant_edge::PointId;

use crate::port::Hit;

/// The most points that are kept, about 150 bytes each.
const POINTS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// What the payloads of points say, the longest unused first to go. A change of any point forgets all: the store has its
/// directory alone, so there is no other way for a payload to change.
pub(super) struct KnownPoints(Mutex<Known>);

struct Known {
    points: LruCache<PointId, Hit>,
    /// Grows with every change, so that what was read before one is not kept after it.
    changes: u64,
}

/// When a read began, in changes.
#[derive(Clone, Copy)]
pub(super) struct Began(u64);

// === impl KnownPoints ===

impl KnownPoints {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Known { points: LruCache::new(POINTS), changes: 0 }))
    }

    /// What is known of each of these points, and the places and ids of the others, which are then to be read.
    pub(super) fn get(
        &self,
        ids: impl Iterator<Item = PointId>,
    ) -> (Began, Vec<Option<Hit>>, Vec<(usize, PointId)>) {
        let mut known = self.lock();
        let (mut found, mut missing) = (Vec::with_capacity(ids.size_hint().0), Vec::new());
        for id in ids {
            let hit = known.points.get(&id).cloned();
            if hit.is_none() {
                missing.push((found.len(), id));
            }
            found.push(hit);
        }
        (Began(known.changes), found, missing)
    }

    /// Keeps what was read, unless something has changed since.
    pub(super) fn put(&self, began: Began, read: &[(PointId, Hit)]) {
        let mut known = self.lock();
        if began.0 == known.changes {
            for (id, hit) in read {
                known.points.put(*id, hit.clone());
            }
        }
    }

    /// To be called after a change, before it is said to be done.
    pub(super) fn forget(&self) {
        let mut known = self.lock();
        known.changes += 1;
        known.points.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::passage::{ChunkId, DocumentId, Origin};
    use crate::tenant::TenantId;

    fn id(n: u128) -> PointId {
        PointId::Uuid(Uuid::from_u128(n))
    }

    fn hit(tenant: &str) -> Hit {
        Hit {
            chunk: ChunkId::new(Uuid::from_u128(7)),
            document: DocumentId::new(Uuid::from_u128(8)),
            origin: Origin::Tenant { tenant: TenantId::named(tenant), branch: None },
            score: 0.0,
        }
    }

    #[test]
    fn what_was_read_is_known_until_something_changes() {
        let known = KnownPoints::new();
        let (began, found, missing) = known.get([id(1), id(2)].into_iter());
        assert_eq!((&*found, &*missing), (&[None, None][..], &[(0, id(1)), (1, id(2))][..]));
        known.put(began, &[(id(1), hit("a"))]);
        let (_, found, missing) = known.get([id(1), id(2)].into_iter());
        assert_eq!((&*found, &*missing), (&[Some(hit("a")), None][..], &[(1, id(2))][..]));
        known.forget();
        assert_eq!(known.get([id(1)].into_iter()).2, [(0, id(1))]);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let known = KnownPoints::new();
        let (began, ..) = known.get([id(1)].into_iter());
        known.forget();
        known.put(began, &[(id(1), hit("a"))]);
        assert_eq!(known.get([id(1)].into_iter()).2, [(0, id(1))]);
    }

    #[test]
    fn no_more_than_so_many_are_kept() {
        let known = KnownPoints::new();
        let (began, ..) = known.get(std::iter::empty());
        let many = POINTS.get() as u128 + 9;
        let read: Vec<_> = (0..many).map(|n| (id(n), hit("a"))).collect();
        known.put(began, &read);
        assert_eq!(known.lock().points.len(), POINTS.get());
        assert_eq!(known.get([id(0), id(many - 1)].into_iter()).2, [(0, id(0))]);
    }
}
