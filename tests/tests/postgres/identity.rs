//! Who a transaction was, by the database's own word, and what happens when that is not the tenant.

use std::error::Error as _;
use std::sync::Arc;

use futures_util::FutureExt;
use rag_tower::passage::{ChunkId, DocumentId, Origin};
use rag_tower::port::{Chunk, ChunkStore, Document, DocumentStore, Hit, ReadPassages, WrongIdentity};
use rag_tower::postgres::{Database, PgDocuments, PgResolver, TenantTx};
use rag_tower::tenant::{ApiKeys, BranchId, KeyHash, TenantId};
use rag_tower::{Error, ErrorKind, TenantScope};
use rag_tower_tests::postgres::{TestDatabase, close_hole, meddle, run};

use super::support::{id_of, scope};

/// One chunk of tenant `a`, and what reads it.
struct Fees {
    store: PgDocuments,
    document: DocumentId,
    chunk: ChunkId,
}

impl Fees {
    async fn new(database: &TestDatabase) -> Self {
        Self::over(&database.database().await).await
    }

    async fn over(pool: &Database) -> Self {
        let store = PgDocuments::new(pool);
        let document = DocumentId::named(TenantId::named("a"), "fees");
        let kept = Document {
            id: document,
            branch: None,
            title: "Fees".into(),
            file_name: "fees.md".into(),
            labels: Default::default(),
        };
        let chunk = ChunkId::of(TenantId::named("a"), document, 0);
        let chunks = [Chunk { id: chunk, seq: 0, text: "canary".into(), terms: vec![(1, 1)] }];
        store.put(&scope("a"), &kept, &chunks).await.unwrap();
        Self { store, document, chunk }
    }

    /// Reads it for a tenant, whose index claims to have found it.
    async fn read(&self, tenant: &str) -> Result<ReadPassages, Error> {
        self.read_with(&scope(tenant)).await
    }

    async fn read_with(&self, scope: &TenantScope) -> Result<ReadPassages, Error> {
        let origin = Origin::Tenant { tenant: scope.tenant(), branch: None };
        let hit = Hit { chunk: self.chunk, document: self.document, origin, score: 0.5 };
        self.store.passages(scope, &Arc::from("dense"), vec![hit]).await
    }
}

/// A database with a key for `a` and one for `b`.
async fn with_keys() -> TestDatabase {
    let database = TestDatabase::migrated().await;
    for tenant in ["a", "b"] {
        database.register(tenant, &key_of(tenant)).await;
    }
    database
}

fn key_of(tenant: &str) -> String {
    format!("the key of {tenant}")
}

/// The scope of who presents that tenant's key, as it is made for an ask.
async fn with_key(keys: &PgResolver, tenant: &str) -> TenantScope {
    rag_tower::test_util::granted(keys.find(KeyHash::of(&key_of(tenant))).await.unwrap().unwrap())
}

/// Makes every read of a corpus' state fail that does not come with a key.
async fn break_the_state(database: &TestDatabase) {
    let broken = "CREATE OR REPLACE FUNCTION rag_tower.corpus_state(of_tenant uuid)
            RETURNS TABLE (reader text, tenant_setting text, version bigint, updated_at timestamptz)
            LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'nobody asks'; END $$";
    database.run_as_admin(broken).await;
}

