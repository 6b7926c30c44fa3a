//! What these tests share.

use std::time::Duration;

use rag_tower::answer::Usage;
use rag_tower::tenant::{Grant, TenantId, TenantScope};
use rag_tower::trace::{Outcome, Span, TraceRow};
use rag_tower::{AskId, Finish, SessionId, Stage};
use serde_json::json;
use uuid::Uuid;

/// A scope of the tenant with this name.
pub fn scope(tenant: &str) -> TenantScope {
    rag_tower::test_util::granted(Grant::new(TenantId::named(tenant)).with_subject("tester"))
}

/// The id of the tenant with this name.
pub fn id_of(tenant: &str) -> Uuid {
    TenantId::named(tenant).as_uuid()
}

/// A trace row of the tenant that began now, with every field filled.
pub fn trace_row(tenant: &str) -> TraceRow {
    trace_row_of(AskId::generate(), tenant)
}

/// The same under a given id.
pub fn trace_row_of(id: AskId, tenant: &str) -> TraceRow {
    let mut row: TraceRow = serde_json::from_value(json!({
        "trace_id": id,
        "ts": "2026-01-01T00:00:00Z",
        "tenant_id": TenantId::named(tenant),
        "branch_id": Uuid::from_u128(7),
        "subject": "tester",
        "session_id": SessionId::generate(),
        "request_id": "req-1",
        "channel": "web",
        "route": "course_search",
        "outcome": "truncated",
        "error": null,
        "latency": {"secs": 0, "nanos": 12_345_000},
        "ttft": {"secs": 0, "nanos": 1_000_000},
        "question": "Học phí IELTS?",
        "answer": "6.500.000 đồng [1]",
        "sources": [{"n": 1, "doc_id": Uuid::nil(), "file_name": "fees.md", "title": "Fees", "chunk": Uuid::nil(),
                     "snippet": "…", "score": 0.5}],
        "tool_metadata": {"fee": 6_500_000},
        "spans": [],
        "hits": [],
        "confidence": 0.75,
        "degraded": ["keyword"],
        "usage": null,
        "cost_estimate": 0.0125,
        "llm_provider": "extractive",
        "llm_model": "none",
        "receipt": {
            "filter": {"tenant_id": TenantId::named(tenant), "branches": null}, "admitted": 2, "verdict": "passed"
        },
    }))
    .unwrap();
    row.ts = id.timestamp().unwrap();
    row.outcome = Outcome::Completed(Finish::Stop);
    row.usage = Some(Usage { input_tokens: 30, output_tokens: 12, estimated: true });
    row.spans = vec![Span {
        stage: Stage::Retrieve,
        start: Duration::from_micros(10),
        duration: Duration::from_micros(200),
    }];
    row
}

/// An ask id whose milliseconds are those of the given day, at noon.
pub fn ask_on(day: &str) -> AskId {
    let noon = time::OffsetDateTime::parse(
        &format!("{day}T12:00:00Z"),
        &time::format_description::well_known::Rfc3339,
    )
    .unwrap();
    let stamp = uuid::Timestamp::from_unix(uuid::NoContext, noon.unix_timestamp().unsigned_abs(), 0);
    AskId::new(Uuid::new_v7(stamp))
}
