//! Tenants do not see each other, whatever happens to a connection.

use std::time::Duration;

use futures_util::FutureExt;
use rag_tower::postgres::{Database, OwnerTx, PgResolver, PgTraceStore, TenantTx};
use rag_tower::tenant::TenantId;
use rag_tower_tests::postgres::{TestDatabase, run};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::support::{id_of, scope, trace_row};

/// A row of each table, for the tenant `{t}`; the tables that a tenant's own role may read.
const READABLE: &[(&str, &str)] = &[
    ("tenants", "INSERT INTO rag_tower.tenants (id, slug, name) VALUES ('{t}', 't' || left('{t}', 8), 'T')"),
    (
        "branches",
        "INSERT INTO rag_tower.branches (tenant_id, id, name) VALUES ('{t}', gen_random_uuid(), 'B')",
    ),
    ("tenant_settings", "INSERT INTO rag_tower.tenant_settings (tenant_id) VALUES ('{t}')"),
    ("corpora", "INSERT INTO rag_tower.corpora (tenant_id) VALUES ('{t}')"),
    (
        "documents",
        "INSERT INTO rag_tower.documents (tenant_id, id, file_name, title, version) VALUES ('{t}', '{t}', 'f', 't', 1)",
    ),
    (
        "chunks",
        "INSERT INTO rag_tower.chunks (tenant_id, id, document_id, seq, text, terms, counts, token_count)
         VALUES ('{t}', gen_random_uuid(), '{t}', 0, 'secret', '{1}', '{1}', 1)",
    ),
    ("document_frequencies", "INSERT INTO rag_tower.document_frequencies VALUES ('{t}', 1, 1)"),
    (
        "chat_sessions",
        "INSERT INTO rag_tower.chat_sessions (id, tenant_id) VALUES (gen_random_uuid(), '{t}')",
    ),
    (
        "request_traces",
        "INSERT INTO rag_tower.request_traces (trace_id, ts, tenant_id, channel, status, latency_us)
         VALUES (gen_random_uuid(), now(), '{t}', 'api', 'SUCCESS', 1)",
    ),
    (
        "user_feedback",
        "INSERT INTO rag_tower.user_feedback (id, tenant_id, trace_id, subject, rating)
         VALUES (gen_random_uuid(), '{t}', gen_random_uuid(), '', 1)",
    ),
    (
        "handoff_tickets",
        "INSERT INTO rag_tower.handoff_tickets (id, tenant_id, reason) VALUES (gen_random_uuid(), '{t}', 'r')",
    ),
    (
        "trace_totals",
        "INSERT INTO rag_tower.trace_totals VALUES
         (15, '2026-01-01Z', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', '', '{t}')",
    ),
    (
        "trace_rollups",
        "INSERT INTO rag_tower.trace_rollups VALUES
         (15, '2026-01-01Z', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', '', '{t}', '', '', '', '')",
    ),
];

/// The tables that a tenant's own role may not touch at all.
const CLOSED: &[&str] = &[
    "api_keys",
    "revoked_tokens",
    "owner_sessions",
    "rollup_deltas",
    "system_totals",
    "system_rollups",
    "trace_horizon",
    "audit_log",
    "handoff_history",
    "feedback_reviews",
    "gap_resolutions",
    "saved_views",
    "demo_data",
    "alerts",
    "alert_events",
    "prices",
    "repricings",
];

/// A database with a row of tenant `a` in each table.
pub async fn filled() -> TestDatabase {
    let database = TestDatabase::migrated().await;
    let mut admin = database.admin().await;
    for (_, insert) in READABLE {
        run(&mut admin, &insert.replace("{t}", &id_of("a").to_string())).await;
    }
    database
}

async fn count(connection: &mut PgConnection, table: &str) -> Result<i64, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM rag_tower.{table}"));
    sqlx::query(sql).fetch_one(connection).await?.try_get(0)
}

/// Becomes a role and a tenant (or nobody) on a raw connection, inside a transaction.
async fn become_role(connection: &mut PgConnection, role: &str, tenant: &str) {
    run(
        connection,
        &format!(
            "BEGIN; SELECT set_config('role', '{role}', true), set_config('rag.tenant_id', '{tenant}', true)"
        ),
    )
    .await;
}

#[tokio::test]
async fn t02_the_lists_of_this_test_name_every_table() {
    let database = TestDatabase::migrated().await;
    let mut tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c WHERE relnamespace = 'rag_tower'::regnamespace
         AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> '_migrations'",
    )
    .fetch_all(&mut database.admin().await)
    .await
    .unwrap();
    tables.sort();
    let mut named: Vec<String> =
        READABLE.iter().map(|(table, _)| *table).chain(CLOSED.iter().copied()).map(Into::into).collect();
    named.sort();
    assert_eq!(tables, named, "a new table needs a line in this file");
}

