//! What the owner changes, and that the audit log says so.

use serde_json::json;

use super::*;
use crate::owner_store::change::Entry;

/// What the audit log says was done to something, the first first.
async fn done(store: &OwnerStore, target: uuid::Uuid) -> Vec<AuditLine> {
    let all = store.audit(&OwnerScope::for_test(), &AuditFilter::default(), &Page::first(200)).await.unwrap();
    let target = Some(target.to_string());
    all.items.into_iter().rev().filter(|line| line.target == target).collect()
}

#[tokio::test]
async fn a_ticket_moves_on_and_each_step_is_written_down() {
    let fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let handoffs = PgHandoffs::new(&fixture.database);
    let mut wanted = NewHandoff::new("asked_for_a_person");
    wanted.phone = Some("0912345678".into());
    wanted.message = "Gọi 0912345678".into();
    wanted.meta = serde_json::from_value(json!({ "mail": "lan@example.com" })).unwrap();
    let id = handoffs.open(&scope("a"), &wanted).await.unwrap().id;
    let foreign = handoffs.open(&scope("b"), &NewHandoff::new("other")).await.unwrap().id;
    let (new, contacted, closed) = (HandoffStatus::New, HandoffStatus::Contacted, HandoffStatus::Closed);

    let note = Some("Hẹn 0987654321 chiều");
    let Moved::Done(ticket) = store.move_handoff(&owner, id, (new, contacted), note).await.unwrap() else {
        panic!("not moved")
    };
    assert_eq!((ticket.line.status.as_str(), ticket.line.notes), ("contacted", 1));
    assert_eq!(ticket.line.phone.as_deref(), Some("09****678"));
    assert_eq!(ticket.meta, json!({ "mail": "l***@example.com" }));
    let stale = store.move_handoff(&owner, id, (new, closed), None).await.unwrap();
    assert!(matches!(&stale, Moved::Stale(now) if now == "contacted"), "{stale:?}");
    let missing = store.move_handoff(&owner, uuid::Uuid::nil(), (new, closed), None).await.unwrap();
    assert!(matches!(missing, Moved::Missing));
    store.note_handoff(&owner, id, "second").await.unwrap().unwrap();
    assert!(store.note_handoff(&owner, uuid::Uuid::nil(), "none").await.unwrap().is_none());

    let history = store.handoff(&owner, id).await.unwrap().unwrap().history;
    let steps: Vec<_> = history
        .iter()
        .map(|event| (event.from_status.as_deref(), event.to_status.as_deref(), event.note.as_deref()))
        .collect();
    assert_eq!(
        steps,
        [(Some("new"), Some("contacted"), Some("Hẹn 09****321 chiều")), (None, None, Some("second"))]
    );
    let counts = |tenant| HandoffFilter { tenant, status: Some(closed), ..HandoffFilter::default() };
    let page = store.handoffs(&owner, &counts(None), &Page::first(10)).await.unwrap();
    assert!(page.list.items.is_empty());
    assert_eq!(page.counts, HandoffCounts { new: 1, contacted: 1, closed: 0 });
    let of_b = store.handoffs(&owner, &counts(Some(TenantId::named("b"))), &Page::first(10)).await.unwrap();
    assert_eq!(of_b.counts, HandoffCounts { new: 1, contacted: 0, closed: 0 });

    let revealed = store.reveal_handoff(&owner, id, "gọi lại 0987654321").await.unwrap().unwrap();
    assert_eq!(
        (revealed.phone.as_deref(), revealed.message.as_str()),
        (Some("0912345678"), "Gọi 0912345678")
    );
    assert!(store.reveal_handoff(&owner, uuid::Uuid::nil(), "why").await.unwrap().is_none());

    let log = done(&store, id).await;
    let actions: Vec<_> = log.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["handoff.transition", "handoff.note", "handoff.reveal"], "refused ones leave none");
    assert_eq!(log[2].detail, json!({ "reason": "gọi lại 09****321" }));
    for line in &log {
        assert_eq!((line.who.as_str(), line.client.as_deref()), ("owner", Some("192.0.2.1")));
        assert_eq!(line.tenant.as_deref(), Some("a"));
        assert!(!line.detail.to_string().contains("0912345678"), "{}", line.detail);
    }
    assert!(done(&store, foreign).await.is_empty());
    let only = AuditFilter { action: Some("handoff.reveal".into()), ..AuditFilter::default() };
    assert_eq!(store.audit(&owner, &only, &Page::first(10)).await.unwrap().total, Some(1));
    let nobody = AuditFilter { who: Some("somebody".into()), ..AuditFilter::default() };
    assert_eq!(store.audit(&owner, &nobody, &Page::first(10)).await.unwrap().total, Some(0));
    fixture.stop().await;
}

