//! Text in, sentences out, for answers that quote.

/// Cuts a text into sentences, each trimmed and a slice of the text.
///
/// Blocks come first: a blank line, a heading, a list item, a table row or a code fence ends what came before, whether
/// or not a full stop does; other line breaks are spaces. Inside a block a sentence ends after `. ! ? …` and their
/// kin in other scripts, with closing quotes and brackets, when a space follows and the next word does not begin in
/// lower case. A full stop after an initial, a list number or a usual abbreviation ends nothing.
#[must_use]
pub fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut block: Option<(usize, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let (start, end) = (at, at + line.len());
        at = end;
        let shown = line.trim();
        let alone = shown.starts_with('#') || shown.starts_with('|') || shown.starts_with("```");
        if shown.is_empty() || alone || is_item(shown) {
            close(text, block.take(), &mut found);
        }
        if shown.starts_with("```") || is_rule(shown) {
            continue;
        }
        if alone {
            found.extend((!shown.is_empty()).then_some(shown));
        } else if !shown.is_empty() {
            block = Some((block.map_or(start, |(from, _)| from), end));
        }
    }
    close(text, block, &mut found);
    found
}

fn close<'t>(text: &'t str, block: Option<(usize, usize)>, found: &mut Vec<&'t str>) {
    let Some(block) = block.and_then(|(from, to)| text.get(from..to)) else { return };
    let mut start = 0;
    for (at, c) in block.char_indices() {
        let after = at + c.len_utf8();
        if at < start || !ends_sentence(c) {
            continue;
        }
        let rest = &block[after..];
        let closing = rest.find(|c| !(is_closer(c) || ends_sentence(c))).unwrap_or(rest.len());
        let next = &rest[closing..];
        let cut = match c {
            '。' | '！' | '？' | '｡' => true,
            _ => {
                next.starts_with(char::is_whitespace)
                    && !next.trim_start().starts_with(char::is_lowercase)
                    && !(c == '.' && abbreviates(&block[start..at]))
            }
        };
        if cut {
            push(&block[start..after + closing], found);
            start = after + closing;
        }
    }
    push(&block[start..], found);
}

fn push<'t>(sentence: &'t str, found: &mut Vec<&'t str>) {
    let sentence = sentence.trim();
    if sentence.chars().any(char::is_alphanumeric) {
        found.push(sentence);
    }
}

fn ends_sentence(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？' | '｡' | '؟' | '۔' | '।' | '॥' | '։' | '።')
}

fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '}' | '»' | '”' | '’' | '」' | '』' | '）' | '*' | '_')
}

/// True when the full stop after this text belongs to its last word.
fn abbreviates(before: &str) -> bool {
    const KNOWN: [&str; 48] = [
        "mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g", "i.e", "eg", "ie", "cf", "no", "nr", "vol",
        "fig", "p", "pp", "approx", "inc", "ltd", "co", "tp", "ths", "ts", "pgs", "gs", "bs", "tt", "q",
        "bzw", "z.b", "v", "jr", "gen", "col", "lt", "sgt", "capt", "gov", "sen", "rev", "sr", "sra", "av",
        "ул", "г", "см",
    ];
    let word = before.rsplit(char::is_whitespace).next().unwrap_or(before);
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let lower = word.to_lowercase();
    let mut chars = word.chars();
    let initial = matches!((chars.next(), chars.next()), (Some(c), None) if c.is_uppercase());
    // "1." opens a block; "in 2024." closes a sentence.
    let number = word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit()) && before.trim() == word;
    initial || number || KNOWN.contains(&lower.as_str())
}

fn is_item(line: &str) -> bool {
    if line.starts_with("- ") || line.starts_with("* ") || line.starts_with("+ ") || line.starts_with("• ")
    {
        return true;
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    (1..=3).contains(&digits) && (line[digits..].starts_with(". ") || line[digits..].starts_with(") "))
}

/// A rule, an underline or a table's ruling: no letter in it.
fn is_rule(line: &str) -> bool {
    !line.is_empty() && line.chars().all(|c| matches!(c, '-' | '=' | '*' | '_' | '|' | ':' | ' '))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_of_prose() {
        for (text, expected) in [
            ("One. Two! Three? Four", &["One.", "Two!", "Three?", "Four"][..]),
            (
                "Dr. Lan teaches at 6.30 p.m. daily. Ask her.",
                &["Dr. Lan teaches at 6.30 p.m. daily.", "Ask her."],
            ),
            ("He said \"Stop.\" Then left.", &["He said \"Stop.\"", "Then left."]),
            (
                "Học phí là 2.500.000đ. Khai giảng ở TP. Hồ Chí Minh.",
                &["Học phí là 2.500.000đ.", "Khai giảng ở TP. Hồ Chí Minh."],
            ),
            ("你好。再见！", &["你好。", "再见！"]),
            ("यह है। वह है।", &["यह है।", "वह है।"]),
            ("Wait... what? J. Smith came.", &["Wait... what?", "J. Smith came."]),
            ("", &[]),
            ("...", &[]),
        ] {
            assert_eq!(sentences(text), expected, "{text}");
        }
    }

    #[test]
    fn blocks_of_markdown() {
        let text = "# Fees\n\nA line that is\nwrapped. Next\n- one item\n- two. Still two.\n1. First\n\n| a | b |\n|---|---|\n| c | d |\n---\nEnd";
        assert_eq!(
            sentences(text),
            [
                "# Fees",
                "A line that is\nwrapped.",
                "Next",
                "- one item",
                "- two.",
                "Still two.",
                "1. First",
                "| a | b |",
                "| c | d |",
                "End"
            ]
        );
    }

    proptest! {
        #[test]
        fn no_word_is_lost_or_doubled(text in "[a-zA-ZộД中 .!?\n#*-]{0,120}") {
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            prop_assert_eq!(letters(&sentences(&text).concat()), letters(&text));
        }
    }
}
