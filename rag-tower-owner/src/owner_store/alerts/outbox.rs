//! What webhooks have to be told: events that wait in, each handed out to one process at a time, what came of it back in.

use rag_tower::postgres::{DatabaseError, OwnerTx};
use serde::Serialize;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::OwnerStore;
use super::super::change::Entry;
use crate::auth::OwnerScope;
use crate::secret::Secret;

/// The first attempt and three more.
const ATTEMPTS: i32 = 4;
/// Events that one process takes at once.
const BATCH: i64 = 20;

/// What is told of an event.
macro_rules! notice {
    () => {
        "e.id, e.ts, e.kind, e.value, e.threshold, a.id AS alert, a.name, a.metric, a.tenant_id,
         (SELECT t.slug FROM rag_tower.tenants t WHERE t.id = a.tenant_id) AS tenant, a.route, a.window_min, a.comparison,
         a.webhook"
    };
}

/// Takes what is due. Whoever takes it has a minute, two, three: then it is due again, until it was tried often enough.
const TAKE: &str = concat!(
    "UPDATE rag_tower.alert_events e SET attempts = e.attempts + 1,
         next_attempt = CASE WHEN e.attempts + 1 < $2 THEN now() + (e.attempts + 1) * interval '1 minute' END
     FROM rag_tower.alerts a
     WHERE a.id = e.alert_id AND e.id IN (
         SELECT w.id FROM rag_tower.alert_events w WHERE w.next_attempt <= now() ORDER BY w.next_attempt LIMIT $1
         FOR UPDATE SKIP LOCKED)
     RETURNING ",
    notice!()
);
const SETTLE: &str =
    "UPDATE rag_tower.alert_events SET attempted_at = now(), ok = $2, status = $3, error = $4,
         next_attempt = CASE WHEN $2 THEN NULL ELSE next_attempt END
     WHERE id = $1";
const TEST: &str = concat!(
    "WITH e AS (INSERT INTO rag_tower.alert_events (id, alert_id, kind, value, threshold, attempts)
         SELECT $2, a.id, 'test', a.last_value, a.threshold, 1 FROM rag_tower.alerts a WHERE a.id = $1 RETURNING *)
     SELECT ",
    notice!(),
    " FROM e JOIN rag_tower.alerts a ON a.id = e.alert_id"
);

/// What a webhook is told. As JSON it is what is sent.
#[derive(Clone, Debug, FromRow, Serialize, schemars::JsonSchema)]
pub(crate) struct Notice {
    /// The event.
    id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "crate::api::Moment")]
    ts: OffsetDateTime,
    #[serde(rename = "event")]
    kind: String,
    alert: Uuid,
    name: String,
    metric: String,
    tenant_id: Option<Uuid>,
    tenant: Option<String>,
    route: Option<String>,
    window_min: i32,
    comparison: String,
    threshold: f64,
    value: Option<f64>,
    #[serde(skip)]
    webhook: Option<String>,
}

/// What came of telling it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(crate) struct Delivery {
    /// Whether it was taken.
    pub(crate) ok: bool,
    /// The status of the answer, when there was one.
    pub(crate) status: Option<u16>,
    /// Why it was not taken. It never holds the address.
    pub(crate) error: Option<String>,
}

// === impl OwnerStore ===

impl OwnerStore {
    /// What has to be told now. Nobody else is given it for a while.
    pub(crate) async fn take_notices(&self) -> Result<Vec<Notice>, DatabaseError> {
        let mut tx = OwnerTx::change(&self.database).await?;
        let notices = sqlx::query_as(TAKE).bind(BATCH).bind(ATTEMPTS).fetch_all(tx.connection()).await?;
        tx.commit().await?;
        Ok(notices)
    }

    /// Keeps what came of telling it.
    pub(crate) async fn settle_notice(&self, notice: &Notice, done: &Delivery) -> Result<(), DatabaseError> {
        let mut tx = OwnerTx::change(&self.database).await?;
        sqlx::query(SETTLE)
            .bind(notice.id)
            .bind(done.ok)
            .bind(done.status.map(i32::from))
            .bind(&done.error)
            .execute(tx.connection())
            .await?;
        tx.commit().await
    }

    /// What a rule's webhook is told when the owner tries it; none when there is no such rule.
    pub(crate) async fn test_notice(
        &self,
        owner: &OwnerScope,
        alert: Uuid,
    ) -> Result<Option<Notice>, DatabaseError> {
        let mut change = self.change(owner).await?;
        let test = sqlx::query_as(TEST).bind(alert).bind(Uuid::now_v7());
        let Some(notice): Option<Notice> = test.fetch_optional(change.connection()).await? else {
            return Ok(None);
        };
        if notice.webhook.is_none() {
            // there is nothing to try: the caller sees that
            return Ok(Some(notice));
        }
        change.commit(Entry::new("alert.test").of(alert)).await?;
        Ok(Some(notice))
    }
}

// === impl Notice ===

impl Notice {
    /// Where it goes.
    pub(crate) fn webhook(&self) -> Option<Secret> {
        self.webhook.as_deref().map(Secret::new)
    }

    /// It in a sentence, as chat services show it.
    pub(crate) fn text(&self) -> String {
        let of = self.tenant.as_deref().map(|tenant| format!(" of {tenant}")).unwrap_or_default();
        let value = self.value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.4}"));
        let Self { kind, name, metric, comparison, threshold, window_min, .. } = self;
        format!("[{kind}] {name}: {metric}{of} is {value} ({comparison} {threshold} within {window_min} min)")
    }

    /// True when it was only a try.
    pub(crate) fn is_test(&self) -> bool {
        self.kind == "test"
    }
}
