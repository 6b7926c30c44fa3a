//! Rows side by side, as the store takes them, and where else each is.

use crate::trace::TraceRow;
use crate::trace::sink::{Place, Queued};
use crate::trace::stats::Shared;

#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: Vec<TraceRow>,
    places: Vec<Place>,
    bytes: u64,
}

// === impl Batch ===

impl Batch {
    pub(super) fn push(&mut self, queued: Queued) {
        let Queued { row, place } = queued;
        self.rows.push(row);
        self.places.push(place);
        self.bytes += place.bytes;
    }

    pub(super) fn rows(&self) -> &[TraceRow] {
        &self.rows
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The journal's file of each row that is in one.
    pub(super) fn files(&self) -> impl Iterator<Item = u64> + '_ {
        self.places.iter().filter_map(|place| place.file)
    }

    /// Takes out the rows that are in a file of the journal for which this holds, and gives their files.
    pub(super) fn take_filed(&mut self, shared: &Shared, takes: impl Fn(u64) -> bool) -> Vec<u64> {
        let all = std::mem::take(self);
        let mut taken = Vec::new();
        for (row, place) in all.rows.into_iter().zip(all.places) {
            match place.file {
                Some(file) if takes(file) => {
                    shared.give_room(place.bytes);
                    taken.push(file);
                }
                _ => self.push(Queued { row, place }),
            }
        }
        taken
    }

    /// Takes all rows, whose room in memory is free then.
    pub(super) fn take(&mut self, shared: &Shared) -> Vec<TraceRow> {
        let all = std::mem::take(self);
        shared.give_room(all.bytes);
        all.rows
    }

    /// Moves the rows of another batch to the end.
    pub(super) fn append(&mut self, mut other: Self) {
        self.rows.append(&mut other.rows);
        self.places.append(&mut other.places);
        self.bytes += std::mem::take(&mut other.bytes);
    }
}
