//! What the server refuses to start with, and whether the SQL that it prints mends it.

use rag_tower::postgres::{
    Database, DatabaseError, DatabaseOptions, Finding, bootstrap, migrate_traces, probed,
};
use rag_tower_owner::cluster::{Cluster, ClusterOptions};
use rag_tower_tests::postgres::{TestDatabase, run};
use sqlx::{Connection, PgConnection};

use super::support::id_of;

/// Why this login is refused.
async fn refusal(url: &str) -> Vec<Finding> {
    match Database::connect(&DatabaseOptions::new(url).max_connections(1)).await {
        Err(DatabaseError::Refused(findings)) => findings,
        Err(error) => panic!("not refused but failed: {error:?}"),
        Ok(_) => panic!("accepted"),
    }
}

async fn accepted(url: &str) {
    Database::connect(&DatabaseOptions::new(url).max_connections(1)).await.unwrap().close().await;
}

fn said(findings: &[Finding]) -> String {
    DatabaseError::Refused(findings.to_vec()).to_string()
}

/// Breaks the database with `sql`, expects a refusal that contains `words`, runs the SQL that the refusal prints and nothing
/// else, and expects that the database is as good as new.
async fn broken_then_mended(admin: &mut PgConnection, url: &str, sql: &str, words: &[&str]) {
    run(admin, sql).await;
    let findings = refusal(url).await;
    let said = said(&findings);
    for word in words {
        assert!(said.contains(word), "{sql}: {word:?} is not in: {said}");
    }
    for Finding { what, mend } in &findings {
        assert!(!mend.starts_with("--"), "{what} takes a hand: {mend}");
        run(admin, mend).await;
    }
    match Database::connect(&DatabaseOptions::new(url).max_connections(1)).await {
        Ok(database) => database.close().await,
        Err(error) => panic!("{sql}: mended in vain: {error}"),
    }
}

/// The same for several, one after another, in one database.
async fn all_broken_then_mended(cases: &[(&str, &[&str])]) {
    let database = TestDatabase::migrated().await;
    let mut admin = database.admin().await;
    for (sql, words) in cases {
        broken_then_mended(&mut admin, &database.app_url(), sql, words).await;
    }
}

/// A login of one test, with the server's roles and no right of its own.
struct Login {
    name: String,
}

impl Login {
    async fn new(admin: &mut PgConnection) -> Self {
        let name = format!("l_{}", uuid::Uuid::now_v7().simple());
        run(
            admin,
            &format!(
                "CREATE ROLE {name} LOGIN NOINHERIT PASSWORD 'x';
                 GRANT rag_tenant, rag_writer, rag_resolver, rag_owner, rag_jobs TO {name}"
            ),
        )
        .await;
        Self { name }
    }

    fn url(&self, database: &TestDatabase) -> String {
        database.url_of(&self.name, "x")
    }

    async fn drop(self, admin: &mut PgConnection) {
        let name = self.name;
        run(admin, &format!("DROP OWNED BY {name} CASCADE; DROP ROLE {name}")).await;
    }
}

/// What an application may have beside our tables.
const OF_AN_APPLICATION: &str = "
    CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO PUBLIC;
    CREATE TABLE app.orders (id int PRIMARY KEY, tenant_id uuid); GRANT ALL ON app.orders TO PUBLIC;
    CREATE VIEW app.totals AS SELECT tenant_id, count(*) FROM app.orders GROUP BY 1; GRANT SELECT ON app.totals TO PUBLIC;
    CREATE MATERIALIZED VIEW app.kept AS SELECT * FROM app.orders; GRANT SELECT ON app.kept TO PUBLIC;
    CREATE VIEW app.my_documents WITH (security_invoker = on) AS SELECT id FROM rag_tower.documents;
    GRANT SELECT ON app.my_documents TO PUBLIC;
    -- for an analyst, whom the server's login can never become
    CREATE VIEW app.asks AS SELECT ts, status FROM rag_tower.request_traces;
    CREATE MATERIALIZED VIEW app.asks_kept AS SELECT * FROM app.asks;
    CREATE FUNCTION app.count_asks() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM rag_tower.request_traces';
    REVOKE ALL ON FUNCTION app.count_asks() FROM PUBLIC;
    CREATE FUNCTION app.one() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
    CREATE FUNCTION app.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
    CREATE TRIGGER stamp BEFORE INSERT ON app.orders FOR EACH ROW EXECUTE FUNCTION app.stamp();
    CREATE RULE twice AS ON DELETE TO app.orders DO ALSO NOTIFY deleted;
    CREATE TABLE app.parts (id int) PARTITION BY RANGE (id);
    CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM (0) TO (9);
    CREATE PUBLICATION app FOR TABLE app.orders;
    ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC";

