//! Hits in, passages out: where the index's word is checked and the text is read.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Stage};
use crate::passage::Passage;
use crate::port::{ChunkStore, Hit};
use crate::tenant::TenantScope;

/// Reads the passages of hits, after refusing hits that claim a foreign origin. The chunk store's own word on origins
/// is compared at the door that every source's passages go through.
pub(super) async fn resolve<C: ChunkStore>(
    chunks: &C,
    scope: &TenantScope,
    source: &Arc<str>,
    hits: Vec<Hit>,
) -> Result<Vec<Passage>, Error> {
    let foreign = hits.iter().filter(|hit| !scope.admits(hit.origin)).count();
    if foreign > 0 {
        metrics::counter!("rag_isolation_violations_total", "layer" => "index").increment(foreign as u64);
        tracing::error!(foreign, tenant = %scope.tenant(), "a vector index returned hits of another tenant");
        return Err(Error::new(ErrorKind::Isolation, Stage::Retrieve));
    }
    if hits.is_empty() {
        return Ok(Vec::new());
    }
    chunks.passages(scope, source, hits).await
}
