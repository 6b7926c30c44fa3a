//! The text behind hits.

use std::future::Future;
use std::sync::Arc;

use super::Hit;
use crate::error::Error;
use crate::passage::Passage;
use crate::tenant::TenantScope;

/// Where the text of chunks is kept: the authority on whose a chunk is.
///
/// It reads origins from its own rows and never copies them from the hits, so that the check at the door compares two
/// independent witnesses rather than the index with itself.
pub trait ChunkStore: Send + Sync + 'static {
    /// The passages of these hits, in the hits' order, each found by `source` with the hit's rank and score. A hit
    /// without a row (deleted meanwhile) is left out.
    ///
    /// # Errors
    /// [`Isolation`](crate::ErrorKind::Isolation) when a hit claims an origin that the scope does not admit, and
    /// [`StoreUnavailable`](crate::ErrorKind::StoreUnavailable).
    fn passages(
        &self,
        scope: &TenantScope,
        source: &Arc<str>,
        hits: Vec<Hit>,
    ) -> impl Future<Output = Result<Vec<Passage>, Error>> + Send;
}
