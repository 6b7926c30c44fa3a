//! What any cache of ours is: bounded in number, bytes and age.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

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

/// Values by key; what was used least recently goes first. Whose a key is, is the key's own matter.
#[derive(Debug)]
pub(crate) struct Bounded<K: Hash + Eq, V> {
    options: CacheOptions,
    entries: Mutex<Entries<K, V>>,
}

#[derive(Debug)]
struct Entries<K: Hash + Eq, V> {
    by_key: LruCache<K, Entry<V>>,
    bytes: usize,
    /// Grows with every removal: a value that was begun before is not kept.
    generation: u64,
}

#[derive(Debug)]
struct Entry<V> {
    since: Instant,
    size: usize,
    value: V,
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

// === impl Bounded ===

impl<K: Clone + Hash + Eq, V: Clone> Bounded<K, V> {
    pub(crate) fn new(options: CacheOptions) -> Self {
        let most = NonZeroUsize::new(options.max_entries).unwrap_or(NonZeroUsize::MIN);
        let entries = Entries { by_key: LruCache::new(most), bytes: 0, generation: 0 };
        Self { options, entries: Mutex::new(entries) }
    }

    pub(crate) fn options(&self) -> &CacheOptions {
        &self.options
    }

    /// How many values are kept, old ones included.
    pub(crate) fn len(&self) -> usize {
        self.entries().by_key.len()
    }

    /// How many bytes are kept, about.
    pub(crate) fn bytes(&self) -> usize {
        self.entries().bytes
    }

    /// A kept value; or else what [`put`](Self::put) wants to see again.
    pub(crate) fn get(&self, key: &K) -> Result<V, u64> {
        let mut entries = self.entries();
        match entries.by_key.get(key) {
            Some(entry) if entry.since.elapsed() < self.options.ttl => Ok(entry.value.clone()),
            Some(_) => {
                entries.pop(key);
                Err(entries.generation)
            }
            None => Err(entries.generation),
        }
    }

    /// Keeps a value of `size` bytes, its key included, unless it is too large or something was removed since it was begun.
    pub(crate) fn put(&self, key: K, value: V, size: usize, generation: u64) {
        let options = self.options;
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
        entries.by_key.put(key, Entry { since: Instant::now(), size, value });
    }

    /// Forgets what `goes` says, and what is being made right now.
    pub(crate) fn remove(&self, goes: impl Fn(&K, &V) -> bool) {
        let mut entries = self.entries();
        entries.generation += 1;
        let gone: Vec<K> = entries
            .by_key
            .iter()
            .filter(|(key, entry)| goes(key, &entry.value))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            entries.pop(&key);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries<K, V>> {
        // A count that is off after a panic makes the cache smaller or larger, never wrong.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Entries ===

impl<K: Hash + Eq, V> Entries<K, V> {
    fn pop(&mut self, key: &K) {
        if let Some(entry) = self.by_key.pop(key) {
            self.bytes = self.bytes.saturating_sub(entry.size);
        }
    }

    fn pop_oldest(&mut self) -> bool {
        let Some((_, entry)) = self.by_key.pop_lru() else { return false };
        self.bytes = self.bytes.saturating_sub(entry.size);
        true
    }
}