#[tokio::test]
async fn a_key_brings_the_state_of_its_tenants_corpus_read_as_that_tenant_and_once() {
    let database = with_keys().await;
    let pool = database.database().await;
    let (fees, keys) = (Fees::over(&pool).await, PgResolver::new(&pool));
    assert_eq!(fees.read("a").await.unwrap().len(), 1, "the text is known from here on");
    break_the_state(&database).await;
    for _ in 0..2 {
        let scope = with_key(&keys, "a").await;
        let read = fees.read_with(&scope).await.unwrap();
        let identity = read.identity.as_ref().unwrap();
        assert_eq!((read.len(), &*identity.role), (1, "rag_tenant"));
        assert_eq!(*identity.tenant_setting, *id_of("a").to_string());
        // whoever reads again with it wants to know what is there by now
        assert_eq!(fees.read_with(&scope).await.unwrap_err().kind(), ErrorKind::Internal);
    }
    // a scope that is cut down takes it along, and the wider one has it no more
    let scope = with_key(&keys, "a").await;
    let north = scope.narrow(BranchId::named(TenantId::named("a"), "north")).unwrap();
    assert_eq!(fees.read_with(&north).await.unwrap().len(), 1);
    assert!(fees.read_with(&scope).await.is_err());
    // nor does it say anything about another database, or another tenant's documents
    let elsewhere = PgResolver::new(&database.database().await);
    assert!(fees.read_with(&with_key(&elsewhere, "a").await).await.is_err());
    assert!(fees.read_with(&with_key(&keys, "b").await).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_changed_before_a_key_was_looked_up_is_seen_with_it() {
    let database = with_keys().await;
    let pool = database.database().await;
    let (fees, keys) = (Fees::over(&pool).await, PgResolver::new(&pool));
    let stale = with_key(&keys, "a").await;
    assert_eq!(fees.read_with(&stale).await.unwrap().len(), 1);
    // by another process
    let other = PgDocuments::new(&database.database().await);
    assert!(other.delete(&scope("a"), fees.document).await.unwrap());
    assert!(fees.read_with(&with_key(&keys, "a").await).await.unwrap().is_empty());
}

#[tokio::test]
async fn who_changes_documents_reads_them_as_they_are_then() {
    let database = with_keys().await;
    let pool = database.database().await;
    let (fees, keys) = (Fees::over(&pool).await, PgResolver::new(&pool));
    assert_eq!(fees.read("a").await.unwrap().len(), 1);
    let scope = with_key(&keys, "a").await;
    assert!(fees.store.delete(&scope, fees.document).await.unwrap());
    assert!(fees.read_with(&scope).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_key_that_does_not_count_brings_its_facts_alone() {
    let database = with_keys().await;
    let pool = database.database().await;
    let (fees, keys) = (Fees::over(&pool).await, PgResolver::new(&pool));
    assert_eq!(fees.read("a").await.unwrap().len(), 1);
    break_the_state(&database).await;
    for change in [
        "UPDATE rag_tower.api_keys SET revoked_at = now()",
        "UPDATE rag_tower.api_keys SET revoked_at = NULL, expires_at = now() - interval '1 second'",
        "UPDATE rag_tower.api_keys SET expires_at = NULL; UPDATE rag_tower.tenants SET status = 'suspended'",
    ] {
        database.run_as_admin(change).await;
        let facts = keys.key(KeyHash::of(&key_of("a")).as_bytes()).await.unwrap().unwrap();
        assert_eq!(&*facts.slug, "a");
        assert!(!facts.counts(time::OffsetDateTime::now_utc()), "{change}");
        assert!(fees.read_with(&rag_tower::test_util::granted(facts.grant)).await.is_err(), "{change}");
    }
}

#[tokio::test]
async fn a_read_says_who_the_transaction_was() {
    let database = TestDatabase::migrated().await;
    let fees = Fees::new(&database).await;
    // the first read sends the text, the second the state alone; the other tenant has no corpus
    for (tenant, passages) in [("a", 1), ("a", 1), ("b", 0)] {
        let read = fees.read(tenant).await.unwrap();
        let identity = read.identity.as_ref().unwrap();
        assert_eq!((read.len(), &*identity.role), (passages, "rag_tenant"));
        assert_eq!(*identity.tenant_setting, *id_of(tenant).to_string());
    }
}

/// Their connections are one role for good, and of a tenant for one call: what a call finds before it says whose it is must be
/// nobody.
#[tokio::test]
async fn t22_the_reads_of_an_ask_say_whose_they_are_and_leave_nothing() {
    let database = with_keys().await;
    // one connection for each of the two
    let pool = Database::connect(&database.options().max_connections(8)).await.unwrap();
    let (fees, keys) = (Fees::over(&pool).await, PgResolver::new(&pool));
    for (tenant, passages) in [("a", 1), ("b", 0), ("a", 1)] {
        let read = fees.read(tenant).await.unwrap();
        let identity = read.identity.as_ref().unwrap();
        assert_eq!((read.len(), &*identity.role), (passages, "rag_tenant"));
        assert_eq!(*identity.tenant_setting, *id_of(tenant).to_string());
        assert!(keys.key(&[7; 32]).await.unwrap().is_none());
        // that connection became the tenant, and is nobody's again
        assert_eq!(with_key(&keys, tenant).await.tenant(), TenantId::named(tenant));
    }
    let found = "CREATE OR REPLACE FUNCTION rag_tower.corpus_state(of_tenant uuid)
            RETURNS TABLE (reader text, tenant_setting text, version bigint, updated_at timestamptz) LANGUAGE sql AS
            $$ SELECT current_user::text, current_setting('rag.tenant_id', true), NULL::bigint, NULL::timestamptz $$";
    database.run_as_admin(found).await;
    for abandoned in [false, true] {
        if abandoned {
            assert!(fees.read("a").now_or_never().is_none());
        }
        let refused = fees.read("a").await.unwrap_err();
        let WrongIdentity(identity) = refused.source().unwrap().downcast_ref::<WrongIdentity>().unwrap();
        assert_eq!((&*identity.role, &*identity.tenant_setting), ("rag_tenant", ""));
    }
}

/// Where connections are too few for that, the reads are transactions like others.
#[tokio::test]
async fn t22_nothing_is_left_on_a_connection_after_the_reads_of_an_ask() {
    let database = with_keys().await;
    // one connection, so that what a read leaves behind meets whoever is next
    let pool = Database::connect(&database.options().max_connections(1)).await.unwrap();
    let (fees, keys) = (Fees::over(&pool).await, PgResolver::new(&pool));
    for abandoned in [false, true] {
        assert_eq!(fees.read("a").await.unwrap().len(), 1, "the text");
        assert_eq!(fees.read("a").await.unwrap().len(), 1, "the state alone");
        assert_eq!(
            fees.read_with(&with_key(&keys, "a").await).await.unwrap().len(),
            1,
            "the state with the key"
        );
        assert!(keys.key(&[7; 32]).await.unwrap().is_none());
        if abandoned {
            assert!(fees.read("a").now_or_never().is_none());
            assert!(keys.key(&[7; 32]).now_or_never().is_none());
        }
        let mut tx = TenantTx::begin(&pool, &scope("b")).await.unwrap();
        run(tx.connection(), "ROLLBACK").await;
        let left: (String, String, String) = sqlx::query_as(
            "SELECT current_user::text, coalesce(current_setting('rag.tenant_id', true), ''),
                    coalesce(current_setting('rag.key_hash', true), '')",
        )
        .fetch_one(tx.connection())
        .await
        .unwrap();
        assert_eq!(left, ("rag_app".into(), String::new(), String::new()));
    }
}

#[tokio::test]
async fn a_transaction_that_is_not_the_tenants_gives_nothing_not_even_what_is_known() {
    let database = with_keys().await;
    let pool = database.database().await;
    let (fees, keys) = (Fees::over(&pool).await, PgResolver::new(&pool));
    assert_eq!(fees.read("a").await.unwrap().len(), 1, "the text is known from here on");
    let other = id_of("b").to_string();
    let lies = [
        (format!("PERFORM set_config('rag.tenant_id', '{other}', true)"), "rag_tenant", &*other),
        ("PERFORM set_config('rag.tenant_id', '', true)".into(), "rag_tenant", ""),
        ("PERFORM set_config('role', 'rag_owner', true)".into(), "rag_owner", &*id_of("a").to_string()),
    ];
    for (what, role, tenant) in &lies {
        meddle(&mut database.admin().await, what).await;
        for scope in [scope("a"), with_key(&keys, "a").await] {
            let refused = fees.read_with(&scope).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Isolation, "{what}");
            let WrongIdentity(identity) = refused.source().unwrap().downcast_ref::<WrongIdentity>().unwrap();
            assert_eq!((&*identity.role, &*identity.tenant_setting), (*role, *tenant), "{what}");
            assert!(!refused.to_string().contains(&other), "a caller is told nothing of it: {refused}");
        }
    }
    close_hole(&mut database.admin().await).await;
    assert_eq!(fees.read("a").await.unwrap().len(), 1);
    assert_eq!(fees.read_with(&with_key(&keys, "a").await).await.unwrap().len(), 1);
}