#[tokio::test]
async fn t02_a_reads_its_rows_and_b_and_nobody_read_none() {
    let database = filled().await;
    let mut app = database.app().await;
    for (table, _) in READABLE {
        for (tenant, expected) in
            [(id_of("a").to_string(), 1), (id_of("b").to_string(), 0), (String::new(), 0)]
        {
            become_role(&mut app, "rag_tenant", &tenant).await;
            assert_eq!(count(&mut app, table).await.unwrap(), expected, "{table} as {tenant:?}");
            run(&mut app, "ROLLBACK").await;
        }
    }
    for table in CLOSED {
        become_role(&mut app, "rag_tenant", &id_of("a").to_string()).await;
        let refused = count(&mut app, table).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{table}: {refused}");
        run(&mut app, "ROLLBACK").await;
    }
}

#[tokio::test]
async fn t02_the_login_itself_reads_nothing_at_all() {
    let database = filled().await;
    let mut app = database.app().await;
    for table in READABLE.iter().map(|(table, _)| *table).chain(CLOSED.iter().copied()) {
        let refused = count(&mut app, table).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{table}: {refused}");
    }
}

#[tokio::test]
async fn t23_work_for_nobody_is_an_error_and_not_an_empty_result() {
    let database = filled().await;
    let mut app = database.app().await;
    for (table, insert) in READABLE {
        // Whoever forgets the tenant and its role is told so, before there could be no rows.
        let refused = count(&mut app, table).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{table}: {refused}");
        // Whoever has the role and no tenant can leave nothing that would be nobody's.
        for nobody in [Uuid::nil(), id_of("a")] {
            become_role(&mut app, "rag_tenant", "").await;
            let sql = sqlx::AssertSqlSafe(insert.replace("{t}", &nobody.to_string()));
            let refused = sqlx::raw_sql(sql).execute(&mut app).await.unwrap_err().to_string();
            assert!(
                ["row-level security", "permission denied"].iter().any(|said| refused.contains(said)),
                "{table}: {refused}"
            );
            run(&mut app, "ROLLBACK").await;
        }
    }
    // The server's own work has roles of its own, that are told the same of a table which is not theirs.
    for role in ["rag_writer", "rag_jobs", "rag_resolver"] {
        become_role(&mut app, role, "").await;
        let refused = count(&mut app, "chunks").await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{role}: {refused}");
        run(&mut app, "ROLLBACK").await;
    }
}

