//! The tenants' document frequencies, kept in process so that a search does not read them each time.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::tenant::TenantId;

/// How long counts are believed without asking. A change through the same store is seen at once; one by another process
/// within this time. Counts weigh words and choose no rows, so an old one ranks a little differently and shows nothing.
const FRESH: Duration = Duration::from_secs(1);
/// Tenants that are remembered, and terms of one: about 16 bytes each, so some 64 MB at the very most.
const TENANTS: NonZeroUsize = NonZeroUsize::new(256).unwrap();
pub(super) const TERMS: usize = 16_384;

/// Document frequencies by tenant and corpus version.
pub(super) struct Counts {
    tenants: Mutex<LruCache<TenantId, Corpus>>,
    /// Grows with every change, so that a read that began before one is not kept.
    changes: AtomicU64,
}

/// What was read of one tenant.
pub(super) struct Corpus {
    pub(super) version: i64,
    /// Its chunks.
    pub(super) chunks: u64,
    /// The chunks that hold a term; zero for one that was looked for in vain.
    pub(super) terms: HashMap<u32, u64>,
    vocabulary: Vocabulary,
    read: Instant,
}

/// How much of a tenant's words is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vocabulary {
    /// Those that were looked for.
    Some,
    /// All of them, so that what is missing is in no chunk.
    All,
    /// Those that were looked for, of more than are kept.
    TooLarge,
}

/// When a read began, in changes.
#[derive(Clone, Copy)]
pub(super) struct Began(u64);

// === impl Counts ===

impl Counts {
    pub(super) fn new() -> Self {
        Self { tenants: Mutex::new(LruCache::new(TENANTS)), changes: AtomicU64::new(0) }
    }

    /// Chunks, and the frequencies above 0, when all of these terms are known and fresh.
    pub(super) fn get(&self, tenant: TenantId, terms: &[u32]) -> Option<(u64, HashMap<u32, u64>)> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let corpus = tenants.get(&tenant).filter(|corpus| corpus.read.elapsed() < FRESH)?;
        let mut found = HashMap::with_capacity(terms.len());
        for term in terms {
            match corpus.terms.get(term) {
                Some(0) => {}
                Some(chunks) => drop(found.insert(*term, *chunks)),
                None if corpus.vocabulary == Vocabulary::All => {}
                None => return None,
            }
        }
        Some((corpus.chunks, found))
    }

    /// To be called before a read.
    pub(super) fn begin(&self) -> Began {
        Began(self.changes.load(Ordering::Acquire))
    }

    /// Keeps what was read, unless something changed meanwhile. What is known of the same version is kept with it. True
    /// when the tenant's whole vocabulary is worth reading: it is not known, and not known to be too large.
    pub(super) fn put(&self, began: Began, tenant: TenantId, mut corpus: Corpus) -> bool {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if began.0 != self.changes.load(Ordering::Acquire) {
            return false;
        }
        if let Some(known) = tenants.pop(&tenant).filter(|known| known.version == corpus.version) {
            if corpus.vocabulary == Vocabulary::Some {
                corpus.vocabulary = known.vocabulary;
            }
            if known.terms.len() + corpus.terms.len() <= TERMS || corpus.vocabulary == Vocabulary::All {
                let new = std::mem::replace(&mut corpus.terms, known.terms);
                // of a whole vocabulary, what is in no chunk need not be kept
                corpus
                    .terms
                    .extend(new.into_iter().filter(|(_, n)| *n > 0 || corpus.vocabulary != Vocabulary::All));
            }
        }
        let wanted = corpus.vocabulary == Vocabulary::Some;
        tenants.put(tenant, corpus);
        wanted
    }

    /// To be called after a tenant's documents have changed.
    pub(super) fn forget(&self, tenant: TenantId) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        self.changes.fetch_add(1, Ordering::AcqRel);
        tenants.pop(&tenant);
    }
}

// === impl Corpus ===

impl Corpus {
    /// Read now, of the terms that were looked for.
    pub(super) fn new(version: i64, chunks: u64, terms: HashMap<u32, u64>) -> Self {
        Self { version, chunks, terms, vocabulary: Vocabulary::Some, read: Instant::now() }
    }

    /// Says how much of the tenant's words this is.
    pub(super) fn with(mut self, vocabulary: Vocabulary) -> Self {
        self.vocabulary = vocabulary;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(version: i64, terms: &[(u32, u64)]) -> Corpus {
        Corpus::new(version, 9, terms.iter().copied().collect())
    }

    #[tokio::test(start_paused = true)]
    async fn t14_counts_are_one_tenants_own_and_fresh() {
        let (counts, a, b) = (Counts::new(), TenantId::named("a"), TenantId::named("b"));
        counts.put(counts.begin(), a, corpus(1, &[(1, 3), (2, 0)]));
        assert_eq!(counts.get(a, &[1, 2]), Some((9, HashMap::from([(1, 3)]))));
        assert_eq!(counts.get(a, &[1, 4]), None, "a term that was not read");
        assert_eq!(counts.get(b, &[1]), None, "another tenant");
        tokio::time::advance(FRESH).await;
        assert_eq!(counts.get(a, &[1]), None, "old");
    }

    #[test]
    fn what_is_known_of_one_version_grows_and_another_replaces_it() {
        let (counts, a) = (Counts::new(), TenantId::named("a"));
        counts.put(counts.begin(), a, corpus(1, &[(1, 3)]));
        counts.put(counts.begin(), a, corpus(1, &[(2, 4)]));
        assert_eq!(counts.get(a, &[1, 2]), Some((9, HashMap::from([(1, 3), (2, 4)]))));
        counts.put(counts.begin(), a, corpus(2, &[(2, 5)]));
        assert_eq!(counts.get(a, &[2]), Some((9, HashMap::from([(2, 5)]))));
        assert_eq!(counts.get(a, &[1]), None);
    }

    #[test]
    fn with_the_whole_vocabulary_a_missing_term_is_in_no_chunk() {
        let (counts, a) = (Counts::new(), TenantId::named("a"));
        assert!(counts.put(counts.begin(), a, corpus(1, &[(1, 3), (4, 0)])), "worth reading");
        let all = corpus(1, &[(1, 3), (2, 4)]).with(Vocabulary::All);
        assert!(!counts.put(counts.begin(), a, all));
        assert_eq!(counts.get(a, &[1, 2, 4, 5]), Some((9, HashMap::from([(1, 3), (2, 4)]))));
        assert!(!counts.put(counts.begin(), a, corpus(1, &[(5, 0)])), "still all of them");
        assert_eq!(counts.get(a, &[6]), Some((9, HashMap::new())));
        assert!(counts.put(counts.begin(), a, corpus(2, &[(1, 1)])), "another version");
        assert_eq!(counts.get(a, &[6]), None);
        assert!(!counts.put(counts.begin(), a, corpus(2, &[]).with(Vocabulary::TooLarge)));
        assert!(!counts.put(counts.begin(), a, corpus(2, &[(7, 1)])), "not tried again");
        assert_eq!((counts.get(a, &[1, 7]).is_some(), counts.get(a, &[6])), (true, None));
    }

    #[test]
    fn a_change_forgets_and_outlives_reads_that_began_before_it() {
        let (counts, a) = (Counts::new(), TenantId::named("a"));
        counts.put(counts.begin(), a, corpus(1, &[(1, 3)]));
        let began = counts.begin();
        counts.forget(a);
        assert_eq!(counts.get(a, &[1]), None);
        counts.put(began, a, corpus(1, &[(1, 3)]));
        assert_eq!(counts.get(a, &[1]), None);
    }
}
