//! Where answers are kept.

use std::sync::Arc;

use super::bounded::{Bounded, CacheOptions};
use super::key::Key;
use crate::answer::Event;
use crate::passage::DocumentId;
use crate::tenant::TenantScope;

/// Finished answers of all tenants, in this process. Clones share what is kept.
#[derive(Clone, Debug)]
pub struct AnswerCache(Arc<Bounded<Key, Kept>>);

/// One answer, whole.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) events: Arc<[Event]>,
    pub(super) route: Option<Arc<str>>,
    pub(super) confidence: Option<f32>,
}

// === impl AnswerCache ===

impl AnswerCache {
    /// An empty cache.
    #[must_use]
    pub fn new(options: CacheOptions) -> Self {
        Self(Arc::new(Bounded::new(options)))
    }

    /// Forgets every answer of the tenant.
    pub fn purge(&self, scope: &TenantScope) {
        self.0.remove(|key, _| key.tenant() == scope.tenant());
    }

    /// Forgets every answer of the tenant that could cite this document, those being made right now included. Call it
    /// when a document was removed or replaced.
    pub fn purge_document(&self, scope: &TenantScope, document: DocumentId) {
        self.0.remove(|key, kept| {
            let cites = |event: &Event| {
                matches!(event, Event::Sources(sources) if sources.iter().any(|source| source.doc_id == document))
            };
            key.tenant() == scope.tenant() && kept.events.iter().any(cites)
        });
    }

    /// How many answers are kept, old ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes are kept, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    pub(super) fn options(&self) -> &CacheOptions {
        self.0.options()
    }

    /// A kept answer; or else what [`put`](Self::put) wants to see again.
    pub(super) fn get(&self, key: &Key) -> Result<Kept, u64> {
        self.0.get(key)
    }

    /// Keeps an answer, unless it is too large or documents were removed since it was begun.
    pub(super) fn put(&self, key: Key, kept: Kept, generation: u64) {
        let size = size(&key, &kept);
        self.0.put(key, kept, size, generation);
    }
}

impl Default for AnswerCache {
    fn default() -> Self {
        Self::new(CacheOptions::default())
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
    use std::time::Duration;

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
