//! Texts that nobody wrote, with the statistics of texts that somebody did: words by Zipf's law, documents about
//! something, and questions about them. The same in every run.

use std::fmt::Write as _;

/// Words that all documents draw from.
const VOCABULARY: usize = 40_000;
/// Words that a document is about.
const TOPIC: usize = 24;
/// The first words by frequency are grammar: nobody is about them.
const GRAMMAR: usize = 400;
/// Words in a chunk, at least, and the most on top of that.
const CHUNK: (usize, usize) = (60, 120);
/// Words in a question, at least, and the most on top of that.
const QUESTION: (usize, usize) = (4, 6);

/// A source of words, chunks and questions.
#[derive(Debug)]
pub struct Corpus {
    words: Vec<String>,
    /// The running sum of the words' frequencies.
    sums: Vec<f64>,
    random: Random,
}

/// The numbers of SplitMix64 from a seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

// === impl Corpus ===

impl Corpus {
    /// The corpus of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let words = (0..VOCABULARY).map(word).collect();
        let mut sum = 0.0;
        let sums = (1..=VOCABULARY)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        Self { words, sums, random: Random(seed) }
    }

    /// The chunks of one document.
    pub fn document(&mut self, chunks: usize) -> Vec<String> {
        let topic: Vec<usize> =
            (0..TOPIC).map(|_| GRAMMAR + self.random.below(VOCABULARY - GRAMMAR)).collect();
        (0..chunks)
            .map(|_| {
                let length = CHUNK.0 + self.random.below(CHUNK.1);
                let mut text = String::new();
                for n in 0..length {
                    // every third word is of the topic, its first words more often than its last
                    let at = if self.random.below(3) == 0 {
                        let (a, b) = (self.random.below(TOPIC), self.random.below(TOPIC));
                        topic[a.min(b)]
                    } else {
                        self.by_frequency()
                    };
                    text.push_str(if n == 0 { "" } else { " " });
                    text.push_str(&self.words[at]);
                }
                text
            })
            .collect()
    }

    /// A question that a chunk answers: some of its words, and one in eight of them misspelt.
    pub fn question(&mut self, chunk: &str) -> String {
        let words: Vec<&str> = chunk.split(' ').collect();
        let mut text = String::new();
        for _ in 0..QUESTION.0 + self.random.below(QUESTION.1) {
            let word = words[self.random.below(words.len())];
            let kept = if self.random.below(8) == 0 { &word[..word.len() - 1] } else { word };
            let _ = write!(text, "{kept} ");
        }
        text.trim_end().to_owned()
    }

    fn by_frequency(&mut self) -> usize {
        let total = self.sums.last().copied().unwrap_or(1.0);
        let at = self.random.unit() * total;
        self.sums.partition_point(|sum| *sum < at).min(VOCABULARY - 1)
    }
}

/// The n-th most frequent word, by syllables: frequent words are short.
fn word(n: usize) -> String {
    const FIRST: [&str; 16] =
        ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "tr", "ch"];
    const LAST: [&str; 20] = [
        "a", "e", "i", "o", "u", "an", "en", "in", "on", "un", "ar", "er", "or", "as", "es", "os", "al",
        "el", "it", "at",
    ];
    let syllables = FIRST.len() * LAST.len();
    let mut rest = n;
    let mut text = String::new();
    loop {
        // a stride that has no factor in common with the number of syllables spreads neighbours
        let syllable = (rest * 187 + 61) % syllables;
        text.push_str(FIRST[syllable % FIRST.len()]);
        text.push_str(LAST[syllable / FIRST.len()]);
        rest /= syllables;
        if rest == 0 {
            return text;
        }
        rest -= 1;
    }
}

// === impl Random ===

impl Random {
    /// The numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `end`, which is above 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn words_differ_and_follow_zipf() {
        let mut corpus = Corpus::new(1);
        // some words are built of other syllables to the same letters, as in life
        assert!(corpus.words.iter().collect::<HashSet<_>>().len() > VOCABULARY * 99 / 100);
        let mut counts = HashMap::<usize, usize>::new();
        for _ in 0..100_000 {
            *counts.entry(corpus.by_frequency()).or_default() += 1;
        }
        let ratio = counts[&0] as f64 / counts[&9] as f64;
        assert!(
            (8.0..12.5).contains(&ratio),
            "the first word comes ten times as often as the tenth: {ratio}"
        );
    }

    #[test]
    fn a_seed_gives_the_same_texts_and_a_question_is_about_its_chunk() {
        let (mut one, mut two) = (Corpus::new(7), Corpus::new(7));
        let (a, b) = (one.document(3), two.document(3));
        assert_eq!(a, b);
        let question = one.question(&a[1]);
        let held = question.split(' ').filter(|word| a[1].contains(word)).count();
        assert_eq!(held, question.split(' ').count());
        assert_ne!(Corpus::new(8).document(1), a[..1]);
    }
}
