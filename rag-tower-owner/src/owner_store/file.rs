//! Rows in, the lines of a file out: comma-separated values, or a JSON object on each line.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values, the names first. What a spreadsheet would take for a formula begins with an apostrophe.
    Csv,
    /// A JSON object on each line.
    JsonLines,
}

/// The columns of a file, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Vec<&'static str>);

/// What a spreadsheet may take for the beginning of a formula, the wide forms included.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

// === impl Format ===

impl Format {
    /// Every format, by name.
    pub const ALL: [(&'static str, Self); 2] = [("csv", Self::Csv), ("jsonl", Self::JsonLines)];

    /// The content type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::JsonLines => "application/jsonl; charset=utf-8",
        }
    }

    /// How the names of such files end.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }

    /// What comes before the rows.
    pub(super) fn head(self, columns: &Columns) -> String {
        match self {
            Self::Csv => columns.0.join(",") + "\r\n",
            Self::JsonLines => String::new(),
        }
    }

    /// Adds a row: of its fields those that are columns. A field that is no object's is null.
    pub(super) fn line(self, columns: &Columns, row: &impl Serialize, into: &mut String) {
        // cannot fail for rows of ours, which are structs of plain values
        let row = match serde_json::to_value(row) {
            Ok(Value::Object(row)) => row,
            _ => Map::new(),
        };
        let cell = |column: &&str| row.get(*column).unwrap_or(&Value::Null);
        match self {
            Self::Csv => {
                for (n, value) in columns.0.iter().map(cell).enumerate() {
                    if n > 0 {
                        into.push(',');
                    }
                    match value {
                        Value::Null => {}
                        Value::String(text) => into.push_str(&csv(text)),
                        // numbers and truth values are no formulas
                        other => into.push_str(&quoted(other.to_string().into())),
                    }
                }
                into.push_str("\r\n");
            }
            Self::JsonLines => {
                into.push('{');
                for (n, column) in columns.0.iter().enumerate() {
                    let comma = if n > 0 { "," } else { "" };
                    // the names of columns need no escapes
                    into.push_str(&format!("{comma}\"{column}\":{}", cell(column)));
                }
                into.push_str("}\n");
            }
        }
    }
}

// === impl Columns ===

impl Columns {
    /// All of these.
    pub(super) fn all(known: &[&'static str]) -> Self {
        Self(known.to_vec())
    }

    /// Columns by their names, which are separated by commas; none stands for `usual`.
    ///
    /// # Errors
    /// What was expected: one of `known`, each once.
    pub(crate) fn read(
        text: Option<&str>,
        known: &'static [&'static str],
        usual: usize,
    ) -> Result<Self, String> {
        let Some(text) = text else { return Ok(Self(known.iter().take(usual).copied().collect())) };
        let mut columns = Vec::new();
        for name in text.split(',').map(str::trim) {
            let column =
                known.iter().find(|column| **column == name).filter(|column| !columns.contains(*column));
            let expected =
                || format!("expected names of {}, each at most once, with commas between", known.join(", "));
            columns.push(*column.ok_or_else(expected)?);
        }
        Ok(Self(columns))
    }
}

/// A text as a cell that no spreadsheet evaluates.
fn csv(text: &str) -> Cow<'_, str> {
    let unseen = |c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    };
    let risky = text.trim_start_matches(unseen).starts_with(FORMULA) || text.starts_with(['\t', '\r', '\n']);
    quoted(if risky { format!("'{text}").into() } else { text.into() })
}

/// In quotes, where there is something that would end the cell.
fn quoted(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains([',', '"', '\r', '\n', ';', '\t', '\'']) || text.trim() != text {
        return format!("\"{}\"", text.replace('"', "\"\"")).into();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KNOWN: [&str; 3] = ["a", "b", "c"];

    fn line(format: Format, columns: &str, row: Value) -> String {
        let columns = Columns::read(Some(columns), &KNOWN, 3).unwrap();
        let mut text = String::new();
        format.line(&columns, &row, &mut text);
        text
    }

    #[test]
    fn t72_no_cell_is_a_formula() {
        for text in
            ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\u{feff}=1", "\u{ff1d}1", "\tx", "\n=1"]
        {
            let cell = line(Format::Csv, "a", json!({ "a": text }));
            assert!(cell.starts_with("\"'"), "{text:?}: {cell:?}");
        }
        assert_eq!(line(Format::Csv, "a,b", json!({ "a": "1-1", "b": "a=b" })), "1-1,a=b\r\n");
    }

    #[test]
    fn cells_keep_what_is_in_them() {
        let row = json!({ "a": "Học phí, \"IELTS\"\nlớp 2", "b": 1.5, "c": null });
        assert_eq!(line(Format::Csv, "b,a,c", row.clone()), "1.5,\"Học phí, \"\"IELTS\"\"\nlớp 2\",\r\n");
        let json: Value = serde_json::from_str(&line(Format::JsonLines, "c,a", row.clone())).unwrap();
        assert_eq!(json, json!({ "a": row["a"], "c": null }));
        assert!(line(Format::JsonLines, "c,a", row).starts_with("{\"c\":null,\"a\":"));
    }

    #[test]
    fn columns_are_known_and_each_is_there_once() {
        assert_eq!(Columns::read(None, &KNOWN, 2), Ok(Columns(vec!["a", "b"])));
        assert_eq!(Columns::read(Some("c, a"), &KNOWN, 2), Ok(Columns(vec!["c", "a"])));
        for text in ["", "d", "a,a", "a,"] {
            assert!(Columns::read(Some(text), &KNOWN, 2).unwrap_err().contains("a, b, c"), "{text}");
        }
        assert_eq!(Format::Csv.head(&Columns(vec!["b", "a"])), "b,a\r\n");
    }
}
