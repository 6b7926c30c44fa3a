//! Tickets, as the owner sees them, and what becomes of them: new → contacted → closed, or new → closed.

use rag_tower::masking;
use rag_tower::postgres::{DatabaseError, OwnerTx};
use rag_tower::tenant::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::OwnerStore;
use super::change::{Change, Entry};
use super::masked::{mask, mask_json, mask_name};
use super::page::{Cursor, List, Listing, Page, Statement};
use crate::auth::OwnerScope;
use crate::telemetry;

/// What is shown of a ticket.
macro_rules! line {
    () => {
        "r.id, r.ts, r.updated_at, r.tenant_id, t.slug AS tenant, r.branch_id, r.trace_id, r.user_id, r.phone, r.message,
         r.reason, r.status,
         extract(epoch FROM now() - r.ts)::bigint AS age_s,
         (SELECT count(*) FROM rag_tower.handoff_history n WHERE n.ticket_id = r.id AND n.note IS NOT NULL) AS notes"
    };
}

/// Which tickets, whatever their state. The order of the parameters is that of [`HandoffFilter`].
macro_rules! filter {
    () => {
        "($1::uuid IS NULL OR r.tenant_id = $1) AND ($2::timestamptz IS NULL OR r.ts >= $2)
         AND ($3::timestamptz IS NULL OR r.ts < $3)"
    };
}

const HANDOFFS: Listing = Listing {
    columns: line!(),
    table: "rag_tower.handoff_tickets",
    id: "id",
    filter: concat!(filter!(), " AND ($4::text IS NULL OR r.status = $4)"),
    parameters: 4,
};
const COUNTS: &str = concat!(
    "SELECT count(*) FILTER (WHERE r.status = 'new') AS new, count(*) FILTER (WHERE r.status = 'contacted') AS contacted,
         count(*) FILTER (WHERE r.status = 'closed') AS closed
     FROM rag_tower.handoff_tickets r WHERE ",
    filter!()
);
const OPEN: &str =
    "SELECT count(*) FILTER (WHERE status = 'new'), count(*) FILTER (WHERE status = 'contacted')
     FROM rag_tower.handoff_tickets WHERE status <> 'closed'";
const DETAIL: &str = concat!(
    "SELECT ",
    line!(),
    ", r.meta, r.session_id
     FROM rag_tower.handoff_tickets r LEFT JOIN rag_tower.tenants t ON t.id = r.tenant_id WHERE r.id = $1"
);
/// The newest are kept in sight when there are very many.
const HISTORY: &str = "SELECT h.id, h.ts, h.who, h.from_status, h.to_status, h.note FROM (
         SELECT * FROM rag_tower.handoff_history WHERE ticket_id = $1 ORDER BY ts DESC, id DESC LIMIT 1000) h
     ORDER BY h.ts, h.id";
const MOVE: &str = "UPDATE rag_tower.handoff_tickets SET status = $2, updated_at = now() WHERE id = $1 AND status = $3 RETURNING tenant_id";
const STATUS: &str = "SELECT status FROM rag_tower.handoff_tickets WHERE id = $1";
const TOUCH: &str =
    "UPDATE rag_tower.handoff_tickets SET updated_at = now() WHERE id = $1 RETURNING tenant_id";
const REMEMBER: &str =
    "INSERT INTO rag_tower.handoff_history (id, tenant_id, ticket_id, who, from_status, to_status, note)
     VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id, ts, who, from_status, to_status, note";
const SECRET: &str = "SELECT tenant_id, phone, message FROM rag_tower.handoff_tickets WHERE id = $1";

/// Which tickets.
#[derive(Clone, Debug, Default)]
pub struct HandoffFilter {
    /// Of one tenant. Default: of all.
    pub tenant: Option<TenantId>,
    /// Opened from this moment on.
    pub since: Option<OffsetDateTime>,
    /// Opened before this moment.
    pub until: Option<OffsetDateTime>,
    /// In this state.
    pub status: Option<HandoffStatus>,
}

/// The state of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HandoffStatus {
    /// Nobody has called yet.
    New,
    /// Somebody has.
    Contacted,
    /// There is nothing left to do.
    Closed,
}

/// A page of tickets.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct HandoffPage {
    /// The tickets.
    #[serde(flatten)]
    pub list: List<HandoffLine>,
    /// How many there are in each state, whatever state was asked for.
    pub counts: HandoffCounts,
}

