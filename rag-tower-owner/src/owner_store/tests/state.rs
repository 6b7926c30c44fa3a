//! How the platform and its tenants are doing, and whether tenants may go on.

use rag_tower::answer::AbstainReason;
use rag_tower::postgres::PgResolver;
use rag_tower::tenant::KeyHash;
use rag_tower::trace::Phase;

use super::*;
use crate::canary::Canary;
use crate::isolation::Isolation;

const MONTH: OffsetDateTime = time::macros::datetime!(2026-01-01 00:00 UTC);

#[tokio::test]
async fn a_tenants_line_says_how_it_is_doing() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let all = TenantPage::first(10);
    let silent = &store.tenants(&owner, &all, MONTH).await.unwrap().items[0];
    assert_eq!((silent.requests_24h, silent.p95_ms_24h, silent.cost_month_usd), (0, None, None));
    assert_eq!((silent.last_ask_at, silent.keys), (None, 0));

    for n in 1..=20 {
        let failed = Outcome::Failed(ErrorKind::Internal, Stage::Generate);
        fixture.row("a", if n == 20 { failed } else { Outcome::Completed(Finish::Stop) }, n, "q").await;
    }
    let last = fixture.row("a", Outcome::Completed(Finish::Stop), 1, "q").await;
    PgRollups::new(&fixture.database).fold_all().await.unwrap();
    let a = TenantId::named("a");
    fixture
        .run(format!(
            "INSERT INTO rag_tower.corpora (tenant_id, documents, chunks) VALUES ('{a}', 3, 70);
             INSERT INTO rag_tower.branches (tenant_id, id, name) VALUES ('{a}', gen_random_uuid(), 'Quận 1');
             INSERT INTO rag_tower.api_keys (id, tenant_id, hash, role, revoked_at, expires_at) VALUES
                 (gen_random_uuid(), '{a}', sha256('live'), 'member', NULL, NULL),
                 (gen_random_uuid(), '{a}', sha256('revoked'), 'member', now(), NULL),
                 (gen_random_uuid(), '{a}', sha256('expired'), 'member', NULL, now() - interval '1 s')"
        ))
        .await;
    let lines = store.tenants(&owner, &all, MONTH).await.unwrap().items;
    let [of_a, of_b] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((of_a.documents, of_a.chunks, of_a.keys), (3, 70, 1));
    assert_eq!((of_a.requests_24h, of_a.errors_24h), (21, 1));
    assert!((of_a.p95_ms_24h.unwrap() - 19.0).abs() < 0.2, "{:?}", of_a.p95_ms_24h);
    assert_eq!(of_a.cost_month_usd, Some(0.042));
    assert_eq!(of_a.last_ask_at, last.timestamp());
    assert_eq!((of_b.requests_24h, of_b.cost_month_usd, of_b.last_ask_at), (0, None, None), "a's is a's");

    let one = store.tenant(&owner, a.as_uuid(), MONTH).await.unwrap().unwrap();
    assert_eq!((one.line.requests_24h, one.line.last_ask_at), (21, last.timestamp()));
    assert_eq!((one.branches[0].name.as_str(), one.api_keys.len()), ("Quận 1", 3));
    assert!(store.tenant(&owner, uuid::Uuid::nil(), MONTH).await.unwrap().is_none());
    fixture.stop().await;
}

