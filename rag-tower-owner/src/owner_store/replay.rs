//! What a search is made again from: an ask in, its question as it was asked and what was found out. The audit log says who
//! looked.

use rag_tower::AskId;
use rag_tower::postgres::{DatabaseError, hits_of_row};
use rag_tower::tenant::TenantId;
use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use super::OwnerStore;
use super::change::Entry;
use crate::auth::OwnerScope;

const READ: &str = "SELECT tenant_id, branch_id, question, hits FROM rag_tower.request_traces
    WHERE trace_id = $1 AND ts = $2";

/// What was asked, and what was found.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Asked {
    tenant_id: Uuid,
    pub(crate) branch_id: Option<Uuid>,
    /// As it was asked; none when it was not kept.
    pub(crate) question: Option<String>,
    pub(crate) hits: Value,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// What an ask searched for, to search again with these settings; none when there is no such ask.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn asked(
        &self,
        owner: &OwnerScope,
        trace: AskId,
        settings: Value,
    ) -> Result<Option<Asked>, DatabaseError> {
        // an id that carries no time is no row's
        let Some(ts) = trace.timestamp() else { return Ok(None) };
        let mut change = self.change(owner).await?;
        let read = sqlx::query_as(READ).bind(trace.as_uuid()).bind(ts);
        let asked: Option<Asked> = read.fetch_optional(change.connection()).await?;
        let Some(mut asked) = asked else { return Ok(None) };
        asked.hits = hits_of_row(asked.hits);
        let entry = Entry::new("trace.replay").of(trace).tenant(asked.tenant_id).detail(settings);
        change.commit(entry).await?;
        Ok(Some(asked))
    }
}

// === impl Asked ===

impl Asked {
    pub(crate) fn tenant(&self) -> TenantId {
        TenantId::new(self.tenant_id)
    }
}
