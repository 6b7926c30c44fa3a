//! A word in, what it shares with its inflected forms out.

/// Letters that stand for a longer word: truncation to five, which in European languages finds about as much as a stemmer
/// made for each of them (McNamee, Nicholas and Mayfield, *Addressing morphological variation in alphabetic languages*,
/// 2009) and needs to know neither the language nor its endings.
const LETTERS: usize = 5;

/// What Arabic writes onto the beginning of a noun: the article, alone and behind a conjunction or preposition.
const ARTICLES: [&str; 6] = ["وال", "بال", "کال", "فال", "لل", "ال"];

/// Gives the stems of a normalised word without diacritics. The beginning of a longer word is marked with a star, which
/// no word holds, so that it meets other beginnings only.
pub(super) fn stems(word: &str, mut stem: impl FnMut(&str)) {
    let letters = |word: &str| word.chars().count();
    let bare =
        ARTICLES.iter().find_map(|article| word.strip_prefix(article).filter(|rest| letters(rest) >= 3));
    let word = bare.unwrap_or(word);
    if bare.is_some() {
        stem(word);
    }
    let count = letters(word);
    let mut cut = |length: usize| {
        let cut: String = word.chars().take(length).chain(['*']).collect();
        stem(&cut);
    };
    if count >= LETTERS {
        cut(LETTERS);
    }
    // the ending of a short word is among its first five letters
    if (LETTERS..=LETTERS + 1).contains(&count) {
        cut(LETTERS - 1);
    }
    // a short word is too short to be cut, and its plural too
    if (4..=LETTERS + 1).contains(&count)
        && let Some(singular) = word.strip_suffix('s').filter(|rest| !rest.ends_with('s'))
    {
        stem(singular);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(word: &str) -> Vec<String> {
        let mut found = Vec::new();
        stems(word, |stem| found.push(stem.to_owned()));
        found
    }

    #[test]
    fn forms_of_a_word_share_a_stem_and_others_do_not() {
        for (a, b) in [
            ("computation", "computer"),
            ("wings", "wing"),
            ("городами", "городах"),
            ("музея", "музей"),
            ("kitaplar", "kitapların"),
            ("الکتاب", "کتاب"),
            ("والمدرسة", "المدرسة"),
        ] {
            let others: Vec<String> =
                b.split_whitespace().flat_map(|b| of(b).into_iter().chain([b.to_owned()])).collect();
            assert!(of(a).iter().any(|stem| others.contains(stem)), "{a} {b}");
        }
        assert_eq!(of("wing"), Vec::<String>::new());
        assert_eq!(of("glass"), ["glass*", "glas*"]);
        assert_eq!(of("planes"), ["plane*", "plan*", "plane"]);
    }
}
