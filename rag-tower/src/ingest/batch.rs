//! Documents in, batches out: small ones together, a large one alone.

use std::collections::HashSet;

use crate::port::{Chunk, Document};

/// A document that has been read and cut.
pub(super) struct Item {
    /// The place of its file among those taken in together.
    pub(super) file: usize,
    pub(super) document: Document,
    pub(super) chunks: Vec<Chunk>,
}

/// Chunks embedded, or written to the index, in one call, and documents of one batch.
pub(super) const BATCH: usize = 64;
/// Bytes of text of one batch, unless it is one document.
const BYTES: usize = 512 * 1024;

/// The documents in their order, as many together as fit. A document that comes twice, where the later one replaces the
/// earlier, begins a batch of its own, and so does one that must stay `apart` from the first of the batch.
pub(super) fn batches(items: Vec<Item>, apart: impl Fn(&Item, &Item) -> bool) -> Vec<Vec<Item>> {
    let mut batches: Vec<Vec<Item>> = Vec::new();
    let (mut chunks, mut bytes, mut ids) = (0, 0, HashSet::new());
    for item in items {
        let size: usize = item.chunks.iter().map(|chunk| chunk.text.len()).sum();
        let room = batches.last().is_some_and(|batch| {
            batch.len() < BATCH
                && chunks + item.chunks.len() <= BATCH
                && bytes + size <= BYTES
                && !ids.contains(&item.document.id)
                && batch.first().is_some_and(|first| !apart(first, &item))
        });
        if !room {
            batches.push(Vec::new());
            (chunks, bytes) = (0, 0);
            ids.clear();
        }
        chunks += item.chunks.len();
        bytes += size;
        ids.insert(item.document.id);
        if let Some(batch) = batches.last_mut() {
            batch.push(item);
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::passage::{ChunkId, DocumentId};
    use crate::tenant::TenantId;

    fn item(file: usize, name: &str, chunks: u32, bytes: usize) -> Item {
        let tenant = TenantId::named("a");
        let id = DocumentId::named(tenant, name);
        let chunk = |seq| Chunk {
            id: ChunkId::of(tenant, id, seq),
            seq,
            text: "x".repeat(bytes).into(),
            terms: Vec::new(),
        };
        let document = Document {
            id,
            branch: None,
            title: name.into(),
            file_name: name.into(),
            labels: BTreeMap::new(),
        };
        Item { file, document, chunks: (0..chunks).map(chunk).collect() }
    }

    #[test]
    fn a_batch_is_bounded_in_chunks_bytes_and_documents_and_holds_no_document_twice() {
        let parted = |items: Vec<Item>| {
            let sizes = batches(items, |a, b| a.file != b.file);
            sizes.iter().map(Vec::len).collect::<Vec<_>>()
        };
        let many = |n: usize, chunks, bytes| (0..n).map(|n| item(0, &n.to_string(), chunks, bytes)).collect();
        assert!(parted(Vec::new()).is_empty());
        assert_eq!(parted(many(130, 1, 10)), [64, 64, 2]);
        assert_eq!(parted(many(70, 0, 0)), [64, 6]);
        assert_eq!(parted(many(3, 30, 10)), [2, 1]);
        assert_eq!(parted(many(3, 100, 10)), [1, 1, 1]);
        assert_eq!(parted(many(3, 1, 200 * 1024)), [2, 1]);
        assert_eq!(parted(vec![item(0, "a", 1, 1), item(0, "b", 1, 1), item(0, "a", 1, 1)]), [2, 1]);
        assert_eq!(parted(vec![item(0, "a", 1, 1), item(1, "b", 1, 1), item(1, "c", 1, 1)]), [1, 2]);
    }
}
