//! Text as it is searched: what people wrote in, letters without case, marks and invisible characters out.

use std::fmt;
use std::sync::LazyLock;

use unicode_normalization::char::decompose_compatible;

use crate::text::{bare, is_diacritic, is_ignorable};

/// The longest question, and the longest answer, that is searched to its end, in characters.
const LONGEST: usize = 16_384;
/// The letters in a row that an index of trigrams needs.
const TRIGRAM: usize = 3;
/// Characters below this are looked up; it is where the Latin letters with marks end.
const TABLE: usize = 0x1f00;

/// What to look for in questions and answers: a part of either, whatever its case and marks.
///
/// Nothing in it is a wildcard.
#[derive(Clone, PartialEq, Eq)]
pub struct SearchText(String);

/// What a character folds to when that is one ASCII character; else 0.
static PLAIN: LazyLock<[u8; TABLE]> = LazyLock::new(|| {
    let mut plain = [0; TABLE];
    for (c, plain) in (0_u32..).map_while(char::from_u32).zip(&mut plain) {
        let mut folded = String::new();
        each_folded(c, |c| folded.push(c));
        if let [one] = *folded.as_bytes() {
            *plain = one;
        }
    }
    plain
});

// === impl SearchText ===

impl SearchText {
    /// None when nothing is left to look for, as of marks alone.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Some(Self(fold(text))).filter(|text| !text.0.is_empty())
    }

    /// What `LIKE` compares `search_text` with.
    #[must_use]
    pub fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.0.len() + 8);
        pattern.push('%');
        for c in self.0.chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('%');
        pattern
    }

    /// True when an index of trigrams can find it: it has three letters or digits in a row.
    #[must_use]
    pub fn is_indexable(&self) -> bool {
        self.0.split(|c: char| !c.is_alphanumeric()).any(|word| word.chars().count() >= TRIGRAM)
    }
}

impl fmt::Debug for SearchText {
    /// Shows no text: it may be what a person wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchText").finish_non_exhaustive()
    }
}

/// What is searched of a row; none when there is neither a question nor an answer.
pub(super) fn of_row(question: Option<&str>, answer: Option<&str>) -> Option<String> {
    if question.is_none() && answer.is_none() {
        return None;
    }
    // white space is folded to spaces, so that nothing found begins in one and ends in the other
    let mut text = String::with_capacity(question.map_or(0, str::len) + answer.map_or(0, str::len) + 1);
    fold_into(question.unwrap_or_default(), &mut text);
    text.push('\n');
    fold_into(answer.unwrap_or_default(), &mut text);
    Some(text)
}

fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded);
    folded
}

/// White space becomes single spaces, with none at the ends.
fn fold_into(text: &str, folded: &mut String) {
    let begin = folded.len();
    let mut room = LONGEST;
    let mut push = |c: char| {
        let space = c == ' ' && (folded.len() == begin || folded.ends_with(' '));
        if !space && room > 0 {
            folded.push(c);
            room -= 1;
        }
        room > 0
    };
    for c in text.chars() {
        let more = match PLAIN.get(c as usize) {
            Some(&plain) if plain != 0 => push(char::from(plain)),
            _ => {
                let mut more = true;
                each_folded(c, |c| more = push(c));
                more
            }
        };
        if !more {
            break;
        }
    }
    if folded.len() > begin && folded.ends_with(' ') {
        folded.pop();
    }
}

fn each_folded(c: char, mut each: impl FnMut(char)) {
    // Postgres stores no NUL
    let c = if c == '\0' { '\u{fffd}' } else { c };
    decompose_compatible(c, |part| {
        if is_diacritic(part) || is_ignorable(part) {
            return;
        }
        for lower in part.to_lowercase() {
            match (bare(lower), lower) {
                (Some(letters), _) => letters.chars().for_each(&mut each),
                (None, '\t'..='\r' | '\u{85}' | '\u{1680}' | '\u{2028}' | '\u{2029}') => each(' '),
                (None, lower) => each(lower),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_marks_and_spacing_do_not_matter() {
        for (written, folded) in [
            ("Học phí  khóa\tIELTS", "hoc phi khoa ielts"),
            ("ĐƯỜNG Nguyễn Huệ", "duong nguyen hue"),
            ("ho\u{323}c phi\u{301}", "hoc phi"),
            ("  Crème\u{a0}brûlée\n", "creme brulee"),
            ("ＩＥＬＴＳ ６.５", "ielts 6.5"),
            ("Ærøskøbing, ŁÓDŹ, ﬁn", "aeroskobing, lodz, fin"),
            ("soft\u{ad}hyphen", "softhyphen"),
            ("ΟΔΥΣΣΕΎΣ", "οδυσσευσ"),
            ("Москва Ёлка", "москва елка"),
            ("日本 語", "日本 語"),
            ("", ""),
            (" \n ", ""),
            ("a\0b", "a\u{fffd}b"),
        ] {
            assert_eq!(fold(written), folded, "{written}");
        }
    }

    #[test]
    fn what_was_folded_stays() {
        for text in ["Học phí 6.500.000 đ", "İstanbul ǅ ﷺ", "한국어 が น้ำ"] {
            assert_eq!(fold(&fold(text)), fold(text), "{text}");
        }
    }

    #[test]
    fn a_row_is_searched_to_a_limit() {
        assert_eq!(of_row(None, None), None);
        assert_eq!(of_row(Some("Á "), None).as_deref(), Some("a\n"));
        assert_eq!(of_row(Some("Q"), Some(" A  b")).as_deref(), Some("q\na b"));
        let long = "ấ ".repeat(LONGEST);
        assert_eq!(of_row(Some(&long), Some(&long)).map(|text| text.len()), Some(2 * (LONGEST - 1) + 1));
    }

    #[test]
    fn nothing_is_a_wildcard_and_marks_alone_are_nothing() {
        let pattern = |text| SearchText::new(text).map(|text| text.pattern());
        assert_eq!(pattern("100%_\\").as_deref(), Some("%100\\%\\_\\\\%"));
        assert_eq!(pattern("\u{301} \u{200b}"), None);
        let indexable = |text| SearchText::new(text).is_some_and(|text| text.is_indexable());
        assert!(indexable("học") && indexable("a 6.500"));
        assert!(!indexable("ab cd") && !indexable("%%%") && !indexable("日本"));
    }
}
