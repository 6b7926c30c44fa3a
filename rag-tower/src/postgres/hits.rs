//! The hits of a row as they are kept: one entry for a chunk with what each source said of it, where a row in memory has one
//! for each source. That is half the text, and reading it as JSON is the greater part of what a row costs Postgres.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::passage::{ChunkId, DocumentId};
use crate::trace::HitRecord;

/// A chunk. `by` has the rank and the score that each source gave it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    chunk: ChunkId,
    document: DocumentId,
    fused: f32,
    used: bool,
    by: BTreeMap<Arc<str>, (u32, f32)>,
}

/// As they are kept. What two hits of one chunk say differently keeps them apart, so nothing is lost.
pub(super) fn kept(hits: &[HitRecord]) -> Vec<Kept> {
    let mut all: Vec<Kept> = Vec::with_capacity(hits.len() / 2 + 1);
    for HitRecord { source, rank, chunk, document, score, fused, used } in hits {
        let same = |last: &&mut Kept| {
            (last.chunk, last.document, last.fused, last.used) == (*chunk, *document, *fused, *used)
                && !last.by.contains_key(source)
        };
        let said = (*rank, *score);
        match all.last_mut().filter(same) {
            Some(last) => drop(last.by.insert(Arc::clone(source), said)),
            None => all.push(Kept {
                chunk: *chunk,
                document: *document,
                fused: *fused,
                used: *used,
                by: BTreeMap::from([(Arc::clone(source), said)]),
            }),
        }
    }
    all
}

/// The column `hits` of a row as it is in memory: an array with a [`HitRecord`] for each source of a chunk. In the column there
/// is one object for a chunk, `{"chunk", "document", "fused", "used", "by": {source: [rank, score]}}`. Older rows hold an
/// object for each source, which stays as it is; so does what is neither.
#[must_use]
pub fn hits_of_row(column: Value) -> Value {
    let Value::Array(entries) = column else { return column };
    let mut hits = Vec::with_capacity(entries.len() * 2);
    for entry in entries {
        match Kept::deserialize(&entry) {
            Ok(Kept { chunk, document, fused, used, by }) => {
                hits.extend(by.into_iter().map(|(source, (rank, score))| {
                    json!(HitRecord { source, rank, chunk, document, score, fused, used })
                }));
            }
            Err(_) => hits.push(entry),
        }
    }
    Value::Array(hits)
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
        let kept = kept(&hits);
        assert_eq!(kept.len(), 5);
        let column = json!(kept);
        let first = json!({"dense": [1, 0.25], "sparse": [2, 0.25]});
        assert_eq!((&column[0]["by"], &column[0]["used"]), (&first, &json!(true)));
        assert_eq!(hits_of_row(column), json!(hits));
        assert_eq!(hits_of_row(json!([])), json!([]));
    }

    #[test]
    fn rows_of_before_and_of_others_stay_as_they_are() {
        let before = json!([hit("dense", 1, 1, 0.5, true)]);
        assert_eq!(hits_of_row(before.clone()), before);
        for other in [json!(null), json!({"a": 1}), json!([1, {"chunk": "x"}, []])] {
            assert_eq!(hits_of_row(other.clone()), other);
        }
    }
}
