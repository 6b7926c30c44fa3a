//! What the owner reads, against a private cluster.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rag_tower::answer::Usage;
use rag_tower::postgres::{
    APP_LOGIN, DatabaseOptions, NewHandoff, PgFeedback, PgHandoffs, PgRollups, PgTraceStore, Rating,
    SearchText, Selection, bootstrap,
};
use rag_tower::tenant::TenantId;
use rag_tower::trace::{Outcome, TraceRow};
use rag_tower::{AskId, ErrorKind, Finish, Stage, TenantScope};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use time::OffsetDateTime;

pub(crate) mod alerts;
mod changes;
mod gaps;
mod prices;
mod state;

use super::*;
use crate::auth::{OwnerScope, OwnerSessions};
use crate::cluster::{Cluster, ClusterOptions};

/// A migrated database with two tenants, and what keeps it alive.
pub(crate) struct Fixture {
    cluster: Cluster,
    _folder: TempDir,
    pub(crate) database: Database,
    pub(crate) admin: PgConnection,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let open = std::fs::Permissions::from_mode(0o711);
        let folder = tempfile::Builder::new().permissions(open).tempdir().unwrap();
        let cluster = Cluster::start(&ClusterOptions::new(folder.path()).throwaway()).await.unwrap();
        let url = cluster.admin_url("postgres");
        bootstrap(&url, APP_LOGIN, Some(cluster.app_password())).await.unwrap();
        let database = Database::connect(&DatabaseOptions::new(cluster.app_url("postgres"))).await.unwrap();
        let mut fixture =
            Self { admin: PgConnection::connect(&url).await.unwrap(), cluster, _folder: folder, database };
        for tenant in ["a", "b"] {
            let id = TenantId::named(tenant);
            fixture
                .run(format!(
                    "INSERT INTO rag_tower.tenants (id, slug, name) VALUES ('{id}', '{tenant}', 'T')"
                ))
                .await;
        }
        fixture
    }

    pub(super) async fn run(&mut self, sql: String) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.admin).await.unwrap();
    }

    /// A trace row that took so many milliseconds, and its id.
    async fn row(&mut self, tenant: &str, outcome: Outcome, latency_ms: u64, question: &str) -> AskId {
        self.row_with(tenant, outcome, latency_ms, question, |_| {}).await
    }

    /// The same with something else about it.
    async fn row_with(
        &mut self,
        tenant: &str,
        outcome: Outcome,
        latency_ms: u64,
        question: &str,
        change: impl FnOnce(&mut TraceRow),
    ) -> AskId {
        let id = AskId::generate();
        let mut row: TraceRow = serde_json::from_value(serde_json::json!({
            "trace_id": id, "ts": "2026-01-01T00:00:00Z", "tenant_id": TenantId::named(tenant), "channel": "web",
            "route": "course_search", "outcome": "truncated", "latency": Duration::from_millis(latency_ms),
            "question": question, "answer": "call 0912345123", "sources": [], "tool_metadata": {}, "spans": [],
            "hits": [], "degraded": [], "cost_estimate": 0.002
        }))
        .unwrap();
        row.ts = id.timestamp().unwrap();
        row.outcome = outcome;
        row.usage = Some(Usage { input_tokens: 10, output_tokens: 0, estimated: false });
        change(&mut row);
        assert_eq!(PgTraceStore::new(&self.database).insert(&[row]).await.unwrap(), [id]);
        id
    }

    pub(super) async fn stop(self) {
        drop(self.admin);
        self.database.close().await;
        self.cluster.stop().await.unwrap();
    }
}

fn scope(tenant: &str) -> TenantScope {
    rag_tower::test_util::scope(tenant)
}