#[tokio::test]
async fn t20_the_migrated_schema_passes_also_beside_an_application() {
    let database = TestDatabase::migrated().await;
    accepted(&database.app_url()).await;
    let mut admin = database.admin().await;
    run(&mut admin, OF_AN_APPLICATION).await;
    // an application that records its traces beside the server, and an analyst
    let other = format!("o_{}", uuid::Uuid::now_v7().simple());
    run(
        &mut admin,
        &format!(
            "CREATE ROLE {other} LOGIN PASSWORD 'x'; SELECT rag_tower.allow_trace_writer('{other}');
             SELECT rag_tower.allow_rollup_folder('{other}'); SELECT rag_tower.allow_partition_keeper('{other}');
             GRANT SELECT ON app.asks, app.asks_kept, rag_tower.prices TO {other};
             ALTER ROLE {other} SET search_path = app; ALTER ROLE {other} SET rag.writer = 'on'"
        ),
    )
    .await;
    let pool = database.database().await;
    assert_eq!(pool.audit().await.unwrap(), []);
    assert_eq!(pool.probe().await.unwrap(), []);
    pool.close().await;
    run(&mut admin, &format!("DROP OWNED BY {other} CASCADE; DROP ROLE {other}")).await;
}

#[tokio::test]
async fn t20_an_application_s_own_login_is_not_blamed_for_what_it_owns() {
    let database = TestDatabase::empty().await;
    let login = format!("o_{}", uuid::Uuid::now_v7().simple());
    let mut admin = database.admin().await;
    run(
        &mut admin,
        &format!(
            "CREATE ROLE {login} LOGIN PASSWORD 'x';
             DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {login}', current_database()); END $$"
        ),
    )
    .await;
    let url = database.url_of(&login, "x");
    migrate_traces(&url).await.unwrap();
    let pool = Database::connect_own(&DatabaseOptions::new(&url).max_connections(1)).await.unwrap();
    assert_eq!(pool.audit().await.unwrap(), []);
    assert_eq!(pool.probe().await.unwrap(), []);
    for (broken, word) in [
        ("ALTER TABLE rag_tower.user_feedback NO FORCE ROW LEVEL SECURITY", "no forced row-level security"),
        ("CREATE POLICY hole ON rag_tower.handoff_tickets FOR SELECT USING (true)", "handoff_tickets.hole"),
        ("GRANT SELECT ON rag_tower.request_traces TO PUBLIC", "granted to PUBLIC"),
    ] {
        run(&mut admin, broken).await;
        let findings = pool.audit().await.unwrap();
        assert!(said(&findings).contains(word), "{broken}: {findings:?}");
        for finding in findings {
            run(&mut admin, &finding.mend).await;
        }
        assert_eq!(pool.audit().await.unwrap(), [], "{broken}");
    }
    pool.close().await;
    run(&mut admin, &format!("DROP OWNED BY {login} CASCADE; DROP ROLE {login}")).await;
}

#[tokio::test]
async fn t20_a_superuser_is_refused_with_the_sql_that_mends_it() {
    let database = TestDatabase::migrated().await;
    let findings = refusal(&database.admin_url()).await;
    let said = said(&findings);
    assert!(said.contains("superuser") && said.contains("CREATE ROLE rag_app LOGIN"), "{said}");
    assert_eq!(findings.len(), 1, "what follows from it is not listed: {said}");
}

