//! The tenants' document frequencies, kept in process so that a search does not read them each time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::tenant::TenantId;

/// How long counts are believed without asking. A change through the same store is seen at once; one by another process
/// within this time. Counts weigh words and choose no rows, so an old one ranks a little differently and shows nothing.
const FRESH: Duration = Duration::from_secs(1);
/// The most terms of a vocabulary that is kept whole: a corpus of some gigabytes. 8 bytes each.
pub(super) const VOCABULARY: usize = 262_144;
/// How long a vocabulary that was larger is not tried again.
const TOO_LARGE: Duration = Duration::from_mins(1);
/// The most single terms that are kept of a tenant whose vocabulary is not, and about what one takes in a table, in bytes.
const SINGLE: usize = 16_384;
const SINGLE_BYTES: usize = 24;
/// The most that is kept of all tenants together, in bytes.
const BYTES: usize = 64 * 1024 * 1024;

/// Document frequencies by tenant and corpus version, the longest unused tenant first to go.
pub(super) struct Counts {
    tenants: Mutex<Tenants>,
    /// Grows with every change, so that a read that began before one is not kept.
    changes: AtomicU64,
}

struct Tenants {
    by_id: LruCache<TenantId, Known>,
    bytes: usize,
}

/// What is known of one tenant.
#[derive(Default)]
struct Known {
    corpus: Option<Corpus>,
    /// Its vocabulary is not read before.
    not_before: Option<Instant>,
}

/// What was read of one tenant.
pub(super) struct Corpus {
    version: i64,
    /// Its chunks.
    chunks: u64,
    /// The chunks that hold a term, of those that were looked for; zero for one that was looked for in vain.
    single: HashMap<u32, u64>,
    vocabulary: Option<Vocabulary>,
    read: Instant,
}

/// Every term that is in a chunk, in order, and how many it is in: one that is missing is in none.
pub(super) struct Vocabulary(Box<[(u32, u32)]>);

/// When a read began, in changes.
#[derive(Clone, Copy)]
pub(super) struct Began(u64);

// === impl Counts ===

impl Counts {
    pub(super) fn new() -> Self {
        let tenants = Tenants { by_id: LruCache::unbounded(), bytes: 0 };
        Self { tenants: Mutex::new(tenants), changes: AtomicU64::new(0) }
    }

    /// Chunks, and the frequencies above 0, when all of these terms are known and fresh.
    pub(super) fn get(&self, tenant: TenantId, terms: &[u32]) -> Option<(u64, HashMap<u32, u64>)> {
        let mut tenants = self.lock();
        let corpus = tenants.by_id.get(&tenant)?.corpus.as_ref()?;
        if corpus.read.elapsed() >= FRESH {
            return None;
        }
        let mut found = HashMap::with_capacity(terms.len());
        for term in terms {
            match corpus.count(*term)? {
                0 => {}
                chunks => drop(found.insert(*term, chunks)),
            }
        }
        Some((corpus.chunks, found))
    }

    /// To be called before a read.
    pub(super) fn begin(&self) -> Began {
        Began(self.changes.load(Ordering::Acquire))
    }

    /// Keeps what was read, unless something changed meanwhile. What is known of the same version is kept with it. True
    /// when the tenant's whole vocabulary should be read now: it is not known, and was not tried a moment ago.
    pub(super) fn put(&self, began: Began, tenant: TenantId, mut corpus: Corpus) -> bool {
        let mut tenants = self.lock();
        if began.0 != self.changes.load(Ordering::Acquire) {
            return false;
        }
        let mut known = tenants.take(tenant);
        if let Some(before) = known.corpus.take().filter(|before| before.version == corpus.version) {
            corpus.vocabulary = corpus.vocabulary.or(before.vocabulary);
            if before.single.len() + corpus.single.len() <= SINGLE {
                let new = std::mem::replace(&mut corpus.single, before.single);
                corpus.single.extend(new);
            }
        }
        if corpus.vocabulary.is_some() {
            corpus.single = HashMap::new();
        }
        let now = Instant::now();
        let wanted = corpus.vocabulary.is_none() && known.not_before.is_none_or(|time| time <= now);
        if wanted {
            known.not_before = Some(now + FRESH);
        }
        known.corpus = Some(corpus);
        tenants.keep(tenant, known);
        wanted
    }

    /// To be called when a tenant's vocabulary was more than [`VOCABULARY`].
    pub(super) fn too_large(&self, tenant: TenantId) {
        let mut tenants = self.lock();
        let known = Known { not_before: Some(Instant::now() + TOO_LARGE), ..tenants.take(tenant) };
        tenants.keep(tenant, known);
    }

    /// To be called after a tenant's documents have changed.
    pub(super) fn forget(&self, tenant: TenantId) {
        let mut tenants = self.lock();
        self.changes.fetch_add(1, Ordering::AcqRel);
        // when the vocabulary may be read again is kept: changes that follow one another do not make it be read each time
        let known = Known { corpus: None, ..tenants.take(tenant) };
        tenants.keep(tenant, known);
    }

    fn lock(&self) -> MutexGuard<'_, Tenants> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Tenants ===

impl Tenants {
    fn take(&mut self, tenant: TenantId) -> Known {
        let Some(known) = self.by_id.pop(&tenant) else { return Known::default() };
        self.bytes -= known.bytes();
        known
    }

