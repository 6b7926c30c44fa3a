//! The best units for a question, and how they read together.

use std::collections::{BTreeSet, HashMap};

use super::units::{Unit, units};
use crate::passage::Passage;
use crate::words;

/// The most sentences of an answer.
const MOST: usize = 4;
/// A sentence joins the best one when it is worth at least this share of it.
const WORTH_JOINING: f64 = 0.55;
/// How much relevance counts against novelty (the lambda of maximal marginal relevance).
const RELEVANCE: f64 = 0.7;
/// What a word in the heading or title above counts, against one in the sentence.
const ABOVE: f64 = 0.5;
/// The most a passage's place among the passages adds; the sentence's own place adds a third of it.
const PLACE: f64 = 0.15;
/// Sentences longer than this are cut at a word.
const LONGEST: usize = 600;

/// A unit that was chosen.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    passage: usize,
    place: usize,
    text: String,
    own_line: bool,
}

/// A unit with what its worth is made of.
struct Candidate {
    passage: usize,
    place: usize,
    unit: Unit,
    words: BTreeSet<String>,
    above: BTreeSet<String>,
    worth: f64,
}

/// The units to answer with, in reading order: the passage of the best unit first, each passage's units together in
/// their own order. At most `max_chars` characters, but always one unit when there is any.
pub(super) fn choose(question: &str, passages: &[Passage], max_chars: usize) -> Vec<Choice> {
    let mut candidates = candidates(passages);
    weigh(&mut candidates, &words(question), passages.len());
    let mut chosen: Vec<Candidate> = Vec::new();
    let mut room = max_chars;
    while chosen.len() < MOST {
        let Some(next) = next(&candidates, &chosen) else { break };
        let candidate = candidates.swap_remove(next);
        let best = chosen.first().map_or(candidate.worth, |first| first.worth);
        let length = candidate.unit.text.chars().count();
        if !chosen.is_empty() && (candidate.worth < best * WORTH_JOINING || length > room) {
            break;
        }
        room = room.saturating_sub(length);
        chosen.push(candidate);
    }
    in_reading_order(chosen)
}

/// The text of each delta: a sentence and its citation, with what separates it from the one before.
pub(super) fn write(choices: &[Choice]) -> Vec<String> {
    let list = choices.len() > 1 && choices.iter().any(|choice| choice.own_line);
    let line = |(at, choice): (usize, &Choice)| {
        let before = match (at, list) {
            (0, false) => "",
            (0, true) => "- ",
            (_, false) => " ",
            (_, true) => "\n- ",
        };
        format!("{before}{} [{}]", choice.text, choice.passage + 1)
    };
    choices.iter().enumerate().map(line).collect()
}

fn candidates(passages: &[Passage]) -> Vec<Candidate> {
    let of_passage = |(passage, from): (usize, &Passage)| {
        let title = words(&from.title);
        let candidate = move |(place, unit): (usize, Unit)| {
            let mut above = title.clone();
            above.extend(unit.heading.as_deref().map(words).unwrap_or_default());
            Candidate { passage, place, words: words(&unit.text), above, unit, worth: 0.0 }
        };
        units(&from.text).into_iter().enumerate().map(candidate).collect::<Vec<_>>()
    };
    passages.iter().enumerate().flat_map(of_passage).collect()
}

fn weigh(candidates: &mut [Candidate], question: &BTreeSet<String>, passages: usize) {
    let rarity = rarity(candidates, question);
    let whole: f64 = rarity.values().sum();
    for candidate in candidates {
        let held: f64 = rarity
            .iter()
            .map(|(word, weight)| match (candidate.words.contains(*word), candidate.above.contains(*word)) {
                (true, _) => *weight,
                (false, true) => *weight * ABOVE,
                (false, false) => 0.0,
            })
            .sum();
        let share = if whole > 0.0 { held / whole } else { 0.0 };
        let early = |at: usize, of: usize| 1.0 - at as f64 / of.max(1) as f64;
        let place =
            early(candidate.passage, passages) * PLACE + early(candidate.place.min(8), 9) * PLACE / 3.0;
        // A fragment of one or two words answers nothing by itself.
        let whole_sentence = if candidate.words.len() < 3 { 0.6 } else { 1.0 };
        candidate.worth = (share + place) * whole_sentence;
    }
}

/// The weight of each question word that any unit holds: `ln(1 + n / holders)`.
fn rarity<'q>(candidates: &[Candidate], question: &'q BTreeSet<String>) -> HashMap<&'q str, f64> {
    let n = candidates.len() as f64;
    let weight = |word: &'q String| {
        let holds = |c: &&Candidate| c.words.contains(word) || c.above.contains(word);
        let holders = candidates.iter().filter(holds).count();
        (holders > 0).then(|| (word.as_str(), (1.0 + n / holders as f64).ln()))
    };
    question.iter().filter_map(weight).collect()
}

/// The candidate of highest marginal relevance; the earlier one on a tie.
fn next(candidates: &[Candidate], chosen: &[Candidate]) -> Option<usize> {
    let marginal = |candidate: &Candidate| {
        let nearest = chosen.iter().map(|other| likeness(&candidate.words, &other.words)).fold(0.0, f64::max);
        // A near-copy is no second sentence at any worth.
        (nearest < 0.8).then_some(RELEVANCE * candidate.worth - (1.0 - RELEVANCE) * nearest)
    };
    let scored = candidates.iter().enumerate().filter_map(|(at, c)| Some((at, marginal(c)?)));
    let first_place = |at: usize| (candidates[at].passage, candidates[at].place);
    let best =
        scored.max_by(|(a, x), (b, y)| x.total_cmp(y).then_with(|| first_place(*b).cmp(&first_place(*a))));
    best.map(|(at, _)| at)
}

/// The different words of a text.
fn words(text: &str) -> BTreeSet<String> {
    words::words(text).into_iter().collect()
}

/// Jaccard likeness of two sets of words.
fn likeness(a: &BTreeSet<String>, b: &BTreeSet<String>) -> f64 {
    let both = a.intersection(b).count() as f64;
    let either = (a.len() + b.len()) as f64 - both;
    if either > 0.0 { both / either } else { 0.0 }
}

fn in_reading_order(chosen: Vec<Candidate>) -> Vec<Choice> {
    let first_of: Vec<usize> = chosen.iter().map(|candidate| candidate.passage).collect();
    let rank = |passage: usize| first_of.iter().position(|first| *first == passage);
    let mut choices: Vec<Choice> = chosen.into_iter().map(Choice::from).collect();
    choices.sort_by_key(|choice| (rank(choice.passage), choice.place));
    choices
}

// === impl Choice ===

impl From<Candidate> for Choice {
    fn from(candidate: Candidate) -> Self {
        let Candidate { passage, place, unit, .. } = candidate;
        let text = match unit.heading {
            // A row or an item often makes sense only under its heading.
            Some(heading) if unit.own_line && !unit.text.contains(&heading) => {
                format!("{}: {}", heading.trim_end_matches(':'), unit.text)
            }
            _ => unit.text,
        };
        Self { passage, place, text: shorten(text), own_line: unit.own_line }
    }
}

fn shorten(text: String) -> String {
    let Some((end, _)) = text.char_indices().nth(LONGEST) else { return text };
    let whole_words = text[..end].rsplit_once(' ').map_or(&text[..end], |(words, _)| words);
    format!("{whole_words} …")
}