#[tokio::test]
async fn t02_b_cannot_write_for_a_nor_change_what_is_a_s() {
    let database = filled().await;
    let mut app = database.app().await;
    for (table, insert) in READABLE {
        let (a, b) = (id_of("a").to_string(), id_of("b").to_string());
        become_role(&mut app, "rag_tenant", &b).await;
        let sql = insert.replace("{t}", &a);
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut app).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code()).unwrap().into_owned();
        assert_eq!(code, "42501", "{table}: {refused}");
        run(&mut app, "ROLLBACK").await;
    }
    for statement in [
        "DELETE FROM rag_tower.chunks",
        "DELETE FROM rag_tower.documents",
        "UPDATE rag_tower.chat_sessions SET rolling_summary = 'b was here'",
        "UPDATE rag_tower.handoff_tickets SET status = 'closed'",
        "UPDATE rag_tower.user_feedback SET rating = -1",
        "UPDATE rag_tower.tenant_settings SET version = 99",
    ] {
        become_role(&mut app, "rag_tenant", &id_of("b").to_string()).await;
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut app).await.unwrap();
        assert_eq!(done.rows_affected(), 0, "{statement}");
        run(&mut app, "COMMIT").await;
    }
    let mut admin = database.admin().await;
    for (table, _) in READABLE {
        assert_eq!(count(&mut admin, table).await.unwrap(), 1, "{table}");
    }
}

#[tokio::test]
async fn a_tenant_cannot_move_its_row_to_another() {
    let database = filled().await;
    let mut app = database.app().await;
    become_role(&mut app, "rag_tenant", &id_of("a").to_string()).await;
    let sql = format!("UPDATE rag_tower.chat_sessions SET tenant_id = '{}'", id_of("b"));
    let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut app).await.unwrap_err().to_string();
    assert!(refused.contains("row-level security"), "{refused}");
}

#[tokio::test]
async fn t02_a_leaf_cannot_be_read_past_its_parent() {
    let database = filled().await;
    let leaf: String =
        sqlx::query_scalar("SELECT tableoid::regclass::text FROM rag_tower.request_traces LIMIT 1")
            .fetch_one(&mut database.admin().await)
            .await
            .unwrap();
    let mut app = database.app().await;
    for role in ["rag_tenant", "rag_writer", "rag_owner", "rag_resolver", "rag_jobs", "none"] {
        become_role(&mut app, role, &id_of("a").to_string()).await;
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {leaf}"));
        let refused = sqlx::query(sql).fetch_one(&mut app).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{role}: {refused}");
        run(&mut app, "ROLLBACK").await;
    }
}

#[tokio::test]
async fn the_writer_reads_back_keys_and_nothing_else() {
    let database = filled().await;
    let mut app = database.app().await;
    let writer = "BEGIN; SELECT set_config('role', 'rag_writer', true), set_config('rag.writer', 'on', true)";
    for column in ["question", "answer", "tenant_id", "subject", "*"] {
        run(&mut app, writer).await;
        let sql = sqlx::AssertSqlSafe(format!("SELECT {column} FROM rag_tower.request_traces"));
        let refused = sqlx::query(sql).fetch_all(&mut app).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{column}: {refused}");
        run(&mut app, "ROLLBACK").await;
    }
    for statement in
        ["DELETE FROM rag_tower.request_traces", "UPDATE rag_tower.request_traces SET question = ''"]
    {
        run(&mut app, writer).await;
        let refused =
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut app).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
        run(&mut app, "ROLLBACK").await;
    }
    // the role alone, without saying that it is writing, sees no key either
    become_role(&mut app, "rag_writer", "").await;
    let keys: i64 = sqlx::query_scalar("SELECT count(trace_id) FROM rag_tower.request_traces")
        .fetch_one(&mut app)
        .await
        .unwrap();
    assert_eq!(keys, 0);
}

