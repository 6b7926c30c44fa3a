//! A text in, the numbers of its known tokens out: BERT's normaliser and splitting, then the longest pieces first
//! (Wu et al., *Google's Neural Machine Translation System*, 2016; the greedy form of Devlin et al., 2019).

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A vocabulary of words and of pieces inside words.
pub(super) struct WordPiece {
    vocabulary: HashMap<Box<str>, usize>,
    tokens: usize,
    unknown: Option<usize>,
    prefix: String,
    longest: usize,
    lowercase: bool,
    strip: bool,
}

#[derive(Deserialize)]
struct Tokenizer {
    normalizer: Option<Normalizer>,
    pre_tokenizer: Option<Kind>,
    model: Value,
}

#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

#[derive(Deserialize)]
struct Normalizer {
    r#type: String,
    #[serde(default)]
    lowercase: bool,
    strip_accents: Option<bool>,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<Box<str>, usize>,
    unk_token: Option<String>,
    #[serde(default)]
    continuing_subword_prefix: String,
    max_input_chars_per_word: Option<usize>,
}

// === impl WordPiece ===

impl WordPiece {
    /// Reads a `tokenizer.json`. The error says what was expected.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let broken = |_| "expected a tokenizer as JSON".to_owned();
        let tokenizer: Tokenizer = serde_json::from_slice(json).map_err(broken)?;
        let kind = tokenizer.model.get("type").and_then(Value::as_str).unwrap_or("none");
        if kind != "WordPiece" {
            return Err(format!("expected a tokenizer of the kind WordPiece, found {kind}"));
        }
        let normalizer = tokenizer.normalizer.filter(|had| had.r#type == "BertNormalizer");
        let splits = tokenizer.pre_tokenizer.filter(|had| had.r#type == "BertPreTokenizer");
        let (Some(normalizer), Some(_)) = (normalizer, splits) else {
            return Err("expected a WordPiece with BertNormalizer and BertPreTokenizer".to_owned());
        };
        let model = Model::deserialize(tokenizer.model).map_err(broken)?;
        Ok(Self {
            tokens: model.vocab.values().max().map_or(0, |most| most.saturating_add(1)),
            unknown: model.unk_token.and_then(|token| model.vocab.get(token.as_str()).copied()),
            vocabulary: model.vocab,
            prefix: model.continuing_subword_prefix,
            longest: model.max_input_chars_per_word.unwrap_or(100),
            lowercase: normalizer.lowercase,
            strip: normalizer.strip_accents.unwrap_or(normalizer.lowercase),
        })
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.tokens
    }

    /// The first `most` known tokens of a text.
    pub(super) fn tokens(&self, text: &str, most: usize) -> Vec<usize> {
        let text = self.normalize(text);
        let mut tokens = Vec::new();
        for word in words(&text) {
            if tokens.len() >= most {
                break;
            }
            self.pieces(word, &mut tokens);
        }
        tokens.retain(|token| Some(*token) != self.unknown);
        tokens.truncate(most);
        tokens
    }

    fn normalize(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '\0' | '\u{fffd}' => {}
                c if c.is_whitespace() => clean.push(' '),
                c if c.is_control() => {}
                c if is_ideograph(c) => clean.extend([' ', c, ' ']),
                c => clean.push(c),
            }
        }
        if self.strip {
            clean = clean.nfd().filter(|c| !is_combining_mark(*c)).collect();
        }
        if self.lowercase { clean.to_lowercase() } else { clean }
    }

    /// The pieces of a word, or none when a part of it is in no piece.
    fn pieces(&self, word: &str, tokens: &mut Vec<usize>) {
        if word.chars().count() > self.longest {
            return;
        }
        let before = tokens.len();
        let mut rest = word;
        let mut piece = String::new();
        while !rest.is_empty() {
            let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8()).collect::<Vec<_>>();
            let found = ends.into_iter().rev().find_map(|end| {
                let part = rest.get(..end)?;
                piece.clear();
                piece.push_str(if rest.len() == word.len() { "" } else { &self.prefix });
                piece.push_str(part);
                Some((end, *self.vocabulary.get(piece.as_str())?))
            });
            let Some((end, token)) = found else {
                tokens.truncate(before);
                return;
            };
            tokens.push(token);
            rest = rest.get(end..).unwrap_or_default();
        }
    }
}

/// Runs between spaces, with each punctuation mark alone.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ')
        .flat_map(|run| {
            run.split_inclusive(is_punctuation).flat_map(|part| {
                let mark = part.char_indices().next_back().filter(|(_, c)| is_punctuation(*c));
                let at = mark.map_or(part.len(), |(at, _)| at);
                [&part[..at], &part[at..]]
            })
        })
        .filter(|word| !word.is_empty())
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c,
            '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' | '\u{55a}'..='\u{55f}'
            | '\u{5be}' | '\u{5f3}' | '\u{5f4}' | '\u{60c}' | '\u{61b}' | '\u{61f}' | '\u{66a}'..='\u{66d}'
            | '\u{6d4}' | '\u{964}' | '\u{965}' | '\u{e4f}' | '\u{e5a}' | '\u{e5b}' | '\u{2010}'..='\u{2027}'
            | '\u{2030}'..='\u{2043}' | '\u{2045}'..='\u{2051}' | '\u{2053}'..='\u{205e}' | '\u{2e00}'..='\u{2e4f}'
            | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}' | '\u{30fb}'
            | '\u{fe30}'..='\u{fe52}' | '\u{ff01}'..='\u{ff03}' | '\u{ff05}'..='\u{ff0a}' | '\u{ff0c}'..='\u{ff0f}'
            | '\u{ff1a}' | '\u{ff1b}' | '\u{ff1f}' | '\u{ff20}' | '\u{ff3b}'..='\u{ff3d}' | '\u{ff5f}'..='\u{ff65}')
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2fa1f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(lowercase: bool) -> WordPiece {
        let words = ["[UNK]", "un", "##aff", "##able", "aff", ",", "东", "京", "Cafe", "cafe", "café"];
        let vocab: serde_json::Map<_, _> =
            words.iter().enumerate().map(|(at, word)| ((*word).to_owned(), at.into())).collect();
        let json = serde_json::json!({
            "normalizer": {"type": "BertNormalizer", "lowercase": lowercase},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": vocab},
        });
        WordPiece::parse(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_longest_pieces_come_first_and_a_word_in_no_pieces_is_unknown() {
        for (text, tokens) in [
            ("unaffable", &[1, 2, 3][..]),
            ("  Un,AFF\n", &[1, 5, 4]),
            ("unaffected", &[]),
            ("东京", &[6, 7]),
            ("Café", &[9]),
            ("[UNK]", &[]),
            ("", &[]),
        ] {
            assert_eq!(pieces(true).tokens(text, 9), tokens, "{text}");
        }
        assert_eq!(pieces(false).tokens("Cafe café", 9), [8, 10]);
        assert_eq!(pieces(true).tokens("unaffable", 2), [1, 2]);
        assert_eq!(pieces(true).tokens(&"a".repeat(200), 9), [0; 0]);
    }

    proptest! {
        #[test]
        fn any_text_has_tokens_of_the_vocabulary(text in "\\PC{0,60}") {
            let pieces = pieces(true);
            prop_assert!(pieces.tokens(&text, 9).iter().all(|token| (1..pieces.len()).contains(token)));
        }
    }
}
