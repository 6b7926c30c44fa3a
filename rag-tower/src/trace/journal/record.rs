//! One row in a file of the journal: a header and the row, packed.
//!
//! | bytes | what |
//! |---|---|
//! | 0 to 3 | the mark, whose first byte is in no text: a reader that is lost looks for the next |
//! | 4 to 7 | the length of the row |
//! | 8 to 15 | the row's number in the journal |
//! | 16 to 19 | CRC-32 of the row, its length and its number |
//! | from 20 | the [row](super::packed) |
//!
//! Numbers are little-endian.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::crc::Crc;
use super::packed;
use crate::trace::TraceRow;

/// The longest row that the journal takes, packed.
pub(super) const MAX_ROW: usize = 4 * 1024 * 1024;

const MARK: [u8; 4] = *b"\xffrow";
const HEADER: usize = 20;
/// What is read at once; more when a record is longer.
const WINDOW: usize = 512 * 1024;

/// A record that has no number yet.
pub(super) struct Draft {
    bytes: Vec<u8>,
    crc: Crc,
}

/// What a part of a file holds.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) rows: Vec<TraceRow>,
    /// Whole records that hold no row of this version.
    pub(super) strange: Vec<Vec<u8>>,
    /// Places where there is no record: cut off by a crash, or damaged.
    pub(super) torn: usize,
    /// Records that were whole.
    pub(super) records: u64,
    /// Where the part ends.
    pub(super) end: u64,
    /// True at the end of the file.
    pub(super) last: bool,
}

/// What is at a place in a file.
enum Found<'a> {
    Record {
        number: u64,
        row: &'a [u8],
    },
    /// Perhaps a record: its end is further on.
    Cut,
    Nothing,
}

// === impl Draft ===

impl Draft {
    /// The row as a record, in a buffer that is used again; only the buffer when it is too long.
    pub(super) fn of(row: &TraceRow, mut bytes: Vec<u8>) -> Result<Self, Vec<u8>> {
        bytes.clear();
        bytes.extend_from_slice(&[0; HEADER]);
        packed::pack(row, &mut bytes);
        if bytes.len() > HEADER + MAX_ROW {
            return Err(bytes);
        }
        let crc = Crc::new().with(&bytes[HEADER..]);
        Ok(Self { bytes, crc })
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The whole record under this number.
    pub(super) fn numbered(&mut self, number: u64) -> &[u8] {
        let length = (self.bytes.len() - HEADER) as u32;
        self.bytes[..4].copy_from_slice(&MARK);
        self.bytes[4..8].copy_from_slice(&length.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&number.to_le_bytes());
        let crc = self.crc.with(&self.bytes[4..16]).end();
        self.bytes[16..HEADER].copy_from_slice(&crc.to_le_bytes());
        &self.bytes
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads on from a place in the file: at most so many rows, and what fits a window.
pub(super) fn read(file: &mut File, from: u64, limit: usize) -> io::Result<Part> {
    let mut part = Part::default();
    walk(file, from, limit, |_, row| match packed::unpack(row) {
        Some(row) => part.rows.push(row),
        None => part.strange.push(row.to_vec()),
    })
    .map(|walked| Part { rows: part.rows, strange: part.strange, ..walked })
}

/// How many whole records the file has, and the last one's number.
pub(super) fn survey(file: &mut File) -> io::Result<(u64, Option<u64>)> {
    let (mut records, mut newest, mut from) = (0, None, 0);
    loop {
        let part = walk(file, from, usize::MAX, |number, _| newest = newest.max(Some(number)))?;
        records += part.records;
        if part.last {
            return Ok((records, newest));
        }
        from = part.end;
    }
}

/// Goes from record to record, past whatever is none.
fn walk(file: &mut File, from: u64, limit: usize, mut visit: impl FnMut(u64, &[u8])) -> io::Result<Part> {
    let mut bytes = vec![0; WINDOW];
    loop {
        file.seek(SeekFrom::Start(from))?;
        let filled = fill(file, &mut bytes)?;
        let whole = filled < bytes.len();
        let mut part = Part::default();
        let (mut at, mut lost) = (0, false);
        while at < filled && part.records < limit as u64 {
            match found(&bytes[at..filled]) {
                Found::Record { number, row } => {
                    visit(number, row);
                    part.records += 1;
                    at += HEADER + row.len();
                    lost = false;
                }
                Found::Cut if !whole => break,
                Found::Cut | Found::Nothing => {
                    // what looks like a mark in the middle of it is no second place
                    part.torn += usize::from(!lost);
                    lost = true;
                    at += next_mark(&bytes[at..filled]);
                }
            }
        }
        if at > 0 || whole {
            part.end = from + at as u64;
            part.last = whole && at == filled;
            return Ok(part);
        }
        // One record is longer than the window.
        bytes.resize(HEADER + MAX_ROW + 1, 0);
    }
}

fn found(bytes: &[u8]) -> Found<'_> {
    let known = bytes.len().min(MARK.len());
    if bytes[..known] != MARK[..known] {
        return Found::Nothing;
    }
    let (Some(header), Some(length)) = (bytes.first_chunk::<HEADER>(), number_at::<4>(bytes, 4)) else {
        return Found::Cut;
    };
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_ROW {
        return Found::Nothing;
    }
    let Some(row) = bytes.get(HEADER..HEADER + length) else { return Found::Cut };
    let crc = Crc::new().with(row).with(&header[4..16]).end();
    match (number_at(bytes, 8), number_at(bytes, 16)) {
        (Some(number), Some(expected)) if crc == u32::from_le_bytes(expected) => {
            Found::Record { number: u64::from_le_bytes(number), row }
        }
        _ => Found::Nothing,
    }
}

fn number_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// How far it is to the next mark, or to what may be the beginning of one, or to the end.
fn next_mark(bytes: &[u8]) -> usize {
    (1..bytes.len())
        .find(|at| {
            let rest = &bytes[*at..];
            let known = rest.len().min(MARK.len());
            rest[..known] == MARK[..known]
        })
        .unwrap_or(bytes.len())
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
