//! Text to its normal form, and a word to its form without diacritics.

use unicode_normalization::UnicodeNormalization;

/// NFKC, full case folding, letters and digits that differ in encoding alone brought together, and invisible joiners
/// removed.
///
/// Case is folded as the lower case of the upper case of each character, which is Unicode's full folding but for the
/// Turkish dotless ı (here it meets i) and a few archaic letters.
///
/// The zero-width non-joiner is removed with them, but for Arabic script, where it parts a word's pieces and is as often
/// written as a space: there it becomes one.
pub(crate) fn normalize(text: &str) -> String {
    // most text is of letters that all of this leaves as they are but for their case, and which take the same room
    let mut lower = String::with_capacity(text.len());
    for c in text.chars() {
        match plain(c) {
            Some(c) => lower.push(c),
            None => return place_tones(normal(text)),
        }
    }
    place_tones(lower)
}

/// The lower case of a character of ASCII or of Vietnamese, alone or in any text of such: they neither compose nor join.
fn plain(c: char) -> Option<char> {
    Some(match c {
        '\0'..='\x7f' => c.to_ascii_lowercase(),
        'À'..='Ö' | 'Ø'..='Ý' => char::from(c as u8 + 0x20),
        'à'..='ö' | 'ø'..='ý' => c,
        'Ă' | 'Đ' | 'Ĩ' | 'Ũ' | 'Ơ' | 'Ạ'..='ỹ' => char::from_u32(c as u32 | 1)?,
        'Ư' => 'ư',
        'ă' | 'đ' | 'ĩ' | 'ũ' | 'ơ' | 'ư' => c,
        _ => return None,
    })
}

/// What [`normalize`] does to any text, but for the place of tones.
fn normal(text: &str) -> String {
    let mut before = ' ';
    text.nfkc()
        .map(|c| {
            let parts = c == '\u{200c}' && matches!(before, '\u{600}'..='\u{6ff}');
            before = c;
            if parts { ' ' } else { c }
        })
        .filter(|&c| !is_ignorable(c))
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .map(unify)
        .nfc()
        .collect()
}

/// Vietnamese sets a tone on either vowel of "oa", "oe" and "uy", as one has learnt it: "hóa" and "hoá" are one word.
/// The second vowel gets it here.
fn place_tones(text: String) -> String {
    const FIRST: [&str; 2] = ["òóỏõọ", "ùúủũụ"];
    const SECOND: [(&str, char, &str); 3] = [("o", 'a', "àáảãạ"), ("o", 'e', "èéẻẽẹ"), ("u", 'y', "ỳýỷỹỵ")];
    let toned = |c| matches!(c, 'ò' | 'ó' | 'ỏ' | 'õ' | 'ọ' | 'ù' | 'ú' | 'ủ' | 'ũ' | 'ụ');
    if text.is_ascii() || !text.contains(toned) {
        return text;
    }
    let mut placed = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if !toned(c) {
            placed.push(c);
            continue;
        }
        let tone = |first: &str| first.chars().position(|toned| toned == c);
        let (bare, tone) = match (tone(FIRST[0]), tone(FIRST[1])) {
            (Some(tone), _) => ("o", tone),
            (_, Some(tone)) => ("u", tone),
            _ => {
                placed.push(c);
                continue;
            }
        };
        let second = SECOND.iter().find(|(first, plain, _)| *first == bare && chars.peek() == Some(plain));
        match second.and_then(|(_, _, toned)| toned.chars().nth(tone)) {
            Some(toned) => {
                chars.next();
                placed.push_str(bare);
                placed.push(toned);
            }
            None => placed.push(c),
        }
    }
    placed
}

/// A normalised word without its diacritics; none when it has none. Only scripts in which a mark is written onto a
/// letter that stands without it are touched: Latin, Greek, Cyrillic, Arabic, Hebrew. An Indic vowel sign stays.
pub(crate) fn fold(word: &str) -> Option<String> {
    if word.is_ascii() {
        return None;
    }
    let letters: Option<String> = word.chars().map(letter).collect();
    letters.or_else(|| marked(word))
}

/// The letter below the marks of a character of Vietnamese and its neighbours, in lower case; itself for one of ASCII.
fn letter(c: char) -> Option<char> {
    Some(match c {
        '\0'..='\x7f' => c,
        // every second one is upper case
        'Ạ'..='ỹ' if (c as u32).is_multiple_of(2) => return None,
        'à'..='å' | 'ă' | 'ạ'..='ặ' => 'a',
        'ç' => 'c',
        'đ' | 'ð' => 'd',
        'è'..='ë' | 'ẹ'..='ệ' => 'e',
        'ì'..='ï' | 'ĩ' | 'ỉ'..='ị' => 'i',
        'ñ' => 'n',
        'ò'..='ö' | 'ø' | 'ơ' | 'ọ'..='ợ' => 'o',
        'ù'..='ü' | 'ũ' | 'ư' | 'ụ'..='ự' => 'u',
        'ý' | 'ÿ' | 'ỳ'..='ỹ' => 'y',
        _ => return None,
    })
}

