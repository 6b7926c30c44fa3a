//! The hits of a row as they are kept: a line for each fact, where a row in memory has a record for each source of a chunk.
//! That is half of what they take on disk, and Postgres reads it in a fifth of the time: to read JSON with twenty objects was
//! the greater part of what a row costs it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
// what a number is written with, in a third of the time that the standard library takes
use zmij::Buffer as Number;

use super::id::Id;
use crate::passage::{ChunkId, DocumentId};
use crate::trace::HitRecord;

/// What was found of each chunk, in order: the words at one place in all lines are about one chunk.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    chunk: String,
    document: String,
    fused: String,
    /// `1` when it was in the prompt, else `0`.
    used: String,
    /// For each source the rank and the score that it gave, `3:0.25`, or `-`.
    by: BTreeMap<Arc<str>, String>,
}

/// How a chunk was kept before: an object, with the rank and the score of each source.
#[derive(Debug, Deserialize)]
struct Older {
    chunk: ChunkId,
    document: DocumentId,
    fused: f32,
    used: bool,
    by: BTreeMap<Arc<str>, (u32, f32)>,
}

/// What one source says of each chunk.
struct Line<'a> {
    source: &'a Arc<str>,
    text: String,
    words: usize,
}

const NOTHING: &str = "-";

/// As they are kept; none without hits. What two hits of one chunk say differently keeps them apart, so nothing is lost.
pub(super) fn kept(hits: &[HitRecord]) -> Option<Kept> {
    let mut kept = Kept::default();
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut chunks = 0;
    let mut last: Option<&HitRecord> = None;
    for hit in hits {
        let at = lines.iter().position(|line| line.source == &hit.source).unwrap_or_else(|| {
            lines.push(Line { source: &hit.source, text: String::new(), words: 0 });
            lines.len() - 1
        });
        let line = &mut lines[at];
        let of = |hit: &HitRecord| (hit.chunk, hit.document, hit.fused, hit.used);
        if line.words == chunks || last.is_none_or(|last| of(last) != of(hit)) {
            chunks += 1;
            add(&mut kept.chunk, Id(hit.chunk.as_uuid()));
            add(&mut kept.document, Id(hit.document.as_uuid()));
            add(&mut kept.fused, Number::new().format(hit.fused));
            add(&mut kept.used, u8::from(hit.used));
        }
        line.fill(chunks - 1);
        line.add(format_args!("{}:{}", hit.rank, Number::new().format(hit.score)));
        last = Some(hit);
    }
    for mut line in lines {
        line.fill(chunks);
        kept.by.insert(Arc::clone(line.source), line.text);
    }
    last.is_some().then_some(kept)
}

/// The column `hits` of a row as it is in memory: an array with a [`HitRecord`] for each source of a chunk. In the column there
/// is one object, `{"chunk", "document", "fused", "used", "by": {source: …}}`, whose texts hold a word for each chunk, in one
/// order; ids are Base64 without padding. Older rows have plain ids, or an array of objects, for chunks or for each source of a
/// chunk, which are read too; what is none of this stays as it is.
#[must_use]
pub fn hits_of_row(column: Value) -> Value {
    let hits = match &column {
        Value::Object(_) => Kept::deserialize(&column).ok().and_then(|kept| kept.read()),
        Value::Array(entries) => Some(entries.iter().flat_map(older).collect()),
        _ => None,
    };
    hits.map_or(column, Value::Array)
}

// === impl Kept ===

impl Kept {
    /// The hits; none when the lines do not fit each other.
    fn read(self) -> Option<Vec<Value>> {
        let (chunks, documents): (Vec<Id>, Vec<Id>) = (words(&self.chunk)?, words(&self.document)?);
        let (fused, used): (Vec<f32>, Vec<u8>) = (words(&self.fused)?, words(&self.used)?);
        let by: Vec<(Arc<str>, Vec<String>)> =
            self.by.into_iter().map(|(source, line)| Some((source, words(&line)?))).collect::<Option<_>>()?;
        let mut hits = Vec::with_capacity(chunks.len() * by.len());
        for (at, chunk) in chunks.into_iter().enumerate() {
            let (chunk, document) = (ChunkId::new(chunk.0), DocumentId::new(documents.get(at)?.0));
            let (fused, used) = (*fused.get(at)?, *used.get(at)? == 1);
            for (source, said) in by.iter().map(|(source, said)| (source, said.get(at))) {
                let said = said?;
                if said == NOTHING {
                    continue;
                }
                let (rank, score) = said.split_once(':')?;
                let (rank, score) = (rank.parse().ok()?, score.parse().ok()?);
                let source = Arc::clone(source);
                hits.push(json!(HitRecord { source, rank, chunk, document, score, fused, used }));
            }
        }
        Some(hits)
    }
}

