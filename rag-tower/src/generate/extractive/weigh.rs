//! What each unit is worth for a question.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use unicode_segmentation::UnicodeSegmentation;

use super::choose::Candidate;
use crate::passage::Passage;
use crate::text::{Cue, Form, Wanted, cue, each_term, is_light, normalize, term_id, wording};

// All found on questions whose answers are known, so that a short answer holds them as often as it can.

/// What a question's term counts when it is not in the unit but in the heading or title above,
const ABOVE: f64 = 0.5;
/// in the unit before,
const BEFORE: f64 = 0.5;
/// or elsewhere in the passage.
const ELSEWHERE: f64 = 0.15;
/// What a word counts that only holds a sentence together.
const LIGHT: f64 = 0.2;
/// What two terms that follow each other as they do in the question count on top.
const TOGETHER: f64 = 0.3;
/// How much less a passage counts that scores nothing beside the best one.
const SCORE: f64 = 0.6;
/// The most a passage's place among the passages adds, and a unit's place in its passage.
const PLACE: (f64, f64) = (0.15, 0.02);
/// What a unit counts that says nothing but the question's own words.
const ECHO: f64 = 0.6;
/// Words above which a unit counts less, and how fast.
const LONG: (f64, f64) = (25.0, 0.6);
/// What a unit gains that holds what is asked for, such as a number, and what it loses that does not.
const FITS: (f64, f64) = (1.2, 0.9);
/// The letters of a longer word that stand for its other endings.
const STEM: usize = 5;

/// The terms of a text.
#[derive(Default)]
pub(super) struct Terms {
    /// All forms, and stems.
    all: HashSet<u32>,
    /// The written forms, in order.
    written: Vec<u32>,
}

/// Weighs every unit.
///
/// A unit is worth the share of the question's terms that it holds, each weighted by its rarity among the units: the
/// inverse document frequency of BM25 (Robertson and Zaragoza 2009), with units as documents. A term that is not in the
/// unit itself counts a part where it is near. Endings are compared by truncation to five letters (McNamee and Mayfield
/// 2004), which needs to know no language.
pub(super) fn weigh(candidates: &mut [Candidate], question: &str, passages: &[Passage]) {
    let cue = cue(question);
    let asked = asked(candidates, question, &cue);
    let pairs = asked_pairs(question, &asked);
    let whole = asked.values().sum::<f64>().max(f64::MIN_POSITIVE);
    let mut held_in: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); passages.len()];
    for candidate in &*candidates {
        let held = asked.keys().filter(|term| candidate.terms.all.contains(term));
        held_in[candidate.passage].extend(held);
    }
    let best_score = passages.iter().map(|passage| passage.score).fold(f32::MIN_POSITIVE, f32::max);

    let worth = |(at, unit): (usize, &Candidate)| {
        let before = at.checked_sub(1).map(|at| &candidates[at]).filter(|b| b.passage == unit.passage);
        let share = |term: &u32| match () {
            () if unit.terms.all.contains(term) => 1.0,
            () if unit.above.all.contains(term) => ABOVE,
            () if before.is_some_and(|before| before.terms.all.contains(term)) => BEFORE,
            () if held_in[unit.passage].contains(term) => ELSEWHERE,
            () => 0.0,
        };
        let held: f64 = asked.iter().map(|(term, weight)| weight * share(term)).sum();
        let together: f64 = unit.terms.pairs().filter_map(|pair| pairs.get(&pair)).sum();
        let early = |at: usize, of: usize| 1.0 - at as f64 / of as f64;
        let place = early(unit.passage, passages.len()) * PLACE.0 + early(unit.place.min(8), 9) * PLACE.1;
        let fresh = unit.terms.written.iter().filter(|term| !asked.contains_key(term)).count();
        let echo = if fresh < 2 { ECHO } else { 1.0 };
        let length = 1.0 + LONG.1 * (unit.terms.written.len() as f64 / LONG.0 - 1.0).max(0.0);
        let fits = match holds_wanted(cue.wanted, &unit.unit.text, &asked) {
            Some(true) => FITS.0,
            Some(false) => FITS.1,
            None => 1.0,
        };
        let score = f64::from((passages[unit.passage].score / best_score).clamp(0.0, 1.0));
        ((held + TOGETHER * together) / whole + place) * echo * fits * (1.0 - SCORE * (1.0 - score)) / length
    };
    let worths: Vec<f64> = candidates.iter().enumerate().map(worth).collect();
    for (candidate, worth) in candidates.iter_mut().zip(worths) {
        candidate.worth = worth;
    }
}

