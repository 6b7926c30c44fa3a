//! A text in, a sparse vector of length at most 1 out: its words, their neighbours, and pieces of its words.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use unicode_segmentation::UnicodeSegmentation;

use crate::text::{each_term, fnv1a, fnv1a_after};
use crate::words;

/// A sparse vector: column and value, columns ascending.
pub(super) type Vector = Vec<(u32, f32)>;

/// The features that examples have, and how much each says.
///
/// Three kinds, each weighed by `(1 + ln tf) · (1 + ln((1 + N) / (1 + n)))`, brought to length 1 and multiplied by its
/// kind's share; then the whole is brought to length 1:
///
/// - words and neighbouring pairs of words, the text's begin and end counting as neighbours (share 1);
/// - pairs of words with one or two others between them (share 0.5);
/// - pieces of 2 to 5 characters of each word with the space around it (share 1), which is what typing errors, endings
///   and scripts without spaces leave in common.
///
/// Features that no example has count in the lengths though they have no column: a text about something else is short, and
/// so far from all examples.
///
/// Case and diacritics do not count; words are those of the [tokenizer](crate::text).
#[derive(Clone, Debug)]
pub(super) struct Features {
    known: HashMap<u64, Known, Hashed>,
    unseen: f32,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    column: u32,
    idf: f32,
}

/// The keys are hashes already.
type Hashed = BuildHasherDefault<Itself>;

#[derive(Default)]
struct Itself(u64);

/// A kind of features.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Words,
    Apart,
    Pieces,
}

/// How often each feature of each [`Kind`] occurs in a text, ascending by id.
type Counts = [Vec<(u64, u32)>; 3];

/// The most features that are kept, those of most examples first: what bounds the size of a model.
const MOST: usize = 1 << 17;
/// From so many examples on, a feature that only one of them has is not kept: there is nothing that it has in common.
const MANY_EXAMPLES: usize = 1000;
/// How many words can stand between a pair.
const APART: usize = 2;
/// The longest text that is looked at, in characters: a question is shorter, and the work is bounded.
const LONGEST: usize = 1000;
/// The longest pieces of words, in characters.
const PIECE: usize = 5;

// === impl Itself ===

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn write(&mut self, key: &[u8]) {
        self.0 = fnv1a_after(self.0, key);
    }
}

// === impl Kind ===

impl Kind {
    const ALL: [Self; 3] = [Self::Words, Self::Apart, Self::Pieces];

    const fn share(self) -> f32 {
        match self {
            Self::Words | Self::Pieces => 1.0,
            Self::Apart => 0.5,
        }
    }
}

// === impl Features ===

impl Features {
    /// Learns the features of the texts, and gives the vector of each.
    pub(super) fn learn(texts: &[&str]) -> (Self, Vec<Vector>) {
        let counted: Vec<Counts> = texts.iter().map(|text| counts(text)).collect();
        let mut seen_in: HashMap<u64, usize> = HashMap::new();
        for &(id, _) in counted.iter().flatten().flatten() {
            *seen_in.entry(id).or_default() += 1;
        }
        let least = if texts.len() < MANY_EXAMPLES { 1 } else { 2 };
        let mut kept: Vec<(u64, usize)> = seen_in.into_iter().filter(|(_, n)| *n >= least).collect();
        kept.sort_unstable_by_key(|&(id, n)| (usize::MAX - n, id));
        kept.truncate(MOST);
        let idf = |n: usize| 1.0 + ((1 + texts.len()) as f32 / (1 + n) as f32).ln();
        let known = (0..).zip(kept).map(|(column, (id, n))| (id, Known { column, idf: idf(n) })).collect();
        let features = Self { known, unseen: idf(0) };
        let vectors = counted.iter().map(|counts| features.weigh(counts)).collect();
        (features, vectors)
    }

    /// How many columns there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The vector of a text: empty when it has nothing in common with any example.
    pub(super) fn vector(&self, text: &str) -> Vector {
        self.weigh(&counts(text))
    }

    fn weigh(&self, counts: &Counts) -> Vector {
        let mut vector: Vector = Vec::with_capacity(counts.iter().map(Vec::len).sum());
        let mut shares = 0.0;
        for (kind, counts) in Kind::ALL.into_iter().zip(counts) {
            let (start, mut squares) = (vector.len(), 0.0);
            for &(id, tf) in counts {
                let known = self.known.get(&id);
                let value = (1.0 + (tf as f32).ln()) * known.map_or(self.unseen, |known| known.idf);
                squares += value * value;
                vector.extend(known.map(|known| (known.column, value)));
            }
            if squares > 0.0 {
                scale(&mut vector[start..], kind.share() / squares.sqrt());
                shares += kind.share() * kind.share();
            }
        }
        if shares > 0.0 {
            scale(&mut vector, 1.0 / shares.sqrt());
        }
        vector.sort_unstable_by_key(|&(column, _)| column);
        vector
    }
}

fn scale(vector: &mut [(u32, f32)], by: f32) {
    vector.iter_mut().for_each(|(_, value)| *value *= by);
}