// === impl Line ===

impl Line<'_> {
    /// Says nothing of chunks until there is a word for each of so many.
    fn fill(&mut self, chunks: usize) {
        while self.words < chunks {
            self.add(NOTHING);
        }
    }

    fn add(&mut self, word: impl Display) {
        add(&mut self.text, word);
        self.words += 1;
    }
}

/// An entry of an array: of a chunk, or of something else, which stays as it is.
fn older(entry: &Value) -> Vec<Value> {
    let Ok(Older { chunk, document, fused, used, by }) = Older::deserialize(entry) else {
        return vec![entry.clone()];
    };
    let hit =
        |(source, (rank, score))| json!(HitRecord { source, rank, chunk, document, score, fused, used });
    by.into_iter().map(hit).collect()
}

fn add(line: &mut String, word: impl Display) {
    use std::fmt::Write;

    if !line.is_empty() {
        line.push(' ');
    }
    // writing to a string cannot fail
    let _ = write!(line, "{word}");
}

fn words<T: FromStr>(line: &str) -> Option<Vec<T>> {
    line.split(' ').map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn hit(source: &str, rank: u32, chunk: u128, fused: f32, used: bool) -> HitRecord {
        HitRecord {
            source: source.into(),
            rank,
            chunk: ChunkId::new(Uuid::from_u128(chunk)),
            document: DocumentId::new(Uuid::from_u128(9)),
            score: 0.25,
            fused,
            used,
        }
    }

    #[test]
    fn hits_come_back_as_they_went_in() {
        let hits = [
            hit("dense", 1, 1, 0.5, true),
            hit("sparse", 2, 1, 0.5, true),
            hit("dense", 2, 2, 0.1, false),
            // of the same chunk, and not the same
            hit("dense", 3, 2, 0.2, false),
            hit("sparse", 3, 2, 0.2, true),
            hit("sparse", 4, 2, 0.2, true),
        ];
        let column = json!(kept(&hits));
        assert_eq!(
            column["by"],
            json!({"dense": "1:0.25 2:0.25 3:0.25 - -", "sparse": "2:0.25 - - 3:0.25 4:0.25"})
        );
        assert_eq!((&column["used"], &column["fused"]), (&json!("1 0 0 1 1"), &json!("0.5 0.1 0.2 0.2 0.2")));
        assert_eq!(column["chunk"].as_str().unwrap().len(), 5 * 22 + 4);
        assert_eq!(hits_of_row(column), json!(hits));
        assert!(kept(&[]).is_none());
        assert_eq!(hits_of_row(json!([])), json!([]));
    }

    #[test]
    fn rows_of_before_and_of_others_stay_as_they_are() {
        let (dense, sparse) = (hit("dense", 1, 1, 0.5, true), hit("sparse", 2, 1, 0.5, true));
        assert_eq!(hits_of_row(json!([dense])), json!([dense]));
        let by = json!({"dense": [1, 0.25], "sparse": [2, 0.25]});
        let chunk =
            json!([{"chunk": dense.chunk, "document": dense.document, "fused": 0.5, "used": true, "by": by}]);
        assert_eq!(hits_of_row(chunk), json!([dense, sparse]));
        let mut plain = json!(kept(std::slice::from_ref(&dense)));
        (plain["chunk"], plain["document"]) = (json!(dense.chunk), json!(dense.document));
        assert_eq!(hits_of_row(plain), json!([dense]));
        let mut short = json!(kept(&[dense, sparse]));
        short["fused"] = json!("");
        for other in [json!(null), json!({"a": 1}), json!([1, {"chunk": "x"}, []]), short] {
            assert_eq!(hits_of_row(other.clone()), other);
        }
    }
}
