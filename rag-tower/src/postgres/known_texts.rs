//! The text of the chunks that tenants are asked about, kept in process so that a search does not carry it each time.
//!
//! Nothing is believed: for each search Postgres says, to the tenant, which state the corpus is in, together with the key of the
//! ask or when the search is made, and what is kept counts only for that state. So a change by any process is seen by the next
//! ask, and only text that is the same as in the tables is not sent again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::corpus_state::State;
use super::documents::Texts;
use crate::passage::{ChunkId, Passage};
use crate::tenant::TenantId;

/// The most text that is kept of all tenants together, and of one, in bytes.
const BYTES: usize = 64 * 1024 * 1024;
const BYTES_OF_ONE: usize = BYTES / 4;

/// Text by tenant, the longest unused tenant first to go.
pub(super) struct KnownTexts(Mutex<Tenants>);

struct Tenants {
    by_id: LruCache<TenantId, Known>,
    bytes: usize,
}

/// What is known of one tenant, in one state of its documents.
struct Known {
    state: State,
    texts: Texts,
    bytes: usize,
}

// === impl KnownTexts ===

impl KnownTexts {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Tenants { by_id: LruCache::unbounded(), bytes: 0 }))
    }

    /// All of the chunks, in their order, when they are known in this state.
    pub(super) fn all_in(
        &self,
        state: State,
        tenant: TenantId,
        chunks: impl Iterator<Item = ChunkId>,
    ) -> Option<Vec<Passage>> {
        let mut tenants = self.lock();
        let known = tenants.by_id.get(&tenant).filter(|known| known.state == state)?;
        chunks.map(|chunk| known.texts.get(&chunk).cloned()).collect()
    }

    /// Those of the chunks that are known, and the state in which they are so.
    pub(super) fn get(&self, tenant: TenantId, chunks: &[uuid::Uuid]) -> Option<(State, Texts)> {
        let mut tenants = self.lock();
        let known = tenants.by_id.get(&tenant)?;
        let found = chunks.iter().filter_map(|chunk| known.texts.get_key_value(&ChunkId::new(*chunk)));
        Some((known.state, found.map(|(chunk, passage)| (*chunk, passage.clone())).collect()))
    }

    /// Keeps what was read in this state, with what is known of the same one. Text of an older state is not kept.
    pub(super) fn put<'p>(&self, tenant: TenantId, state: State, read: impl Iterator<Item = &'p Passage>) {
        let mut tenants = self.lock();
        let known = tenants.take(tenant);
        let mut known = match known {
            Some(known) if known.state > state => return tenants.keep(tenant, known),
            Some(known) if known.state == state => known,
            _ => Known { state, texts: Texts::new(), bytes: 0 },
        };
        for passage in read {
            let bytes = bytes(passage);
            if known.bytes + bytes > BYTES_OF_ONE {
                // begins anew: what is asked for now is more likely to be asked for again than what was
                (known.texts, known.bytes) = (Texts::new(), 0);
            }
            if bytes <= BYTES_OF_ONE && known.texts.insert(passage.chunk, passage.clone()).is_none() {
                known.bytes += bytes;
            }
        }
        tenants.keep(tenant, known);
    }

    fn lock(&self) -> MutexGuard<'_, Tenants> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Tenants ===

impl Tenants {
    fn take(&mut self, tenant: TenantId) -> Option<Known> {
        let known = self.by_id.pop(&tenant)?;
        self.bytes -= known.bytes;
        Some(known)
    }

    fn keep(&mut self, tenant: TenantId, known: Known) {
        self.bytes += known.bytes;
        self.by_id.put(tenant, known);
        while self.bytes > BYTES
            && let Some((_, unused)) = self.by_id.pop_lru()
        {
            self.bytes -= unused.bytes;
        }
    }
}

/// What a passage takes, about.
fn bytes(passage: &Passage) -> usize {
    size_of::<Passage>() + passage.text.len() + passage.title.len() + passage.file_name.len()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use time::OffsetDateTime;

    use super::*;
    use crate::passage::{DocumentId, Origin};

    fn passage(tenant: TenantId, chunk: u128, bytes: usize) -> Passage {
        Passage {
            chunk: ChunkId::new(uuid::Uuid::from_u128(chunk)),
            document: DocumentId::new(uuid::Uuid::nil()),
            seq: 0,
            origin: Origin::Tenant { tenant, branch: None },
            title: "".into(),
            file_name: "".into(),
            text: "t".repeat(bytes).into(),
            score: 0.0,
            found: BTreeMap::new(),
        }
    }

    fn state(version: i64) -> State {
        (version, OffsetDateTime::UNIX_EPOCH)
    }

    fn known(texts: &KnownTexts, tenant: TenantId, chunk: u128) -> Option<(State, bool)> {
        let chunk = uuid::Uuid::from_u128(chunk);
        texts.get(tenant, &[chunk]).map(|(state, found)| (state, found.contains_key(&ChunkId::new(chunk))))
    }

    #[test]
    fn t14_text_is_one_tenants_own_in_one_state() {
        let (texts, [a, b]) = (KnownTexts::new(), ["a", "b"].map(TenantId::named));
        texts.put(a, state(1), [passage(a, 1, 9)].iter());
        assert_eq!(known(&texts, a, 1), Some((state(1), true)));
        assert_eq!(known(&texts, a, 2), Some((state(1), false)));
        assert_eq!(known(&texts, b, 1), None);
        let all_in = |number, tenant, chunks: &[u128]| {
            let chunks = chunks.iter().map(|chunk| ChunkId::new(uuid::Uuid::from_u128(*chunk)));
            texts.all_in(state(number), tenant, chunks).map(|passages| passages.len())
        };
        assert_eq!((all_in(1, a, &[1]), all_in(1, a, &[])), (Some(1), Some(0)));
        assert_eq!((all_in(2, a, &[1]), all_in(1, a, &[1, 2]), all_in(1, b, &[1])), (None, None, None));
        texts.put(a, state(2), [passage(a, 2, 9)].iter());
        assert_eq!(known(&texts, a, 1), Some((state(2), false)), "the old state's is gone");
        texts.put(a, state(1), [passage(a, 1, 9)].iter());
        assert_eq!(known(&texts, a, 1), Some((state(2), false)), "an old read changes nothing");
        assert_eq!(known(&texts, a, 2), Some((state(2), true)));
    }

    #[test]
    fn text_is_bounded_for_one_and_for_all() {
        let texts = KnownTexts::new();
        let quarter = BYTES_OF_ONE / 2 - size_of::<Passage>();
        let a = TenantId::named("a");
        for chunk in 1..=3 {
            texts.put(a, state(1), [passage(a, chunk, quarter)].iter());
            assert!(known(&texts, a, chunk).is_some_and(|(_, found)| found));
        }
        assert_eq!(known(&texts, a, 1), Some((state(1), false)), "it began anew");
        texts.put(a, state(1), [passage(a, 4, BYTES_OF_ONE)].iter());
        assert_eq!(known(&texts, a, 4), Some((state(1), false)), "larger than one tenant's share");
        let others: Vec<_> = (0..9).map(|n| TenantId::named(&format!("t{n}"))).collect();
        for tenant in &others {
            texts.put(*tenant, state(1), [passage(*tenant, 1, quarter), passage(*tenant, 2, quarter)].iter());
            assert!(texts.lock().bytes <= BYTES);
        }
        assert_eq!(known(&texts, a, 3), None, "the longest unused is gone");
        assert!(known(&texts, others[8], 1).is_some());
    }
}
