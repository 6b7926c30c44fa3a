//! The sources of a row as they are kept: a text for each. Postgres reads six texts in a third of the time that it takes for as
//! many objects of seven members, and keeps them in less room.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value, json};
// what a number is written with, in a third of the time that the standard library takes
use zmij::Buffer as Number;

use super::id::Id;
use crate::passage::{ChunkId, DocumentId, Source};

/// The words before the texts.
const WORDS: usize = 6;

/// As they are kept.
pub(super) fn kept(sources: &[Source]) -> Vec<String> {
    sources.iter().map(line).collect()
}

/// `number document chunk score characters-of-the-file-name characters-of-the-title `, file name, title, snippet.
fn line(source: &Source) -> String {
    let Source { n, doc_id, file_name, title, chunk, snippet, score } = source;
    let (document, chunk) = (Id(doc_id.as_uuid()), Id(chunk.as_uuid()));
    let (of_file_name, of_title) = (file_name.chars().count(), title.chars().count());
    let mut line = String::with_capacity(80 + file_name.len() + title.len() + snippet.len());
    // writing to a string cannot fail
    let _ =
        write!(line, "{n} {document} {chunk} {} {of_file_name} {of_title} ", Number::new().format(*score));
    line.extend([&**file_name, title, snippet]);
    line
}

/// The column `sources` of a row as an array of [`Source`]s, in the order of their numbers. In the column there is a text for each,
/// `number document chunk score length length texts`: ids are Base64 without padding, the lengths are those of the file name and
/// the title in characters, and the texts are the file name, the title and the snippet, with nothing between. Older rows hold
/// the array; what is neither stays as it is.
#[must_use]
pub fn sources_of_row(column: Value) -> Value {
    let Value::Array(entries) = column else { return column };
    let shown = |entry: Value| match entry.as_str().and_then(read) {
        Some(source) => json!(source),
        None => entry,
    };
    Value::Array(entries.into_iter().map(shown).collect())
}

fn read(line: &str) -> Option<Source> {
    let mut words = line.splitn(WORDS + 1, ' ');
    let (n, document, chunk) = (words.next()?, words.next()?, words.next()?);
    let (document, chunk): (Id, Id) = (document.parse().ok()?, chunk.parse().ok()?);
    let (score, of_file_name, of_title) = (words.next()?, words.next()?, words.next()?);
    let (file_name, rest) = split(words.next()?, of_file_name.parse().ok()?)?;
    let (title, snippet) = split(rest, of_title.parse().ok()?)?;
    Some(Source {
        n: n.parse().ok()?,
        doc_id: DocumentId::new(document.0),
        file_name,
        title,
        chunk: ChunkId::new(chunk.0),
        snippet: snippet.into(),
        score: score.parse().ok()?,
    })
}

/// The first characters, and the rest; none when there are not so many.
fn split(text: &str, characters: usize) -> Option<(Arc<str>, &str)> {
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let (first, rest) = text.split_at(ends.clone().nth(characters)?);
    Some((first.into(), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn source(file_name: &str, title: &str, snippet: &str, score: f32) -> Source {
        Source {
            n: 7,
            doc_id: DocumentId::new(Uuid::from_u128(9)),
            file_name: file_name.into(),
            title: title.into(),
            chunk: ChunkId::new(Uuid::from_u128(1)),
            snippet: snippet.into(),
            score,
        }
    }

    #[test]
    fn sources_come_back_as_they_went_in() {
        let sources = [source("a b.md", "Học phí", "5 triệu", 0.25), source("", "", "", -3.5)];
        let column = json!(kept(&sources));
        let first = "7 AAAAAAAAAAAAAAAAAAAACQ AAAAAAAAAAAAAAAAAAAAAQ 0.25 6 7 a b.mdHọc phí5 triệu";
        assert_eq!(column[0], first);
        assert_eq!(sources_of_row(column), json!(sources));
        assert_eq!(sources_of_row(json!(kept(&[]))), json!([]));
    }

    #[test]
    fn rows_of_before_and_of_others_stay_as_they_are() {
        let older = json!([source("a.md", "A", "text", 1.0)]);
        let short = json!(["7 AAAAAAAAAAAAAAAAAAAACQ AAAAAAAAAAAAAAAAAAAAAQ 0.25 6 7 a b.md"]);
        for other in [older, short, json!(null), json!({"a": 1}), json!(["", "x y", 1, [], "1 2 3 4 5 6 "])] {
            assert_eq!(sources_of_row(other.clone()), other);
        }
    }

    proptest! {
        #[test]
        fn any_texts_come_back(file_name in ".{0,9}", title in "(.|\n){0,9}", snippet in "(.|\n| ){0,20}", score: f32) {
            let sources = [source(&file_name, &title, &snippet, score)];
            prop_assert_eq!(sources_of_row(json!(kept(&sources))), json!(sources));
        }
    }
}
