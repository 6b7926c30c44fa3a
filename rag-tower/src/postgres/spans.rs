//! The spans of a row as they are kept: one line, with a word for each. Postgres reads a text faster than as many objects.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::rollups::micros;
use crate::trace::Span;

/// A span as it is shown.
#[derive(Serialize)]
struct Shown<'a> {
    stage: &'a str,
    start_us: i64,
    duration_us: i64,
}

/// As they are kept: `"stage:start:duration stage:start:duration"`, in microseconds, as JSON.
pub(super) fn kept(spans: &[Span]) -> String {
    // the names of stages have no letter that JSON would write otherwise
    let mut line = String::with_capacity(2 + 24 * spans.len());
    for span in spans {
        line.push(if line.is_empty() { '"' } else { ' ' });
        // writing to a string cannot fail
        let _ = write!(line, "{}:{}:{}", span.stage, micros(span.start), micros(span.duration));
    }
    line.push_str(if line.is_empty() { "[]" } else { "\"" });
    line
}

/// The column `spans` of a row as an array of `{"stage", "start_us", "duration_us"}`, in the order in which they ended. In the
/// column there is one text, with a word `stage:start:duration` for each. Older rows hold the array; what is neither stays as it is.
#[must_use]
pub fn spans_of_row(column: Value) -> Value {
    let spans = column.as_str().and_then(|line| line.split(' ').map(shown).collect::<Option<Vec<_>>>());
    spans.map_or(column, Value::Array)
}

fn shown(word: &str) -> Option<Value> {
    let mut parts = word.split(':');
    let (stage, start, duration) = (parts.next()?, parts.next()?, parts.next()?);
    let (start_us, duration_us) = (start.parse().ok()?, duration.parse().ok()?);
    Some(json!(Shown { stage, start_us, duration_us }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Stage;

    #[test]
    fn spans_come_back_as_they_went_in() {
        let span = |stage, start, duration| Span {
            stage,
            start: Duration::from_micros(start),
            duration: Duration::from_micros(duration),
        };
        let line = kept(&[span(Stage::Embed, 4, 2_000), span(Stage::Generate, 2_100, 9)]);
        assert_eq!(line, r#""embed:4:2000 generate:2100:9""#);
        let shown = json!([
            {"stage": "embed", "start_us": 4, "duration_us": 2_000},
            {"stage": "generate", "start_us": 2_100, "duration_us": 9},
        ]);
        assert_eq!(spans_of_row(serde_json::from_str(&line).unwrap()), shown);
        assert_eq!(kept(&[]), "[]");
        for older in [json!([]), shown, json!(null), json!("embed:4"), json!("embed:4:x")] {
            assert_eq!(spans_of_row(older.clone()), older);
        }
    }
}