fn counts(text: &str) -> Counts {
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| at);
    let text = words::fold(&text[..end]);
    let mut all = [text.len() / 2, text.len() / 2, 4 * text.len()].map(Vec::<u64>::with_capacity);
    // The kind is part of the key, so that a word and a piece that read the same are two features.
    let mut count = |kind, key: u64| all[kind as usize].push(key.wrapping_add(kind as u64));
    // the words, one after the other, and where each ends
    let (mut found, mut ends) = (String::with_capacity(2 * text.len()), Vec::new());
    each_term(&text, |term, _| {
        found.push_str(term);
        ends.push(found.len());
    });
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let words: Vec<&str> = starts.zip(&ends).map(|(start, end)| &found[start..*end]).collect();
    let pair =
        |word: &str, other: &str| fnv1a_after(fnv1a_after(fnv1a(word.as_bytes()), b" "), other.as_bytes());
    for (at, word) in words.iter().enumerate() {
        count(Kind::Words, fnv1a(word.as_bytes()));
        count(Kind::Words, pair(if at == 0 { "" } else { words[at - 1] }, word));
        for other in words.iter().skip(at + 2).take(APART) {
            count(Kind::Apart, pair(word, other));
        }
    }
    if let Some(last) = words.last() {
        count(Kind::Words, pair(last, ""));
    }
    for word in text.split(|c: char| c.is_whitespace() || c.is_ascii_punctuation()).filter(|w| !w.is_empty())
    {
        pieces(word, |piece| count(Kind::Pieces, piece));
    }
    all.map(|mut ids| {
        ids.sort_unstable();
        ids.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)).collect()
    })
}

/// The hash of each piece of 2 to [`PIECE`] characters, as a reader sees characters, of a word and the space around it.
fn pieces(word: &str, mut piece: impl FnMut(u64)) {
    let padded = format!(" {word} ");
    let mut bounds: Vec<usize> = match padded.is_ascii() {
        true => (0..padded.len()).collect(),
        false => padded.grapheme_indices(true).map(|(at, _)| at).collect(),
    };
    bounds.push(padded.len());
    for at in 0..bounds.len() {
        // a longer piece begins as the shorter one, and so does its hash
        let mut hash = fnv1a(b"");
        for (size, bounds) in (1..=PIECE).zip(bounds[at..].windows(2)) {
            hash = fnv1a_after(hash, &padded.as_bytes()[bounds[0]..bounds[1]]);
            if size > 1 {
                piece(hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &Vector, b: &Vector) -> f32 {
        a.iter().filter_map(|(x, v)| b.iter().find(|(y, _)| x == y).map(|(_, w)| v * w)).sum()
    }

    #[test]
    fn a_vector_has_length_one_when_all_is_known_and_ascending_columns() {
        let (features, vectors) =
            Features::learn(&["transfer fifty to savings", "what is the weather", "转账到储蓄"]);
        assert!(vectors.iter().all(|vector| (cosine(vector, vector) - 1.0).abs() < 1e-5));
        let partly = features.vector("transfer the weather");
        let strange = features.vector("transfer the unheard-of dromedary");
        assert!(cosine(&partly, &partly) < 1.0 && cosine(&strange, &strange) < cosine(&partly, &partly));
        for vector in vectors.iter().chain([&partly]) {
            assert!(vector.windows(2).all(|pair| pair[0].0 < pair[1].0));
            assert!(vector.iter().all(|(column, _)| (*column as usize) < features.len()));
        }
        assert!(features.vector("").is_empty() && features.vector("?!").is_empty());
    }

    #[test]
    fn what_is_written_alike_is_near_in_every_script() {
        for (text, near, far) in [
            ("transfer money", "transfering the money", "book a flight"),
            ("học phí bao nhiêu", "HOC PHI bao nhiu", "thời tiết hôm nay"),
            ("我想预订酒店", "预订一家酒店", "今天天气怎么样"),
            ("จองโรงแรมให้หน่อย", "อยากจองโรงแรม", "อากาศวันนี้เป็นอย่างไร"),
            ("होटल बुक करना है", "होटल की बुकिंग", "आज का मौसम"),
            ("забронировать гостиницу", "бронирование гостиницы", "какая погода"),
            ("أريد حجز فندق", "حجز الفندق", "كيف الطقس اليوم"),
        ] {
            let (_, vectors) = Features::learn(&[text, near, far]);
            let [text, near, far] = [0, 1, 2].map(|at| &vectors[at]);
            assert!(
                cosine(text, near) > cosine(text, far) + 0.1,
                "{} {}",
                cosine(text, near),
                cosine(text, far)
            );
        }
    }

    #[test]
    fn a_long_text_is_cut_before_it_costs() {
        let (features, _) = Features::learn(&["word"]);
        let long = format!("word {}", "x ".repeat(1 << 20));
        assert!(features.vector(&long).len() < 20);
        assert!(counts(&long).iter().flatten().map(|(_, tf)| tf).sum::<u32>() < 10_000);
    }
}