#[tokio::test]
async fn the_resolver_and_the_jobs_see_what_they_need_only() {
    let database = filled().await;
    let mut admin = database.admin().await;
    run(
        &mut admin,
        &format!(
            "INSERT INTO rag_tower.api_keys (id, tenant_id, hash, role)
             VALUES (gen_random_uuid(), '{}', sha256('k'), 'member')",
            id_of("a")
        ),
    )
    .await;
    let mut app = database.app().await;
    become_role(&mut app, "rag_resolver", "").await;
    let keys: i64 =
        sqlx::query_scalar("SELECT count(id) FROM rag_tower.api_keys").fetch_one(&mut app).await.unwrap();
    let tenants: i64 =
        sqlx::query_scalar("SELECT count(id) FROM rag_tower.tenants").fetch_one(&mut app).await.unwrap();
    assert_eq!((keys, tenants), (0, 0), "no key was presented");
    run(&mut app, "ROLLBACK").await;
    for (role, table) in [
        ("rag_resolver", "chunks"),
        ("rag_resolver", "request_traces"),
        ("rag_jobs", "chunks"),
        ("rag_jobs", "tenants"),
    ] {
        become_role(&mut app, role, &id_of("a").to_string()).await;
        let refused = count(&mut app, table).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{role} on {table}: {refused}");
        run(&mut app, "ROLLBACK").await;
    }
    become_role(&mut app, "rag_jobs", "").await;
    let refused = sqlx::query("SELECT title FROM rag_tower.documents")
        .fetch_all(&mut app)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("permission denied"), "{refused}");
}

/// A tenant that nobody is has no key, cannot get one, and is nobody's to name.
#[tokio::test]
async fn no_credential_opens_a_tenant_that_nobody_is() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (nobody, somebody) = (id_of("rag-tower-canary-a"), id_of("a"));
    database
        .run_as_admin(&format!(
            "INSERT INTO rag_tower.tenants (id, slug, name, synthetic) VALUES ('{nobody}', 'canary-a', '', true);
             INSERT INTO rag_tower.tenants (id, slug, name) VALUES ('{somebody}', 'a', 'A')"
        ))
        .await;
    let key = |tenant| {
        format!(
            "INSERT INTO rag_tower.api_keys (id, tenant_id, hash, role)
             VALUES (gen_random_uuid(), '{tenant}', sha256('{tenant}'), 'member')"
        )
    };
    let changed = async |sql: String| {
        let mut tx = OwnerTx::change(&pool).await.unwrap();
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(tx.connection()).await;
        tx.commit().await.unwrap();
        done.map(|done| done.rows_affected()).map_err(|error| error.to_string())
    };
    let refused = changed(key(nobody)).await.unwrap_err();
    assert!(refused.contains("api_keys_of_real_tenants"), "{refused}");
    assert_eq!(changed(key(somebody)).await.unwrap(), 1);
    // who has a key does not become nobody
    let made =
        changed(format!("UPDATE rag_tower.tenants SET synthetic = true WHERE id = '{somebody}'")).await;
    assert!(made.unwrap_err().contains("api_keys_of_real_tenants"));
    // the names are reserved
    let named = "INSERT INTO rag_tower.tenants (id, slug, name) VALUES (gen_random_uuid(), 'canary-b', 'B')";
    let refused = changed(named.to_owned()).await.unwrap_err();
    assert!(refused.contains("row-level security"), "{refused}");

    let resolver = PgResolver::new(&pool);
    assert_eq!(resolver.slug("a").await.unwrap().map(|id| id.as_uuid()), Some(somebody));
    assert!(resolver.slug("canary-a").await.unwrap().is_none());
    let token = async |tenant| resolver.token(tenant, "jti").await.unwrap().is_some();
    assert!(token(TenantId::named("a")).await && !token(TenantId::named("rag-tower-canary-a")).await);
}

#[tokio::test]
async fn the_owner_reads_all_tenants_and_no_chunk_text() {
    let database = filled().await;
    let pool = database.database().await;
    PgTraceStore::new(&pool).insert(&[trace_row("b")]).await.unwrap();
    let mut tx = OwnerTx::begin(&pool).await.unwrap();
    assert_eq!(count(tx.connection(), "request_traces").await.unwrap(), 2);
    assert!(count(tx.connection(), "chunks").await.unwrap_err().to_string().contains("permission denied"));
}

