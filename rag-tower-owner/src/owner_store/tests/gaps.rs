//! Questions without an answer: what is one gap and whose, in which order, and that it stays closed until it is asked again.

use rag_tower::answer::AbstainReason;
use rag_tower::tenant::BranchId;
use uuid::Uuid;

use super::*;

fn missed(reason: AbstainReason) -> Outcome {
    Outcome::Completed(Finish::Abstained(reason))
}

impl Fixture {
    /// A question that was left without an answer for want of knowledge.
    async fn missed(&mut self, tenant: &str, question: &str) -> AskId {
        self.row(tenant, missed(AbstainReason::NoDocuments), 1, question).await
    }
}

async fn all(store: &OwnerStore, filter: &GapFilter) -> GapPage {
    store.gaps(&OwnerScope::for_test(), filter, 50, None).await.unwrap()
}

/// Whose question it is, the question, and how often it was asked.
fn shown(page: &GapPage) -> Vec<(&str, &str, u64)> {
    page.items
        .iter()
        .map(|line| (line.tenant.as_deref().unwrap(), line.question.as_deref().unwrap(), line.count))
        .collect()
}

#[tokio::test]
async fn a_question_is_one_gap_of_its_tenant_however_it_is_written() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let branch = Uuid::from_u128(7);
    let a = TenantId::named("a");
    fixture
        .run(format!(
            "INSERT INTO rag_tower.branches (tenant_id, id, name) VALUES ('{a}', '{branch}', 'Quận 1')"
        ))
        .await;
    fixture.missed("b", "Có lớp tiếng Nhật không?").await;
    fixture.missed("a", "Có lớp tiếng Nhật không?").await;
    let first = fixture.missed("a", "gọi 0912345678 nhé").await;
    fixture
        .row_with("a", missed(AbstainReason::BelowThreshold), 1, "CO LOP  tieng nhat khong", |row| {
            row.branch_id = Some(BranchId::new(branch));
            row.confidence = Some(0.25);
        })
        .await;
    let last = fixture
        .row_with("a", missed(AbstainReason::BelowThreshold), 1, "Có lớp tiếng Nhật không ?!", |row| {
            row.confidence = Some(0.125);
        })
        .await;
    // none of these says that knowledge is missing
    fixture.missed("a", " ?! ").await;
    fixture.row("a", Outcome::Completed(Finish::Stop), 1, "Có lớp tiếng Nhật không?").await;
    fixture.row("a", missed(AbstainReason::StoreUnavailable), 1, "Có lớp tiếng Nhật không?").await;
    fixture.row("a", Outcome::Failed(ErrorKind::Internal, Stage::Generate), 1, "lỗi").await;
    let aside = |row: &mut TraceRow| row.route = Some("out_of_domain".into());
    fixture.row_with("a", Outcome::Completed(Finish::OutOfDomain), 1, "Giá vàng?", aside).await;
    fixture.row_with("a", Outcome::Completed(Finish::Stop), 1, "Trả lời được", aside).await;

    let page = all(&store, &GapFilter::default()).await;
    assert_eq!(
        shown(&page),
        [
            ("a", "Có lớp tiếng Nhật không ?!", 3),
            ("a", "Giá vàng?", 1),
            ("a", "gọi 09****678 nhé", 1),
            ("b", "Có lớp tiếng Nhật không?", 1),
        ]
    );
    assert_eq!((page.total, page.counted, page.complete, page.counted_since), (4, 7, true, None));
    assert_eq!(page.counts, GapCounts { open: 4, resolved: 0 });
    let gap = &page.items[0];
    assert_eq!((gap.sample_trace_id, Some(gap.last_at)), (last.as_uuid(), last.timestamp()));
    assert!(gap.first_at < gap.last_at);
    assert_eq!(gap.best_confidence, Some(0.25));
    assert_eq!(gap.branches, [GapBranch { id: branch, name: Some("Quận 1".into()) }]);
    let reasons: Vec<_> = gap.reasons.iter().map(|(reason, asks)| (reason.as_str(), *asks)).collect();
    assert_eq!(reasons, [("below_threshold", 2), ("no_documents", 1)]);
    assert_eq!(page.items[3].key, gap.key, "the same question");
    assert_ne!(page.items[3].tenant_id, gap.tenant_id, "of another tenant is another gap");
    assert!(!serde_json::to_string(&page).unwrap().contains("0912345678"));

    // narrowed
    let of_b = GapFilter { tenant: Some(TenantId::named("b")), ..GapFilter::default() };
    assert_eq!(shown(&all(&store, &of_b).await), [("b", "Có lớp tiếng Nhật không?", 1)]);
    for (reason, gaps) in
        [(GapReason::NoDocuments, 3), (GapReason::BelowThreshold, 1), (GapReason::OutOfDomain, 1)]
    {
        let filter = GapFilter { reason: Some(reason), ..GapFilter::default() };
        assert_eq!(all(&store, &filter).await.total, gaps, "{reason:?}");
    }
    let until = GapFilter { until: first.timestamp(), ..GapFilter::default() };
    assert_eq!(all(&store, &until).await.total, 2);
    let since = GapFilter { since: Some(OffsetDateTime::now_utc()), ..GapFilter::default() };
    assert_eq!(all(&store, &since).await.total, 0);

    // as a file, which holds the same and no formula
    fixture.missed("a", "=1+1 gọi 0987654321").await;
    let file = store.export_gaps(&owner, &GapFilter::default(), Format::Csv).await.unwrap();
    let file = String::from_utf8(file.to_vec()).unwrap();
    assert_eq!(file.lines().count(), 1 + 5, "{file}");
    assert!(file.contains("'=1+1 gọi 09****321") && !file.contains("0987654321"), "{file}");
    fixture.stop().await;
}