#[tokio::test]
async fn t20_a_missing_schema_is_refused() {
    let database = TestDatabase::migrated().await;
    database.run_as_admin("DROP SCHEMA rag_tower CASCADE").await;
    assert!(said(&refusal(&database.app_url()).await).contains("migrate"));
}

/// What is wrong with the login alone: each is mended by its own SQL.
#[tokio::test]
async fn t20_a_login_that_may_do_more_or_less_is_refused() {
    let database = TestDatabase::migrated().await;
    let mut admin = database.admin().await;
    let login = Login::new(&mut admin).await;
    let url = login.url(&database);
    accepted(&url).await;
    let group = format!("g_{}", uuid::Uuid::now_v7().simple());
    let name = &login.name;
    let cases: &[(String, &[&str])] = &[
        (format!("ALTER ROLE {name} BYPASSRLS"), &["bypasses row-level security", "NOBYPASSRLS"]),
        (format!("ALTER ROLE {name} CREATEROLE"), &["makes roles", "NOCREATEROLE"]),
        (format!("ALTER ROLE {name} REPLICATION"), &["replicates", "NOREPLICATION"]),
        (format!("REVOKE rag_tenant FROM {name}"), &["may not become rag_tenant"]),
        (format!("GRANT pg_read_all_data TO {name}"), &["is a member of pg_read_all_data", "REVOKE"]),
        (format!("GRANT pg_execute_server_program TO {name}"), &["pg_execute_server_program"]),
        // not directly, and through a role whose name needs quotes
        (
            format!("CREATE ROLE \"{group} x\" IN ROLE pg_read_all_data ROLE {name}"),
            &["is a member of pg_read_all_data"],
        ),
        (format!("CREATE ROLE {group} SUPERUSER ROLE {name}"), &["role g_", "is a superuser"]),
        (
            format!("ALTER ROLE {group} NOSUPERUSER; ALTER TABLE rag_tower.chat_sessions OWNER TO {group}; GRANT {group} TO {name}"),
            &["may become g_", "which owns tables of ours", "DATABASE_ADMIN_URL"],
        ),
        (
            format!("ALTER TABLE rag_tower.chat_sessions OWNER TO {name}"),
            &["the login is l_", "which owns tables of ours", "OWNER TO postgres"],
        ),
        (
            format!("ALTER TABLE rag_tower.chat_sessions OWNER TO postgres; GRANT SELECT ON rag_tower.tenants TO {name}"),
            &["tenants is granted to PUBLIC or to the login"],
        ),
        (
            format!("GRANT SELECT (question) ON rag_tower.request_traces TO {name}"),
            &["request_traces is granted to PUBLIC or to the login"],
        ),
        (format!("ALTER ROLE {name} SET row_security = off"), &["row_security set to off"]),
        (format!("ALTER ROLE {name} SET role = rag_owner"), &["role set to rag_owner"]),
        (format!("ALTER ROLE {name} SET rag.tenant_id = '{}'", id_of("a")), &["rag.tenant_id set to"]),
        (format!("ALTER ROLE {name} SET rag.writer = 'fold'"), &["rag.writer set to fold"]),
        (
            format!("DO $$ BEGIN EXECUTE format('ALTER ROLE {name} IN DATABASE %I SET rag.slug = x', current_database()); END $$"),
            &["rag.slug set to x", "IN DATABASE"],
        ),
        (
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET rag.key_hash = x', current_database()); END $$".into(),
            &["rag.key_hash set to x for every role", "ALTER DATABASE"],
        ),
    ];
    for (sql, words) in cases {
        broken_then_mended(&mut admin, &url, sql, words).await;
    }
    // one that inherits has all rights at once, before it has become anybody
    let inherits: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int / 10000")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    let sql = if inherits < 16 {
        format!("ALTER ROLE {name} INHERIT")
    } else {
        format!("GRANT rag_owner TO {name} WITH INHERIT TRUE")
    };
    broken_then_mended(&mut admin, &url, &sql, &["has the rights of", "without becoming it"]).await;
    // a setting of the connection itself is no role's
    let hand = refusal(&format!("{url}&options=-c%20rag.tenant_id%3Dx")).await;
    assert!(
        hand.iter()
            .any(|finding| finding.what.contains("rag.tenant_id set") && finding.mend.starts_with("--"))
    );
    login.drop(&mut admin).await;
    run(&mut admin, &format!("DROP OWNED BY {group} CASCADE; DROP ROLE {group}; DROP ROLE \"{group} x\""))
        .await;
}