/// How many tickets there are in each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, FromRow, schemars::JsonSchema)]
#[expect(missing_docs, reason = "the fields are the states")]
#[non_exhaustive]
pub struct HandoffCounts {
    pub new: i64,
    pub contacted: i64,
    pub closed: i64,
}

/// A ticket in a list.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct HandoffLine {
    /// The ticket.
    pub id: Uuid,
    /// When it was opened.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub ts: OffsetDateTime,
    /// When something of it changed last.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub updated_at: OffsetDateTime,
    /// How long ago it was opened, in seconds.
    pub age_s: i64,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The tenant's slug, when the registry knows it.
    pub tenant: Option<String>,
    /// The branch.
    pub branch_id: Option<Uuid>,
    /// The ask it came from.
    pub trace_id: Option<Uuid>,
    /// Who asked, as the tenant knows them, masked.
    pub user_id: Option<String>,
    /// Where to call back, masked.
    pub phone: Option<String>,
    /// What they want, masked.
    pub message: String,
    /// Why.
    pub reason: String,
    /// `new`, `contacted` or `closed`.
    pub status: String,
    /// How many notes there are.
    pub notes: i64,
}

/// A ticket in full.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct HandoffDetail {
    /// What a list shows of it.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub line: HandoffLine,
    /// Anything else that came with it, masked.
    pub meta: Value,
    /// The conversation it came from.
    pub session_id: Option<Uuid>,
    /// What became of it, oldest first: the newest thousand.
    #[sqlx(skip)]
    pub history: Vec<HandoffEvent>,
}

/// What became of a ticket, once.
#[derive(Clone, Debug, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct HandoffEvent {
    /// Its id.
    pub id: Uuid,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    pub ts: OffsetDateTime,
    /// Who did it.
    pub who: String,
    /// The state before; none when it stayed.
    #[serde(rename = "from")]
    pub from_status: Option<String>,
    /// The state after; none when it stayed.
    #[serde(rename = "to")]
    pub to_status: Option<String>,
    /// A note, masked.
    pub note: Option<String>,
}

/// What is behind the mask.
#[derive(Clone, Serialize, FromRow, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Revealed {
    #[serde(skip)]
    tenant_id: Uuid,
    /// Where to call back.
    pub phone: Option<String>,
    /// What they want.
    pub message: String,
}

