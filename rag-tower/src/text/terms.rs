//! Text in, terms out: for a document with how often each occurs, for a query with how much each weighs.

use std::collections::{BTreeMap, HashSet};

use unicode_segmentation::UnicodeSegmentation;

use super::common::{Common, asking};
use super::stem::stems;
use super::{fold, normalize};
use crate::rank::added_up;

/// What a secondary form (without diacritics, plain digits, bigrams inside a word) weighs in a query beside the form
/// as it is written, which weighs 1. A judgement: high enough to find, low enough for the written form to win.
pub const FOLDED_WEIGHT: f32 = 0.3;

/// What a word that is mostly grammar weighs in a query.
const LIGHT_WEIGHT: f32 = 0.3;
/// Chinese characters that are mostly grammar, wherever they stand.
const PARTICLES: [char; 6] = ['的', '了', '是', '在', '吗', '呢'];
/// What a stem weighs in a query.
const STEM_WEIGHT: f32 = 0.3;
/// What three letters weigh in a query, in an unspaced script that spells: two are seldom a word of it.
const TRIGRAM_WEIGHT: f32 = 0.5;
/// What two syllables that follow each other weigh in a query.
const PAIR_WEIGHT: f32 = 0.5;

/// The terms of a piece of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentTerms {
    /// Term ids, ascending, and how often each occurs.
    pub counts: Vec<(u32, u32)>,
    /// The length in words; secondary forms do not count.
    pub length: u32,
}

/// The terms of a query: ids, ascending, and the weight of each before any statistics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryTerms(Vec<(u32, f32)>);

/// How a term stands to the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A word as it is written.
    Written,
    /// Another form of a word that was given as [`Form::Written`] just before.
    Secondary,
}

/// The terms of a document's text.
#[must_use]
pub fn document_terms(text: &str) -> DocumentTerms {
    let mut counts = BTreeMap::<u32, u32>::new();
    let mut length = 0.0_f32;
    each_weighted(text, |id, _, words| {
        let count = counts.entry(id).or_default();
        *count = count.saturating_add(1);
        length += words;
    });
    DocumentTerms { counts: counts.into_iter().collect(), length: length.ceil() as u32 }
}

/// The terms of a query's text.
///
/// ```
/// use rag_tower::text::{document_terms, query_terms};
/// let passage = document_terms("Học phí khoá IELTS");
/// let found = |query: &str| {
///     query_terms(query).as_slice().iter().any(|(id, _)| passage.counts.iter().any(|(had, _)| had == id))
/// };
/// assert!(found("học") && found("hoc phi") && !found("học bổng".trim_start_matches("học")));
/// ```
#[must_use]
pub fn query_terms(text: &str) -> QueryTerms {
    let mut weights = Vec::new();
    each_weighted(text, |id, weight, _| weights.push((id, weight)));
    QueryTerms(added_up(weights))
}

/// The terms of a query's words and their other forms alone, as if none were mostly grammar: for judging how much of a
/// question a text holds, where what a text need not hold must not count.
pub(crate) fn wording(text: &str) -> QueryTerms {
    let mut weights = Vec::new();
    each_term(&normalize(text), |term, form| {
        weights.push((term_id(term), if form == Form::Written { 1.0 } else { FOLDED_WEIGHT }));
    });
    QueryTerms(added_up(weights))
}

/// The number that stands for a normalised term: FNV-1a with 64 bits, folded to 32.
#[must_use]
pub fn term_id(term: &str) -> u32 {
    let hash = fnv1a(term.as_bytes());
    ((hash >> 32) ^ (hash & 0xffff_ffff)) as u32
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo; RFC 9923).
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    fnv1a_after(0xcbf2_9ce4_8422_2325, bytes)
}

