//! Conversations, documents, credentials, feedback, tickets and settings: what they keep, and for whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;
use rag_tower::memory::{NewTurn, Turn};
use rag_tower::passage::{ChunkId, DocumentId, Origin};
use rag_tower::port::{Chunk, ChunkStore, Document, DocumentStore, Hit, MemoryStore, TermStats};
use rag_tower::postgres::{
    Behind, NewHandoff, PgDocuments, PgFeedback, PgHandoffs, PgMemoryStore, PgResolver, PgSettings, Rating,
};
use rag_tower::tenant::{ApiKeys, BranchId, KeyHash, Role, TenantId, TenantNames};
use rag_tower::test_util::document_contract;
use rag_tower::{AskId, ErrorKind, SessionId};
use rag_tower_tests::postgres::TestDatabase;
use serde_json::json;
use uuid::Uuid;

use super::support::{id_of, scope};

fn turn(question: &str) -> Turn {
    Turn {
        question: question.into(),
        answer: "an answer\0".into(),
        route: Some("course_search".into()),
        pending: None,
    }
}

fn document(name: &str) -> Document {
    Document {
        id: DocumentId::new(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())),
        branch: None,
        title: format!("Title of {name}").into(),
        file_name: format!("{name}.md").into(),
        labels: BTreeMap::from([("kind".into(), "fees".into())]),
    }
}

/// Chunks of a document of tenant `a`, each with these terms.
fn chunks(document: &Document, terms: &[&[(u32, u32)]]) -> Vec<Chunk> {
    (0..)
        .zip(terms)
        .map(|(seq, terms)| Chunk {
            id: ChunkId::of(TenantId::named("a"), document.id, seq),
            seq,
            text: format!("text {seq}").into(),
            terms: terms.to_vec(),
        })
        .collect()
}

fn hit(chunk: ChunkId, document: DocumentId, tenant: &str) -> Hit {
    Hit {
        chunk,
        document,
        origin: Origin::Tenant { tenant: TenantId::named(tenant), branch: None },
        score: 0.5,
    }
}

