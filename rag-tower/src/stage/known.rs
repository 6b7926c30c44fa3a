//! The terms of passages that came before: splitting text costs far more than comparing terms, and passages come back.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

    /// The terms of each of the passages.
    pub(super) fn of(&self, passages: &[Passage]) -> Vec<Terms> {
        let mut known: Vec<Option<Terms>> = {
            let mut terms = self.lock();
            passages.iter().map(|passage| terms.get(&passage.chunk)?.terms_of(passage)).collect()
        };
        // whoever else asks meanwhile does not wait for text to be split
        for (known, passage) in known.iter_mut().zip(passages).filter(|(known, _)| known.is_none()) {
            let known = known.insert(split(passage));
            let (title, text) = (Arc::clone(&passage.title), Arc::clone(&passage.text));
            self.lock().put(passage.chunk, Known { title, text, terms: Arc::clone(known) });
        }
        known.into_iter().flatten().collect()
    }

    /// Terms follow from the text beside them alone, so a cache that a panic left behind is still right.
    fn lock(&self) -> MutexGuard<'_, LruCache<ChunkId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn split(passage: &Passage) -> Terms {
    let mut terms = [&passage.title, &passage.text].map(|text| wording(text).ids()).concat();
    terms.sort_unstable();
    terms.dedup();
    terms.into()
}

// === impl Known ===

impl Known {
    /// The terms, when the passage says what the chunk did.
    fn terms_of(&self, passage: &Passage) -> Option<Terms> {
        let same = |a: &Arc<str>, b: &Arc<str>| Arc::ptr_eq(a, b) || a == b;
        let is_of = same(&self.title, &passage.title) && same(&self.text, &passage.text);
        is_of.then(|| Arc::clone(&self.terms))
    }
}
