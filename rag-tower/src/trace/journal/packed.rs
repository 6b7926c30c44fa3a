//! A row in few bytes: its fields one after the other, without their names.
//!
//! | what | bytes |
//! |---|---|
//! | a whole number | seven bits in each, the lowest first; the eighth says that more follow |
//! | an id, a fraction, a time | as many as it has; numbers are little-endian |
//! | text | its length, then itself; what has a name in a closed set is that name |
//! | a list | how many, then each |
//! | what may be missing | one that says whether it is there, then itself |
//! | an outcome, a tool's facts, a receipt | as text, in JSON |
//!
//! A row takes half of what it takes as JSON, and a quarter when most of it is ids. That is what an ask pays for: its
//! checksum, and the pages of the system's cache.

use std::str;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::answer::Usage;
use crate::ask::{AskId, Channel, SessionId};
use crate::error::Stage;
use crate::passage::{ChunkId, DocumentId, Source};
use crate::tenant::{BranchId, TenantId};
use crate::trace::{HitRecord, IsolationReceipt, Outcome, Span, TraceRow};

/// The first byte of a packed row. Another list of fields is another form, under another number.
const FORM: u8 = 2;
/// The form before this one, which ends before the receipt.
const WITHOUT_RECEIPT: u8 = 1;
/// The first byte of a row as JSON, the form before those.
const JSON: u8 = b'{';

/// Adds a row to bytes.
pub(super) fn pack(row: &TraceRow, into: &mut Vec<u8>) {
    into.push(FORM);
    row.pack(into);
}

/// The row that bytes hold; none when it is of another version.
pub(super) fn unpack(bytes: &[u8]) -> Option<TraceRow> {
    match bytes.split_first()? {
        (&FORM, mut rest) => TraceRow::unpack(&mut rest).filter(|_| rest.is_empty()),
        (&WITHOUT_RECEIPT, rest) => {
            let whole = [rest, &[u8::from(false)]].concat();
            let mut rest = &whole[..];
            TraceRow::unpack(&mut rest).filter(|_| rest.is_empty())
        }
        (&JSON, _) => serde_json::from_slice(bytes).ok(),
        _ => None,
    }
}

/// Something that can be packed.
trait Packed: Sized {
    fn pack(&self, into: &mut Vec<u8>);

    /// Takes it from the beginning; none when it is not there.
    fn unpack(from: &mut &[u8]) -> Option<Self>;
}

/// A struct is its fields, in this order; what follows a `+` is not kept.
macro_rules! fields {
    ($($name:ident { $($field:ident),+ $(,)? } $(+ $not_kept:ident)?)+) => {$(
        impl Packed for $name {
            fn pack(&self, into: &mut Vec<u8>) {
                $(self.$field.pack(into);)+
            }

            fn unpack(from: &mut &[u8]) -> Option<Self> {
                // in the order in which they are written
                Some(Self { $($field: Packed::unpack(from)?,)+ $($not_kept: None)? })
            }
        }
    )+};
}

fields! {
    TraceRow {
        trace_id, ts, tenant_id, branch_id, subject, session_id, request_id, channel, route, outcome, error, latency, ttft,
        question, answer, sources, tool_metadata, spans, hits, confidence, degraded, usage, cost_estimate, llm_provider,
        llm_model, receipt,
    } + parent
    Source { n, doc_id, file_name, title, chunk, snippet, score }
    Span { stage, start, duration }
    HitRecord { source, rank, chunk, document, score, fused, used }
    Usage { input_tokens, output_tokens, estimated }
}

/// An id is its UUID.
macro_rules! ids {
    ($($name:ident)+) => {$(
        impl Packed for $name {
            fn pack(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(self.as_uuid().as_bytes());
            }

            fn unpack(from: &mut &[u8]) -> Option<Self> {
                array(from).map(|bytes| Self::new(Uuid::from_bytes(bytes)))
            }
        }
    )+};
}

ids! { AskId TenantId BranchId SessionId ChunkId DocumentId }

/// A name in a closed set.
macro_rules! names {
    ($($name:ident)+) => {$(
        impl Packed for $name {
            fn pack(&self, into: &mut Vec<u8>) {
                pack_bytes(self.as_str().as_bytes(), into);
            }

            fn unpack(from: &mut &[u8]) -> Option<Self> {
                let name = bytes(from)?;
                Self::ALL.into_iter().find(|one| one.as_str().as_bytes() == name)
            }
        }
    )+};
}

names! { Channel Stage }

