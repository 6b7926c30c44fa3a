//! Where answers are kept: bounded in number, bytes and age.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::key::Key;
use crate::answer::Event;
use crate::passage::DocumentId;
use crate::tenant::TenantScope;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CacheOptions {
    /// The most answers. Default: 10 000.
    pub max_entries: usize,
    /// The most bytes of all answers together. Default: 64 MiB.
    pub max_bytes: usize,
    /// The most bytes of one answer. Default: 64 KiB.
    pub max_entry_bytes: usize,
    /// The oldest an answer may be. Default: 10 minutes.
    pub ttl: Duration,
}

/// Finished answers of all tenants, in this process. Clones share what is kept.
#[derive(Clone, Debug)]
pub struct AnswerCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: CacheOptions,
    entries: Mutex<Entries>,
}

#[derive(Debug)]
struct Entries {
    by_key: LruCache<Key, (Instant, Kept)>,
    bytes: usize,
    /// Grows with every removal of documents: an answer that was begun before is not kept.
    generation: u64,
}

/// One answer, whole.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) events: Arc<[Event]>,
    pub(super) route: Option<Arc<str>>,
    pub(super) confidence: Option<f32>,
}

// === impl CacheOptions ===

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            max_entries: 10_000,
            max_bytes: 64 * 1024 * 1024,
            max_entry_bytes: 64 * 1024,
            ttl: Duration::from_secs(600),
        }
    }
}

// === impl AnswerCache ===

impl AnswerCache {
    /// An empty cache.
    #[must_use]
    pub fn new(options: CacheOptions) -> Self {
        let most = NonZeroUsize::new(options.max_entries).unwrap_or(NonZeroUsize::MIN);
        let entries = Entries { by_key: LruCache::new(most), bytes: 0, generation: 0 };
        Self(Arc::new(Inner { options, entries: Mutex::new(entries) }))
    }

    /// Forgets every answer of the tenant.
    pub fn purge(&self, scope: &TenantScope) {
        self.remove(scope, |_| true);
    }

    /// Forgets every answer of the tenant that could cite this document, those being made right now included. Call it
    /// when a document was removed or replaced.
    pub fn purge_document(&self, scope: &TenantScope, document: DocumentId) {
        self.remove(scope, |kept| {
            kept.events.iter().any(|event| {
                matches!(event, Event::Sources(sources) if sources.iter().any(|source| source.doc_id == document))
            })
        });
    }

