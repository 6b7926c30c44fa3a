//! Texts as words without case and diacritics, for comparing what people type.

use unicode_segmentation::UnicodeSegmentation;

use crate::text;

/// The words of a text, lower case, without diacritics (`đ` becomes `d`), in order, repeats kept.
///
/// ```
/// use rag_tower::words::words;
/// assert_eq!(words("Học phí IELTS, bao nhiêu?"), words("hoc phi ielts bao nhieu"));
/// ```
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    fold(text).unicode_words().map(str::to_owned).collect()
}

/// A text in its [normal form](crate::text), lower case, without diacritics.
#[must_use]
pub fn fold(text: &str) -> String {
    let normal = text::normalize(text);
    text::fold(&normal).unwrap_or(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_meet_whatever_their_diacritics_and_case() {
        assert_eq!(words("Học phí IELTS, bao nhiêu?"), ["hoc", "phi", "ielts", "bao", "nhieu"]);
        assert_eq!(words("Đăng ký"), ["dang", "ky"]);
        assert_eq!(fold("Học phí: 5 triệu"), "hoc phi: 5 trieu");
    }
}