#[tokio::test]
async fn tenants_are_paged_by_slug_and_found_by_a_part_of_their_name() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    fixture
        .run(
            "INSERT INTO rag_tower.tenants (id, slug, name)
             SELECT gen_random_uuid(), 'shop-' || n, 'Quán 100% ' || n FROM generate_series(1, 3) n"
                .to_owned(),
        )
        .await;
    let mut page = TenantPage::first(2);
    let mut slugs: Vec<Vec<String>> = Vec::new();
    loop {
        let tenants = store.tenants(&owner, &page, MONTH).await.unwrap();
        assert_eq!(tenants.total, page.after.is_none().then_some(5));
        slugs.push(tenants.items.into_iter().map(|tenant| tenant.slug).collect());
        let Some(next) = tenants.next else { break };
        page.after = Some(next);
    }
    assert_eq!(slugs, [vec!["a", "b"], vec!["shop-1", "shop-2"], vec!["shop-3"]]);
    for (text, found) in [("QUÁN 100% 2", 1), ("shop", 3), ("100_", 0), ("", 5)] {
        page = TenantPage { text: Some(text.to_owned()), ..TenantPage::first(10) };
        let tenants = store.tenants(&owner, &page, MONTH).await.unwrap();
        assert_eq!((tenants.items.len(), tenants.total), (found, Some(found as u64)), "{text}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn t44_a_suspended_tenants_key_opens_nothing_from_then_on() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let resolver = PgResolver::new(&fixture.database);
    let (a, hash) = (TenantId::named("a"), KeyHash::of("key of a"));
    fixture
        .run(format!(
            "INSERT INTO rag_tower.api_keys (id, tenant_id, hash, role)
             VALUES (gen_random_uuid(), '{a}', sha256('key of a'), 'member')"
        ))
        .await;
    let counts =
        async || resolver.key(hash.as_bytes()).await.unwrap().unwrap().counts(OffsetDateTime::now_utc());
    let stand = async |to, reason| store.stand(&owner, a.as_uuid(), to, reason, MONTH).await.unwrap();

    assert!(counts().await);
    let stale = stand(Standing::Active, None).await;
    assert!(matches!(&stale, Stood::Stale(now) if now == "active"), "{stale:?}");
    let Stood::Done(tenant) = stand(Standing::Suspended, Some("unpaid, 0912345678")).await else { panic!() };
    assert_eq!(tenant.line.status, "suspended");
    assert!(!counts().await, "at once");
    assert!(!resolver.token(a, "any").await.unwrap().unwrap().counts());
    assert!(matches!(stand(Standing::Suspended, Some("again")).await, Stood::Stale(_)));
    assert!(matches!(stand(Standing::Active, None).await, Stood::Done(_)));
    assert!(counts().await);
    let nobody = store.stand(&owner, uuid::Uuid::nil(), Standing::Suspended, None, MONTH).await.unwrap();
    assert!(matches!(nobody, Stood::Missing));

    let log = store.audit(&owner, &AuditFilter::default(), &Page::first(10)).await.unwrap().items;
    let actions: Vec<_> = log.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["tenant.resume", "tenant.suspend"]);
    assert_eq!(log[1].detail["reason"], "unpaid, 09****678");
    let of_b = AuditFilter { tenant: Some(TenantId::named("b")), ..AuditFilter::default() };
    assert_eq!(store.audit(&owner, &of_b, &Page::first(10)).await.unwrap().total, Some(0));
    fixture.stop().await;
}

#[tokio::test]
async fn what_failed_closed_is_told_apart_by_reason_and_tenant() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let foreign = Outcome::Completed(Finish::Abstained(AbstainReason::Isolation));
    let away = Outcome::Failed(ErrorKind::StoreUnavailable, Stage::Retrieve);
    fixture.row("a", Outcome::Completed(Finish::Stop), 1, "fine").await;
    fixture.row("a", Outcome::Failed(ErrorKind::Internal, Stage::Generate), 1, "an error").await;
    fixture.row("a", away.clone(), 1, "q").await;
    let last = fixture.row("a", away.clone(), 1, "q").await;
    fixture.row("b", away, 1, "q").await;
    let violation = fixture.row("b", foreign, 1, "q").await;

    let found = store.failed_closed(&owner, None, None).await.unwrap();
    assert_eq!((found.total, found.counted), (4, 4));
    let groups: Vec<_> = found
        .fail_closed
        .iter()
        .map(|group| (group.reason.as_str(), group.tenant.as_deref().unwrap(), group.count))
        .collect();
    assert_eq!(groups, [("store_unavailable", "a", 2), ("isolation", "b", 1), ("store_unavailable", "b", 1)]);
    assert_eq!(found.fail_closed[0].sample_trace_id, last.as_uuid());
    assert_eq!(Some(found.fail_closed[0].last_at), last.timestamp());
    let violations: Vec<_> = found.violations.iter().map(|one| one.trace_id).collect();
    assert_eq!(violations, [violation.as_uuid()]);
    let later = Some(OffsetDateTime::now_utc() + Duration::from_secs(60));
    let none = store.failed_closed(&owner, later, None).await.unwrap();
    assert_eq!((none.total, none.funnel.all.asked, none.funnel.tenants.len()), (0, 0, 0));
    fixture.stop().await;
}