    fn keep(&mut self, tenant: TenantId, known: Known) {
        self.bytes += known.bytes();
        self.by_id.put(tenant, known);
        while self.bytes > BYTES
            && let Some((_, unused)) = self.by_id.pop_lru()
        {
            self.bytes -= unused.bytes();
        }
    }
}

// === impl Known ===

impl Known {
    /// What it takes, about; never nothing, so that their number is bounded too.
    fn bytes(&self) -> usize {
        let of = |corpus: &Corpus| {
            let vocabulary = corpus.vocabulary.as_ref().map_or(0, |all| size_of_val(&*all.0));
            corpus.single.len() * SINGLE_BYTES + vocabulary
        };
        size_of::<(TenantId, Self)>() + self.corpus.as_ref().map_or(0, of)
    }
}

// === impl Corpus ===

impl Corpus {
    /// Read now: of the terms that were looked for, the chunks that each is in.
    pub(super) fn new(version: i64, chunks: u64, terms: HashMap<u32, u64>) -> Self {
        Self { version, chunks, single: terms, vocabulary: None, read: Instant::now() }
    }

    /// Read now: every term.
    pub(super) fn whole(version: i64, chunks: u64, vocabulary: Vocabulary) -> Self {
        Self { vocabulary: Some(vocabulary), ..Self::new(version, chunks, HashMap::new()) }
    }

    /// The chunks that hold a term; none when that is not known.
    fn count(&self, term: u32) -> Option<u64> {
        match &self.vocabulary {
            Some(vocabulary) => Some(vocabulary.count(term)),
            None => self.single.get(&term).copied(),
        }
    }
}

// === impl Vocabulary ===

impl Vocabulary {
    pub(super) fn new(terms: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut terms: Box<[_]> = terms.collect();
        terms.sort_unstable();
        Self(terms)
    }

    fn count(&self, term: u32) -> u64 {
        let at = self.0.binary_search_by_key(&term, |(term, _)| *term);
        at.ok().and_then(|at| self.0.get(at)).map_or(0, |(_, chunks)| u64::from(*chunks))
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

    fn whole(version: i64, terms: &[(u32, u32)]) -> Corpus {
        Corpus::whole(version, 9, Vocabulary::new(terms.iter().copied()))
    }

    #[tokio::test(start_paused = true)]
    async fn with_the_whole_vocabulary_a_missing_term_is_in_no_chunk() {
        let (counts, a) = (Counts::new(), TenantId::named("a"));
        assert!(counts.put(counts.begin(), a, corpus(1, &[(1, 3), (4, 0)])), "worth reading");
        assert!(!counts.put(counts.begin(), a, corpus(1, &[(5, 0)])), "it is being read");
        assert!(!counts.put(counts.begin(), a, whole(1, &[(2, 4), (1, 3)])));
        assert_eq!(counts.get(a, &[1, 2, 4, 5]), Some((9, HashMap::from([(1, 3), (2, 4)]))));
        assert!(!counts.put(counts.begin(), a, corpus(1, &[(5, 0)])), "still all of them");
        assert_eq!(counts.get(a, &[6]), Some((9, HashMap::new())));
        assert!(!counts.put(counts.begin(), a, corpus(2, &[(1, 1)])), "another version, too soon");
        assert_eq!((counts.get(a, &[1]).is_some(), counts.get(a, &[6])), (true, None));
        tokio::time::advance(FRESH).await;
        assert!(counts.put(counts.begin(), a, corpus(2, &[(1, 1)])));
        counts.too_large(a);
        tokio::time::advance(TOO_LARGE - Duration::from_millis(1)).await;
        assert!(!counts.put(counts.begin(), a, corpus(2, &[(7, 1)])), "not tried again");
        assert_eq!((counts.get(a, &[1, 7]).is_some(), counts.get(a, &[6])), (true, None));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(counts.put(counts.begin(), a, corpus(3, &[])));
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_follow_one_another_do_not_make_the_vocabulary_be_read_each_time() {
        let (counts, a) = (Counts::new(), TenantId::named("a"));
        assert!(counts.put(counts.begin(), a, corpus(1, &[])));
        for version in 2..9 {
            counts.forget(a);
            assert!(!counts.put(counts.begin(), a, corpus(version, &[])));
        }
        tokio::time::advance(FRESH).await;
        counts.forget(a);
        assert!(counts.put(counts.begin(), a, corpus(9, &[])));
    }

    #[test]
    fn what_is_kept_is_bounded_for_one_and_for_all() {
        let (counts, a) = (Counts::new(), TenantId::named("a"));
        for n in 0..3 * SINGLE as u32 {
            counts.put(counts.begin(), a, corpus(1, &[(n, 1)]));
        }
        assert!(counts.lock().bytes <= 2 * SINGLE * SINGLE_BYTES);
        let largest: Vec<_> = (0..VOCABULARY as u32).map(|term| (term, 1)).collect();
        let tenants: Vec<_> = (0..40).map(|n| TenantId::named(&format!("t{n}"))).collect();
        for tenant in &tenants {
            counts.put(counts.begin(), *tenant, whole(1, &largest));
            assert!(counts.lock().bytes <= BYTES);
        }
        assert_eq!((counts.get(a, &[1]), counts.get(tenants[0], &[1])), (None, None), "the longest unused");
        assert!(counts.get(tenants[39], &[1]).is_some());
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