/// What [`fold`] does to any word.
fn marked(word: &str) -> Option<String> {
    let mut folded = String::with_capacity(word.len());
    for c in word.nfd().filter(|&c| !is_diacritic(c)) {
        match bare(c) {
            Some(letters) => folded.push_str(letters),
            None => folded.push(c),
        }
    }
    if !folded.is_ascii() {
        folded = folded.nfc().collect();
    }
    (folded != word && !folded.is_empty()).then_some(folded)
}

/// Characters that join or hide and are written by some and left out by others.
pub(crate) fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{640}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

pub(crate) fn is_diacritic(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}'
        | '\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}'
        | '\u{6df}'..='\u{6e4}' | '\u{6e7}' | '\u{6e8}' | '\u{6ea}'..='\u{6ed}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// One letter or digit for those that are the same to a reader.
fn unify(c: char) -> char {
    const ZEROS: [u32; 11] = [0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xe50, 0xed0];
    match c {
        'ى' | 'ي' | 'ې' | 'ۍ' => 'ی',
        'ك' | 'ڪ' => 'ک',
        'ہ' | 'ھ' | 'ە' => 'ه',
        '\u{2018}' | '\u{2019}' | '\u{2bc}' => '\'',
        '\u{660}'..='\u{ed9}' => ZEROS
            .iter()
            .map(|zero| (c as u32).wrapping_sub(*zero))
            .find(|digit| *digit < 10)
            .and_then(|digit| char::from_digit(digit, 10))
            .unwrap_or(c),
        _ => c,
    }
}

/// Letters whose stroke, hook or ligature is no combining mark.
pub(crate) fn bare(c: char) -> Option<&'static str> {
    Some(match c {
        'đ' | 'ð' => "d",
        'ø' => "o",
        'ł' => "l",
        'ħ' => "h",
        'ŧ' => "t",
        'ı' => "i",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        'ة' => "ه",
        'ٱ' => "ا",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_read_the_same_become_the_same() {
        for (a, b) in [
            ("ＩＥＬＴＳ　６.５", "ielts 6.5"),
            ("Straße", "STRASSE"),
            ("khóa hòa khỏe thúy", "khoá hoà khoẻ thuý"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
            ("ho\u{323}c phi\u{301}", "HỌC PHÍ"),
            ("ﾀﾜｰ", "タワー"),
            ("كتاب", "کتاب"),
            ("می\u{200c}شود", "می شود"),
            ("क्\u{200c}ष", "क्ष"),
            ("۱۲۳", "123"),
            ("१२३", "123"),
            ("ﬁn", "FIN"),
        ] {
            assert_eq!(normalize(a), normalize(b), "{a} {b}");
        }
    }

    #[test]
    fn the_short_way_gives_what_the_long_way_gives() {
        let all: Vec<char> = (0..0x3000).filter_map(char::from_u32).filter(|&c| plain(c).is_some()).collect();
        assert!(all.len() > 128 + 60 + 90, "{}", all.len());
        // each before and after each: nothing composes, nothing joins
        for &a in &all {
            let text: String = all.iter().flat_map(|&b| [a, b]).collect();
            let short: Option<String> = text.chars().map(plain).collect();
            assert_eq!(short, Some(normal(&text)), "{a}");
        }
        assert!(all.contains(&'Ễ') && all.contains(&'ư') && !all.contains(&'ß') && !all.contains(&'İ'));
        assert_eq!(plain('\u{301}'), None);
        for &c in all.iter().filter(|c| !c.is_ascii()) {
            // upper case is not folded, and æ is two letters
            assert_eq!(letter(c).is_some(), c.is_lowercase() && c != 'æ', "{c}");
            let word = format!("a{c}z");
            assert_eq!(fold(&word), marked(&word), "{c}");
        }
    }

    #[test]
    fn diacritics_fold_where_a_letter_stands_without_them() {
        for (word, folded) in [
            ("đường", Some("duong")),
            ("học", Some("hoc")),
            ("crème", Some("creme")),
            ("łódź", Some("lodz")),
            ("άνθρωπος", Some("ανθρωποσ")),
            ("أحمد", Some("احمد")),
            ("plain", None),
            ("हिन्दी", None),
            ("น้ำ", None),
            ("が", None),
            ("한국", None),
        ] {
            assert_eq!(fold(&normalize(word)).as_deref(), folded, "{word}");
        }
    }
}