#[tokio::test]
async fn t14_a_conversation_is_remembered_for_its_tenant_alone() {
    let database = TestDatabase::migrated().await;
    let store = PgMemoryStore::new(&database.database().await);
    let session = SessionId::generate();
    assert!(store.load(&scope("a"), session).await.unwrap().is_none());
    store.append(&scope("a"), session, turn("first")).await.unwrap();
    store.append(&scope("a"), session, turn("second")).await.unwrap();
    let history = store.load(&scope("a"), session).await.unwrap().unwrap();
    assert_eq!(history.tenant, TenantId::named("a"));
    let questions: Vec<_> = history.recent_messages_buffer.iter().map(|turn| &*turn.question).collect();
    assert_eq!(questions, ["first", "second"]);
    assert_eq!(&*history.recent_messages_buffer[0].answer, "an answer\u{fffd}");

    assert!(store.load(&scope("b"), session).await.unwrap().is_none());
    let refused = store.append(&scope("b"), session, turn("mine now")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert_eq!(store.load(&scope("a"), session).await.unwrap().unwrap().recent_messages_buffer.len(), 2);
}

#[tokio::test]
async fn turns_of_many_sessions_are_kept_together_or_not_at_all() {
    let database = TestDatabase::migrated().await;
    let store = PgMemoryStore::new(&database.database().await);
    let (a, [one, two, foreign]) = (scope("a"), std::array::from_fn(|_| SessionId::generate()));
    store.append(&a, one, turn("1")).await.unwrap();
    store.append(&scope("b"), foreign, turn("canary")).await.unwrap();
    let new = |session, text| NewTurn { scope: a.clone(), session, turn: turn(text) };
    let (kept, done) = store.append_all(&[new(one, "2"), new(two, "3"), new(one, "4")]).await;
    done.unwrap();
    assert_eq!(kept, 3);
    let questions = async |scope, session| -> Vec<_> {
        let history = store.load(&scope, session).await.unwrap().unwrap();
        history.recent_messages_buffer.iter().map(|turn| turn.question.to_string()).collect()
    };
    assert_eq!(questions(scope("a"), one).await, ["1", "2", "4"]);
    assert_eq!(questions(scope("a"), two).await, ["3"]);

    let (kept, refused) = store.append_all(&[new(one, "5"), new(foreign, "mine now")]).await;
    assert_eq!((kept, refused.unwrap_err().kind()), (0, ErrorKind::NotFound));
    assert_eq!(questions(scope("a"), one).await, ["1", "2", "4"]);
    assert_eq!(questions(scope("b"), foreign).await, ["canary"]);
}

#[tokio::test]
async fn old_turns_become_the_summary() {
    let database = TestDatabase::migrated().await;
    let store = PgMemoryStore::new(&database.database().await);
    let session = SessionId::generate();
    for n in 0..9 {
        store.append(&scope("a"), session, turn(&format!("my name is Lan, question {n}"))).await.unwrap();
    }
    let history = store.load(&scope("a"), session).await.unwrap().unwrap();
    assert!(history.rolling_summary.contains("question 0"));
    assert_eq!(history.entity_memory.get("name"), Some(&json!("Lan")));
    assert!(history.recent_messages_buffer.len() < 9);
}

#[tokio::test]
async fn turns_at_the_same_time_are_all_kept() {
    let database = TestDatabase::migrated().await;
    let store = PgMemoryStore::new(&database.database().await);
    let (session, a) = (SessionId::generate(), scope("a"));
    let appends = (0..4).map(|n| store.append(&a, session, turn(&n.to_string())));
    for done in join_all(appends).await {
        done.unwrap();
    }
    let history = store.load(&a, session).await.unwrap().unwrap();
    assert_eq!(history.recent_messages_buffer.len(), 4);
}

#[tokio::test]
async fn t10_documents_keep_the_contract_of_texts_and_words() {
    let database = TestDatabase::migrated().await;
    let store = PgDocuments::new(&database.database().await);
    document_contract::texts_hold(&store, &store).await.unwrap();
    document_contract::words_hold(&store, &store).await.unwrap();
    // what one server has written, another reads
    let elsewhere = PgDocuments::new(&database.database().await);
    document_contract::texts_hold(&store, &elsewhere).await.unwrap();
}

#[tokio::test]
async fn a_word_that_nobody_wrote_costs_no_statement_however_many_were_written() {
    let database = TestDatabase::migrated().await;
    let store = PgDocuments::new(&database.database().await);
    let (a, large) = (scope("a"), document("large"));
    let terms: Vec<_> = (0..40_000).map(|term| (term, 1)).collect();
    store.put(&a, &large, &chunks(&large, &[&terms])).await.unwrap();
    assert_eq!(store.frequencies(&a, &[7]).await.unwrap(), (1, HashMap::from([(7, 1)])));
    // what is known stays fresh
    tokio::time::pause();
    let known = store.frequencies(&a, &[7, 39_999, 50_000]).now_or_never().expect("no statement was sent");
    assert_eq!(known.unwrap(), (1, HashMap::from([(7, 1), (39_999, 1)])));
    tokio::time::resume();
    let small = document("small");
    store.put(&a, &small, &chunks(&small, &[&[(50_000, 2)]])).await.unwrap();
    assert_eq!(store.frequencies(&a, &[7, 50_000]).await.unwrap(), (2, HashMap::from([(7, 1), (50_000, 1)])));
}

#[tokio::test]
async fn asks_at_the_same_time_count_their_own_words() {
    let database = TestDatabase::migrated().await;
    let store = PgDocuments::new(&database.database().await);
    let (a, fees) = (scope("a"), document("fees"));
    store.put(&a, &fees, &chunks(&fees, &[&[(1, 1), (2, 1), (3, 1)], &[(2, 1)]])).await.unwrap();
    let words: [&[u32]; 4] = [&[1], &[2, 9], &[3, 1], &[]];
    let counted = join_all(words.iter().map(|words| store.frequencies(&a, words))).await;
    let counted: Vec<_> = counted.into_iter().map(|counted| counted.unwrap()).collect();
    let expected: [&[(u32, u64)]; 4] = [&[(1, 1)], &[(2, 2)], &[(3, 1), (1, 1)], &[]];
    assert_eq!(counted, expected.map(|found| (2, found.iter().copied().collect())));
}

#[tokio::test]
async fn what_the_index_lacks_is_found_again() {
    let database = TestDatabase::migrated().await;
    let store = PgDocuments::new(&database.database().await);
    let a = scope("a");
    let fees = document("fees");
    let pieces = chunks(&fees, &[&[(1, 1), (9, 4)]]);
    store.put(&a, &fees, &pieces).await.unwrap();
    assert_eq!(store.tenants_behind().await.unwrap(), [TenantId::named("a")]);
    let counts = (store.count_chunks(&a).await.unwrap(), store.count_chunks(&scope("b")).await.unwrap());
    assert_eq!(counts, (1, 0));
    let behind = store.behind(&a, 10).await.unwrap();
    assert!(
        matches!(&behind[..], [Behind::Put(document)] if document.id == fees.id && document.labels == fees.labels)
    );
    assert!(store.behind(&scope("b"), 10).await.unwrap().is_empty());
    let read = store.chunks_of(&a, fees.id).await.unwrap();
    assert_eq!(
        (read[0].id, &read[0].text, &read[0].terms),
        (pieces[0].id, &pieces[0].text, &pieces[0].terms)
    );
    assert!(store.chunks_of(&scope("b"), fees.id).await.unwrap().is_empty());

    store.mark_indexed(&a, fees.id).await.unwrap();
    assert!(store.tenants_behind().await.unwrap().is_empty());
    store.delete(&a, fees.id).await.unwrap();
    assert!(matches!(&store.behind(&a, 10).await.unwrap()[..], [Behind::Delete(id)] if *id == fees.id));
    store.mark_indexed(&a, fees.id).await.unwrap();
    assert!(store.behind(&a, 10).await.unwrap().is_empty());

    store.put(&a, &fees, &pieces).await.unwrap();
    store.mark_indexed(&a, fees.id).await.unwrap();
    store.forget_index(&a).await.unwrap();
    assert_eq!(store.behind(&a, 10).await.unwrap().len(), 1);
    assert_eq!(store.tenants().await.unwrap(), [TenantId::named("a")]);
}

#[tokio::test]
async fn t14_text_that_is_read_together_is_one_tenants_own() {
    let database = TestDatabase::migrated().await;
    let store = PgDocuments::new(&database.database().await);
    let fees = document("fees");
    let pieces = chunks(&fees, &[&[(1, 1)], &[(2, 1)]]);
    store.put(&scope("a"), &fees, &pieces).await.unwrap();
    let source = Arc::from("dense");
    // the other tenant's index claims to have found the same chunks
    let ask = async |tenant: &'static str, chunk: ChunkId| {
        store.passages(&scope(tenant), &source, vec![hit(chunk, fees.id, tenant)]).await.unwrap()
    };
    let asks = (0..60).map(|n| {
        let (tenant, chunk) = (["a", "b"][n % 2], pieces[n / 2 % 2].id);
        let passages = ask(tenant, chunk);
        async move { (tenant, chunk, passages.await) }
    });
    for (tenant, chunk, passages) in join_all(asks).await {
        let identity = passages.identity.as_ref().unwrap();
        assert_eq!((&*identity.role, &*identity.tenant_setting), ("rag_tenant", &*id_of(tenant).to_string()));
        let found: Vec<_> = passages.iter().map(|passage| passage.chunk).collect();
        assert_eq!(found, if tenant == "a" { vec![chunk] } else { vec![] }, "{tenant}");
    }
}