    /// How many answers are kept, old ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().by_key.len()
    }

    /// True when none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes are kept, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries().bytes
    }

    pub(super) fn options(&self) -> &CacheOptions {
        &self.0.options
    }

    /// A kept answer; or else what [`put`](Self::put) wants to see again.
    pub(super) fn get(&self, key: &Key) -> Result<Kept, u64> {
        let mut entries = self.entries();
        match entries.by_key.get(key) {
            Some((since, kept)) if since.elapsed() < self.0.options.ttl => Ok(kept.clone()),
            Some(_) => {
                entries.pop(key);
                Err(entries.generation)
            }
            None => Err(entries.generation),
        }
    }

    /// Keeps an answer, unless it is too large or documents were removed since it was begun.
    pub(super) fn put(&self, key: Key, kept: Kept, generation: u64) {
        let (size, options) = (size(&key, &kept), self.options());
        let mut entries = self.entries();
        if size > options.max_entry_bytes.min(options.max_bytes) || generation != entries.generation {
            return;
        }
        entries.pop(&key);
        while entries.bytes + size > options.max_bytes || entries.by_key.len() >= options.max_entries.max(1) {
            if !entries.pop_oldest() {
                break;
            }
        }
        entries.bytes += size;
        entries.by_key.put(key, (Instant::now(), kept));
    }

    fn remove(&self, scope: &TenantScope, goes: impl Fn(&Kept) -> bool) {
        let mut entries = self.entries();
        entries.generation += 1;
        let gone: Vec<Key> = entries
            .by_key
            .iter()
            .filter(|(key, (_, kept))| key.tenant() == scope.tenant() && goes(kept))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            entries.pop(&key);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // A count that is off after a panic makes the cache smaller or larger, never wrong.
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for AnswerCache {
    fn default() -> Self {
        Self::new(CacheOptions::default())
    }
}

// === impl Entries ===

impl Entries {
    fn pop(&mut self, key: &Key) {
        if let Some((key, (_, kept))) = self.by_key.pop_entry(key) {
            self.bytes = self.bytes.saturating_sub(size(&key, &kept));
        }
    }

    fn pop_oldest(&mut self) -> bool {
        let Some((key, (_, kept))) = self.by_key.pop_lru() else { return false };
        self.bytes = self.bytes.saturating_sub(size(&key, &kept));
        true
    }
}

fn size(key: &Key, kept: &Kept) -> usize {
    let events: usize = kept
        .events
        .iter()
        .map(|event| match event {
            Event::Delta(text) => text.len(),
            Event::Sources(sources) => sources
                .iter()
                .map(|source| {
                    size_of_val(source) + source.file_name.len() + source.title.len() + source.snippet.len()
                })
                .sum(),
            Event::Usage(_) | Event::Finished(_) => 0,
        })
        .sum();
    key.bytes() + events + kept.events.len() * size_of::<Event>() + size_of::<Kept>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ask;
    use crate::answer::Finish;
    use crate::passage::Source;
    use crate::stage::testing;

    fn key(tenant: &str, question: &str) -> Key {
        Key::of(&Ask::new(testing::scope(tenant), testing::question(question)), "".into())
    }

    fn kept(text: &str) -> Kept {
        let source = Source::new(1, &testing::passage("a", text, 1.0));
        let events =
            [Event::Sources([source].into()), Event::Delta(text.into()), Event::Finished(Finish::Stop)];
        Kept { events: events.into(), route: None, confidence: None }
    }

    fn put(cache: &AnswerCache, key: Key, kept: Kept) {
        let generation = cache.get(&key).map(|_| ()).unwrap_err();
        cache.put(key, kept, generation);
    }

    #[tokio::test(start_paused = true)]
    async fn old_answers_are_not_given_again() {
        let cache =
            AnswerCache::new(CacheOptions { ttl: Duration::from_secs(60), ..CacheOptions::default() });
        put(&cache, key("a", "q"), kept("x"));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(cache.get(&key("a", "q")).is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(cache.get(&key("a", "q")).is_err());
        assert_eq!((cache.len(), cache.bytes()), (0, 0));
    }

    #[tokio::test]
    async fn number_and_bytes_are_bounded_and_the_least_recently_used_goes() {
        let cache = AnswerCache::new(CacheOptions { max_entries: 2, ..CacheOptions::default() });
        put(&cache, key("a", "1"), kept("x"));
        put(&cache, key("a", "2"), kept("x"));
        assert!(cache.get(&key("a", "1")).is_ok());
        put(&cache, key("a", "3"), kept("x"));
        assert!(cache.get(&key("a", "2")).is_err());
        assert_eq!(cache.len(), 2);

        let cache = AnswerCache::new(CacheOptions {
            max_bytes: 20_000,
            max_entry_bytes: 5_000,
            ..CacheOptions::default()
        });
        for n in 0..50 {
            put(&cache, key("a", &n.to_string()), kept(&"x".repeat(3_000)));
            assert!(cache.bytes() <= 20_000);
        }
        assert!(cache.len() > 2 && cache.get(&key("a", "49")).is_ok());
        put(&cache, key("a", "large"), kept(&"x".repeat(6_000)));
        assert!(cache.get(&key("a", "large")).is_err());
        cache.purge(&testing::scope("a"));
        assert_eq!((cache.len(), cache.bytes()), (0, 0));
    }

    #[tokio::test]
    async fn t33_a_removed_document_takes_its_answers_along() {
        let cache = AnswerCache::default();
        put(&cache, key("a", "1"), kept("one"));
        put(&cache, key("a", "2"), kept("two"));
        put(&cache, key("b", "1"), kept("one"));
        let late = cache.get(&key("a", "3")).map(|_| ()).unwrap_err();
        cache.purge_document(&testing::scope("a"), testing::passage("a", "one", 1.0).document);
        cache.put(key("a", "3"), kept("one"), late);
        let left: Vec<_> = [("a", "1"), ("a", "2"), ("b", "1"), ("a", "3")]
            .into_iter()
            .filter(|(tenant, question)| cache.get(&key(tenant, question)).is_ok())
            .collect();
        assert_eq!(left, [("a", "2"), ("b", "1")]);
    }
}