/// The roles belong to the whole cluster, so this one has a cluster of its own.
#[tokio::test]
async fn t20_roles_of_ours_that_may_do_more_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let options = ClusterOptions::new(folder.path().join("postgres")).throwaway();
    let cluster = Cluster::start(&options).await.unwrap();
    let (admin_url, url) = (cluster.admin_url("postgres"), cluster.app_url("postgres"));
    bootstrap(&admin_url, "rag_app", Some(cluster.app_password())).await.unwrap();
    accepted(&url).await;
    let mut admin = PgConnection::connect(&admin_url).await.unwrap();
    for (sql, words) in [
        ("ALTER ROLE rag_tenant BYPASSRLS", ["role rag_tenant", "bypasses row-level security"]),
        ("ALTER ROLE rag_jobs SUPERUSER", ["role rag_jobs", "is a superuser"]),
        ("ALTER ROLE rag_owner LOGIN", ["role rag_owner", "logs in"]),
        ("ALTER ROLE rag_writer CREATEROLE", ["role rag_writer", "makes roles"]),
        (
            "GRANT rag_owner TO rag_tenant",
            ["rag_tenant is a member of rag_owner", "REVOKE rag_owner FROM rag_tenant"],
        ),
        ("GRANT pg_read_all_data TO rag_tenant", ["rag_tenant is a member of pg_read_all_data", "REVOKE"]),
        ("GRANT pg_write_all_data TO rag_writer", ["rag_writer is a member of pg_write_all_data", "REVOKE"]),
        (
            "ALTER ROLE ALL SET rag.writer = 'on'",
            ["rag.writer set to on for every role", "ALTER ROLE ALL RESET"],
        ),
    ] {
        broken_then_mended(&mut admin, &url, sql, &words).await;
    }
    admin.close().await.unwrap();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn t20_tables_without_protection_are_refused() {
    all_broken_then_mended(&[
        (
            "ALTER TABLE rag_tower.chunks NO FORCE ROW LEVEL SECURITY",
            &["table chunks", "ALTER TABLE rag_tower.chunks ENABLE ROW LEVEL SECURITY"],
        ),
        ("ALTER TABLE rag_tower.request_traces DISABLE ROW LEVEL SECURITY", &["table request_traces"]),
        (
            "CREATE TABLE rag_tower.extra (tenant_id uuid)",
            &["table extra has no forced", "table extra has a tenant's column and no policy"],
        ),
        (
            "CREATE TABLE rag_tower.\"Odd name\" (a int)",
            &["table Odd name has no forced", "rag_tower.\"Odd name\" ENABLE"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn t20_open_partitions_are_refused() {
    let leaf = |sql: &str| {
        format!(
            "DO $$ DECLARE leaf text; BEGIN
             SELECT c.oid::regclass INTO leaf FROM pg_class c WHERE relispartition AND relkind = 'r' ORDER BY 1 LIMIT 1;
             EXECUTE format('{sql}', leaf); END $$"
        )
    };
    all_broken_then_mended(&[
        (&leaf("GRANT SELECT ON %s TO rag_tenant"), &["can be reached past its parent", "FROM rag_tenant"]),
        (&leaf("GRANT SELECT (question) ON %s TO rag_owner"), &["can be reached past its parent"]),
        (&leaf("CREATE POLICY p ON %s USING (true)"), &["can be reached past its parent", "DROP POLICY p"]),
        (&leaf("ALTER TABLE %s DISABLE ROW LEVEL SECURITY"), &["no forced row-level security"]),
    ])
    .await;
}

/// As many days as a year and a month have: the one that is open is found among them, and soon.
#[tokio::test]
async fn t20_one_open_partition_among_hundreds_is_found() {
    let database = TestDatabase::migrated().await;
    let mut admin = database.admin().await;
    run(
        &mut admin,
        "SET rag.writer = 'keep';
         DO $$ BEGIN FOR i IN 1..20 LOOP PERFORM rag_tower.ensure_partitions((current_date - 20 * i)::date, 20); END LOOP; END $$",
    )
    .await;
    let leaves: Vec<String> = sqlx::query_scalar(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'rag_tower.request_traces'::regclass ORDER BY 1",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    assert!(leaves.len() >= 400, "{}", leaves.len());
    let pool = database.database().await;
    let begin = std::time::Instant::now();
    assert_eq!(pool.audit().await.unwrap(), []);
    let audited = begin.elapsed();
    assert_eq!(pool.probe().await.unwrap(), []);
    println!("{} partitions: audit {audited:?}, probe {:?}", leaves.len(), begin.elapsed() - audited);
    run(&mut admin, &format!("GRANT SELECT (question) ON {} TO rag_tenant", leaves[200])).await;
    let findings = pool.audit().await.unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].mend.contains(&leaves[200]), "{findings:?}");
}

const COMPARED: &str = "tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid";

#[tokio::test]
async fn t20_policies_that_are_not_word_for_word_ours_are_refused() {
    let altered = |to: &str| {
        format!("ALTER POLICY tenant_isolation ON rag_tower.chunks USING ({to}) WITH CHECK ({to})")
    };
    all_broken_then_mended(&[
        ("CREATE POLICY hole ON rag_tower.chunks USING (true) WITH CHECK (true)", &["chunks.hole", "DROP POLICY"]),
        (
            &format!("DROP POLICY tenant_isolation ON rag_tower.chunks;
                      CREATE POLICY tenant_isolation ON rag_tower.chunks USING ({COMPARED})"),
            &["chunks.tenant_isolation", "WITH CHECK"],
        ),
        (&altered(&format!("{COMPARED} OR true")), &["chunks.tenant_isolation", "ALTER POLICY"]),
        (&altered(&format!("{COMPARED} OR current_setting('rag.tenant_id', true) IS NULL")), &["chunks.tenant_isolation"]),
        (&altered("coalesce(nullif(current_setting('rag.tenant_id', true), '')::uuid, tenant_id) = tenant_id"), &["chunks.tenant_isolation"]),
        (&altered("id = nullif(current_setting('rag.tenant_id', true), '')::uuid"), &["chunks.tenant_isolation"]),
        (&altered("tenant_id <> nullif(current_setting('rag.tenant_id', true), '')::uuid"), &["chunks.tenant_isolation"]),
        (&altered("tenant_id = nullif(current_setting('rag.tenant', true), '')::uuid"), &["chunks.tenant_isolation"]),
        (
            "CREATE POLICY looks_right ON rag_tower.chat_sessions FOR SELECT
             USING (current_setting('rag.tenant_id', true) <> 'x')",
            &["chat_sessions.looks_right"],
        ),
        // names that look like ours and mean something else
        (
            "CREATE SCHEMA evil; CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text LANGUAGE sql AS 'SELECT NULL';
             CREATE POLICY mine ON rag_tower.chunks FOR SELECT
             USING (tenant_id = nullif(evil.current_setting('rag.tenant_id', true), '')::uuid)",
            &["chunks.mine"],
        ),
        (
            "CREATE FUNCTION evil.yes(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
             CREATE OPERATOR evil.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = evil.yes);
             CREATE POLICY mine ON rag_tower.chunks FOR SELECT
             USING (tenant_id OPERATOR(evil.=) nullif(current_setting('rag.tenant_id', true), '')::uuid)",
            &["chunks.mine"],
        ),
        // those of the other roles
        ("CREATE POLICY p ON rag_tower.chunks FOR SELECT TO rag_tenant USING (true)", &["chunks.p lets rag_tenant"]),
        ("CREATE POLICY p ON rag_tower.chunks FOR SELECT TO rag_jobs USING (true)", &["chunks.p lets rag_jobs"]),
        ("CREATE POLICY p ON rag_tower.documents FOR SELECT TO rag_writer USING (true)", &["documents.p lets rag_writer"]),
        (
            "ALTER POLICY presented_key ON rag_tower.api_keys USING (true)",
            &["api_keys.presented_key lets rag_resolver", "ALTER POLICY presented_key"],
        ),
        ("ALTER POLICY presented_key ON rag_tower.tenants USING (true)", &["tenants.presented_key"]),
        ("ALTER POLICY jobs_find ON rag_tower.documents USING (true)", &["documents.jobs_find"]),
    ])
    .await;
}

#[tokio::test]
async fn t20_grants_that_reach_too_far_are_refused() {
    all_broken_then_mended(&[
        ("GRANT SELECT ON rag_tower.chunks TO PUBLIC", &["chunks is granted to PUBLIC"]),
        ("GRANT SELECT (text) ON rag_tower.chunks TO PUBLIC", &["chunks is granted to PUBLIC"]),
        ("GRANT TRUNCATE ON rag_tower.chunks TO rag_tenant", &["rag_tenant may truncate chunks"]),
        ("GRANT TRIGGER, REFERENCES ON rag_tower.documents TO rag_tenant", &["references and trigger documents"]),
        ("GRANT CREATE ON SCHEMA rag_tower TO rag_tenant", &["rag_tenant may put objects"]),
        ("GRANT CREATE ON SCHEMA rag_tower TO PUBLIC", &["PUBLIC may put objects"]),
        ("GRANT SELECT (answer) ON rag_tower.request_traces TO rag_writer", &["rag_writer may read what people wrote"]),
        ("GRANT SELECT ON rag_tower.request_traces TO rag_jobs", &["rag_jobs may read what people wrote", "GRANT SELECT (trace_id"]),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA rag_tower GRANT SELECT ON TABLES TO rag_tenant",
            &["yet to be made", "ALTER DEFAULT PRIVILEGES"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn t20_views_rules_and_triggers_that_read_past_policies_are_refused() {
    all_broken_then_mended(&[
        ("CREATE VIEW rag_tower.everything AS SELECT * FROM rag_tower.chunks", &["view rag_tower.everything", "security_invoker"]),
        (
            "CREATE MATERIALIZED VIEW rag_tower.copy AS SELECT * FROM rag_tower.chunks",
            &["view rag_tower.copy", "DROP MATERIALIZED VIEW"],
        ),
        (
            "CREATE SCHEMA app; CREATE VIEW app.chunks AS SELECT * FROM rag_tower.chunks;
             GRANT SELECT ON app.chunks TO PUBLIC",
            &["view app.chunks"],
        ),
        (
            "ALTER VIEW app.chunks RESET (security_invoker); REVOKE ALL ON app.chunks FROM PUBLIC;
             CREATE VIEW app.\"Deeper\" AS SELECT id FROM app.chunks; GRANT SELECT (id) ON app.\"Deeper\" TO rag_tenant",
            &["view app.\"Deeper\""],
        ),
        (
            "CREATE MATERIALIZED VIEW app.copy AS SELECT * FROM rag_tower.chunks; GRANT SELECT ON app.copy TO rag_app",
            &["view app.copy", "REVOKE ALL ON app.copy FROM rag_app"],
        ),
        (
            "CREATE TABLE app.log (id uuid); GRANT INSERT ON app.log TO rag_tenant;
             CREATE RULE leak AS ON INSERT TO app.log DO ALSO INSERT INTO app.log SELECT id FROM rag_tower.chunks",
            &["rule leak of app.log", "DROP RULE"],
        ),
        ("CREATE RULE quiet AS ON DELETE TO rag_tower.chunks DO INSTEAD NOTHING", &["rule quiet of rag_tower.chunks"]),
        (
            "CREATE FUNCTION app.leak() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
             CREATE TRIGGER leak AFTER INSERT ON rag_tower.request_traces FOR EACH ROW EXECUTE FUNCTION app.leak()",
            &["trigger leak is on request_traces", "DROP TRIGGER"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn t20_functions_with_their_owners_rights_are_refused() {
    all_broken_then_mended(&[
        (
            "CREATE FUNCTION rag_tower.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER
             AS 'SELECT count(*) FROM rag_tower.chunks'",
            &["function rag_tower.peek()", "SECURITY INVOKER"],
        ),
        // the name of one of ours, and other arguments
        (
            "CREATE FUNCTION rag_tower.drop_partition(text) RETURNS bigint LANGUAGE sql SECURITY DEFINER
             AS 'SELECT count(*) FROM rag_tower.chunks'",
            &["function rag_tower.drop_partition(text)"],
        ),
        (
            "CREATE SCHEMA app; CREATE FUNCTION app.peek(n int) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
             AS 'BEGIN RETURN (SELECT count(*) FROM rag_tower.chunks); END'",
            &["function app.peek(integer)", "REVOKE ALL ON ROUTINE app.peek(integer) FROM PUBLIC"],
        ),
        // parsed when it was made, so that its text is empty
        (
            "CREATE FUNCTION app.parsed() RETURNS bigint LANGUAGE sql SECURITY DEFINER
             BEGIN ATOMIC SELECT count(*) FROM rag_tower.chunks; END",
            &["function app.parsed()"],
        ),
        (
            "CREATE FUNCTION app.by_path() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = rag_tower
             AS 'SELECT count(*) FROM chunks'",
            &["function app.by_path()"],
        ),
        (
            "CREATE VIEW app.hidden AS SELECT * FROM rag_tower.chunks;
             CREATE FUNCTION app.by_view() RETURNS bigint LANGUAGE sql SECURITY DEFINER
             AS 'SELECT count(*) FROM app.hidden'; REVOKE ALL ON FUNCTION app.by_view() FROM PUBLIC;
             GRANT EXECUTE ON FUNCTION app.by_view() TO rag_tenant",
            &["function app.by_view()", "FROM rag_tenant"],
        ),
        (
            "CREATE PROCEDURE app.wipe() LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM rag_tower.chunks'",
            &["function app.wipe()"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn t20_tables_that_hang_together_with_ours_are_refused() {
    all_broken_then_mended(&[
        ("CREATE TABLE public.child () INHERITS (rag_tower.chunks)", &["table public.child inherits from rag_tower.chunks"]),
        (
            "CREATE TABLE public.parent (LIKE rag_tower.document_frequencies);
             ALTER TABLE rag_tower.document_frequencies INHERIT public.parent",
            &["rag_tower.document_frequencies inherits from public.parent", "NO INHERIT"],
        ),
        (
            "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
             CREATE FOREIGN TABLE public.loop (id uuid) SERVER s OPTIONS (schema_name 'rag_tower', table_name 'chunks');
             GRANT SELECT ON public.loop TO rag_tenant",
            &["foreign table public.loop", "REVOKE ALL"],
        ),
        ("CREATE FOREIGN TABLE rag_tower.away (tenant_id uuid) SERVER s", &["foreign table rag_tower.away"]),
        ("CREATE PUBLICATION one FOR TABLE rag_tower.chunks", &["publication one", "ALTER PUBLICATION one DROP TABLE"]),
        ("CREATE PUBLICATION two FOR TABLES IN SCHEMA rag_tower", &["publication two"]),
        ("CREATE PUBLICATION three FOR ALL TABLES", &["publication three", "DROP PUBLICATION"]),
    ])
    .await;
}

#[tokio::test]
async fn t21_the_probe_leaves_nothing_behind() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    assert_eq!(pool.probe().await.unwrap(), []);
    let mut admin = database.admin().await;
    for table in probed().0 {
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM rag_tower.{table}"));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut admin).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
}

#[tokio::test]
async fn t21_the_probe_knows_every_table_of_a_tenant() {
    let database = TestDatabase::migrated().await;
    let mut admin = database.admin().await;
    let may = "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'rag_tower'::regnamespace
               AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND has_table_privilege('rag_tenant', c.oid, 'SELECT')
               AND has_table_privilege('rag_tenant', c.oid, 'INSERT') = $1 ORDER BY 1";
    let (mut written, mut only_read) = probed();
    for (named, writes) in [(&mut written, true), (&mut only_read, false)] {
        let tables: Vec<String> = sqlx::query_scalar(may).bind(writes).fetch_all(&mut admin).await.unwrap();
        named.sort_unstable();
        assert_eq!(tables, *named, "a new table of tenants needs a line in the probe");
    }
}

/// The catalog would find these policies; here the rows tell.
#[tokio::test]
async fn t21_the_probe_finds_a_hole_in_any_table() {
    let (written, only_read) = probed();
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let mut admin = database.admin().await;
    for (command, clause, expected) in [
        (
            "SELECT",
            "USING (true)",
            vec!["seen 1, changed 0 and removed 0 times by another tenant", "times by nobody"],
        ),
        ("INSERT", "WITH CHECK (true)", vec!["another tenant can write a row", "nobody can write a row"]),
        ("ALL", "USING (true) WITH CHECK (true)", vec!["seen 1, changed 1", "nobody can write a row"]),
    ] {
        for table in &written {
            run(&mut admin, &format!("CREATE POLICY hole ON rag_tower.{table} FOR {command} {clause}")).await;
        }
        let findings = pool.probe().await.unwrap();
        for table in &written {
            run(&mut admin, &format!("DROP POLICY hole ON rag_tower.{table}")).await;
            for words in &expected {
                let found = findings.iter().any(|finding| {
                    finding.what.starts_with(&format!("{table}: ")) && finding.what.contains(words)
                });
                assert!(found, "{command} on {table}: {words:?} is not in {findings:?}");
            }
        }
        assert_eq!(pool.probe().await.unwrap(), []);
    }
    // a row of somebody, in the tables that tenants only read
    let a = id_of("a");
    run(
        &mut admin,
        &format!(
            "INSERT INTO rag_tower.tenants (id, slug, name) VALUES ('{a}', 'a', 'A');
             INSERT INTO rag_tower.branches (tenant_id, id, name) VALUES ('{a}', '{a}', 'B');
             INSERT INTO rag_tower.request_traces (trace_id, ts, tenant_id, channel, status, latency_us)
             VALUES (gen_random_uuid(), now(), '{a}', 'api', 'SUCCESS', 1);
             INSERT INTO rag_tower.trace_totals VALUES
             (15, '2026-01-01Z', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', '', '{a}');
             INSERT INTO rag_tower.trace_rollups VALUES
             (15, '2026-01-01Z', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', '', '{a}', '', '', '', '')"
        ),
    )
    .await;
    assert_eq!(pool.probe().await.unwrap(), []);
    for table in only_read {
        run(&mut admin, &format!("CREATE POLICY hole ON rag_tower.{table} FOR SELECT USING (true)")).await;
        let findings = said(&pool.probe().await.unwrap());
        for who in ["another tenant", "nobody"] {
            assert!(findings.contains(&format!("{table}: rows are seen by {who}")), "{table}: {findings}");
        }
        run(&mut admin, &format!("DROP POLICY hole ON rag_tower.{table}")).await;
    }
    // and a tenant that is shut out of its own rows is told as well
    run(&mut admin, "DROP POLICY tenant_isolation ON rag_tower.chunks").await;
    let findings = said(&pool.probe().await.unwrap());
    assert!(findings.contains("chunks: a tenant cannot write a row of its own"), "{findings}");
}

#[tokio::test]
async fn t21_a_database_that_takes_no_rows_is_told_from_one_that_leaks() {
    let database = TestDatabase::migrated().await;
    let mut admin = database.admin().await;
    // as a standby says it
    run(
        &mut admin,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$",
    )
    .await;
    let error = Database::connect(&database.options()).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Unwritable(_)), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("nothing can be written") && said.contains("read-only transaction"), "{said}");
    run(
        &mut admin,
        "SET default_transaction_read_only = off;
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$",
    )
    .await;
    // as a full disk says it
    let pool = database.database().await;
    run(
        &mut admin,
        "CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
         CREATE TRIGGER full_disk BEFORE INSERT ON rag_tower.documents FOR EACH ROW EXECUTE FUNCTION public.full()",
    )
    .await;
    let error = pool.probe().await.unwrap_err();
    assert!(matches!(error, DatabaseError::Unwritable(_)), "{error:?}");
    assert!(error.to_string().contains("room on its disk"), "{error}");
}