/// The question's terms that any unit holds, without those that only ask, and their weights.
fn asked(candidates: &[Candidate], question: &str, cue: &Cue) -> BTreeMap<u32, f64> {
    let mut terms: BTreeMap<u32, f32> = wording(question).as_slice().iter().copied().collect();
    terms.retain(|term, _| !cue.asking.contains(term));
    each_term(&normalize(question), |term, _| {
        if !cue.asking.contains(&term_id(term)) {
            terms.extend(stem(term).map(|stem| (stem, 1.0)));
        }
    });
    let n = candidates.len() as f64;
    let weight = |(term, weight): (u32, f32)| {
        let holds = |c: &&Candidate| c.terms.all.contains(&term) || c.above.all.contains(&term);
        let holders = candidates.iter().filter(holds).count() as f64;
        let rarity = (1.0 + (n - holders + 0.5) / (holders + 0.5)).ln();
        let light = if is_light(term) { LIGHT } else { 1.0 };
        (holders > 0.0).then_some((term, f64::from(weight) * rarity * light))
    };
    terms.into_iter().filter_map(weight).collect()
}

/// The terms that follow each other in the question, and the weight of the lighter one.
fn asked_pairs(question: &str, asked: &BTreeMap<u32, f64>) -> BTreeMap<(u32, u32), f64> {
    let mut terms = Terms::of(question);
    terms.written.retain(|term| asked.contains_key(term));
    let weight = |pair: (u32, u32)| Some((pair, asked.get(&pair.0)?.min(*asked.get(&pair.1)?)));
    terms.pairs().filter_map(weight).collect()
}

/// Whether a text holds something of the kind asked for that the question did not say; none where that cannot be told.
fn holds_wanted(wanted: Wanted, text: &str, asked: &BTreeMap<u32, f64>) -> Option<bool> {
    let new = |word: &str| {
        let mut new = true;
        each_term(&normalize(word), |term, _| new &= !asked.contains_key(&term_id(term)));
        new
    };
    let mut words = text.unicode_words();
    match wanted {
        Wanted::Anything => None,
        Wanted::Number => Some(words.any(|word| word.contains(char::is_numeric) && new(word))),
        // A script without capitals does not tell a name; the first word of a sentence never does.
        Wanted::Name if !text.contains(char::is_uppercase) => None,
        Wanted::Name => Some(words.skip(1).any(|word| word.starts_with(char::is_uppercase) && new(word))),
    }
}

/// What stands for a word and its other endings.
fn stem(term: &str) -> Option<u32> {
    let (end, _) = term.char_indices().nth(STEM)?;
    term.chars().all(char::is_alphabetic).then(|| term_id(&format!("{}*", &term[..end])))
}

// === impl Terms ===

impl Terms {
    pub(super) fn of(text: &str) -> Self {
        let mut terms = Self::default();
        each_term(&normalize(text), |term, form| {
            let id = term_id(term);
            terms.all.insert(id);
            terms.all.extend(stem(term));
            if form == Form::Written {
                terms.written.push(id);
            }
        });
        terms
    }

    /// Jaccard likeness, 0 to 1.
    pub(super) fn likeness(&self, other: &Self) -> f64 {
        let both = self.all.intersection(&other.all).count() as f64;
        let either = (self.all.len() + other.all.len()) as f64 - both;
        if either > 0.0 { both / either } else { 0.0 }
    }

    /// The different pairs of terms that follow each other.
    fn pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        let pair = |pair: &[u32]| Some((*pair.first()?, *pair.get(1)?));
        self.written.windows(2).filter_map(pair).collect::<BTreeSet<_>>().into_iter()
    }
}
