//! A model's text in pieces in, the same text without citations of what was never given out.

/// Lets through the citations `[1]` to `[n]` of an answer that was given `n` passages, and removes every other.
///
/// A model may cite `[99]`, a passage of an earlier turn, or a number that its instructions were made to contain. Text
/// goes in as it streams, in any pieces: a marker that is split over several is held until it is whole, and held text is
/// never longer than a marker or a piece of inline code can be.
///
/// - Several numbers in one marker are judged one by one: of `[1, 99]` with two passages `[1]` stays.
/// - Full-width and lenticular brackets, and digits of other scripts, count too; what stays is written `[n]`.
/// - The space before a marker that goes, goes with it where punctuation or the end follows.
/// - Code, in fences or between backticks in one line, is left alone: `a[99]` is no citation there.
///
/// ```
/// use rag_tower::answer::CitationFilter;
///
/// let mut filter = CitationFilter::new(2);
/// let mut said = filter.push("The fee is ten [1][9").to_owned();
/// said += filter.push("9]. It is due at once ［２］.");
/// said += filter.finish();
/// assert_eq!(said, "The fee is ten [1]. It is due at once [2].");
/// assert_eq!((filter.kept(), filter.removed()), (2, 1));
/// ```
#[derive(Clone, Debug)]
pub struct CitationFilter {
    passages: usize,
    kept: u64,
    removed: u64,
    /// Spaces that may be followed by a marker, then what may become one.
    spaces: String,
    held: String,
    /// Where in `held` each open bracket stands: one inside another must not become a marker when the inner one goes.
    open: Vec<usize>,
    /// True right after a marker was removed.
    after_removed: bool,
    code: Code,
    /// What the last piece gave. It is here so that a piece costs no allocation.
    out: String,
}

/// Whether we are in code.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Code {
    /// No code; true at the start of a line, where a fence may begin.
    No { line_start: bool },
    /// Backticks, so far this many.
    Ticks(usize, bool),
    /// Between backticks: held until they close, since they may never.
    Inline { ticks: usize, text: String },
    /// A backtick without its partner: no more code in this line.
    Unclosed,
    /// Between fences of at least three backticks; how many of the closing one have come.
    Fenced(usize),
}

/// Where text stops being plain.
const MARKS: [char; 4] = ['[', '［', '【', '`'];
/// What goes with a marker that it stands before.
const SPACES: [char; 2] = [' ', '\u{a0}'];
/// The longest marker, in bytes, and how deep brackets are followed.
const MARKER: usize = 64;
const DEPTH: usize = 8;
/// The longest inline code, in bytes.
const INLINE: usize = 200;

// === impl CitationFilter ===

impl CitationFilter {
    /// A filter for an answer that was given this many passages.
    #[must_use]
    pub fn new(passages: usize) -> Self {
        Self {
            passages,
            kept: 0,
            removed: 0,
            spaces: String::new(),
            held: String::new(),
            open: Vec::new(),
            after_removed: false,
            code: Code::No { line_start: true },
            out: String::new(),
        }
    }

    /// Takes the next piece of text, and gives what is certain by now.
    pub fn push(&mut self, mut text: &str) -> &str {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        while !text.is_empty() {
            let (plain, marked) = text.split_at(self.plain(text));
            if !plain.is_empty() {
                self.pass(plain, &mut out);
            }
            let mut marked = marked.chars();
            if let Some(c) = marked.next() {
                self.step(c, &mut out);
            }
            text = marked.as_str();
        }
        self.out = out;
        &self.out
    }

    /// Gives what was held; call it once, at the end.
    pub fn finish(&mut self) -> &str {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        match std::mem::replace(&mut self.code, Code::Unclosed) {
            Code::Ticks(ticks, _) => self.plain_ticks(ticks, &mut out),
            Code::Inline { ticks, text } => self.never_closed(ticks, &text, &mut out),
            Code::No { .. } | Code::Unclosed | Code::Fenced(_) => {}
        }
        self.release(&mut out);
        if !self.after_removed {
            out.push_str(&self.spaces);
        }
        self.spaces.clear();
        self.out = out;
        &self.out
    }