/// What has been done cannot be made undone or be dated otherwise, by the owner's role either.
#[tokio::test]
async fn the_owner_adds_to_the_audit_log_and_changes_nothing_in_it() {
    let database = filled().await;
    let pool = database.database().await;
    let add =
        "INSERT INTO rag_tower.audit_log (id, who, action) VALUES (gen_random_uuid(), 'owner', 'test.done')";
    let mut tx = OwnerTx::change(&pool).await.unwrap();
    run(tx.connection(), add).await;
    tx.commit().await.unwrap();
    for statement in [
        "UPDATE rag_tower.audit_log SET who = 'somebody else'",
        "DELETE FROM rag_tower.audit_log",
        "TRUNCATE rag_tower.audit_log",
        "INSERT INTO rag_tower.audit_log (id, ts, who, action) VALUES (gen_random_uuid(), '2020-01-01Z', 'o', 'a.b')",
        "UPDATE rag_tower.handoff_history SET who = 'somebody else'",
        "DELETE FROM rag_tower.handoff_history",
        "UPDATE rag_tower.handoff_tickets SET phone = ''",
        "DELETE FROM rag_tower.handoff_tickets",
    ] {
        let mut tx = OwnerTx::change(&pool).await.unwrap();
        let refused = sqlx::raw_sql(statement).execute(tx.connection()).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{statement}: {refused}");
    }
    // whoever owns the tables has no policy for more either
    let policies: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_policies WHERE tablename = 'audit_log' AND cmd NOT IN ('SELECT', 'INSERT')",
    )
    .fetch_one(&mut database.admin().await)
    .await
    .unwrap();
    assert_eq!(policies, 0);
    let mut tx = OwnerTx::begin(&pool).await.unwrap();
    assert_eq!(count(tx.connection(), "audit_log").await.unwrap(), 1);
    let refused = sqlx::raw_sql(add).execute(tx.connection()).await.unwrap_err().to_string();
    assert!(refused.contains("read-only"), "{refused}");
}

/// A pool of one connection, so that whatever a transaction leaves behind meets the next.
async fn single(database: &TestDatabase) -> Database {
    Database::connect(&database.options().max_connections(1)).await.unwrap()
}

/// What B sees on the one connection, and that B is B; and that whoever is nobody there sees nothing at all.
async fn b_and_nobody_see_nothing(pool: &Database) {
    let mut tx = TenantTx::begin(pool, &scope("b")).await.unwrap();
    let tenant: String = sqlx::query_scalar("SELECT current_setting('rag.tenant_id')")
        .fetch_one(tx.connection())
        .await
        .unwrap();
    assert_eq!(tenant, id_of("b").to_string());
    assert_eq!(count(tx.connection(), "chunks").await.unwrap(), 0);
    run(tx.connection(), "SELECT set_config('rag.tenant_id', '', true)").await;
    for (table, _) in READABLE {
        assert_eq!(count(tx.connection(), table).await.unwrap(), 0, "{table} as nobody");
    }
    tx.commit().await.unwrap();
}

async fn a_sees_its_row(tx: &mut TenantTx) {
    assert_eq!(count(tx.connection(), "chunks").await.unwrap(), 1);
}

#[tokio::test]
async fn t22_nothing_is_left_on_a_connection_after_commit_and_rollback() {
    let database = filled().await;
    let pool = single(&database).await;
    let mut tx = TenantTx::begin(&pool, &scope("a")).await.unwrap();
    a_sees_its_row(&mut tx).await;
    tx.commit().await.unwrap();
    b_and_nobody_see_nothing(&pool).await;

    let mut tx = TenantTx::begin(&pool, &scope("a")).await.unwrap();
    a_sees_its_row(&mut tx).await;
    drop(tx);
    b_and_nobody_see_nothing(&pool).await;
}

#[tokio::test]
async fn t22_nothing_is_left_on_a_connection_after_a_failed_statement() {
    let database = filled().await;
    let pool = single(&database).await;
    let mut tx = TenantTx::begin(&pool, &scope("a")).await.unwrap();
    a_sees_its_row(&mut tx).await;
    sqlx::query("SELECT 1 / 0").execute(tx.connection()).await.unwrap_err();
    drop(tx);
    b_and_nobody_see_nothing(&pool).await;
}