/// What came of a change of state.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Moved {
    /// The ticket as it is now.
    Done(Box<HandoffDetail>),
    /// Somebody was faster: it is in this state.
    Stale(String),
    /// There is no such ticket.
    Missing,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// A page of tickets.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn handoffs<'q>(
        &self,
        _: &OwnerScope,
        filter: &'q HandoffFilter,
        page: &Page,
    ) -> Result<HandoffPage, DatabaseError> {
        let tenant = filter.tenant.map(|tenant| tenant.as_uuid());
        let bind = |statement: Statement<'q>| {
            let statement = statement.bind(tenant).bind(filter.since).bind(filter.until);
            statement.bind(filter.status.map(HandoffStatus::as_str))
        };
        let at = |line: &HandoffLine| Cursor { ts: line.ts, id: line.id };
        let mut list = self.page(&HANDOFFS, page, bind, at).await?;
        list.items.iter_mut().for_each(HandoffLine::mask);
        let mut tx = OwnerTx::begin(&self.database).await?;
        let counts = sqlx::query_as(COUNTS).bind(tenant).bind(filter.since).bind(filter.until);
        let counts = counts.fetch_one(tx.connection()).await?;
        Ok(HandoffPage { list, counts })
    }

    /// How many tickets there are that are not closed: those that are new, and those whose customer was called.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn open_handoffs(&self) -> Result<(i64, i64), DatabaseError> {
        let mut tx = OwnerTx::begin(&self.database).await?;
        Ok(sqlx::query_as(OPEN).fetch_one(tx.connection()).await?)
    }

    /// A ticket in full; none when there is none.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn handoff(&self, _: &OwnerScope, id: Uuid) -> Result<Option<HandoffDetail>, DatabaseError> {
        let mut tx = OwnerTx::snapshot(&self.database).await?;
        let found: Option<HandoffDetail> =
            sqlx::query_as(DETAIL).bind(id).fetch_optional(tx.connection()).await?;
        let Some(mut ticket) = found else { return Ok(None) };
        ticket.history = sqlx::query_as(HISTORY).bind(id).fetch_all(tx.connection()).await?;
        ticket.line.mask();
        mask_json(&mut ticket.meta);
        ticket.history.iter_mut().for_each(|event| mask(&mut event.note));
        Ok(Some(ticket))
    }

    /// Moves a ticket on, from the state in which the owner saw it. Whether that step is one is
    /// [`HandoffStatus::leads_to`]'s to say.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn move_handoff(
        &self,
        owner: &OwnerScope,
        id: Uuid,
        (from, to): (HandoffStatus, HandoffStatus),
        note: Option<&str>,
    ) -> Result<Moved, DatabaseError> {
        let mut change = self.change(owner).await?;
        let moved = sqlx::query_scalar(MOVE).bind(id).bind(to.as_str()).bind(from.as_str());
        let Some(tenant) = moved.fetch_optional(change.connection()).await? else {
            let now = sqlx::query_scalar(STATUS).bind(id).fetch_optional(change.connection()).await?;
            return Ok(now.map_or(Moved::Missing, Moved::Stale));
        };
        let step = Some((from.as_str(), to.as_str()));
        remember(&mut change, owner, (id, tenant), step, note).await?;
        let detail = json!({ "from": from, "to": to, "note": note.is_some() });
        change.commit(Entry::new("handoff.transition").of(id).tenant(tenant).detail(detail)).await?;
        let ticket = self.handoff(owner, id).await?;
        telemetry::handoff(to.as_str(), ticket.as_ref().map_or("", |ticket| &ticket.line.reason));
        Ok(ticket.map_or(Moved::Missing, |ticket| Moved::Done(Box::new(ticket))))
    }

    /// Adds a note to a ticket; none when there is no such ticket.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn note_handoff(
        &self,
        owner: &OwnerScope,
        id: Uuid,
        note: &str,
    ) -> Result<Option<HandoffEvent>, DatabaseError> {
        let mut change = self.change(owner).await?;
        let found = sqlx::query_scalar(TOUCH).bind(id).fetch_optional(change.connection()).await?;
        let Some(tenant) = found else { return Ok(None) };
        let mut event = remember(&mut change, owner, (id, tenant), None, Some(note)).await?;
        change.commit(Entry::new("handoff.note").of(id).tenant(tenant)).await?;
        mask(&mut event.note);
        Ok(Some(event))
    }

    /// What is behind the mask of a ticket, once the audit log holds who looked and why; none when there is no such ticket.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn reveal_handoff(
        &self,
        owner: &OwnerScope,
        id: Uuid,
        reason: &str,
    ) -> Result<Option<Revealed>, DatabaseError> {
        let mut change = self.change(owner).await?;
        let found: Option<Revealed> =
            sqlx::query_as(SECRET).bind(id).fetch_optional(change.connection()).await?;
        let Some(revealed) = found else { return Ok(None) };
        let detail = json!({ "reason": masking::text(reason) });
        change.commit(Entry::new("handoff.reveal").of(id).tenant(revealed.tenant_id).detail(detail)).await?;
        Ok(Some(revealed))
    }
}

/// Adds a line to a ticket's history.
async fn remember(
    change: &mut Change<'_>,
    owner: &OwnerScope,
    (ticket, tenant): (Uuid, Uuid),
    step: Option<(&str, &str)>,
    note: Option<&str>,
) -> Result<HandoffEvent, DatabaseError> {
    let event = sqlx::query_as(REMEMBER)
        .bind(Uuid::now_v7())
        .bind(tenant)
        .bind(ticket)
        .bind(owner.username())
        .bind(step.map(|(from, _)| from))
        .bind(step.map(|(_, to)| to))
        .bind(note)
        .fetch_one(change.connection())
        .await?;
    Ok(event)
}

// === impl HandoffStatus ===

impl HandoffStatus {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Contacted => "contacted",
            Self::Closed => "closed",
        }
    }

    /// True when a ticket may go from this state to that. A closed one stays closed: whoever asks again opens another.
    #[must_use]
    pub const fn leads_to(self, to: Self) -> bool {
        matches!((self, to), (Self::New, Self::Contacted | Self::Closed) | (Self::Contacted, Self::Closed))
    }
}

// === impl HandoffLine ===

impl HandoffLine {
    fn mask(&mut self) {
        mask_name(&mut self.user_id);
        self.phone = self.phone.as_deref().map(masking::phone);
        self.message = masking::text(&self.message).into_owned();
    }
}

// === impl Revealed ===

impl std::fmt::Debug for Revealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revealed").finish_non_exhaustive()
    }
}