#[tokio::test]
async fn pages_hold_each_gap_once_whatever_is_asked_meanwhile() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    for n in 0..7 {
        for _ in 0..=n % 3 {
            fixture.missed("a", &format!("câu hỏi số {n}")).await;
        }
    }
    let expected: Vec<_> =
        all(&store, &GapFilter::default()).await.items.iter().map(|line| line.key).collect();
    let (mut seen, mut counts, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = store.gaps(&owner, &GapFilter::default(), 3, after).await.unwrap();
        assert_eq!(page.total, 7);
        seen.extend(page.items.iter().map(|line| line.key));
        counts.extend(page.items.iter().map(|line| line.count));
        // would be the first on the first page
        for _ in 0..4 {
            fixture.missed("a", "câu hỏi số 0").await;
        }
        let Some(next) = page.next else { break };
        after = Some(next.to_string().parse().unwrap());
    }
    assert_eq!((seen, counts), (expected, vec![3, 3, 2, 2, 1, 1, 1]));
    assert_eq!(all(&store, &GapFilter::default()).await.items[0].count, 13);
    for text in ["", "1.2", "1.00000000000000000000000000000001.x.1.00000000000000000000000000000001"] {
        assert!(text.parse::<GapCursor>().is_err(), "{text}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_gap_is_closed_until_it_is_asked_again_and_each_step_is_in_the_log() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let asked = fixture.missed("a", "Có xe đưa đón không?").await;
    let foreign = fixture.missed("b", "Có xe đưa đón không?").await;
    let answered = fixture.row("a", Outcome::Completed(Finish::Stop), 1, "Có xe đưa đón không?").await;
    let states = async || {
        let page = all(&store, &GapFilter::default()).await;
        let mut states: Vec<_> =
            page.items.iter().map(|line| (line.tenant.clone().unwrap(), line.state)).collect();
        states.sort();
        let open = all(&store, &GapFilter { state: Some(GapState::Open), ..GapFilter::default() }).await;
        assert_eq!((open.total, open.counts), (page.counts.open, page.counts));
        states
    };
    let is = |tenant: &str, state: &'static str| (tenant.to_owned(), state);

    assert_eq!(store.reopen_gap(&owner, asked).await.unwrap(), Reopened::NotResolved);
    for nothing in [answered, AskId::generate(), AskId::new(Uuid::nil())] {
        assert_eq!(store.resolve_gap(&owner, nothing, None).await.unwrap(), None);
        assert_eq!(store.reopen_gap(&owner, nothing).await.unwrap(), Reopened::Missing);
    }
    let standing = store.resolve_gap(&owner, asked, Some("đã thêm, gọi 0912345678")).await.unwrap().unwrap();
    assert_eq!(standing.note.as_deref(), Some("đã thêm, gọi 09****678"));
    assert_eq!(states().await, [is("a", "resolved"), is("b", "open")], "of that tenant alone");
    let filter = GapFilter { state: Some(GapState::Resolved), ..GapFilter::default() };
    let line = all(&store, &filter).await.items.remove(0);
    assert_eq!((line.key, line.resolved_by.as_deref()), (standing.key, Some("owner")));
    assert_eq!((line.note, line.resolved_at), (standing.note, standing.resolved_at));

    // asked again: it is back, and says since when
    let again = fixture.missed("a", "có xe đưa đón không").await;
    assert_eq!(states().await, [is("a", "open"), is("b", "open")]);
    let line = all(&store, &GapFilter::default()).await.items.remove(0);
    assert_eq!(
        (line.count, line.sample_trace_id, line.resolved_at),
        (2, again.as_uuid(), standing.resolved_at)
    );

    // any ask of it will do
    store.resolve_gap(&owner, asked, None).await.unwrap().unwrap();
    assert_eq!(states().await, [is("a", "resolved"), is("b", "open")]);
    let Reopened::Done(standing) = store.reopen_gap(&owner, again).await.unwrap() else { panic!() };
    assert_eq!(standing.resolved_at, None);
    assert_eq!(states().await, [is("a", "open"), is("b", "open")]);
    store.resolve_gap(&owner, foreign, None).await.unwrap().unwrap();
    assert_eq!(states().await, [is("a", "open"), is("b", "resolved")]);

    let log = store.audit(&owner, &AuditFilter::default(), &Page::first(10)).await.unwrap().items;
    let actions: Vec<_> =
        log.iter().map(|line| (line.action.as_str(), line.tenant.as_deref().unwrap())).collect();
    assert_eq!(
        actions,
        [("gap.resolve", "b"), ("gap.reopen", "a"), ("gap.resolve", "a"), ("gap.resolve", "a")]
    );
    assert_eq!(log[3].detail["note"], true);
    // its words, not its digits: the detail names an ask, in whose random id any two digits may stand
    let noted =
        |detail: &str| ["đã thêm", "gọi", "09****", "0912345678"].iter().any(|word| detail.contains(word));
    assert!(log.iter().all(|line| !noted(&line.detail.to_string())), "what was noted is not in it");
    fixture.stop().await;
}

#[tokio::test]
async fn more_asks_than_are_grouped_are_told() {
    let mut fixture = Fixture::new().await;
    let store = OwnerStore::new(&fixture.database);
    fixture.missed("a", "cũ nhất").await;
    let rows: Vec<TraceRow> = (0..5_000)
        .map(|n| {
            let mut row = TraceRow::new(
                AskId::generate(),
                TenantId::named("a"),
                missed(AbstainReason::NoDocuments),
                Duration::from_millis(1),
            );
            row.question = Some(format!("câu {}", n % 9).into());
            row
        })
        .collect();
    let traces = PgTraceStore::new(&fixture.database);
    for batch in rows.chunks(500) {
        traces.insert(batch).await.unwrap();
    }
    let page = all(&store, &GapFilter::default()).await;
    assert_eq!((page.total, page.counted, page.complete), (9, 5_000, false));
    assert_eq!(page.counted_since, rows[0].trace_id.timestamp());
    fixture.stop().await;
}