    /// How many citations of given passages have passed.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// How many citations were removed.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.removed
    }

    /// How many bytes of the text need no step of their own: nothing is held, and no mark begins there.
    fn plain(&self, text: &str) -> usize {
        let outside = matches!(self.code, Code::No { .. } | Code::Unclosed);
        if !outside || self.after_removed || !self.held.is_empty() {
            return 0;
        }
        text.find(MARKS).unwrap_or(text.len())
    }

    /// Does at once what a step for each character of plain text would do.
    fn pass(&mut self, plain: &str, out: &mut String) {
        let said = plain.trim_end_matches(SPACES);
        if !said.is_empty() {
            out.push_str(&self.spaces);
            self.spaces.clear();
            out.push_str(said);
        }
        self.spaces.push_str(&plain[said.len()..]);
        let mut line = plain;
        if let Some((_, last)) = plain.rsplit_once('\n') {
            self.code = Code::No { line_start: true };
            line = last;
        }
        if let Code::No { line_start } = &mut self.code {
            *line_start &= line.chars().all(char::is_whitespace);
        }
    }

    fn step(&mut self, c: char, out: &mut String) {
        match &mut self.code {
            Code::Fenced(closing) => {
                *closing = if c == '`' { *closing + 1 } else { 0 };
                if *closing == 3 {
                    self.code = Code::Unclosed;
                }
                out.push(c);
            }
            Code::Ticks(ticks, _) if c == '`' => *ticks += 1,
            Code::Ticks(ticks, line_start) => {
                let (ticks, line_start) = (*ticks, *line_start);
                if ticks >= 3 && line_start {
                    self.release(out);
                    self.plain_ticks(ticks, out);
                    self.code = Code::Fenced(0);
                    out.push(c);
                } else {
                    self.code = Code::Inline { ticks, text: String::new() };
                    self.step(c, out);
                }
            }
            Code::Inline { ticks, text } => {
                text.push(c);
                let run = text.len() - text.trim_end_matches('`').len();
                let (ticks, closed) = (*ticks, run == *ticks);
                if closed {
                    let text = std::mem::take(text);
                    self.release(out);
                    self.plain_ticks(ticks, out);
                    out.push_str(&text);
                    self.code = Code::No { line_start: false };
                } else if c == '\n' || text.len() > INLINE {
                    let text = std::mem::take(text);
                    self.code = Code::Unclosed;
                    self.never_closed(ticks, &text, out);
                }
            }
            Code::No { line_start } if c == '`' => self.code = Code::Ticks(1, *line_start),
            Code::No { .. } | Code::Unclosed => {
                if c == '\n' {
                    self.code = Code::No { line_start: true };
                } else if !c.is_whitespace()
                    && let Code::No { line_start } = &mut self.code
                {
                    *line_start = false;
                }
                self.text(c, out);
            }
        }
    }

    /// A character outside of code.
    fn text(&mut self, c: char, out: &mut String) {
        match c {
            '[' | '［' | '【' if self.open.len() < DEPTH => {
                self.open.push(self.held.len());
                self.held.push(c);
            }
            '[' | '［' | '【' => self.removed += 1,
            ']' | '］' | '】' if !self.open.is_empty() => self.close(c, out),
            _ if !self.open.is_empty() && self.may_be_in_marker(c) => {
                if self.held.len() < MARKER {
                    self.held.push(c);
                } else {
                    // No citation is as long; without its brackets what follows cannot become one either.
                    self.removed += 1;
                    self.held.retain(|c| !matches!(c, '[' | '［' | '【'));
                    self.release(out);
                    self.text(c, out);
                }
            }
            ' ' | '\u{a0}' if self.open.is_empty() => {
                // Where a marker went, the space before it is enough.
                if !self.after_removed || self.spaces.is_empty() {
                    self.spaces.push(c);
                }
            }
            _ => {
                self.release(out);
                let drops = self.after_removed
                    && !(c.is_alphanumeric() || matches!(c, '(' | '"' | '“' | '«' | '*' | '_'));
                if !drops {
                    out.push_str(&self.spaces);
                }
                self.spaces.clear();
                self.after_removed = false;
                out.push(c);
            }
        }
    }

    /// Numbers and what parts them; in lenticular brackets also the name that some models add (`【1†source】`).
    fn may_be_in_marker(&self, c: char) -> bool {
        let lenticular = self.open.last().is_some_and(|at| self.held[*at..].starts_with('【'));
        digit(c).is_some()
            || matches!(c, ' ' | ',' | '，' | '、' | ';' | '-' | '–' | '^')
            || (lenticular && c != '\n')
    }

    fn close(&mut self, close: char, out: &mut String) {
        let Some(at) = self.open.pop() else { return };
        let inside = self.held[at..].to_owned();
        let Some(numbers) = numbers(&inside) else {
            self.held.push(close);
            self.release(out);
            return;
        };
        self.held.truncate(at);
        let good: Vec<usize> = numbers.iter().copied().filter(|n| (1..=self.passages).contains(n)).collect();
        self.removed += (numbers.len() - good.len()) as u64;
        self.kept += good.len() as u64;
        if good.is_empty() {
            self.after_removed |= self.open.is_empty();
            return;
        }
        for n in good {
            self.held.push_str(&format!("[{n}]"));
        }
        self.release(out);
        self.after_removed = false;
    }

    /// Gives what is held as text: it is no marker.
    fn release(&mut self, out: &mut String) {
        if !self.held.is_empty() {
            out.push_str(&self.spaces);
            self.spaces.clear();
            self.after_removed = false;
            out.push_str(&std::mem::take(&mut self.held));
        }
        self.open.clear();
    }

    fn plain_ticks(&mut self, ticks: usize, out: &mut String) {
        for _ in 0..ticks {
            self.text('`', out);
        }
    }

    /// What came after backticks that nothing closes is text like any other.
    fn never_closed(&mut self, ticks: usize, text: &str, out: &mut String) {
        self.plain_ticks(ticks, out);
        for c in text.chars() {
            self.step(c, out);
        }
    }
}