#[tokio::test]
async fn a_change_without_its_entry_is_none() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let id = PgHandoffs::new(&fixture.database).open(&scope("a"), &NewHandoff::new("r")).await.unwrap().id;
    let close = "UPDATE rag_tower.handoff_tickets SET status = 'closed'";
    let status = async || store.handoff(&owner, id).await.unwrap().unwrap().line.status;

    // dropped on the way
    let mut change = store.change(&owner).await.unwrap();
    sqlx::query(close).execute(change.connection()).await.unwrap();
    drop(change);
    assert_eq!(status().await, "new");

    // the log takes no more entries: nothing is done that it would not say
    fixture.run("REVOKE INSERT ON rag_tower.audit_log FROM rag_owner; REVOKE INSERT (id) ON rag_tower.audit_log FROM rag_owner".into()).await;
    let mut change = store.change(&owner).await.unwrap();
    sqlx::query(close).execute(change.connection()).await.unwrap();
    change.commit(Entry::new("test.close")).await.unwrap_err();
    assert_eq!(status().await, "new");
    store.reveal_handoff(&owner, id, "why").await.map(drop).unwrap_err();

    // what reads changes nothing
    let mut tx = rag_tower::postgres::OwnerTx::begin(&fixture.database).await.unwrap();
    let refused = sqlx::query(close).execute(tx.connection()).await.unwrap_err().to_string();
    assert!(refused.contains("read-only"), "{refused}");
    drop(tx);
    fixture.stop().await;
}

#[tokio::test]
async fn the_feedback_queue_says_what_it_is_about_and_who_has_looked() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let asked = fixture.row("a", Outcome::Completed(Finish::Stop), 5, "gọi 0912345678?").await;
    let feedback = PgFeedback::new(&fixture.database);
    feedback.put(&scope("a"), asked, Rating::Down, Some("sai, mail a@example.com")).await.unwrap();
    feedback.put(&scope("b"), asked, Rating::Up, None).await.unwrap();

    let all = store.feedback(&owner, &FeedbackFilter::default(), &Page::first(10)).await.unwrap();
    assert_eq!((all.items.len(), all.total), (2, Some(2)));
    let (of_b, of_a) = (&all.items[0], &all.items[1]);
    assert_eq!(of_a.question_preview.as_deref(), Some("gọi 09****678?"));
    assert_eq!(of_a.answer_preview.as_deref(), Some("call 09****123"));
    assert_eq!((of_a.route.as_deref(), of_a.rating.as_str()), (Some("course_search"), "down"));
    assert_eq!(of_a.comment.as_deref(), Some("sai, mail a***@example.com"));
    assert_eq!((of_a.state.as_str(), of_a.reviewed_by.as_deref()), ("open", None));
    assert_eq!(of_b.question_preview, None, "b's opinion of a's ask shows nothing of a");

    let id = of_a.id;
    let line = store.review_feedback(&owner, id, ReviewState::Done, Some("call 0912345678")).await.unwrap();
    let line = line.unwrap();
    assert_eq!((line.state.as_str(), line.note.as_deref()), ("done", Some("call 09****678")));
    assert_eq!(line.reviewed_by.as_deref(), Some("owner"));
    assert!(
        store.review_feedback(&owner, uuid::Uuid::nil(), ReviewState::Done, None).await.unwrap().is_none()
    );
    let open = |state| FeedbackFilter { state: Some(state), ..FeedbackFilter::default() };
    let count = async |filter: &FeedbackFilter| {
        store.feedback(&owner, filter, &Page::first(10)).await.unwrap().total.unwrap()
    };
    assert_eq!((count(&open(ReviewState::Open)).await, count(&open(ReviewState::Done)).await), (1, 1));
    let up = FeedbackFilter { rating: Some("up".into()), ..FeedbackFilter::default() };
    assert_eq!(count(&up).await, 1);
    let of_a = FeedbackFilter { tenant: Some(TenantId::named("a")), ..FeedbackFilter::default() };
    assert_eq!(count(&of_a).await, 1);

    // a changed opinion has not been looked at
    feedback.put(&scope("a"), asked, Rating::Down, Some("vẫn sai")).await.unwrap();
    assert_eq!(count(&open(ReviewState::Open)).await, 2);
    let actions: Vec<_> = done(&store, id).await.into_iter().map(|line| line.action).collect();
    assert_eq!(actions, ["feedback.review"]);
    fixture.stop().await;
}

#[tokio::test]
async fn views_are_kept_once_each_and_not_too_many() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let kept = store.keep_view(&owner, "logs", "Lỗi", "status=ERROR").await.unwrap();
    let KeptView::Kept(view) = kept else { panic!("{kept:?}") };
    assert!(matches!(store.keep_view(&owner, "logs", "Lỗi", "").await.unwrap(), KeptView::Twice));
    assert!(matches!(store.keep_view(&owner, "handoffs", "Lỗi", "").await.unwrap(), KeptView::Kept(_)));
    let names: Vec<_> = store.views(&owner).await.unwrap().into_iter().map(|view| view.screen).collect();
    assert_eq!(names, ["handoffs", "logs"]);
    assert!(store.forget_view(&owner, view.id).await.unwrap());
    assert!(!store.forget_view(&owner, view.id).await.unwrap());
    assert_eq!(done(&store, view.id).await.len(), 2);
    let many = "INSERT INTO rag_tower.saved_views (id, screen, name, query)
                SELECT gen_random_uuid(), 's', n::text, '' FROM generate_series(2, 200) n";
    fixture.run(many.into()).await;
    assert!(matches!(store.keep_view(&owner, "logs", "x", "").await.unwrap(), KeptView::TooMany));
    fixture.stop().await;
}
