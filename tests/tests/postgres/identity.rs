//! Who a transaction was, by the database's own word, and what happens when that is not the tenant.

use std::error::Error as _;
use std::sync::Arc;

use futures_util::FutureExt;
use rag_tower::passage::{ChunkId, DocumentId, Origin};
use rag_tower::port::{Chunk, ChunkStore, Document, DocumentStore, Hit, ReadPassages, WrongIdentity};
use rag_tower::postgres::{Database, PgDocuments, PgResolver, TenantTx};
use rag_tower::tenant::TenantId;
use rag_tower::{Error, ErrorKind};
use rag_tower_tests::postgres::{TestDatabase, run};

use super::support::{id_of, scope};

/// Makes each look at a corpus do this to its transaction, as a hole in the schema could.
async fn meddle(database: &TestDatabase, what: &str) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION rag_tower.meddle() RETURNS boolean LANGUAGE plpgsql AS
             $$ BEGIN {what}; RETURN true; END $$;
         GRANT EXECUTE ON FUNCTION rag_tower.meddle() TO PUBLIC;
         DROP POLICY IF EXISTS meddle ON rag_tower.corpora;
         CREATE POLICY meddle ON rag_tower.corpora AS RESTRICTIVE FOR SELECT TO rag_tenant USING (rag_tower.meddle())"
    );
    database.run_as_admin(&sql).await;
}

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
        let origin = Origin::Tenant { tenant: TenantId::named(tenant), branch: None };
        let hit = Hit { chunk: self.chunk, document: self.document, origin, score: 0.5 };
        self.store.passages(&scope(tenant), &Arc::from("dense"), vec![hit]).await
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
    let database = TestDatabase::migrated().await;
    // one connection for each of the two
    let pool = Database::connect(&database.options().max_connections(8)).await.unwrap();
    let (fees, keys) = (Fees::over(&pool).await, PgResolver::new(&pool));
    for (tenant, passages) in [("a", 1), ("b", 0), ("a", 1)] {
        let read = fees.read(tenant).await.unwrap();
        let identity = read.identity.as_ref().unwrap();
        assert_eq!((read.len(), &*identity.role), (passages, "rag_tenant"));
        assert_eq!(*identity.tenant_setting, *id_of(tenant).to_string());
        assert!(keys.key(&[7; 32]).await.unwrap().is_none());
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
    let database = TestDatabase::migrated().await;
    // one connection, so that what a read leaves behind meets whoever is next
    let pool = Database::connect(&database.options().max_connections(1)).await.unwrap();
    let (fees, keys) = (Fees::over(&pool).await, PgResolver::new(&pool));
    for abandoned in [false, true] {
        assert_eq!(fees.read("a").await.unwrap().len(), 1, "the text");
        assert_eq!(fees.read("a").await.unwrap().len(), 1, "the state alone");
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
    let database = TestDatabase::migrated().await;
    let fees = Fees::new(&database).await;
    assert_eq!(fees.read("a").await.unwrap().len(), 1, "the text is known from here on");
    let other = id_of("b").to_string();
    let lies = [
        (format!("PERFORM set_config('rag.tenant_id', '{other}', true)"), "rag_tenant", &*other),
        ("PERFORM set_config('rag.tenant_id', '', true)".into(), "rag_tenant", ""),
        ("PERFORM set_config('role', 'rag_owner', true)".into(), "rag_owner", &*id_of("a").to_string()),
    ];
    for (what, role, tenant) in &lies {
        meddle(&database, what).await;
        let refused = fees.read("a").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Isolation, "{what}");
        let WrongIdentity(identity) = refused.source().unwrap().downcast_ref::<WrongIdentity>().unwrap();
        assert_eq!((&*identity.role, &*identity.tenant_setting), (*role, *tenant), "{what}");
        assert!(!refused.to_string().contains(&other), "a caller is told nothing of it: {refused}");
    }
    database.run_as_admin("DROP POLICY meddle ON rag_tower.corpora").await;
    assert_eq!(fees.read("a").await.unwrap().len(), 1);
}