#[tokio::test]
async fn the_funnel_adds_up_from_all_asks_to_those_that_were_answered() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let failed = |kind| Outcome::Failed(kind, Stage::Retrieve);
    let abstained = |reason| Outcome::Completed(Finish::Abstained(reason));
    for (tenant, outcome) in [
        ("a", Outcome::Completed(Finish::Stop)),
        ("a", Outcome::Completed(Finish::OutOfDomain)),
        ("a", failed(ErrorKind::RateLimited)),
        ("a", failed(ErrorKind::OverBudget)),
        ("a", failed(ErrorKind::Internal)),
        ("a", Outcome::Truncated),
        ("a", Outcome::Cancelled(Phase::Streaming)),
        ("a", failed(ErrorKind::StoreUnavailable)),
        ("a", abstained(AbstainReason::Isolation)),
        ("a", abstained(AbstainReason::NoDocuments)),
        ("b", abstained(AbstainReason::NoDocuments)),
        ("b", abstained(AbstainReason::BelowThreshold)),
        ("b", Outcome::Completed(Finish::Stop)),
    ] {
        fixture.row(tenant, outcome, 1, "q").await;
    }
    let read = async || store.failed_closed(&owner, None, None).await.unwrap().funnel;
    let funnel = read().await;
    let steps = |steps: &Steps| -> Vec<(i64, i64, i64)> {
        steps.steps.iter().map(|step| (step.count, step.left, step.told_apart)).collect()
    };
    assert_eq!((funnel.all.asked, funnel.all.answered), (13, 3));
    assert_eq!(steps(&funnel.all), [(2, 11, 2), (3, 8, 3), (2, 6, 2), (3, 3, 3)]);
    let named: Vec<_> = funnel.all.steps.iter().map(|step| step.name).collect();
    assert_eq!(named, ["refused", "broken", "fail_closed", "abstained"]);
    let part = |part: &StepPart| (part.status, part.reason.clone().unwrap_or_default(), part.count);
    let parts: Vec<_> = funnel.all.steps.iter().flat_map(|step| &step.parts).map(part).collect();
    let known = |status, reason: &str, count| (status, reason.to_owned(), count);
    assert_eq!(
        parts,
        [
            known("RATE_LIMITED", "", 1),
            known("OVER_BUDGET", "", 1),
            known("ERROR", "", 2),
            known("CANCELLED", "", 1),
            known("FAIL_CLOSED", "isolation", 1),
            known("FAIL_CLOSED", "store_unavailable", 1),
            known("ABSTAINED", "no_documents", 2),
            known("ABSTAINED", "below_threshold", 1),
        ]
    );
    assert_eq!(funnel.all.steps[3].share, Some(3.0 / 13.0));

    // a's is a's: whoever has the most asks without an answer comes first
    let tenants: Vec<_> =
        funnel.tenants.iter().map(|one| (one.tenant.as_deref().unwrap(), one.steps.asked)).collect();
    assert_eq!(tenants, [("a", 10), ("b", 3)]);
    assert_eq!(steps(&funnel.tenants[1].steps), [(0, 3, 0), (0, 3, 0), (0, 3, 0), (2, 1, 2)]);
    assert!(funnel.other.is_none());

    // the same once all of it is folded, and when the rows are there no more all but the reasons
    PgRollups::new(&fixture.database).fold_all().await.unwrap();
    let folded = read().await;
    assert_eq!(
        (&folded.all, steps(&folded.tenants[0].steps)),
        (&funnel.all, steps(&funnel.tenants[0].steps))
    );
    fixture.run("DELETE FROM rag_tower.request_traces".into()).await;
    let kept = read().await.all;
    assert_eq!(steps(&kept), [(2, 11, 2), (3, 8, 3), (2, 6, 0), (3, 3, 0)]);
    fixture.stop().await;
}

