//! What the owner says of a gap: an ask of it in, whether it is closed out. Each is an entry in the audit log.

use rag_tower::AskId;
use rag_tower::postgres::DatabaseError;
use serde::Serialize;
use serde_json::json;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{folded, key};
use crate::auth::OwnerScope;
use crate::owner_store::OwnerStore;
use crate::owner_store::change::Entry;
use crate::owner_store::masked::mask;

/// The gap that an ask is of. The time follows from the id, so that only its partition is looked at.
const OF: &str = concat!(
    "SELECT x.tenant_id, ",
    key!(),
    " FROM rag_tower.request_traces x ",
    folded!(),
    " WHERE x.trace_id = $1 AND x.ts = $2 AND x.channel <> 'canary' AND f.folded <> ''
        AND (x.status = 'ABSTAINED' OR x.status = 'SUCCESS' AND x.finish = 'out_of_domain')"
);
const RESOLVE: &str = "INSERT INTO rag_tower.gap_resolutions (tenant_id, key, note, resolved_by) VALUES ($1, $2, $3, $4)
    ON CONFLICT (tenant_id, key) DO UPDATE SET note = excluded.note, resolved_by = excluded.resolved_by, resolved_at = now()
    RETURNING tenant_id, key, note, resolved_at, resolved_by";
const REOPEN: &str = "DELETE FROM rag_tower.gap_resolutions WHERE tenant_id = $1 AND key = $2";

/// What the owner has said of a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct GapStanding {
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The gap.
    pub key: Uuid,
    /// What was noted, masked.
    pub note: Option<String>,
    /// When it was said to be closed; none when it is open.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub resolved_at: Option<OffsetDateTime>,
    /// Who said so.
    pub resolved_by: Option<String>,
}

/// What came of opening a gap again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reopened {
    /// It is open.
    Done(GapStanding),
    /// Nobody had said that it is closed.
    NotResolved,
    /// The ask is of no gap.
    Missing,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// Notes that the gap which an ask is of is closed; none when the ask is of no gap. Said again, the last holds.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn resolve_gap(
        &self,
        owner: &OwnerScope,
        ask: AskId,
        note: Option<&str>,
    ) -> Result<Option<GapStanding>, DatabaseError> {
        let mut change = self.change(owner).await?;
        let Some((tenant, key)) = gap_of(change.connection(), ask).await? else { return Ok(None) };
        let resolve = sqlx::query_as(RESOLVE).bind(tenant).bind(key).bind(note).bind(owner.username());
        let mut standing: GapStanding = resolve.fetch_one(change.connection()).await?;
        let detail = json!({ "trace_id": ask, "note": note.is_some() });
        change.commit(Entry::new("gap.resolve").of(key).tenant(tenant).detail(detail)).await?;
        mask(&mut standing.note);
        Ok(Some(standing))
    }

    /// Takes that back.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn reopen_gap(&self, owner: &OwnerScope, ask: AskId) -> Result<Reopened, DatabaseError> {
        let mut change = self.change(owner).await?;
        let Some((tenant, key)) = gap_of(change.connection(), ask).await? else {
            return Ok(Reopened::Missing);
        };
        let reopen = sqlx::query(REOPEN).bind(tenant).bind(key).execute(change.connection()).await?;
        if reopen.rows_affected() == 0 {
            return Ok(Reopened::NotResolved);
        }
        let detail = json!({ "trace_id": ask });
        change.commit(Entry::new("gap.reopen").of(key).tenant(tenant).detail(detail)).await?;
        let open = GapStanding { tenant_id: tenant, key, note: None, resolved_at: None, resolved_by: None };
        Ok(Reopened::Done(open))
    }
}

/// The tenant and the key of the gap that an ask is of.
async fn gap_of(connection: &mut PgConnection, ask: AskId) -> Result<Option<(Uuid, Uuid)>, DatabaseError> {
    let Some(ts) = ask.timestamp() else { return Ok(None) };
    let of = sqlx::query_as(OF).persistent(false).bind(ask.as_uuid()).bind(ts);
    let found: Option<(Uuid, Vec<u8>)> = of.fetch_optional(connection).await?;
    Ok(found.and_then(|(tenant, key)| Some((tenant, Uuid::from_slice(&key).ok()?))))
}
