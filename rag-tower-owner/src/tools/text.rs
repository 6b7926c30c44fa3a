//! Questions as words, and the language they are in.

use rag_tower::memory::History;
use rag_tower::words::fold;

/// The language of a question, and so of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Vietnamese,
    English,
}

/// Words that say which language a question is in when it has no diacritics. Words of both languages are in neither list.
const VIETNAMESE: [&str; 64] = [
    "bao", "nhieu", "hoc", "phi", "khoa", "cho", "toi", "em", "minh", "va", "voi", "khong", "co", "duoc",
    "giup", "tinh", "lop", "nao", "gi", "nguoi", "neu", "muon", "nen", "tien", "gia", "sanh", "khac", "nhau",
    "goi", "lai", "nho", "cua", "thi", "nay", "nhe", "dang", "ky", "het", "cong", "moi", "mot", "nhan",
    "vien", "lien", "dien", "thoai", "lam", "sao", "la", "thoi", "hoac", "sinh", "giam", "uu", "dai", "tra",
    "gop", "dot", "ban", "hai", "bon", "chau", "roi", "oi",
];
const ENGLISH: [&str; 58] = [
    "the",
    "is",
    "are",
    "how",
    "much",
    "what",
    "for",
    "and",
    "with",
    "of",
    "to",
    "in",
    "a",
    "i",
    "me",
    "my",
    "you",
    "do",
    "does",
    "which",
    "please",
    "can",
    "cost",
    "costs",
    "price",
    "fee",
    "fees",
    "course",
    "courses",
    "compare",
    "between",
    "or",
    "on",
    "at",
    "it",
    "if",
    "we",
    "pay",
    "total",
    "want",
    "call",
    "back",
    "two",
    "three",
    "people",
    "person",
    "children",
    "would",
    "speak",
    "number",
    "phone",
    "need",
    "versus",
    "better",
    "difference",
    "not",
    "no",
    "tuition",
];

// === impl Language ===

impl Language {
    /// The language of a question; of the conversation's last telling question when this one does not tell; else English.
    pub(super) fn of(question: &str, history: Option<&History>) -> Self {
        let earlier = history.map(|history| history.recent_messages_buffer.as_slice()).unwrap_or_default();
        Self::told_by(question)
            .or_else(|| earlier.iter().rev().find_map(|turn| Self::told_by(&turn.question)))
            .unwrap_or(Self::English)
    }

    fn told_by(text: &str) -> Option<Self> {
        // Of the languages in Latin script Vietnamese alone has these letters.
        if text
            .chars()
            .any(|c| matches!(c, 'ă' | 'Ă' | 'ơ' | 'Ơ' | 'ư' | 'Ư' | 'đ' | 'Đ' | '\u{1ea0}'..='\u{1ef9}'))
        {
            return Some(Self::Vietnamese);
        }
        let words = words(text);
        let count = |list: &[&str]| words.iter().filter(|word| list.contains(&word.as_str())).count();
        match count(&VIETNAMESE).cmp(&count(&ENGLISH)) {
            std::cmp::Ordering::Greater => Some(Self::Vietnamese),
            std::cmp::Ordering::Less => Some(Self::English),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// The text in this language.
    pub(super) fn pick<'a>(self, english: &'a str, vietnamese: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Vietnamese => vietnamese,
        }
    }

    /// An amount of dong: `9.600.000 đ` or `9,600,000 VND`.
    pub(super) fn vnd(self, amount: u64) -> String {
        let (mark, unit) = match self {
            Self::English => (',', " VND"),
            Self::Vietnamese => ('.', " đ"),
        };
        let digits = amount.to_string();
        let mut out = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                out.push(mark);
            }
            out.push(digit);
        }
        out + unit
    }
}

/// The words of a text without case and diacritics. A decimal is one word with a point (`6,5` is `6.5`), and a figure is a
/// word of its own after three letters or more (`ielts6.5`).
pub(super) fn words(text: &str) -> Vec<String> {
    let folded: Vec<char> = fold(text).chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for (at, &c) in folded.iter().enumerate() {
        let digit_follows = folded.get(at + 1).is_some_and(char::is_ascii_digit);
        let is_figure = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
        if c.is_alphanumeric() {
            let letters = word.chars().filter(|c| c.is_alphabetic()).count();
            if c.is_ascii_digit() && letters >= 3 && letters == word.chars().count() {
                words.push(std::mem::take(&mut word));
            }
            word.push(c);
        } else if is_figure && matches!(c, '.' | ',') && digit_follows {
            word.push('.');
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// Where these words stand in a row.
pub(super) fn find<'a>(words: &'a [String], phrase: &'a [String]) -> impl Iterator<Item = usize> + 'a {
    let windows = words.windows(phrase.len().max(1)).enumerate();
    windows.filter(move |(_, window)| *window == phrase).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_decimals_and_meet_without_diacritics() {
        assert_eq!(words("Học phí IELTS 6,5?"), words("hoc phi ielts6.5"));
        assert_eq!(words("kèm 1-1, từ 6.5,7.0. Đợt 2."), ["kem", "1", "1", "tu", "6.5", "7.0", "dot", "2"]);
        assert_eq!(words("B1 -> 6.5+"), ["b1", "6.5"]);
        assert!(words(" ?! ").is_empty());
    }

    #[test]
    fn the_language_shows_with_and_without_diacritics() {
        for (text, language) in [
            ("Học phí IELTS 6.5 là bao nhiêu?", Some(Language::Vietnamese)),
            ("hoc phi business english bao nhieu", Some(Language::Vietnamese)),
            ("so sanh ielts 5.5 va ielts 6.5", Some(Language::Vietnamese)),
            ("goi lai cho minh so 0987000222", Some(Language::Vietnamese)),
            ("How much is IELTS 6.5?", Some(Language::English)),
            ("Compare Movers and Flyers", Some(Language::English)),
            ("Please call me back on 0912 000 111", Some(Language::English)),
            ("IELTS 6.5", None),
            ("0912 000 111", None),
        ] {
            assert_eq!(Language::told_by(text), language, "{text}");
        }
        assert_eq!(Language::of("IELTS 6.5", None), Language::English);
    }

    #[test]
    fn amounts_are_written_as_each_language_writes_them() {
        assert_eq!(Language::Vietnamese.vnd(9_600_000), "9.600.000 đ");
        assert_eq!(Language::English.vnd(9_600_000), "9,600,000 VND");
        assert_eq!(
            (Language::English.vnd(0), Language::English.vnd(100)),
            ("0 VND".into(), "100 VND".into())
        );
    }
}
