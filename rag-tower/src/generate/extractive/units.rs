//! A passage's text to the pieces that can be quoted: sentences, list items, table rows.

use crate::text::sentences;

/// One quotable piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// As it is shown, without Markdown marks.
    pub(super) text: String,
    /// The nearest heading above it, when there is one.
    pub(super) heading: Option<String>,
    /// True for a list item or a table row, which stands on a line of its own.
    pub(super) own_line: bool,
}

/// Cuts a passage into units, in their order.
pub(super) fn units(text: &str) -> Vec<Unit> {
    let mut cut = Cut::default();
    for line in text.lines().map(str::trim) {
        cut.line(line);
    }
    cut.end_paragraph();
    cut.units
}

/// Where the cutting has come to.
#[derive(Default)]
struct Cut {
    units: Vec<Unit>,
    heading: Option<String>,
    paragraph: String,
    columns: Vec<String>,
    fenced: bool,
}

// === impl Cut ===

impl Cut {
    fn line(&mut self, line: &str) {
        if line.starts_with("```") {
            self.end_paragraph();
            self.fenced = !self.fenced;
        } else if self.fenced {
            self.push(line.to_owned(), true);
        } else if let Some(row) = table_row(line) {
            self.end_paragraph();
            self.row(&row);
        } else {
            self.columns.clear();
            self.prose(line);
        }
    }

    fn prose(&mut self, line: &str) {
        if line.is_empty() {
            self.end_paragraph();
        } else if let Some(heading) = heading(line) {
            self.end_paragraph();
            self.heading = Some(plain(heading));
        } else if let Some(item) = list_item(line) {
            self.end_paragraph();
            self.push(plain(item), true);
        } else {
            self.paragraph.push_str(line);
            self.paragraph.push(' ');
        }
    }

    /// The first row of a table names its columns; the row of dashes below it is passed over.
    fn row(&mut self, row: &[&str]) {
        if row.iter().all(|cell| !cell.is_empty() && cell.chars().all(|c| matches!(c, '-' | ':' | ' '))) {
            return;
        }
        let cells = row.iter().map(|cell| plain(cell));
        if self.columns.is_empty() {
            self.columns = cells.collect();
            return;
        }
        let cells = cells.zip(self.columns.iter().map(String::as_str).chain(std::iter::repeat("")));
        let named: Vec<String> = cells
            .filter(|(cell, _)| !cell.is_empty())
            .map(|(cell, column)| if column.is_empty() { cell } else { format!("{column}: {cell}") })
            .collect();
        self.push(named.join("; "), true);
    }

    fn end_paragraph(&mut self) {
        let paragraph = plain(&std::mem::take(&mut self.paragraph));
        for sentence in sentences(&paragraph) {
            self.push(sentence.to_owned(), false);
        }
    }

    fn push(&mut self, text: String, own_line: bool) {
        if text.chars().any(char::is_alphanumeric) {
            self.units.push(Unit { text, heading: self.heading.clone(), own_line });
        }
    }
}

fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    (text.len() < line.len() && text.starts_with(' ')).then(|| text.trim())
}

/// The text of `- item`, `* item`, `+ item`, `> quote`, `1. item` and `1) item`.
fn list_item(line: &str) -> Option<&str> {
    if let Some(item) = ["- ", "* ", "+ ", "• ", "> "].iter().find_map(|mark| line.strip_prefix(mark)) {
        return Some(item.trim());
    }
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = rest.len() < line.len() && line.len() - rest.len() <= 3;
    let item = rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") "))?;
    numbered.then(|| item.trim())
}

fn table_row(line: &str) -> Option<Vec<&str>> {
    let inside = line.strip_prefix('|')?;
    let inside = inside.strip_suffix('|').unwrap_or(inside);
    Some(inside.split('|').map(str::trim).collect())
}

/// Text without Markdown's inline marks: emphasis, code, and links, of which the words stay.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim();
    while let Some(at) = rest.find(['*', '`', '[']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match (link(rest), footnote(rest)) {
            (Some((words, after)), _) => {
                out.push_str(&plain(words));
                rest = after;
            }
            (None, Some(after)) => {
                out.truncate(out.trim_end().len());
                rest = after;
            }
            (None, None) => {
                if rest.starts_with('[') {
                    out.push('[');
                }
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What follows a mark such as `[12]`: left in, it would read as one of our citations.
fn footnote(text: &str) -> Option<&str> {
    let (number, after) = text.strip_prefix('[')?.split_once(']')?;
    (!number.is_empty() && number.chars().all(char::is_numeric)).then_some(after)
}

/// The words of `[words](target)` at the start of a text, and what follows.
fn link(text: &str) -> Option<(&str, &str)> {
    let (words, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (_, after) = rest.split_once(')')?;
    (!words.contains('[')).then_some((words, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        units(text).into_iter().map(|unit| unit.text).collect()
    }

    #[test]
    fn sentences_items_and_rows_stay_whole() {
        let text = "# Fees\nThe fee is **6.5 million**. Pay at\nthe [desk](https://example.com).\n\n- Bring a card\n1. Sign\n\n\
                    | Course | Fee |\n|---|---:|\n| IELTS | 10 |\n| TOEIC | |\n";
        let expected = [
            "The fee is 6.5 million.",
            "Pay at the desk.",
            "Bring a card",
            "Sign",
            "Course: IELTS; Fee: 10",
            "Course: TOEIC",
        ];
        assert_eq!(texts(text), expected);
        assert!(units(text).iter().all(|unit| unit.heading.as_deref() == Some("Fees")));
    }

    #[test]
    fn abbreviations_do_not_end_sentences() {
        let text = "Chi nhánh ở TP. HCM mở cửa lúc 8 giờ. Dr. Lan teaches there.";
        assert_eq!(texts(text), ["Chi nhánh ở TP. HCM mở cửa lúc 8 giờ.", "Dr. Lan teaches there."]);
    }

    #[test]
    fn odd_markdown_is_kept_not_lost() {
        assert_eq!(plain("a [b c"), "a [b c");
        assert_eq!(plain("[[a](b)](c"), "[a](c");
        assert_eq!(texts("***\n---\n|"), Vec::<String>::new());
        assert_eq!(texts("It is so [12]. And so[۳]."), ["It is so.", "And so."]);
    }
}