#[tokio::test]
async fn the_owner_reads_asks_figures_tickets_and_tenants() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());

    // nothing yet: no rate divides by zero
    let none = store.figures(&owner, None, None, None).await.unwrap();
    assert_eq!(
        (none.total_requests, none.p95_ms, none.satisfaction_rate, none.handoff_rate),
        (0, None, None, None)
    );

    let mut ids = Vec::new();
    for n in 1..=20 {
        let failed = Outcome::Failed(ErrorKind::Internal, Stage::Generate);
        let outcome = if n == 20 { failed } else { Outcome::Completed(Finish::Stop) };
        ids.push(fixture.row("a", outcome, n, "Học phí 100%? gọi 0912345678").await);
    }
    let foreign =
        fixture.row("b", Outcome::Failed(ErrorKind::Isolation, Stage::Retrieve), 1_000, "hello").await;

    // a list, page after page, without gap or repeat
    let filter = LogFilter::from(Selection { tenant: Some(TenantId::named("a")), ..Selection::default() });
    let first = store.logs(&owner, &filter, &Page::first(15)).await.unwrap();
    assert_eq!((first.items.len(), first.total), (15, Some(20)));
    assert_eq!(first.items[0].question_preview.as_deref(), Some("Học phí 100%? gọi 09****678"));
    assert_eq!((first.items[0].tenant.as_deref(), first.items[0].sources_count), (Some("a"), 0));
    let next: Cursor = first.next.unwrap().to_string().parse().unwrap();
    let second = store.logs(&owner, &filter, &Page::first(15).after(next)).await.unwrap();
    assert_eq!((second.items.len(), second.total, second.next), (5, None, None));
    let mut seen: Vec<_> = first.items.iter().chain(&second.items).map(|line| line.trace_id).collect();
    seen.reverse();
    assert_eq!(seen, ids.iter().map(AskId::as_uuid).collect::<Vec<_>>());
    let offset = store.logs(&owner, &filter, &Page::first(15).skipping(15)).await.unwrap();
    assert_eq!((offset.items.len(), offset.total), (5, Some(20)));

    // each filter
    let count =
        async |filter: LogFilter| store.logs(&owner, &filter, &Page::first(50)).await.unwrap().items.len();
    assert_eq!(count(LogFilter::default()).await, 21);
    assert_eq!(
        count(LogFilter::from(Selection { status: Some("ERROR".into()), ..Selection::default() })).await,
        1
    );
    assert_eq!(
        count(LogFilter::from(Selection { route: Some("comparison".into()), ..Selection::default() })).await,
        0
    );
    assert_eq!(count(LogFilter { text: SearchText::new("HỌC PHÍ 100%"), ..LogFilter::default() }).await, 20);
    assert_eq!(
        count(LogFilter { text: SearchText::new("%"), ..LogFilter::default() }).await,
        20,
        "no wildcard"
    );
    let now = Some(OffsetDateTime::now_utc() + Duration::from_secs(60));
    assert_eq!(count(LogFilter::from(Selection { since: now, ..Selection::default() })).await, 0);
    assert_eq!(count(LogFilter::from(Selection { until: now, ..Selection::default() })).await, 21);

    // feedback: b's opinion of a's ask joins nothing
    let feedback = PgFeedback::new(&fixture.database);
    feedback.put(&scope("a"), ids[0], Rating::Up, Some("mail me: a@example.com")).await.unwrap();
    feedback.put(&scope("a"), ids[1], Rating::Up, None).await.unwrap();
    feedback.put(&scope("a"), ids[2], Rating::Down, None).await.unwrap();
    feedback.put(&scope("b"), ids[3], Rating::Down, None).await.unwrap();
    let mut handoff = NewHandoff::new("asked_for_a_person");
    handoff.phone = Some("0912345678".into());
    PgHandoffs::new(&fixture.database).open(&scope("a"), &handoff).await.unwrap();

    // figures
    let of_a = store.figures(&owner, filter.which.tenant, None, None).await.unwrap();
    assert_eq!((of_a.total_requests, of_a.error_requests, of_a.feedback_total), (20, 1, 3));
    assert_eq!((of_a.avg_time_ms, of_a.cost_usd), (Some(10.5), Some(0.04)));
    for (found, exact) in [(of_a.p50_ms, 10.0), (of_a.p95_ms, 19.0), (of_a.p99_ms, 20.0)] {
        assert!((found.unwrap() - exact).abs() <= exact / 100.0, "{found:?} for {exact}");
    }
    assert_eq!((of_a.satisfaction_rate, of_a.handoff_rate), (Some(2.0 / 3.0), Some(0.05)));
    assert_eq!((of_a.input_tokens, of_a.handoff_count), (200, 1));
    let of_all = store.figures(&owner, None, None, None).await.unwrap();
    assert_eq!((of_all.total_requests, of_all.error_requests, of_all.feedback_total), (21, 2, 3));
    // the same when all of it is folded
    PgRollups::new(&fixture.database).fold_all().await.unwrap();
    assert_eq!(store.figures(&owner, filter.which.tenant, None, None).await.unwrap(), of_a);
    assert_eq!(store.figures(&owner, None, None, None).await.unwrap(), of_all);

    // one ask
    let detail = store.trace(&owner, ids[0]).await.unwrap().unwrap();
    assert_eq!(detail.answer.as_deref(), Some("call 09****123"));
    assert_eq!(detail.feedback[0]["rating"], 1);
    assert!(!detail.feedback.to_string().contains("a@example.com"));
    assert_eq!(store.trace(&owner, foreign).await.unwrap().unwrap().tenant.as_deref(), Some("b"));
    assert!(store.trace(&owner, AskId::generate()).await.unwrap().is_none());
    assert!(store.trace(&owner, AskId::new(uuid::Uuid::nil())).await.unwrap().is_none());

    // tickets and tenants
    let tickets = store.handoffs(&owner, &HandoffFilter::default(), &Page::first(10)).await.unwrap().list;
    assert_eq!((tickets.items.len(), tickets.total), (1, Some(1)));
    assert_eq!(
        (tickets.items[0].phone.as_deref(), tickets.items[0].status.as_str()),
        (Some("09****678"), "new")
    );
    let closed = HandoffFilter { status: Some(HandoffStatus::Closed), ..HandoffFilter::default() };
    assert!(store.handoffs(&owner, &closed, &Page::first(10)).await.unwrap().list.items.is_empty());
    let slugs: Vec<_> = store
        .tenants(&owner, &TenantPage::first(10), OffsetDateTime::now_utc())
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|tenant| tenant.slug)
        .collect();
    assert_eq!(slugs, ["a", "b"]);
    fixture.stop().await;
}

#[tokio::test]
async fn sessions_live_until_they_end() {
    let fixture = Fixture::new().await;
    let sessions = PgOwnerSessions::new(&fixture.database);
    assert!(!sessions.is_live("s1").await.unwrap());
    sessions.start("s1", Duration::from_secs(60)).await.unwrap();
    sessions.start("s2", Duration::ZERO).await.unwrap();
    assert!(sessions.is_live("s1").await.unwrap());
    assert!(!sessions.is_live("s2").await.unwrap(), "expired");
    sessions.end("s1").await.unwrap();
    sessions.end("s1").await.unwrap();
    assert!(!sessions.is_live("s1").await.unwrap());
    fixture.stop().await;
}

#[test]
fn cursors_survive_the_wire_and_nonsense_is_refused() {
    let cursor =
        Cursor { ts: time::macros::datetime!(2026-01-02 03:04:05.678901 UTC), id: uuid::Uuid::from_u128(9) };
    assert_eq!(cursor.to_string().parse(), Ok(cursor));
    for text in ["", "1", "x.y", "-5.00000000000000000000000000000009", "99999999999999999999.9"] {
        assert!(text.parse::<Cursor>().is_err(), "{text}");
    }
}
