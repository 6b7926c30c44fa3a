//! Gaps as a file: a filter in, all of them out.

use bytes::Bytes;
use rag_tower::postgres::{DatabaseError, OwnerTx};

use super::{GapFilter, Gaps, gaps, lines};
use crate::auth::OwnerScope;
use crate::owner_store::OwnerStore;
use crate::owner_store::file::{Columns, Format};
use crate::owner_store::logs::STATEMENT;

/// The columns of an export.
const COLUMNS: [&str; 15] = [
    "tenant_id",
    "tenant",
    "question",
    "count",
    "first_at",
    "last_at",
    "reasons",
    "branches",
    "best_confidence",
    "state",
    "resolved_at",
    "resolved_by",
    "note",
    "sample_trace_id",
    "key",
];

// === impl OwnerStore ===

impl OwnerStore {
    /// Every gap of a filter as a file, in the order of the list, masked. It is at most 10,000 lines.
    ///
    /// # Errors
    /// As [`gaps`](Self::gaps).
    pub async fn export_gaps(
        &self,
        _: &OwnerScope,
        filter: &GapFilter,
        format: Format,
    ) -> Result<Bytes, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        tx.bound(STATEMENT).await?;
        let Gaps { all, .. } = gaps(&mut tx, filter).await?;
        let shown = all.iter().filter(|gap| filter.state.is_none_or(|state| gap.state() == state)).collect();
        let columns = Columns::all(&COLUMNS);
        let mut text = format.head(&columns);
        for line in lines(&mut tx, shown).await? {
            format.line(&columns, &line, &mut text);
        }
        tx.commit().await?;
        Ok(text.into())
    }
}