/// The hash of what `hash` is that of, and these bytes after it.
pub(crate) fn fnv1a_after(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Gives every term that is indexed: its id, what it weighs in a query, and how many words it adds to a text's length.
fn each_weighted(text: &str, mut give: impl FnMut(u32, f32, f32)) {
    let text = &normalize(text);
    let common = Common::of(text);
    // Vietnamese parts syllables, not words, so two that follow each other are to it what bigrams are to Chinese
    let pairs = common.is_vietnamese();
    let mut before: Option<String> = None;
    let mut worth = 1.0;
    let mut asked = HashSet::new();
    if text.contains(is_unspaced) {
        for phrase in asking(text) {
            bigrams(phrase, |bigram| {
                asked.insert(bigram.to_owned());
            });
        }
    }
    each_term(text, |term, form| {
        if form == Form::Secondary {
            give(term_id(term), FOLDED_WEIGHT * worth, 0.0);
            return;
        }
        let first = term.chars().next().unwrap_or(' ');
        let light = common.holds(term);
        worth = if light { LIGHT_WEIGHT } else { 1.0 };
        if is_unspaced(first) {
            let light = asked.contains(term) || term.contains(PARTICLES);
            let weight = if light { LIGHT_WEIGHT } else { 1.0 };
            // a bigram is about half of a word in Chinese and Japanese, and a quarter in a script that spells
            give(term_id(term), weight, if is_spelled(first) { 0.25 } else { 0.5 });
            if is_spelled(first) {
                // the bigram before ends where this one begins: together they are three letters
                if let (Some(before), Some(last)) =
                    (before.take().filter(|b| b.ends_with(first)), term.chars().nth(1))
                {
                    give(term_id(&format!("{before}{last}")), weight * TRIGRAM_WEIGHT, 0.0);
                }
                before = Some(term.to_owned());
            }
            return;
        }
        give(term_id(term), worth, 1.0);
        if first.is_ascii_digit() || is_hangul(first) {
            before = None;
            return;
        }
        let bare = fold(term).unwrap_or_else(|| term.to_owned());
        if !pairs && !light {
            stems(&bare, |stem| give(term_id(stem), STEM_WEIGHT, 0.0));
        }
        if pairs {
            if let Some(before) = before.take().filter(|_| !light) {
                give(term_id(&format!("{before} {bare}")), PAIR_WEIGHT, 0.0);
            }
            before = (!light).then_some(bare);
        }
    });
}

/// Gives every term of a normalised text, in order.
pub(crate) fn each_term(text: &str, mut term: impl FnMut(&str, Form)) {
    let mut run: Option<(usize, usize)> = None;
    for (start, word) in text.unicode_word_indices() {
        let end = start + word.len();
        if word.chars().next().is_some_and(is_unspaced) {
            run = Some(match run {
                Some((from, to)) if to == start => (from, end),
                other => {
                    flush(text, other, &mut term);
                    (start, end)
                }
            });
        } else {
            flush(text, run.take(), &mut term);
            spaced(word, &mut term);
        }
    }
    flush(text, run, &mut term);
}

/// A word of a script that separates words.
fn spaced(word: &str, term: &mut impl FnMut(&str, Form)) {
    if word.starts_with(|c: char| c.is_ascii_digit()) && word.contains(['.', ',']) {
        term(word, Form::Written);
        if let Some(plain) = ungrouped(word) {
            term(&plain, Form::Secondary);
        }
        return;
    }
    // UAX #29 keeps "l'été", "u.s" and "a_b" whole; people do not write them alike.
    for part in word.split(['\'', '.', ':', '_', '·', '\u{ff07}']).filter(|part| !part.is_empty()) {
        term(part, Form::Written);
        if let Some(folded) = fold(part) {
            term(&folded, Form::Secondary);
        }
        if part.chars().all(is_hangul) {
            bigrams(part, |bigram| term(bigram, Form::Secondary));
        }
    }
}

/// A run of a script that does not separate words.
fn flush(text: &str, run: Option<(usize, usize)>, term: &mut impl FnMut(&str, Form)) {
    let Some(run) = run.and_then(|(from, to)| text.get(from..to)) else { return };
    if run.chars().nth(1).is_none() {
        term(run, Form::Written);
        return;
    }
    bigrams(run, |bigram| term(bigram, Form::Written));
    let mut buffer = [0; 4];
    for ideograph in run.chars().filter(|&c| is_ideograph(c)) {
        term(ideograph.encode_utf8(&mut buffer), Form::Secondary);
    }
}

fn bigrams(run: &str, mut term: impl FnMut(&str)) {
    let ends = run.char_indices().map(|(at, c)| at + c.len_utf8());
    for ((start, _), end) in run.char_indices().zip(ends.skip(1)) {
        term(&run[start..end]);
    }
}

/// `2.500.000` or `2,500,000` as `2500000`; none when it is not a number with grouped thousands.
fn ungrouped(number: &str) -> Option<String> {
    let mut groups = number.split(['.', ',']);
    let first = groups.next()?;
    let rest: Vec<&str> = groups.collect();
    let digits = |group: &&str| group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit());
    (!rest.is_empty()
        && first.len() <= 3
        && first.bytes().all(|b| b.is_ascii_digit())
        && rest.iter().all(digits))
    .then(|| number.replace(['.', ','], ""))
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// Scripts written without spaces between words.
pub(crate) fn is_unspaced(c: char) -> bool {
    is_ideograph(c)
        || matches!(c,
            '\u{e00}'..='\u{eff}'           // Thai, Lao
            | '\u{1000}'..='\u{109f}'       // Burmese
            | '\u{1780}'..='\u{17ff}'       // Khmer
            | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}')
}

/// The unspaced scripts that spell words out: Thai, Lao, Burmese, Khmer.
fn is_spelled(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

fn is_hangul(c: char) -> bool {
    matches!(c, '\u{ac00}'..='\u{d7a3}')
}

// === impl QueryTerms ===

impl QueryTerms {
    /// Term ids, ascending, and weights.
    #[must_use]
    pub fn as_slice(&self) -> &[(u32, f32)] {
        &self.0
    }

    /// The ids alone.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        self.0.iter().map(|(id, _)| *id).collect()
    }

    /// True for a text without a single word.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(text: &str) -> (Vec<String>, Vec<String>) {
        let (mut written, mut secondary) = (vec![], vec![]);
        each_term(&normalize(text), |term, form| match form {
            Form::Written => written.push(term.to_owned()),
            Form::Secondary => secondary.push(term.to_owned()),
        });
        (written, secondary)
    }

    #[test]
    fn each_script_by_its_own_rule() {
        for (text, written, secondary) in [
            ("Đăng ký IELTS 6.5!", &["đăng", "ký", "ielts", "6.5"][..], &["dang", "ky"][..]),
            ("What's the U.S. fee", &["what", "s", "the", "u", "s", "fee"], &[]),
            ("2.500.000đ", &["2.500.000đ"], &[]),
            ("2.500.000 VND 1,250", &["2.500.000", "vnd", "1,250"], &["2500000", "1250"]),
            ("हिन्दी में", &["हिन्दी", "में"], &[]),
            ("红茶好", &["红茶", "茶好"], &["红", "茶", "好"]),
            ("茶", &["茶"], &[]),
            ("東京タワー", &["東京", "京タ", "タワ", "ワー"], &["東", "京"]),
            ("ภาษา", &["ภา", "าษ", "ษา"], &[]),
            ("한국어는", &["한국어는"], &["한국", "국어", "어는"]),
            ("mix 红茶 ok", &["mix", "红茶", "ok"], &["红", "茶"]),
        ] {
            let (got, other) = terms(text);
            assert_eq!(got, written, "{text}");
            assert_eq!(other, secondary, "{text}");
        }
    }

    #[test]
    fn marks_left_out_still_find_and_the_exact_form_weighs_more() {
        let passage = document_terms("học phí");
        let overlap = |query: &str| -> f32 {
            let query = query_terms(query);
            let held = |id: &u32| passage.counts.iter().any(|(had, _)| had == id);
            query.as_slice().iter().filter(|(id, _)| held(id)).map(|(_, weight)| weight).sum()
        };
        assert_eq!(overlap("hoc phi"), 2.0);
        assert!((overlap("học phí") - 3.1).abs() < 1e-6);
        assert!((overlap("hóc phì") - 0.6).abs() < 1e-6);
        assert_eq!(overlap("lịch"), 0.0);
    }

    #[test]
    fn an_inflected_form_is_found_and_the_exact_one_weighs_more() {
        for (query, exact, other) in [
            ("computing", "computing", "computer"),
            ("wings", "wings", "wing"),
            ("городами", "городами", "городов"),
            ("المدرسة", "المدرسة", "مدرسة"),
        ] {
            let overlap = |passage: &str| -> f32 {
                let held = document_terms(passage).counts;
                let query = query_terms(query);
                let held = |id: &u32| held.iter().any(|(had, _)| had == id);
                query.as_slice().iter().filter(|(id, _)| held(id)).map(|(_, weight)| weight).sum()
            };
            assert!(overlap(exact) > overlap(other) && overlap(other) > 0.0, "{query}");
        }
    }

    #[test]
    fn words_that_ask_weigh_less() {
        let weight = |query: &str, term: &str| {
            let id = term_id(&normalize(term));
            query_terms(query).as_slice().iter().find(|(had, _)| *had == id).map(|(_, weight)| *weight)
        };
        assert_eq!(weight("what is the fee", "what"), Some(LIGHT_WEIGHT));
        assert_eq!(weight("what is the fee", "fee"), Some(1.0));
        assert_eq!(weight("学费是多少", "多少"), Some(LIGHT_WEIGHT));
        assert_eq!(weight("ค่าเรียนเท่าไร", "ไร"), Some(LIGHT_WEIGHT));
        assert_eq!(weight("学费是多少", "学费"), Some(1.0));
    }

    #[test]
    fn ids_never_change() {
        // Written down in every index: a change here asks for all of them to be built again.
        assert_eq!(term_id("ielts"), 0x7f04_aa9a);
        assert_eq!(term_id("học"), 0xd371_828e);
    }

    proptest! {
        #[test]
        fn any_text_has_ordered_terms_and_counts(text in "\\PC{0,80}") {
            let terms = document_terms(&text);
            prop_assert!(terms.counts.windows(2).all(|pair| pair[0].0 < pair[1].0));
            prop_assert!(terms.counts.iter().map(|(_, n)| n).sum::<u32>() >= terms.length);
            prop_assert_eq!(query_terms(&text).ids().len(), terms.counts.len());
        }
    }
}
