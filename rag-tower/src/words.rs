//! Texts as words without case and diacritics, for comparing what people type.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

/// The words of a text, lower case, without diacritics (`đ` becomes `d`), in order, repeats kept.
pub fn words(text: &str) -> Vec<String> {
    fold(text).unicode_words().map(str::to_owned).collect()
}

/// A text in lower case without diacritics.
pub fn fold(text: &str) -> String {
    text.nfkd()
        .filter(|&c| !is_combining_mark(c))
        .flat_map(char::to_lowercase)
        .map(|c| if c == 'đ' { 'd' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_meet_whatever_their_diacritics_and_case() {
        assert_eq!(words("Học phí IELTS, bao nhiêu?"), words("hoc phi ielts bao nhieu"));
        assert_eq!(words("Đăng ký"), ["dang", "ky"]);
    }
}