#[tokio::test]
async fn t22_nothing_is_left_on_a_connection_after_a_panic() {
    let database = filled().await;
    let pool = single(&database).await;
    let doomed = async {
        let mut tx = TenantTx::begin(&pool, &scope("a")).await.unwrap();
        a_sees_its_row(&mut tx).await;
        std::panic::resume_unwind(Box::new("on purpose"));
    };
    assert!(std::panic::AssertUnwindSafe(doomed).catch_unwind().await.is_err());
    b_and_nobody_see_nothing(&pool).await;
}

#[tokio::test]
async fn t22_nothing_is_left_on_a_connection_after_a_cancelled_query() {
    let database = filled().await;
    let pool = single(&database).await;
    let slow = async {
        let mut tx = TenantTx::begin(&pool, &scope("a")).await.unwrap();
        a_sees_its_row(&mut tx).await;
        sqlx::query("SELECT pg_sleep(0.2)").execute(tx.connection()).await.unwrap();
    };
    assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
    b_and_nobody_see_nothing(&pool).await;
}

#[tokio::test]
async fn t22_nothing_is_left_on_a_connection_after_a_timeout_of_the_server() {
    let database = filled().await;
    let pool = single(&database).await;
    let mut tx = TenantTx::begin(&pool, &scope("a")).await.unwrap();
    a_sees_its_row(&mut tx).await;
    run(tx.connection(), "SET LOCAL statement_timeout = 20").await;
    let stopped = sqlx::query("SELECT pg_sleep(10)").execute(tx.connection()).await.unwrap_err();
    let code = stopped.as_database_error().and_then(|error| error.code()).unwrap().into_owned();
    assert_eq!(code, "57014", "{stopped}");
    drop(tx);
    b_and_nobody_see_nothing(&pool).await;
}

/// Who may do what is written by whoever owns the registry. No credential of a tenant reaches it.
#[tokio::test]
async fn t07_a_tenant_makes_no_key_and_raises_no_role() {
    let database = filled().await;
    let a = id_of("a").to_string();
    let mut app = database.app().await;
    for role in ["rag_tenant", "rag_resolver", "rag_writer", "rag_jobs"] {
        for statement in [
            "INSERT INTO rag_tower.api_keys (id, tenant_id, hash, role)
             VALUES (gen_random_uuid(), '{a}', sha256('mine'), 'admin')",
            "UPDATE rag_tower.api_keys SET role = 'admin'",
            "UPDATE rag_tower.api_keys SET revoked_at = NULL",
            "DELETE FROM rag_tower.revoked_tokens",
            "UPDATE rag_tower.tenants SET status = 'active'",
        ] {
            become_role(&mut app, role, &a).await;
            let sql = sqlx::AssertSqlSafe(statement.replace("{a}", &a));
            let refused = sqlx::raw_sql(sql).execute(&mut app).await.unwrap_err().to_string();
            assert!(refused.contains("permission denied"), "{role}: {statement}: {refused}");
            run(&mut app, "ROLLBACK").await;
        }
    }
}

#[tokio::test]
async fn t22_after_a_transaction_the_connection_is_nobody_again() {
    let database = filled().await;
    let mut app = database.app().await;
    become_role(&mut app, "rag_tenant", &id_of("a").to_string()).await;
    assert_eq!(count(&mut app, "chunks").await.unwrap(), 1);
    run(&mut app, "COMMIT").await;
    let after = sqlx::query("SELECT current_user::text, current_setting('rag.tenant_id', true)")
        .fetch_one(&mut app)
        .await
        .unwrap();
    assert_eq!((after.get::<String, _>(0), after.get::<String, _>(1)), ("rag_app".into(), String::new()));
}
