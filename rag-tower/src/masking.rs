//! Telephone numbers and e-mail addresses in free text: finding them, and hiding them from people who need not know.
//!
//! A telephone number shows its first two and last three digits (`09****123`), an e-mail address its first letter and
//! its domain (`l***@example.com`). Masking prefers to hide too much: it also hides what only looks like a number.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// A telephone number that can be called: Vietnamese (`0912 000 123`, `+84 912.000.123`, `024 3555 0123`), or of any
/// country with `+`. `Debug` shows it masked.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Phone(String);

/// Digits that belong together, and where they stand.
struct Run {
    /// From the sign or the first digit to the last digit.
    range: Range<usize>,
    /// True with a leading `+`.
    plus: bool,
    digits: String,
}

/// What may stand between two digits of a number.
const BETWEEN: [char; 10] =
    [' ', '.', '-', '(', ')', '\u{a0}', '\u{2010}', '\u{2011}', '\u{2013}', '\u{202f}'];
/// At most so many of them in a row.
const MAX_BETWEEN: usize = 3;

// === impl Phone ===

impl Phone {
    /// The first telephone number in a text.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        runs(text, exact).next().and_then(|run| run.phone())
    }

    /// The number: `0…` for a Vietnamese one, else `+…`, digits only. It is personal data.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number as it may be shown: `09****123`.
    #[must_use]
    pub fn masked(&self) -> String {
        phone(&self.0)
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Phone").field(&self.masked()).finish()
    }
}

/// A field that holds a telephone number, masked: `09****123`. Fewer than seven digits show nothing.
#[must_use]
pub fn phone(number: &str) -> String {
    let plus = if number.trim_start().starts_with('+') { "+" } else { "" };
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    if digits.len() < 7 {
        return "****".into();
    }
    let (first, last) = (&digits[..2], &digits[digits.len() - 3..]);
    plus.chars().chain(first.iter().copied()).chain("****".chars()).chain(last.iter().copied()).collect()
}

/// A free text with every telephone number and e-mail address in it masked.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    let mut hidden: Vec<(Range<usize>, String)> = locals(text)
        .map(|range| (range.clone(), text[range].chars().take(1).chain("***".chars()).collect()))
        .collect();
    hidden.extend(runs(text, loose).map(|run| (run.range.clone(), phone(&text[run.range]))));
    if hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    hidden.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (range, mask) in hidden {
        if range.start >= done {
            out.push_str(&text[done..range.start]);
            out.push_str(&mask);
            done = range.end;
        } else if range.end > done {
            // A number that runs into an address: the rest of the address is hidden as well.
            out.push_str("***");
            done = range.end;
        }
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

// === impl Run ===

impl Run {
    fn phone(&self) -> Option<Phone> {
        let digits = self.digits.as_str();
        let national = match (self.plus, digits.strip_prefix("0084").or_else(|| digits.strip_prefix("84"))) {
            (_, Some(rest)) if !digits.starts_with('0') || digits.starts_with("0084") => {
                Some(format!("0{}", rest.strip_prefix('0').unwrap_or(rest)))
            }
            (false, _) => Some(digits.to_owned()),
            (true, _) => None,
        };
        match national {
            Some(number) => is_vietnamese(&number).then_some(Phone(number)),
            None => (8..=15).contains(&digits.len()).then(|| Phone(format!("+{digits}"))),
        }
    }
}

/// A mobile number has 10 digits and begins with 03, 05, 07, 08 or 09; a landline has 11 and begins with 02.
fn is_vietnamese(number: &str) -> bool {
    match number.as_bytes() {
        [b'0', b'3' | b'5' | b'7' | b'8' | b'9', ..] => number.len() == 10,
        [b'0', b'2', ..] => number.len() == 11,
        _ => false,
    }
}

/// A number that can be called.
fn exact(run: &Run) -> bool {
    run.phone().is_some()
}

/// A number that can be called, or what a mistyped one looks like.
fn loose(run: &Run) -> bool {
    exact(run) || ((run.plus || run.digits.starts_with('0')) && (8..=15).contains(&run.digits.len()))
}

/// The numbers that `fits` takes, left to right, none overlapping. Of those that begin at the same digit the longest is
/// taken.
fn runs(text: &str, fits: fn(&Run) -> bool) -> impl Iterator<Item = Run> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(offset) = text[from..].find(|c: char| c.is_ascii_digit() || c == '+') {
            let start = from + offset;
            match longest(text, start, fits) {
                Some(run) => {
                    from = run.range.end;
                    return Some(run);
                }
                None => from = after_digits(text, start),
            }
        }
        None
    })
}

