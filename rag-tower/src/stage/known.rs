//! The terms of passages that came before: splitting text costs far more than comparing terms, and passages come back.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::passage::{ChunkId, Passage};
use crate::text::wording;

/// The terms of a passage's title and text, ascending, each once.
pub(super) type Terms = Arc<[u32]>;

/// The terms of the last few thousand passages. Clones share them.
#[derive(Clone)]
pub(super) struct KnownTerms(Arc<Mutex<LruCache<ChunkId, Known>>>);

/// What a chunk says, and the terms of it. The text is that of whoever read it, so that it is mostly the very same and
/// seldom has to be compared.
struct Known {
    title: Arc<str>,
    text: Arc<str>,
    terms: Terms,
}

/// Passages whose terms are kept: about 4 MB, and their text.
const KNOWN: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

// === impl KnownTerms ===

impl KnownTerms {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(KNOWN))))
    }

    pub(super) fn of(&self, passage: &Passage) -> Terms {
        // Terms follow from the text beside them alone, so a cache that a panic left behind is still right.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(&passage.chunk).filter(|known| known.is_of(passage)) {
            return Arc::clone(&known.terms);
        }
        let mut terms = [&passage.title, &passage.text].map(|text| wording(text).ids()).concat();
        terms.sort_unstable();
        terms.dedup();
        let terms = Terms::from(terms);
        let (title, text) = (Arc::clone(&passage.title), Arc::clone(&passage.text));
        known().put(passage.chunk, Known { title, text, terms: Arc::clone(&terms) });
        terms
    }
}

// === impl Known ===

impl Known {
    fn is_of(&self, passage: &Passage) -> bool {
        let same = |a: &Arc<str>, b: &Arc<str>| Arc::ptr_eq(a, b) || a == b;
        same(&self.title, &passage.title) && same(&self.text, &passage.text)
    }
}