/// Whatever has a form as JSON.
macro_rules! as_json {
    ($($name:ty),+) => {$(
        impl Packed for $name {
            fn pack(&self, into: &mut Vec<u8>) {
                pack_json(self, into);
            }

            fn unpack(from: &mut &[u8]) -> Option<Self> {
                unpack_json(from)
            }
        }
    )+};
}

as_json! { Outcome, Map<String, Value>, IsolationReceipt }

macro_rules! fractions {
    ($($name:ident)+) => {$(
        impl Packed for $name {
            fn pack(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(&self.to_le_bytes());
            }

            fn unpack(from: &mut &[u8]) -> Option<Self> {
                array(from).map(Self::from_le_bytes)
            }
        }
    )+};
}

fractions! { f32 f64 }

impl Packed for u64 {
    fn pack(&self, into: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            into.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        into.push(rest as u8);
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = u64::from(from.split_off_first().copied()?);
            let bits = byte & 0x7f;
            // the last byte has room for one bit
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

impl Packed for u32 {
    fn pack(&self, into: &mut Vec<u8>) {
        u64::from(*self).pack(into);
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        u64::unpack(from)?.try_into().ok()
    }
}

impl Packed for bool {
    fn pack(&self, into: &mut Vec<u8>) {
        into.push(u8::from(*self));
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        match from.split_off_first()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Packed for Arc<str> {
    fn pack(&self, into: &mut Vec<u8>) {
        pack_bytes(self.as_bytes(), into);
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        str::from_utf8(bytes(from)?).ok().map(Self::from)
    }
}

impl Packed for Duration {
    fn pack(&self, into: &mut Vec<u8>) {
        self.as_secs().pack(into);
        self.subsec_nanos().pack(into);
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        let (seconds, nanos) = (u64::unpack(from)?, u32::unpack(from)?);
        (nanos < 1_000_000_000).then(|| Self::new(seconds, nanos))
    }
}

impl Packed for OffsetDateTime {
    fn pack(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.unix_timestamp_nanos().to_le_bytes());
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        Self::from_unix_timestamp_nanos(i128::from_le_bytes(array(from)?)).ok()
    }
}

impl<T: Packed> Packed for Option<T> {
    fn pack(&self, into: &mut Vec<u8>) {
        self.is_some().pack(into);
        if let Some(value) = self {
            value.pack(into);
        }
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        if bool::unpack(from)? { T::unpack(from).map(Some) } else { Some(None) }
    }
}

impl<T: Packed> Packed for Vec<T> {
    fn pack(&self, into: &mut Vec<u8>) {
        pack_all(self, into);
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        // each takes a byte at least, so what is made is no longer than what is there
        (0..u64::unpack(from)?).map(|_| T::unpack(from)).collect()
    }
}

impl<T: Packed> Packed for Arc<[T]> {
    fn pack(&self, into: &mut Vec<u8>) {
        pack_all(self, into);
    }

    fn unpack(from: &mut &[u8]) -> Option<Self> {
        Vec::unpack(from).map(Self::from)
    }
}

fn pack_all<T: Packed>(all: &[T], into: &mut Vec<u8>) {
    (all.len() as u64).pack(into);
    all.iter().for_each(|one| one.pack(into));
}

fn pack_bytes(bytes: &[u8], into: &mut Vec<u8>) {
    (bytes.len() as u64).pack(into);
    into.extend_from_slice(bytes);
}

/// Cannot fail for what is in a row; nothing would say that it did, and the row would not be read as one.
fn pack_json(value: &impl Serialize, into: &mut Vec<u8>) {
    pack_bytes(&serde_json::to_vec(value).unwrap_or_default(), into);
}

fn unpack_json<T: DeserializeOwned>(from: &mut &[u8]) -> Option<T> {
    serde_json::from_slice(bytes(from)?).ok()
}

/// As many bytes as the number before them says.
fn bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(u64::unpack(from)?).ok()?;
    from.split_off(..length)
}

fn array<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> TraceRow {
        let (id, span) = (Uuid::from_u128(7), json!({"secs": 1, "nanos": 999_999_999}));
        let ids = json!({"doc_id": id, "document": id, "chunk": id});
        let with = |value: Value| {
            let mut map = ids.as_object().cloned().unwrap();
            map.extend(value.as_object().cloned().unwrap());
            map
        };
        serde_json::from_value(json!({
            "trace_id": id, "ts": "2026-11-21T10:00:00.123Z", "tenant_id": id, "branch_id": id, "session_id": id,
            "subject": "key", "request_id": "", "channel": "web_ws", "route": "tool", "error": "too slow",
            "outcome": {"completed": {"handoff": "7\n\"8\""}}, "latency": span, "ttft": span,
            "question": "Học phí?", "answer": "x".repeat(300), "tool_metadata": {"fee": 6_500_000, "of": ["a", null]},
            "sources": [with(json!({"n": 1, "file_name": "a.md", "title": "A", "snippet": "…", "score": 0.25}))],
            "spans": [{"stage": "rate_limit", "start": span, "duration": span}],
            "hits": [with(json!({"source": "dense", "rank": 300, "score": -1.5, "fused": 0.5, "used": true}))],
            "confidence": 0.75, "degraded": ["lexical"], "cost_estimate": 0.0004, "llm_provider": "p", "llm_model": "m",
            "usage": {"input_tokens": u64::MAX, "output_tokens": 128, "estimated": true},
            "receipt": {
                "filter": {"tenant_id": id, "branches": [id]}, "received": 7, "admitted": 6, "dropped": 1,
                "database": {"role": "rag_tenant", "tenant_setting": id},
                "cache": {
                    "result": "hit",
                    "partition": {"tenant_id": id, "branches": null, "role": "agent", "epoch": "model/3"},
                },
                "verdict": "passed",
            },
        }))
        .unwrap()
    }

    fn packed(row: &TraceRow) -> Vec<u8> {
        let mut bytes = Vec::new();
        pack(row, &mut bytes);
        bytes
    }

    #[test]
    fn a_row_comes_back_as_it_was_full_or_bare() {
        let full = row();
        assert_eq!(unpack(&packed(&full)), Some(full.clone()));
        let bare = json!({
            "trace_id": Uuid::nil(), "ts": "1969-12-31T23:59:59.9Z", "tenant_id": Uuid::nil(), "channel": "api",
            "outcome": "truncated", "latency": Duration::ZERO, "sources": [], "tool_metadata": {}, "spans": [], "hits": [],
            "degraded": []
        });
        let bare: TraceRow = serde_json::from_value(bare).unwrap();
        assert_eq!(unpack(&packed(&bare)), Some(bare));
        // a receipt is JSON in either
        let plain = TraceRow { receipt: None, ..full };
        assert!(packed(&plain).len() * 2 < serde_json::to_vec(&plain).unwrap().len());
    }

    #[test]
    fn a_row_of_the_form_before_is_read_too() {
        let without = TraceRow { receipt: None, ..row() };
        let mut before = packed(&without);
        before[0] = WITHOUT_RECEIPT;
        before.pop();
        assert_eq!(unpack(&before), Some(without));
    }

    #[test]
    fn a_row_whose_receipt_has_three_facts_only_is_read_too() {
        let mut full = serde_json::to_value(row()).unwrap();
        full["receipt"] = json!({"filter": {"tenant_id": Uuid::nil(), "branches": null}, "admitted": 6, "verdict": "passed"});
        let before = full["receipt"].clone();
        let of_then = TraceRow { receipt: None, ..row() };
        let mut bytes = packed(&of_then);
        // in the place of the byte that says that there is none
        bytes.pop();
        bytes.push(1);
        pack_bytes(before.to_string().as_bytes(), &mut bytes);
        assert_eq!(unpack(&bytes), serde_json::from_value(full).ok());
        assert_eq!(unpack(&bytes).unwrap().receipt.unwrap().admitted, 6);
    }

    #[test]
    fn a_row_as_json_is_read_too() {
        assert_eq!(unpack(&serde_json::to_vec(&row()).unwrap()), Some(row()));
    }

    #[test]
    fn what_is_cut_or_longer_or_of_another_form_is_no_row() {
        let whole = packed(&row());
        for length in 0..whole.len() {
            assert_eq!(unpack(&whole[..length]), None, "{length}");
        }
        assert_eq!(unpack(&[&whole[..], b"x"].concat()), None);
        assert_eq!(unpack(&[&[FORM + 1], &whole[1..]].concat()), None);
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_looked_at() {
        let whole = packed(&row());
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff, whole[at] ^ 1] {
                let mut other = whole.clone();
                other[at] = byte;
                let _row_or_none = unpack(&other);
            }
        }
        // a length or a number of things that nothing could have
        assert_eq!(Vec::<Span>::unpack(&mut &[0xff; 16][..]), None);
        assert_eq!(bytes(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0][..]), None);
    }
}