/// The longest number that begins here and ends where its last group of digits does.
fn longest(text: &str, start: usize, fits: fn(&Run) -> bool) -> Option<Run> {
    let plus = text[start..].starts_with('+');
    let mut run = Run { range: start..start, plus, digits: String::new() };
    let mut best = None;
    let mut between = 0;
    let mut group = 0;
    let body = start + usize::from(plus);
    for (at, c) in text[body..].char_indices().map(|(at, c)| (body + at, c)) {
        if c.is_ascii_digit() {
            between = 0;
            run.digits.push(c);
            run.range.end = at + 1;
            if run.digits.len() > 17 {
                break;
            }
            group += 1;
            // A time or a date goes on with a colon or a slash after one or two digits.
            let mut rest = text[at + 1..].chars();
            let ends = match (rest.next(), rest.next()) {
                (Some(':' | '/'), Some(after)) => group > 2 || !after.is_ascii_digit(),
                (next, _) => next.is_none_or(|next| !next.is_ascii_digit()),
            };
            if ends && fits(&run) {
                best = Some(Run { range: run.range.clone(), plus, digits: run.digits.clone() });
            }
        } else if BETWEEN.contains(&c) && between < MAX_BETWEEN {
            between += 1;
            group = 0;
        } else {
            break;
        }
    }
    best
}

/// Where the digits that begin here end.
fn after_digits(text: &str, start: usize) -> usize {
    let rest = &text[start + 1..];
    start + 1 + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
}

/// What stands before the `@` of each e-mail address in a text.
fn locals(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices('@').filter_map(|(at, _)| {
        let local = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-');
        let host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
        let start = text[..at].char_indices().rev().take_while(|(_, c)| local(*c)).last()?.0;
        let rest = &text[at + 1..];
        let end = rest.find(|c: char| !host(c)).unwrap_or(rest.len());
        rest[..end].trim_end_matches(['.', '-']).contains('.').then_some(start..at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_are_found_however_they_are_typed() {
        for (text, number) in [
            ("Gọi số 0912000123 nhé", "0912000123"),
            ("0912 000 123", "0912000123"),
            ("sđt:0912.000.123.", "0912000123"),
            ("0912-000-123, cảm ơn", "0912000123"),
            ("(0912) 000 123", "0912000123"),
            ("09 12 00 01 23", "0912000123"),
            ("0912 - 000 - 123", "0912000123"),
            ("+84912000123", "0912000123"),
            ("+84 912 000 123", "0912000123"),
            ("+84 (0)912 000 123", "0912000123"),
            ("84 912 000 123", "0912000123"),
            ("0084 912 000 123", "0912000123"),
            ("so em la 0356000123 a", "0356000123"),
            ("sdt0778000123", "0778000123"),
            ("IELTS 6.5, 0588 000 123", "0588000123"),
            ("6.5 0888000123", "0888000123"),
            ("024 3555 0123", "02435550123"),
            ("+1 415 555 0123", "+14155550123"),
            ("0912 000 123 hoặc 0987 000 222", "0912000123"),
            ("0912 000 123 0987 000 222", "0912000123"),
        ] {
            assert_eq!(Phone::find(text).as_ref().map(Phone::as_str), Some(number), "{text}");
        }
    }

    #[test]
    fn other_figures_are_not_phones() {
        for text in [
            "IELTS 6.5 giá 10.500.000 đ",
            "091200012",
            "09120001234",
            "0112 000 123",
            "08-10-2026 19:00",
            "8/10/2026",
            "0.5 + 0.7",
            "+84",
            "",
            "+",
            "12345678901234567890",
        ] {
            assert_eq!(Phone::find(text), None, "{text}");
        }
    }

    #[test]
    fn masked_text_keeps_everything_else() {
        for (raw, masked) in [
            ("Gọi 0912 000 123 nhé, mai 9h", "Gọi 09****123 nhé, mai 9h"),
            ("+84912000123", "+84****123"),
            ("call 0912000123: when?", "call 09****123: when?"),
            ("0912 000 123/0987000222", "09****123/09****222"),
            ("0912000123/ sáng", "09****123/ sáng"),
            ("mistyped: 0912 000 12", "mistyped: 09****012"),
            ("0912000123 và 0987.000.222!", "09****123 và 09****222!"),
            ("lan.anh+x@mail.example.com.", "l***@mail.example.com."),
            ("0912000123@example.com", "0***@example.com"),
            ("0912 000 123abc@example.com", "09****123***@example.com"),
            ("a@b.c@d.e", "a***@b***@d.e"),
            ("học phí 10.500.000 đ, 6.5", "học phí 10.500.000 đ, 6.5"),
            ("a @ b, @name", "a @ b, @name"),
        ] {
            assert_eq!(text(raw), masked, "{raw}");
        }
        assert!(matches!(text("không có gì"), Cow::Borrowed(_)));
        assert_eq!((phone("0912 000 123"), phone("12345")), ("09****123".into(), "****".into()));
        assert_eq!(format!("{:?}", Phone::find("0912000123").unwrap()), "Phone(\"09****123\")");
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_masked_and_masking_twice_changes_nothing(raw in "[0-9+@. a-zđ()-]{0,60}") {
            let once = text(&raw).into_owned();
            proptest::prop_assert_eq!(text(&once).into_owned(), once.clone());
            proptest::prop_assert_eq!(Phone::find(&once), None);
        }
    }
}
