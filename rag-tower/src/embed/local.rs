//! Texts in, vectors out, without a model.

use std::task::{Context, Poll};

use tower_service::Service;

use super::each::each;
use crate::error::Error;
use crate::port::{EmbedRequest, Embedding};
use crate::stage::ResponseFuture;
use crate::text::{Common, Form, each_term, fnv1a, fold, is_unspaced, normalize};

/// An [`Embedder`](crate::port::Embedder) that downloads nothing: signed feature hashing of words and of pieces of
/// words.
///
/// It is **not** a neural model: it knows no synonyms and no other language. What it adds to a search by words is
/// tolerance, since a misspelt, inflected or unmarked word shares most of its pieces with the right one. Use a model
/// for meaning; use this to start without one, in tests, and offline. Beside a search by words it gets a small weight
/// ([`DENSE_WEIGHT`](crate::retrieve::DENSE_WEIGHT)): fused with equal weights the two rank worse than words alone.
///
/// Features are each word (normalised as in [`text`](crate::text)), its form without diacritics, the runs of 3 to 5
/// characters of that form between word borders, and each two words that follow each other. A feature that occurs `n` times weighs `1 + ln n`, times what its kind
/// and the word's length are worth (short words are mostly grammar, and known grammar counts a fifth); its hash names two of the vector's dimensions and
/// a sign in each (Weinberger et al., *Feature Hashing for Large Scale Multitask Learning*, 2009). The vector has
/// length 1, or is all zeros for a text without words. There is no inverse document frequency in it, so it needs no
/// statistics and a text's vector never changes.
///
/// - **Readiness:** always ready.
/// - **Runtime:** above 16 KiB of text the work is done on the blocking pool; below it, in the call, in well under a
///   millisecond.
/// - **Cancellation:** dropping the future leaves a batch on the blocking pool to end by itself; its result is dropped.
/// - **Panics:** never of its own.
#[derive(Clone, Copy, Debug)]
pub struct LocalEmbedder {
    dimensions: usize,
}

/// What a word that is mostly grammar is worth.
const LIGHT: f32 = 0.2;
const WORD: u64 = 0x57;
const PIECE: u64 = 0x50;

// === impl LocalEmbedder ===

impl LocalEmbedder {
    /// What an index calls the vectors of this embedder: a change of this name asks for a new index.
    pub const NAME: &'static str = "local-hash-2";

    /// 768 dimensions.
    #[must_use]
    pub const fn new() -> Self {
        Self { dimensions: 768 }
    }

    /// Sets the dimensions, at least 1. Default: 768. Fewer make unrelated features meet more often.
    #[must_use]
    pub const fn with_dimensions(mut self, dimensions: usize) -> Self {
        self.dimensions = if dimensions == 0 { 1 } else { dimensions };
        self
    }

    /// How many numbers a vector has.
    #[must_use]
    pub const fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The vector of one text, made in the caller's thread: some microseconds for a question, about a millisecond for 16 KiB. The
    /// service moves longer texts to the blocking pool; this does not.
    #[must_use]
    pub fn embed(&self, text: &str) -> Embedding {
        let mut features = Vec::<(u64, f32)>::with_capacity(2 * text.len());
        let mut add = |hash: u64, weight: f32| features.push((hash, weight));
        let mut buffer = String::new();
        let text = &normalize(text);
        let common = Common::of(text);
        let mut worth = 1.0;
        let mut before: Option<(u64, f32)> = None;
        each_term(text, |term, form| match form {
            Form::Secondary => add(fnv1a(term.as_bytes()) ^ WORD, 0.7 * worth),
            Form::Written => {
                worth = by_length(term) * if common.holds(term) { LIGHT } else { 1.0 };
                add(fnv1a(term.as_bytes()) ^ WORD, worth);
                let bare = fold(term);
                let bare = bare.as_deref().unwrap_or(term);
                let hash = fnv1a(bare.as_bytes());
                if let Some((last, other)) = before.replace((hash, worth)) {
                    add(mix(last).wrapping_mul(3) ^ hash, 0.5 * (worth * other).sqrt());
                }
                if !term.starts_with(is_unspaced) {
                    buffer.clear();
                    buffer.extend(["<", bare, ">"]);
                    pieces(&buffer, |piece| add(fnv1a(piece.as_bytes()) ^ PIECE, 0.4 * worth));
                }
            }
        });
        // one order, so that the last bits of a sum do not depend on it; a feature weighs what its first place gives it
        features.sort_by_key(|(hash, _)| *hash);
        let mut vector = vec![0.0_f32; self.dimensions];
        for places in features.chunk_by(|(one, _), (next, _)| one == next) {
            let Some(&(hash, weight)) = places.first() else { continue };
            let weight = weight * (1.0 + (places.len() as f32).ln());
            for half in [mix(hash), mix(hash ^ 0x9e37_79b9_7f4a_7c15)] {
                let at = (half >> 1) as usize % self.dimensions;
                if let Some(value) = vector.get_mut(at) {
                    *value += if half & 1 == 0 { weight } else { -weight };
                }
            }
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length > 0.0 {
            vector.iter_mut().for_each(|x| *x /= length);
        }
        Embedding::new(vector)
    }
}

impl Default for LocalEmbedder {
    fn default() -> Self {
        Self::new()
    }
}

impl Service<EmbedRequest> for LocalEmbedder {
    type Response = Vec<Embedding>;
    type Error = Error;
    type Future = ResponseFuture<Vec<Embedding>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: EmbedRequest) -> Self::Future {
        let embedder = *self;
        each(request, move |text| embedder.embed(text))
    }
}

