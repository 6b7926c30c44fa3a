//! The best units for a question, and how they read together.

use super::units::{Unit, units};
use super::weigh::{Terms, weigh};
use crate::passage::Passage;

/// The most sentences of an answer.
const MOST: usize = 3;
/// A sentence joins the best one when it is worth at least this share of it.
const WORTH_JOINING: f64 = 0.55;
/// How much relevance counts against novelty (the lambda of maximal marginal relevance).
const RELEVANCE: f64 = 0.7;
/// Sentences as alike as this are one sentence.
const COPY: f64 = 0.8;
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

/// A unit, where it stands, and what it is worth.
pub(super) struct Candidate {
    /// The place of its passage.
    pub(super) passage: usize,
    /// Its own place in the passage.
    pub(super) place: usize,
    pub(super) unit: Unit,
    pub(super) terms: Terms,
    /// The terms of the title and the heading above it.
    pub(super) above: Terms,
    pub(super) worth: f64,
}

/// The units to answer with, in reading order: the passage of the best unit first, each passage's units together in
/// their own order. At most `max_chars` characters, but always one unit when there is any.
pub(super) fn choose(question: &str, passages: &[Passage], max_chars: usize) -> Vec<Choice> {
    let mut candidates = candidates(passages);
    weigh(&mut candidates, question, passages);
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
        let candidate = move |(place, unit): (usize, Unit)| {
            let above = format!("{}\n{}", from.title, unit.heading.as_deref().unwrap_or_default());
            let (terms, above) = (Terms::of(&unit.text), Terms::of(&above));
            Candidate { passage, place, unit, terms, above, worth: 0.0 }
        };
        units(&from.text).into_iter().enumerate().map(candidate).collect::<Vec<_>>()
    };
    passages.iter().enumerate().flat_map(of_passage).collect()
}

/// The candidate of highest marginal relevance; the earlier one on a tie.
fn next(candidates: &[Candidate], chosen: &[Candidate]) -> Option<usize> {
    let marginal = |candidate: &Candidate| {
        let likeness = |other: &Candidate| candidate.terms.likeness(&other.terms);
        let nearest = chosen.iter().map(likeness).fold(0.0, f64::max);
        // A near-copy is no second sentence at any worth.
        (nearest < COPY).then_some(RELEVANCE * candidate.worth - (1.0 - RELEVANCE) * nearest)
    };
    let scored = candidates.iter().enumerate().filter_map(|(at, c)| Some((at, c, marginal(c)?)));
    let place = |c: &Candidate| (c.passage, c.place);
    let best = scored.max_by(|(_, a, x), (_, b, y)| x.total_cmp(y).then_with(|| place(b).cmp(&place(a))));
    best.map(|(at, ..)| at)
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
