//! Views that the owner keeps: a screen and the query of its address.

use rag_tower::postgres::{DatabaseError, OwnerTx};
use serde::Serialize;
use serde_json::json;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OwnerStore;
use super::change::Entry;
use crate::auth::OwnerScope;

/// The most views.
pub const MAX_VIEWS: i64 = 200;

const LIST: &str =
    "SELECT id, screen, name, query, created_at FROM rag_tower.saved_views ORDER BY screen, name, id";
/// One at a time, so that there are never too many.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('rag_tower.saved_views'))";
const COUNT: &str = "SELECT count(*) FROM rag_tower.saved_views";
const KEEP: &str = "INSERT INTO rag_tower.saved_views (id, screen, name, query) VALUES ($1, $2, $3, $4)
    ON CONFLICT (screen, name) DO NOTHING RETURNING id, screen, name, query, created_at";
const DROP: &str = "DELETE FROM rag_tower.saved_views WHERE id = $1 RETURNING screen, name";

/// A view.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SavedView {
    /// The view.
    pub id: Uuid,
    /// The screen that it is of.
    pub screen: String,
    /// What the owner calls it.
    pub name: String,
    /// The query of its address, without the question mark.
    pub query: String,
    /// When it was kept.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub created_at: OffsetDateTime,
}

/// What came of keeping a view.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeptView {
    /// It is kept.
    Kept(SavedView),
    /// The screen has a view of this name.
    Twice,
    /// There are [`MAX_VIEWS`].
    TooMany,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// Every view, by screen and name.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn views(&self, _: &OwnerScope) -> Result<Vec<SavedView>, DatabaseError> {
        let mut tx = OwnerTx::begin(&self.database).await?;
        Ok(sqlx::query_as(LIST).fetch_all(tx.connection()).await?)
    }

    /// Keeps a view.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn keep_view(
        &self,
        owner: &OwnerScope,
        screen: &str,
        name: &str,
        query: &str,
    ) -> Result<KeptView, DatabaseError> {
        let mut change = self.change(owner).await?;
        sqlx::query(LOCK).execute(change.connection()).await?;
        let views: i64 = sqlx::query_scalar(COUNT).fetch_one(change.connection()).await?;
        if views >= MAX_VIEWS {
            return Ok(KeptView::TooMany);
        }
        let keep = sqlx::query_as(KEEP).bind(Uuid::now_v7()).bind(screen).bind(name).bind(query);
        let kept: Option<SavedView> = keep.fetch_optional(change.connection()).await?;
        let Some(view) = kept else { return Ok(KeptView::Twice) };
        let detail = json!({ "screen": screen });
        change.commit(Entry::new("view.create").of(view.id).detail(detail)).await?;
        Ok(KeptView::Kept(view))
    }

    /// Forgets a view; false when there is none.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn forget_view(&self, owner: &OwnerScope, id: Uuid) -> Result<bool, DatabaseError> {
        let mut change = self.change(owner).await?;
        let found: Option<(String, String)> =
            sqlx::query_as(DROP).bind(id).fetch_optional(change.connection()).await?;
        let Some((screen, _)) = found else { return Ok(false) };
        change.commit(Entry::new("view.delete").of(id).detail(json!({ "screen": screen }))).await?;
        Ok(true)
    }
}
