//! Measuring: labelled data in, figures out.
//!
//! [`Collection`] reads a folder in the layout of the BEIR benchmark, [`RetrievalEval`] indexes it and searches it through
//! the same services that a server is made of, and the metrics are plain functions over a ranking.

pub mod answers;
mod beir;
mod metrics;
mod retrieval;
pub mod routing;

pub use self::beir::{Collection, CollectionDocument, CollectionError, CollectionQuery, Relevance};
pub use self::metrics::{ndcg_at, percentile, recall_at, reciprocal_rank_at};
pub use self::retrieval::{Figures, Leg, ReportRow, RetrievalEval, RetrievalReport};
