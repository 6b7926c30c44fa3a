//! Words that say whose they are, and where they are found again.

use std::collections::BTreeSet;

/// What no other word begins with.
const MARK: &str = "zq";

/// The `n`-th word of an owner: letters alone, so that no mask takes it for a telephone number.
pub fn word(owner: u64, n: u64) -> String {
    format!("{MARK}{}v{}", letters(owner), letters(n))
}

/// True when the word is one of that owner's.
pub fn is_of(owner: u64, word: &str) -> bool {
    word.strip_prefix(MARK)
        .and_then(|rest| rest.split_once('v'))
        .is_some_and(|(whose, _)| whose == letters(owner))
}

/// The marked words of a text.
pub fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.starts_with(MARK))
        .map(Into::into)
        .collect()
}

/// Six letters of `a` to `t`, which the two marks are not among.
fn letters(mut n: u64) -> String {
    (0..6)
        .map(|_| {
            let letter = char::from(b'a' + (n % 20) as u8);
            n /= 20;
            letter
        })
        .collect()
}

#[test]
fn a_word_is_its_owners_alone() {
    let text = format!("The fee is {}, and ({}).", word(7, 1), word(8, 1));
    assert_eq!(words(&text), BTreeSet::from([word(7, 1), word(8, 1)]));
    assert!(is_of(7, &word(7, 123_456)) && !is_of(7, &word(8, 123_456)) && !is_of(7, "zq"));
}
