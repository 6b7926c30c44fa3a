//! What people thought of answers, as a queue: a filter in, a page of opinions with what they are about out.

use std::collections::HashMap;

use rag_tower::AskId;
use rag_tower::postgres::{DatabaseError, OwnerTx};
use rag_tower::tenant::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{FromRow, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::OwnerStore;
use super::change::Entry;
use super::masked::mask;
use super::page::{Cursor, List, Listing, Page, Statement};
use crate::auth::OwnerScope;

/// An opinion that was changed after somebody looked at it is open again.
const QUEUE: Listing = Listing {
    columns: "r.id, r.ts, r.trace_id, r.tenant_id, t.slug AS tenant, r.rating, r.comment, r.state, r.note, r.reviewed_at,
        r.reviewed_by",
    table: "(SELECT f.id, f.ts, f.trace_id, f.tenant_id, CASE WHEN f.rating > 0 THEN 'up' ELSE 'down' END AS rating, f.comment,
            CASE WHEN v.state = 'done' AND v.reviewed_at >= f.ts THEN 'done' ELSE 'open' END AS state,
            v.note, v.reviewed_at, v.reviewed_by
         FROM rag_tower.user_feedback f LEFT JOIN rag_tower.feedback_reviews v ON v.feedback_id = f.id)",
    id: "id",
    filter: "($1::uuid IS NULL OR r.tenant_id = $1) AND ($2::timestamptz IS NULL OR r.ts >= $2)
        AND ($3::timestamptz IS NULL OR r.ts < $3) AND ($4::text IS NULL OR r.rating = $4)
        AND ($5::text IS NULL OR r.state = $5) AND ($6::uuid IS NULL OR r.id = $6)",
    parameters: 6,
};
/// What opinions are about. The times follow from the ids, so that only their partitions are looked at.
const ABOUT: &str = "SELECT x.trace_id, x.tenant_id, x.route, left(x.question, 160) AS question, left(x.answer, 160) AS answer
    FROM rag_tower.request_traces x WHERE x.trace_id = ANY($1) AND x.ts = ANY($2)";
const REVIEW: &str =
    "INSERT INTO rag_tower.feedback_reviews (feedback_id, tenant_id, state, note, reviewed_by)
    SELECT f.id, f.tenant_id, $2, $3, $4 FROM rag_tower.user_feedback f WHERE f.id = $1
    ON CONFLICT (feedback_id) DO UPDATE SET state = excluded.state, note = excluded.note, reviewed_at = now(),
        reviewed_by = excluded.reviewed_by
    RETURNING tenant_id";

/// Which opinions.
#[derive(Clone, Debug, Default)]
pub struct FeedbackFilter {
    /// Of one tenant. Default: of all.
    pub tenant: Option<TenantId>,
    /// From this moment on.
    pub since: Option<OffsetDateTime>,
    /// Before this moment.
    pub until: Option<OffsetDateTime>,
    /// `up` or `down`.
    pub rating: Option<String>,
    /// Whether somebody has looked at it.
    pub state: Option<ReviewState>,
}

/// Whether somebody has looked at an opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReviewState {
    /// Nobody has, or not for the last time.
    Open,
    /// Somebody has.
    Done,
}

/// An opinion, and what it is about.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct FeedbackLine {
    /// The opinion.
    pub id: Uuid,
    /// When it was given, or changed last.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub ts: OffsetDateTime,
    /// The ask it is about.
    pub trace_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The tenant's slug, when the registry knows it.
    pub tenant: Option<String>,
    /// `up` or `down`.
    pub rating: String,
    /// What was said, masked.
    pub comment: Option<String>,
    /// `open` or `done`.
    pub state: String,
    /// What the owner noted, masked.
    pub note: Option<String>,
    /// When somebody looked at it last.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<crate::api::Moment>")]
    pub reviewed_at: Option<OffsetDateTime>,
    /// Who did.
    pub reviewed_by: Option<String>,
    /// The beginning of the question, masked; none when the ask is not there (any more).
    #[sqlx(skip)]
    pub question_preview: Option<String>,
    /// The beginning of the answer, masked.
    #[sqlx(skip)]
    pub answer_preview: Option<String>,
    /// The route that answered.
    #[sqlx(skip)]
    pub route: Option<String>,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// A page of opinions.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn feedback(
        &self,
        _: &OwnerScope,
        filter: &FeedbackFilter,
        page: &Page,
    ) -> Result<List<FeedbackLine>, DatabaseError> {
        self.opinions(filter, None, page).await
    }

    /// Notes that somebody has looked at an opinion, or that somebody still has to; none when there is no such opinion.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn review_feedback(
        &self,
        owner: &OwnerScope,
        id: Uuid,
        state: ReviewState,
        note: Option<&str>,
    ) -> Result<Option<FeedbackLine>, DatabaseError> {
        let mut change = self.change(owner).await?;
        let review = sqlx::query_scalar(REVIEW).bind(id).bind(state.as_str()).bind(note);
        let found = review.bind(owner.username()).fetch_optional(change.connection()).await?;
        let Some(tenant) = found else { return Ok(None) };
        let detail = json!({ "state": state, "note": note.is_some() });
        change.commit(Entry::new("feedback.review").of(id).tenant(tenant).detail(detail)).await?;
        let found = self.opinions(&FeedbackFilter::default(), Some(id), &Page::first(1)).await?;
        Ok(found.items.into_iter().next())
    }

    async fn opinions(
        &self,
        filter: &FeedbackFilter,
        one: Option<Uuid>,
        page: &Page,
    ) -> Result<List<FeedbackLine>, DatabaseError> {
        let bind = |statement: Statement<'static>| {
            let statement = statement.bind(filter.tenant.map(|tenant| tenant.as_uuid()));
            let statement = statement.bind(filter.since).bind(filter.until).bind(filter.rating.clone());
            statement.bind(filter.state.map(ReviewState::as_str)).bind(one)
        };
        let at = |line: &FeedbackLine| Cursor { ts: line.ts, id: line.id };
        let mut list = self.page(&QUEUE, page, bind, at).await?;
        self.add_asks(&mut list.items).await?;
        for line in &mut list.items {
            for text in
                [&mut line.comment, &mut line.note, &mut line.question_preview, &mut line.answer_preview]
            {
                mask(text);
            }
        }
        Ok(list)
    }

    /// Adds what opinions are about. An ask of another tenant is not what one is about.
    async fn add_asks(&self, lines: &mut [FeedbackLine]) -> Result<(), DatabaseError> {
        let asked = |line: &FeedbackLine| Some((line.trace_id, AskId::new(line.trace_id).timestamp()?));
        let (ids, times): (Vec<_>, Vec<_>) = lines.iter().filter_map(asked).unzip();
        if ids.is_empty() {
            return Ok(());
        }
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        let rows = sqlx::query(ABOUT).persistent(false).bind(ids).bind(times);
        let mut asks = HashMap::new();
        for row in rows.fetch_all(tx.connection()).await? {
            let key: (Uuid, Uuid) = (row.try_get(0)?, row.try_get(1)?);
            let ask: [Option<String>; 3] = [row.try_get(2)?, row.try_get(3)?, row.try_get(4)?];
            asks.insert(key, ask);
        }
        for line in lines {
            if let Some([route, question, answer]) = asks.get(&(line.trace_id, line.tenant_id)).cloned() {
                (line.route, line.question_preview, line.answer_preview) = (route, question, answer);
            }
        }
        Ok(())
    }
}

// === impl ReviewState ===

impl ReviewState {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
        }
    }
}
