//! Documents in, index out: extract, chunk, embed, keep, index.
//!
//! [`extract()`] turns a file into titled texts, [`Chunker`] cuts a text into pieces, and [`Ingestor`] is the service
//! that runs the whole of it for an [`Ingest`] request. Text goes to the
//! [`DocumentStore`](crate::port::DocumentStore) first, which is the truth; the vector index follows and can be built
//! again from it at any time.

mod batch;
mod chunk;
mod extract;
mod memory;
mod memory_index;
mod pipeline;

pub use self::chunk::{Chunker, Piece};
pub use self::extract::{Extracted, Format, MAX_FILE_BYTES, extract};
pub use self::memory::MemoryDocuments;
pub use self::memory_index::MemoryIndex;
pub use self::pipeline::{Ingest, Ingested, Ingestor, Progress};