/// The numbers of a marker without its closing bracket; none when it holds no number. A range stands for its ends and
/// what is between.
fn numbers(marker: &str) -> Option<Vec<usize>> {
    let inside: String = marker.chars().skip(1).take_while(|c| *c != '†').collect();
    let mut numbers: Vec<usize> = Vec::new();
    let (mut current, mut range) = (None::<usize>, false);
    for c in inside.chars().chain([',']) {
        if let Some(digit) = digit(c) {
            current = Some(current.unwrap_or(0).saturating_mul(10).saturating_add(digit));
            continue;
        }
        if let Some(number) = current.take() {
            match numbers.last() {
                // A range of more than a marker can sensibly hold keeps its ends alone, which are judged like others.
                Some(&first) if range && number > first && number - first <= 32 => {
                    numbers.extend(first + 1..=number);
                }
                _ => numbers.push(number),
            }
            range = false;
        }
        match c {
            '-' | '–' => range = true,
            ' ' | ',' | '，' | '、' | ';' | '^' => {}
            _ => return None,
        }
    }
    (!numbers.is_empty()).then_some(numbers)
}

/// The value of a decimal digit: ASCII, full-width, and the scripts that write their own.
fn digit(c: char) -> Option<usize> {
    const ZEROS: [char; 9] = ['0', '０', '٠', '۰', '०', '০', '๐', '໐', '၀'];
    ZEROS.iter().map(|zero| (c as usize).wrapping_sub(*zero as usize)).find(|digit| *digit < 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(passages: usize, text: &str) -> (String, u64, u64) {
        let mut filter = CitationFilter::new(passages);
        let said = filter.push(text).to_owned() + filter.finish();
        (said, filter.kept(), filter.removed())
    }

    #[test]
    fn what_was_given_stays_and_everything_else_goes() {
        for (text, expected, kept, removed) in [
            ("Ten [1][2].", "Ten [1][2].", 2, 0),
            ("Ten [99].", "Ten.", 0, 1),
            ("Ten [99] and more [1].", "Ten and more [1].", 1, 1),
            ("Ten [1, 99; 2].", "Ten [1][2].", 2, 1),
            ("Ten [1-3].", "Ten [1][2].", 2, 1),
            ("Ten ［２］ và 【1】, 【9†source】.", "Ten [2] và [1],.", 2, 1),
            ("Ten [۱] [٢] [۹]", "Ten [1] [2]", 2, 1),
            ("[0] Ten", "Ten", 0, 1),
            ("[99]", "", 0, 1),
            ("see [the list] and [a1] []", "see [the list] and [a1] []", 0, 0),
            ("an open [1", "an open [1", 0, 0),
            ("an open [", "an open [", 0, 0),
            ("trailing  ", "trailing  ", 0, 0),
            ("[[99]42] x", "x", 0, 2),
            ("[[1]]", "[[1]]", 1, 0),
            ("[[[[[[[[[99]42]7]7]7]7]7]7]7]7]", "7]7]", 0, 9),
            ("`a[99]` and a[99]", "`a[99]` and a", 0, 1),
            ("a lone ` and [99]", "a lone ` and", 0, 1),
            ("```\na[99]\n```\nb[99]", "```\na[99]\n```\nb", 0, 1),
            ("Học phí [1] là [7] mười", "Học phí [1] là mười", 1, 1),
            ("[18446744073709551999]", "", 0, 1),
        ] {
            let (said, good, bad) = whole(2, text);
            assert_eq!((said.trim_start(), good, bad), (expected, kept, removed), "{text}");
        }
    }

    #[test]
    fn text_without_markers_comes_out_at_once() {
        let mut filter = CitationFilter::new(1);
        assert_eq!(filter.push("All is "), "All is");
        assert_eq!(filter.push("well ["), " well");
        assert_eq!(filter.push("1"), "");
        assert_eq!(filter.push("]!"), " [1]!");
        assert_eq!(filter.finish(), "");
    }

    /// Every `[number]` of a text, as a reader's pattern would find them.
    fn cited(text: &str) -> Vec<usize> {
        text.match_indices('[')
            .filter_map(|(at, _)| text[at + 1..].split_once(']'))
            .filter(|(inside, _)| !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_digit()))
            .map(|(inside, _)| inside.parse().unwrap_or(usize::MAX))
            .collect()
    }

    proptest! {
        #[test]
        fn no_text_however_cut_cites_what_was_not_given(text in "[\\[\\]【】0-9a ,.\n-]{0,60}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let (said, kept, removed) = whole(3, &text);
            prop_assert!(cited(&said).iter().all(|n| (1..=3).contains(n)), "{text:?} {said:?}");
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.chars().count() + 1)).collect();
            ends.sort_unstable();
            let chars: Vec<char> = text.chars().collect();
            let (mut filter, mut pieces, mut from) = (CitationFilter::new(3), String::new(), 0);
            for end in ends.into_iter().chain([chars.len()]) {
                pieces += filter.push(&chars[from..end].iter().collect::<String>());
                from = end;
            }
            pieces += filter.finish();
            prop_assert_eq!((pieces, filter.kept(), filter.removed()), (said, kept, removed));
        }

        #[test]
        fn plain_text_at_once_is_as_each_of_its_characters(text in "[\\[\\]`0-9a \u{a0}\n-]{0,40}") {
            let (mut filter, mut said) = (CitationFilter::new(3), String::new());
            for c in text.chars() {
                filter.step(c, &mut said);
            }
            said += filter.finish();
            prop_assert_eq!((said, filter.kept(), filter.removed()), whole(3, &text));
        }

        #[test]
        fn text_that_cites_nothing_is_left_as_it_is(text in "[a-zа-я \n.,(){}`#*-]{0,80}") {
            prop_assert_eq!(whole(3, &text).0, text);
        }
    }
}