#[tokio::test]
async fn kept_text_counts_only_while_the_corpus_is_as_it_was() {
    let database = TestDatabase::migrated().await;
    let (store, elsewhere) =
        (PgDocuments::new(&database.database().await), PgDocuments::new(&database.database().await));
    let (fees, rules) = (document("fees"), document("rules"));
    let [pieces, others] = [&fees, &rules].map(|document| chunks(document, &[&[(1, 1)]]));
    let (a, source) = (scope("a"), Arc::from("dense"));
    store.put(&a, &fees, &pieces).await.unwrap();
    let texts = async || {
        let hits = vec![hit(pieces[0].id, fees.id, "a"), hit(others[0].id, rules.id, "a")];
        let passages = store.passages(&a, &source, hits).await.unwrap();
        passages.iter().map(|passage| passage.text.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(texts().await, ["text 0"]);
    // behind the back of the corpus' version, which nobody but this test does
    database.run_as_admin("UPDATE rag_tower.chunks SET text = 'tampered'").await;
    assert_eq!(texts().await, ["text 0"], "it is not sent again");

    // another process changes one document and adds another
    let mut changed = pieces.clone();
    changed[0].text = "changed".into();
    elsewhere.put(&a, &fees, &changed).await.unwrap();
    assert_eq!(texts().await, ["changed"]);
    elsewhere.put(&a, &rules, &others).await.unwrap();
    assert_eq!(texts().await, ["changed", "text 0"]);
    elsewhere.delete(&a, fees.id).await.unwrap();
    assert_eq!(texts().await, ["text 0"]);
    // a corpus that begins anew may come to the same version
    database
        .run_as_admin(
            "UPDATE rag_tower.chunks SET text = 'anew'; UPDATE rag_tower.corpora SET updated_at = now()",
        )
        .await;
    assert_eq!(texts().await, ["anew"]);
}

#[tokio::test]
async fn t44_a_look_up_that_many_share_sees_every_revocation_before_it() {
    let database = TestDatabase::migrated().await;
    let a = id_of("a");
    database
        .run_as_admin(&format!(
            "INSERT INTO rag_tower.tenants (id, slug, name) VALUES ('{a}', 'acme', 'Acme');
             INSERT INTO rag_tower.api_keys (id, tenant_id, hash, role) VALUES
               (gen_random_uuid(), '{a}', sha256('key one'), 'agent'),
               (gen_random_uuid(), '{a}', sha256('key two'), 'agent')"
        ))
        .await;
    let resolver = PgResolver::new(&database.database().await);
    let find = async |key: &str| resolver.find(KeyHash::of(key)).await.unwrap().is_some();
    let before = join_all((0..40).map(|n| find(["key one", "key two", "no key"][n % 3]))).await;
    let expected: Vec<_> = (0..40).map(|n| n % 3 < 2).collect();
    assert_eq!(before, expected);

    // while look-ups of the key go on without a pause, none that begins after the revocation finds it
    let revoked = std::sync::atomic::AtomicBool::new(false);
    let revoke = async {
        for _ in 0..5 {
            find("key one").await;
        }
        database
            .run_as_admin("UPDATE rag_tower.api_keys SET revoked_at = now() WHERE hash = sha256('key one')")
            .await;
        revoked.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let ask = async || {
        loop {
            let late = revoked.load(std::sync::atomic::Ordering::SeqCst);
            let found = find("key one").await;
            assert!(!(late && found), "a revoked key was accepted");
            if late {
                return;
            }
        }
    };
    tokio::join!(revoke, join_all((0..8).map(|_| ask())));
}

#[tokio::test]
async fn a_key_grants_what_was_written_down_for_it() {
    let database = TestDatabase::migrated().await;
    let branch = Uuid::now_v7();
    database
        .run_as_admin(&format!(
            "INSERT INTO rag_tower.tenants (id, slug, name) VALUES ('{a}', 'acme', 'Acme'), ('{b}', 'other', 'Other');
             INSERT INTO rag_tower.api_keys (id, tenant_id, hash, role, branches, expires_at) VALUES
               (gen_random_uuid(), '{a}', sha256('key one'), 'agent', NULL, NULL),
               (gen_random_uuid(), '{a}', sha256('key old'), 'agent', NULL, now() - '1 s'::interval),
               (gen_random_uuid(), '{b}', sha256('key two'), 'member', '{{{branch}}}', now() + '1 day'::interval)",
            a = id_of("a"),
            b = id_of("b"),
        ))
        .await;
    let resolver = PgResolver::new(&database.database().await);
    let find = async |key: &str| {
        let grant = resolver.find(KeyHash::of(key)).await.unwrap();
        grant.map(rag_tower::test_util::granted)
    };
    let one = find("key one").await.unwrap();
    assert_eq!((one.tenant(), one.role()), (TenantId::named("a"), Role::Agent));
    assert!(one.subject().is_some() && one.branches().contains(BranchId::new(branch)));
    let two = find("key two").await.unwrap();
    assert_eq!((two.tenant(), two.role()), (TenantId::named("b"), Role::Member));
    assert!(
        two.branches().contains(BranchId::new(branch))
            && !two.branches().contains(BranchId::new(Uuid::nil()))
    );
    assert!(find("key three").await.is_none());
    assert!(find("key old").await.is_none(), "expired");

    database
        .run_as_admin("UPDATE rag_tower.api_keys SET revoked_at = now() WHERE hash = sha256('key one')")
        .await;
    assert!(find("key one").await.is_none(), "revoked");
    database.run_as_admin("UPDATE rag_tower.tenants SET status = 'suspended' WHERE slug = 'other'").await;
    assert!(find("key two").await.is_none(), "its tenant is suspended");

    assert_eq!(resolver.id_of("acme").await.unwrap(), Some(TenantId::named("a")));
    assert_eq!(resolver.id_of("nobody").await.unwrap(), None);
    assert_eq!(resolver.id_of("").await.unwrap(), None);
}

#[tokio::test]
async fn t44_a_revoked_token_is_known() {
    let database = TestDatabase::migrated().await;
    database
        .run_as_admin(&format!(
            "INSERT INTO rag_tower.tenants (id, slug, name) VALUES ('{a}', 'acme', 'Acme');
             INSERT INTO rag_tower.revoked_tokens (tenant_id, jti, expires_at) VALUES ('{a}', 'j1', now() + '1 day')",
            a = id_of("a")
        ))
        .await;
    let resolver = PgResolver::new(&database.database().await);
    let tenant = TenantId::named("a");
    let revoked = async |tenant, jti: &str| {
        let facts = resolver.token(tenant, jti).await.unwrap();
        facts.is_none_or(|facts| !facts.counts())
    };
    assert!(revoked(tenant, "j1").await);
    assert!(!revoked(tenant, "j2").await);
    assert!(revoked(TenantId::named("b"), "j2").await, "there is no such tenant");
    database.run_as_admin("UPDATE rag_tower.tenants SET status = 'suspended'").await;
    assert!(revoked(tenant, "j2").await, "its tenant is suspended");
}

/// What a credential opens is looked up for each request, so that no change of it waits for a login.
#[tokio::test]
async fn t44_a_role_branches_and_a_suspension_count_from_the_next_look() {
    let database = TestDatabase::migrated().await;
    database.register("a", "the key").await;
    let resolver = PgResolver::new(&database.database().await);
    let grant = async || resolver.find(KeyHash::of("the key")).await.unwrap();
    let role = async || grant().await.map(|grant| grant.role());
    assert_eq!(role().await, Some(Role::Member));
    for (changed, expected) in [("admin", Role::Admin), ("agent", Role::Agent), ("member", Role::Member)] {
        database.run_as_admin(&format!("UPDATE rag_tower.api_keys SET role = '{changed}'")).await;
        assert_eq!(role().await, Some(expected));
    }
    let (north, south) = (BranchId::new(Uuid::from_u128(1)), BranchId::new(Uuid::from_u128(2)));
    assert!(grant().await.unwrap().branches().contains(south));
    database.run_as_admin(&format!("UPDATE rag_tower.api_keys SET branches = '{{{north}}}'")).await;
    let branches = grant().await.unwrap().branches().clone();
    assert!(branches.contains(north) && !branches.contains(south));
    for (status, opens) in [("suspended", false), ("active", true)] {
        database.run_as_admin(&format!("UPDATE rag_tower.tenants SET status = '{status}'")).await;
        assert_eq!(grant().await.is_some(), opens, "{status}");
    }
}

#[tokio::test]
async fn the_last_opinion_wins_and_belongs_to_its_tenant() {
    let database = TestDatabase::migrated().await;
    let feedback = PgFeedback::new(&database.database().await);
    let trace = AskId::generate();
    feedback.put(&scope("a"), trace, Rating::Up, Some("nice\0")).await.unwrap();
    feedback.put(&scope("a"), trace, Rating::Down, None).await.unwrap();
    feedback.put(&scope("b"), trace, Rating::Up, None).await.unwrap();
    let kept: Vec<(Uuid, i16, Option<String>)> =
        sqlx::query_as("SELECT tenant_id, rating, comment FROM rag_tower.user_feedback ORDER BY rating")
            .fetch_all(&mut database.admin().await)
            .await
            .unwrap();
    assert_eq!(kept, [(id_of("a"), -1, None), (id_of("b"), 1, None)]);
}

#[tokio::test]
async fn t113_asking_twice_for_a_person_is_one_ticket() {
    let database = TestDatabase::migrated().await;
    let handoffs = PgHandoffs::new(&database.database().await);
    let mut asked = NewHandoff::new("asked_for_a_person");
    asked.session = Some(SessionId::generate());
    asked.message = "call me".into();
    let first = handoffs.open(&scope("a"), &asked).await.unwrap();
    assert!(first.new);
    asked.message = "".into();
    asked.phone = Some("0901234567".into());
    let second = handoffs.open(&scope("a"), &asked).await.unwrap();
    assert_eq!((second.id, second.new), (first.id, false));
    let kept: (String, String, String) =
        sqlx::query_as("SELECT phone, message, status FROM rag_tower.handoff_tickets")
            .fetch_one(&mut database.admin().await)
            .await
            .unwrap();
    assert_eq!(kept, ("0901234567".into(), "call me".into(), "new".into()));

    assert!(
        handoffs.open(&scope("b"), &asked).await.unwrap().new,
        "another tenant's session is another session"
    );
    database.run_as_admin("UPDATE rag_tower.handoff_tickets SET status = 'closed'").await;
    assert!(handoffs.open(&scope("a"), &asked).await.unwrap().new, "a closed ticket stays closed");
}

#[tokio::test]
async fn settings_belong_to_their_tenant() {
    let database = TestDatabase::migrated().await;
    let settings = PgSettings::new(&database.database().await);
    assert_eq!(settings.load(&scope("a")).await.unwrap(), None);
    assert_eq!(settings.save(&scope("a"), json!({"ielts": 1}), json!({})).await.unwrap(), 1);
    assert_eq!(settings.save(&scope("a"), json!({"ielts": 2}), json!({"r": []})).await.unwrap(), 2);
    let kept = settings.load(&scope("a")).await.unwrap().unwrap();
    assert_eq!((kept.courses, kept.routes, kept.version), (json!({"ielts": 2}), json!({"r": []}), 2));
    assert_eq!(settings.load(&scope("b")).await.unwrap(), None);
}