/// What a word is worth by its length: a stand-in for its rarity that needs no statistics.
fn by_length(word: &str) -> f32 {
    match word.chars().count() {
        0..=2 => 0.35,
        3 => 0.6,
        4 => 0.8,
        _ => 1.0,
    }
}

/// Runs of 3 to 5 characters; a shorter word has none but itself.
fn pieces(word: &str, mut piece: impl FnMut(&str)) {
    let ends: Vec<usize> = word.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
    for (first, (start, _)) in word.char_indices().enumerate() {
        for length in 3..=5 {
            if let Some(end) = ends.get(first + length - 1) {
                piece(&word[start..*end]);
            }
        }
    }
}

/// Spreads a hash over all 64 bits (the finaliser of SplitMix64).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tower::ServiceExt;

    use super::*;
    use crate::TraceHandle;
    use crate::port::EmbedKind;

    fn cosine(a: &str, b: &str) -> f32 {
        let embedder = LocalEmbedder::new();
        let (a, b) = (embedder.embed(a), embedder.embed(b));
        a.as_slice().iter().zip(b.as_slice()).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn a_text_has_one_vector_to_the_last_bit() {
        let text = "Học phí khoá IELTS cấp tốc đã gồm giáo trình, lệ phí thi thử và phòng tự học. ".repeat(5);
        let first = LocalEmbedder::new().embed(&text);
        assert!((0..20).all(|_| LocalEmbedder::new().embed(&text) == first));
    }

    #[test]
    fn a_text_is_nearest_to_itself_then_to_its_variants_then_to_others() {
        let same = cosine("Học phí IELTS", "học phí ielts");
        let unmarked = cosine("học phí ielts", "hoc phi ielts");
        let misspelt = cosine("registration deadline", "registraton dedline");
        let other = cosine("registration deadline", "swimming pool");
        assert!((same - 1.0).abs() < 1e-5, "{same}");
        assert!(unmarked > 0.5 && unmarked < 1.0, "{unmarked}");
        assert!(misspelt > 0.4 && misspelt > other + 0.3, "{misspelt} {other}");
    }

    #[test]
    fn vectors_have_length_one_and_an_empty_text_none() {
        let length =
            |text: &str| LocalEmbedder::new().embed(text).as_slice().iter().map(|x| x * x).sum::<f32>();
        assert!((length("one two three") - 1.0).abs() < 1e-5);
        assert_eq!(length(" … "), 0.0);
        assert_eq!(LocalEmbedder::new().with_dimensions(7).embed("one").as_slice().len(), 7);
    }

    #[tokio::test]
    async fn a_large_batch_gives_what_a_small_one_gives() {
        let texts: Vec<Arc<str>> =
            (0..200).map(|n| format!("text {n} {}", "word ".repeat(40)).into()).collect();
        let ask = |texts: Vec<Arc<str>>| {
            LocalEmbedder::new().oneshot(EmbedRequest {
                scope: crate::test_util::scope("a"),
                trace: TraceHandle::new(),
                kind: EmbedKind::Document,
                texts,
            })
        };
        let all = ask(texts.clone()).await.unwrap();
        assert_eq!(all.len(), texts.len());
        assert_eq!(all[..3], ask(texts[..3].to_vec()).await.unwrap()[..]);
    }
}
