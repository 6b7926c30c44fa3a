//! What users implement: models and stores, all of them handed the scope.

mod chunks;
mod documents;
mod embed;
mod generate;
mod memory;
mod rerank;
mod vectors;

pub use self::chunks::{ChunkStore, ReadPassages, WrongIdentity};
pub use self::documents::{Chunk, Document, DocumentStore, TermStats};
pub use self::embed::{EmbedKind, EmbedRequest, Embedder, Embedding};
pub use self::generate::{GenerateRequest, Generator, Message, Speaker};
pub use self::memory::MemoryStore;
pub use self::rerank::{Rerank, RerankRequest};
pub use self::vectors::{
    FusedHit, Hit, HybridQuery, Point, QueryVector, SparseVector, VectorQuery, VectorStore,
};
