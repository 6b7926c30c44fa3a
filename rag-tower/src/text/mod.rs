//! Words of every script: text to terms, terms to BM25 weights, text to sentences.
//!
//! The engine's own tokenizers drop numbers, mean English when no language is named, and cannot match Vietnamese
//! typed without its marks. This policy names no language. A text is normalised (NFKC, so full-width and half-width
//! forms meet; full case folding; letters that only differ in their encoding, such as the two Arabic kafs; digits of
//! any script as ASCII digits), cut into words at Unicode word boundaries (UAX #29), and each word becomes terms:
//!
//! | word | terms |
//! |---|---|
//! | any | itself, combining marks and all |
//! | with diacritics | also its form without them, at [`FOLDED_WEIGHT`] of the weight in a query (`học` finds `hoc`, and `học` first) |
//! | number with grouped thousands | also its plain digits, at the same lower weight (`2.500.000` finds `2500000`) |
//! | run of Chinese, Japanese, Thai, Lao, Khmer, Burmese | its character bigrams; also its ideographs, at the lower weight |
//! | Thai, Lao, Khmer, Burmese | also three letters at a time, at half the weight |
//! | Vietnamese | also each two syllables that follow each other, at half the weight |
//! | others that part words | also the word's first five letters, without an Arabic article and an English plural's s, at a lower weight |
//! | Korean | also its syllable bigrams, at the lower weight (particles are written onto words) |
//!
//! In a query, words that are mostly grammar or only ask ("what", "bao nhiêu", "多少") weigh less, by lists for some twenty
//! languages. Stems are cut, not looked up: nobody declares the language of a text, and an exact match weighs more anyway.
//!
//! A term is kept as a 32-bit number: FNV-1a over its UTF-8, 64 bits wide, folded to 32 by exclusive or. Two terms may
//! meet in one number (a tenant with 100,000 words has about one such pair); both then count as one word, which can
//! move a ranking by a little and cannot show anyone anything foreign.

mod bm25;
mod common;
mod cues;
mod fold;
mod sentences;
mod stem;
mod terms;

pub use self::bm25::Bm25;
pub(crate) use self::common::Common;
pub(crate) use self::cues::{Cue, Wanted, cue, is_light};
#[cfg(feature = "postgres")]
pub(crate) use self::fold::{bare, is_diacritic, is_ignorable};
pub(crate) use self::fold::{fold, normalize};
pub use self::sentences::sentences;
pub use self::terms::{DocumentTerms, FOLDED_WEIGHT, QueryTerms, document_terms, query_terms, term_id};
pub(crate) use self::terms::{Form, each_term, fnv1a, fnv1a_after, is_unspaced, wording};
