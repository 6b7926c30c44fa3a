//! The terms of passages that came before: splitting text costs far more than comparing terms, and passages come back.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::passage::{ChunkId, Passage};
use crate::text::wording;

/// The terms of a passage's title and text, ascending, each once.
pub(super) type Terms = Arc<[u32]>;

/// The terms of the last few thousand passages, under their chunk and what they say. Clones share them.
#[derive(Clone)]
pub(super) struct KnownTerms(Arc<Mutex<LruCache<(ChunkId, u64), Terms>>>);

/// Passages whose terms are kept: about 4 MB.
const KNOWN: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

// === impl KnownTerms ===

impl KnownTerms {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(KNOWN))))
    }

    pub(super) fn of(&self, passage: &Passage) -> Terms {
        let mut content = DefaultHasher::new();
        (&passage.title, &passage.text).hash(&mut content);
        let key = (passage.chunk, content.finish());
        // Terms follow from the key alone, so a cache that a panic left behind is still right.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(terms) = known().get(&key) {
            return Arc::clone(terms);
        }
        let mut terms = [&passage.title, &passage.text].map(|text| wording(text).ids()).concat();
        terms.sort_unstable();
        terms.dedup();
        let terms = Terms::from(terms);
        known().put(key, Arc::clone(&terms));
        terms
    }
}