#[tokio::test]
async fn where_tenants_cannot_be_told_apart_in_time_the_funnel_is_of_all_together() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    fixture.row("a", Outcome::Completed(Finish::Stop), 1, "q").await;
    fixture.row("b", Outcome::Completed(Finish::Abstained(AbstainReason::NoDocuments)), 1, "q").await;
    PgRollups::new(&fixture.database).fold_all().await.unwrap();
    let told = store.failed_closed(&owner, None, None).await.unwrap().funnel;
    assert!(told.by_tenant);
    // nobody reads the tenants' totals for as long as this lasts
    fixture.run("BEGIN; LOCK TABLE rag_tower.trace_totals".into()).await;
    let all = store.failed_closed(&owner, None, None).await.unwrap().funnel;
    assert_eq!((all.by_tenant, all.tenants.len(), &all.all), (false, 0, &told.all));
    fixture.run("ROLLBACK".into()).await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_hole_that_comes_later_is_found_when_it_is_looked_for() {
    let mut fixture = Fixture::new().await;
    let isolation = Isolation::proven(&fixture.database, Canary::new(None));
    let looked = async || {
        let found = isolation.look().await.unwrap().unwrap();
        (found.audit.ok, found.probe.ok)
    };
    assert_eq!(looked().await, (true, true));
    fixture
        .run(
            "CREATE POLICY hole ON rag_tower.chat_sessions TO rag_tenant USING (true) WITH CHECK (true)"
                .into(),
        )
        .await;
    assert_eq!(looked().await, (false, false));
    let kept = serde_json::to_value(isolation.found()).unwrap();
    let text = kept["audit"]["findings"][0].to_string();
    assert!(text.contains("chat_sessions.hole") && text.contains("DROP POLICY"), "{text}");
    assert!(kept["probe"]["findings"][0]["what"].as_str().unwrap().contains("chat_sessions"));
    fixture.run("DROP POLICY hole ON rag_tower.chat_sessions".into()).await;
    assert_eq!(looked().await, (true, true));
    fixture.stop().await;
}

#[tokio::test]
async fn the_database_says_how_far_it_is() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let sets = store.migrations(&owner).await.unwrap();
    assert_eq!(sets.iter().map(|state| state.set).collect::<Vec<_>>(), ["trace", "server"]);
    assert!(sets.iter().all(|state| state.version.is_some() && state.version == state.latest), "{sets:?}");
    assert!(sets.iter().all(|state| state.missing == 0), "{sets:?}");
    assert!(store.trace_bytes(&owner).await.unwrap() > 0);
    fixture.run("DELETE FROM rag_tower._migrations WHERE version = 20261122000202".into()).await;
    assert_eq!(store.migrations(&owner).await.unwrap()[1].missing, 1, "one in between");
    fixture.run("DELETE FROM rag_tower._migrations WHERE version >= 20261122000202".into()).await;
    let behind = &store.migrations(&owner).await.unwrap()[1];
    assert!(behind.version < behind.latest && behind.missing > 1, "{behind:?}");
    fixture.stop().await;
}
