//! What the server refuses to start with, and whether it says how to mend it.

use rag_tower::postgres::{Database, DatabaseError, DatabaseOptions};
use rag_tower_tests::postgres::TestDatabase;

async fn refusal(url: &str) -> String {
    match Database::connect(&DatabaseOptions::new(url).max_connections(1)).await {
        Err(error @ DatabaseError::Refused(_)) => error.to_string(),
        Err(error) => panic!("not refused but failed: {error:?}"),
        Ok(_) => panic!("accepted"),
    }
}

/// Breaks a fresh database with `sql`, and expects a refusal that contains `words`.
async fn broken_by(sql: &str, words: &[&str]) {
    let database = TestDatabase::migrated().await;
    database.run_as_admin(sql).await;
    let said = refusal(&database.app_url()).await;
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[tokio::test]
async fn the_migrated_schema_passes() {
    let database = TestDatabase::migrated().await;
    Database::connect(&database.options()).await.unwrap();
}

#[tokio::test]
async fn the_probe_leaves_nothing_behind() {
    let database = TestDatabase::migrated().await;
    Database::connect(&database.options()).await.unwrap();
    let mut admin = database.admin().await;
    let rows: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM rag_tower.chat_sessions) + (SELECT count(*) FROM rag_tower.documents)
              + (SELECT count(*) FROM rag_tower.user_feedback)",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn a_superuser_is_refused_with_the_sql_that_mends_it() {
    let database = TestDatabase::migrated().await;
    let said = refusal(&database.admin_url()).await;
    assert!(said.contains("superuser") && said.contains("CREATE ROLE rag_app LOGIN"), "{said}");
}

#[tokio::test]
async fn a_login_that_bypasses_policies_is_refused() {
    let database = TestDatabase::migrated().await;
    let login = format!("bypass_{}", std::process::id());
    database
        .run_as_admin(&format!(
            "CREATE ROLE {login} LOGIN BYPASSRLS PASSWORD 'x';
             GRANT rag_tenant, rag_writer, rag_resolver, rag_owner, rag_jobs TO {login}"
        ))
        .await;
    let said = refusal(&database.url_of(&login, "x")).await;
    database.run_as_admin(&format!("DROP ROLE {login}")).await;
    assert!(said.contains("bypasses row-level security"), "{said}");
}

#[tokio::test]
async fn the_owner_of_the_tables_is_refused() {
    let database = TestDatabase::migrated().await;
    let login = format!("owner_{}", std::process::id());
    database
        .run_as_admin(&format!(
            "CREATE ROLE {login} LOGIN PASSWORD 'x';
             GRANT rag_tenant, rag_writer, rag_resolver, rag_owner, rag_jobs TO {login};
             ALTER TABLE rag_tower.chat_sessions OWNER TO {login}"
        ))
        .await;
    let said = refusal(&database.url_of(&login, "x")).await;
    database
        .run_as_admin(&format!(
            "ALTER TABLE rag_tower.chat_sessions OWNER TO postgres; DROP OWNED BY {login}; DROP ROLE {login}"
        ))
        .await;
    assert!(said.contains("owns the tables") && said.contains("DATABASE_ADMIN_URL"), "{said}");
}

#[tokio::test]
async fn a_login_without_the_roles_is_refused() {
    let database = TestDatabase::migrated().await;
    let login = format!("plain_{}", std::process::id());
    database.run_as_admin(&format!("CREATE ROLE {login} LOGIN PASSWORD 'x'")).await;
    let said = refusal(&database.url_of(&login, "x")).await;
    database.run_as_admin(&format!("DROP ROLE {login}")).await;
    assert!(said.contains("may not become rag_tenant"), "{said}");
}

#[tokio::test]
async fn a_missing_schema_is_refused() {
    let database = TestDatabase::migrated().await;
    database.run_as_admin("DROP SCHEMA rag_tower CASCADE").await;
    assert!(refusal(&database.app_url()).await.contains("migrate"));
}

#[tokio::test]
async fn a_table_without_forced_protection_is_refused() {
    broken_by(
        "ALTER TABLE rag_tower.chunks NO FORCE ROW LEVEL SECURITY",
        &["table chunks", "ALTER TABLE rag_tower.chunks ENABLE ROW LEVEL SECURITY"],
    )
    .await;
    broken_by("CREATE TABLE rag_tower.extra (tenant_id uuid)", &["table extra"]).await;
}

#[tokio::test]
async fn an_open_partition_is_refused() {
    let open = "DO $$ DECLARE leaf text; BEGIN
        SELECT c.oid::regclass INTO leaf FROM pg_class c WHERE relispartition AND relkind = 'r' LIMIT 1;
        EXECUTE 'GRANT SELECT ON ' || leaf || ' TO rag_tenant'; END $$";
    broken_by(open, &["can be reached past its parent"]).await;
    let unprotected = "DO $$ DECLARE leaf text; BEGIN
        SELECT c.oid::regclass INTO leaf FROM pg_class c WHERE relispartition AND relkind = 'r' LIMIT 1;
        EXECUTE 'ALTER TABLE ' || leaf || ' DISABLE ROW LEVEL SECURITY'; END $$";
    broken_by(unprotected, &["no forced row-level security"]).await;
}

#[tokio::test]
async fn policies_with_a_hole_are_refused() {
    broken_by(
        "CREATE POLICY hole ON rag_tower.chunks USING (true) WITH CHECK (true)",
        &["chunks.hole", "without comparing the tenant"],
    )
    .await;
    broken_by(
        "DROP POLICY tenant_isolation ON rag_tower.chunks;
         CREATE POLICY tenant_isolation ON rag_tower.chunks
         USING (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)",
        &["chunks.tenant_isolation", "WITH CHECK"],
    )
    .await;
    broken_by(
        "CREATE POLICY everybody ON rag_tower.chunks FOR SELECT
         USING (current_setting('rag.tenant_id', true) IS NULL OR tenant_id::text = current_setting('rag.tenant_id', true))",
        &["chunks.everybody", "rows without a tenant"],
    )
    .await;
}

#[tokio::test]
async fn public_grants_are_refused() {
    broken_by("GRANT SELECT ON rag_tower.chunks TO PUBLIC", &["chunks is granted to PUBLIC"]).await;
    broken_by(
        "GRANT SELECT ON rag_tower.tenants TO rag_app",
        &["tenants is granted to PUBLIC or to the login"],
    )
    .await;
}

#[tokio::test]
async fn views_and_functions_with_their_owners_rights_are_refused() {
    broken_by(
        "CREATE VIEW rag_tower.everything AS SELECT * FROM rag_tower.chunks",
        &["view everything", "security_invoker"],
    )
    .await;
    broken_by("CREATE MATERIALIZED VIEW rag_tower.copy AS SELECT * FROM rag_tower.chunks", &["view copy"])
        .await;
    broken_by(
        "CREATE FUNCTION rag_tower.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER
         AS 'SELECT count(*) FROM rag_tower.chunks'",
        &["function peek"],
    )
    .await;
}

#[tokio::test]
async fn the_probe_finds_what_the_catalog_does_not_show() {
    // the right words in a policy that means nothing
    broken_by(
        "CREATE POLICY looks_right ON rag_tower.chat_sessions FOR SELECT
         USING (current_setting('rag.tenant_id', true) <> 'x')",
        &["a row of chat_sessions was seen 1 times by another tenant"],
    )
    .await;
}
