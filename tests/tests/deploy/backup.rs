//! Backups, restored: a dump into a new cluster, and a copy of the whole data directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rag_tower_owner::cluster::{Cluster, ClusterOptions, installed};
use rag_tower_tests::http::Client;
use rag_tower_tests::postgres::run;
use rag_tower_tests::server::{Server, Setup};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::{BINARY, deploy, done};

const DATABASE: &str = "rag";
const LOGIN: &str = "rag_server";
const TENANTS: [(&str, &str, &str); 2] = [
    (
        "acme",
        "key-of-acme-that-is-long-enough-0123456789",
        "When does the vault open, and with which key? It opens at seven, with the amber one.",
    ),
    (
        "rival",
        "key-of-rival-that-is-long-enough-987654321",
        "When does the vault open, and with which key? It opens at noon, with the violet one.",
    ),
];
const QUESTION: &str = "When does the vault open, and with which key?";

/// A cluster of one's own: roles belong to a cluster, and this is about bringing them along.
struct Own {
    cluster: Cluster,
    folder: TempDir,
}

// === impl Own ===

impl Own {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // the database of a test that runs as root belongs to another user
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let cluster =
            Cluster::start(&ClusterOptions::new(folder.path().join("pg")).throwaway()).await.unwrap();
        let mut admin = PgConnection::connect(&cluster.admin_url("postgres")).await.unwrap();
        run(&mut admin, &format!("CREATE DATABASE {DATABASE}")).await;
        Self { cluster, folder }
    }

    fn admin_url(&self) -> String {
        self.cluster.admin_url(DATABASE)
    }

    async fn admin(&self) -> PgConnection {
        PgConnection::connect(&self.admin_url()).await.unwrap()
    }

    /// Where the server's login connects: the place of the administrator's URL with another name and password.
    fn server_url(&self, password: &str) -> String {
        let (_, place) = self.admin_url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        format!("postgres://{LOGIN}:{password}@{place}")
    }

    /// The schema and the login, as an operator makes them.
    async fn migrate(&self, password: &str) {
        let setup = Setup::new(BINARY)
            .env("DATABASE_URL", self.server_url(password))
            .env("DATABASE_ADMIN_URL", self.admin_url());
        let mut migrate = setup.command(&["migrate"]);
        spawn_blocking(move || done(&mut migrate)).await.unwrap();
    }

    async fn stop(self) {
        self.cluster.stop().await.unwrap();
        drop(self.folder);
    }
}

fn program(name: &str) -> PathBuf {
    installed().expect("Postgres is needed").join(name)
}

async fn postgres_tool(name: &str, arguments: Vec<String>) -> String {
    let mut command = Command::new(program(name));
    command.args(arguments).stdin(Stdio::null());
    spawn_blocking(move || done(&mut command)).await.unwrap()
}

/// The page's way to a tenant.
async fn register(own: &Own) {
    for (slug, key, _) in TENANTS {
        let set = |name: &str, value: &str| format!("--set={name}={value}");
        let script = format!("--file={}", deploy("add-tenant.sql").display());
        let arguments = ["--quiet".into(), set("slug", slug), set("name", "O'Hara"), set("key", key), script];
        postgres_tool(
            "psql",
            arguments.into_iter().chain([format!("--dbname={}", own.admin_url())]).collect(),
        )
        .await;
    }
}

async fn ingest(setup: Setup, slug: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("{slug}.md"));
    std::fs::write(&file, text).unwrap();
    let mut command = setup.command(&["ingest", file.to_str().unwrap(), "--tenant", slug]);
    spawn_blocking(move || done(&mut command)).await.unwrap();
}

async fn start(setup: Setup) -> Server {
    spawn_blocking(|| setup.start()).await.unwrap()
}

/// What a caller gets: the answer, and what it is from.
async fn answer(client: &Client, question: &str) -> (Value, Value) {
    let answer = client.post("/query", &json!({ "question": question })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let sources = body["sources"].as_array().unwrap().iter().map(|source| source["doc_id"].clone()).collect();
    (body["answer"].clone(), sources)
}

/// How many rows each table has.
async fn counts(admin: &mut PgConnection) -> Vec<(String, i64)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT oid::regclass::text FROM pg_class
         WHERE relnamespace = 'rag_tower'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1",
    )
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    let mut counts = Vec::new();
    for table in tables {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        counts.push((table, sqlx::query_scalar(count).fetch_one(&mut *admin).await.unwrap()));
    }
    counts
}

/// Policies, whether they are forced, and who may do what: all that keeps tenants apart, as text.
async fn defences(admin: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT format('%s forced %s %s', oid::regclass, relforcerowsecurity, relrowsecurity) FROM pg_class
         WHERE relnamespace = 'rag_tower'::regnamespace AND relkind IN ('r', 'p')
         UNION ALL
         SELECT format('%s %s %s %s %s %s', tablename, policyname, cmd, roles, qual, with_check) FROM pg_policies
         UNION ALL
         SELECT format('%s %s %s', table_name, grantee, privilege_type) FROM information_schema.role_table_grants
         WHERE table_schema = 'rag_tower'
         UNION ALL
         SELECT format('%s in %s', member::regrole, roleid::regrole) FROM pg_auth_members WHERE member >= 16384
         ORDER BY 1",
    )
    .fetch_all(admin)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_restored_into_a_new_cluster_answers_and_keeps_tenants_apart() {
    let from = Own::start().await;
    from.migrate("the-password-before").await;
    register(&from).await;
    let mut admin = from.admin().await;
    let setup = |own: &Own, password: &str| Setup::new(BINARY).env("DATABASE_URL", own.server_url(password));
    let server = start(setup(&from, "the-password-before")).await;
    for (slug, _, text) in TENANTS {
        ingest(setup(&from, "the-password-before").on(&server.data), slug, text).await;
    }
    let clients = |server: &Server| TENANTS.map(|(_, key, _)| server.client().bearer(key));
    let mut before = Vec::new();
    for client in clients(&server) {
        before.push(answer(&client, QUESTION).await);
    }
    assert_ne!(before[0], before[1], "each tenant has its own");
    let (status, output, _) = spawn_blocking(|| server.stop()).await.unwrap();
    assert!(status.success(), "{output}");
    let (rows, apart) = (counts(&mut admin).await, defences(&mut admin).await);
    assert!(rows.iter().any(|(table, n)| table.ends_with("request_traces") && *n == 2), "{rows:?}");
    drop(admin);

    // The page's steps: the roles, the database, both into a cluster that has neither, and `migrate` for the login.
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (roles, dump) = (file("roles.sql"), file("rag.dump"));
    let of = |url: &str| format!("--dbname={url}");
    let arguments = vec![
        "--roles-only".into(),
        "--no-role-passwords".into(),
        format!("--file={roles}"),
        of(&from.admin_url()),
    ];
    postgres_tool("pg_dumpall", arguments).await;
    let arguments = vec!["--format=custom".into(), format!("--file={dump}"), of(&from.admin_url())];
    postgres_tool("pg_dump", arguments).await;
    from.stop().await;

    let to = Own::start().await;
    // the administrator is there already, which is the one thing that may be refused
    let arguments = vec!["--quiet".into(), format!("--file={roles}"), of(&to.admin_url())];
    postgres_tool("psql", arguments).await;
    let arguments = vec!["--exit-on-error".into(), of(&to.admin_url()), dump];
    postgres_tool("pg_restore", arguments).await;
    to.migrate("the-password-afterwards").await;

    let mut admin = to.admin().await;
    assert_eq!(counts(&mut admin).await, rows);
    assert_eq!(defences(&mut admin).await, apart);
    // It comes up, so the audit and the probe of its start found nothing, and its new index is made from Postgres.
    let server = start(setup(&to, "the-password-afterwards")).await;
    for (client, before) in clients(&server).iter().zip(&before) {
        assert_eq!(&answer(client, QUESTION).await, before);
    }
    // A login without a tenant sees nothing, whoever owns the tables now.
    let mut app = PgConnection::connect(&to.server_url("the-password-afterwards")).await.unwrap();
    let mut tx = app.begin().await.unwrap();
    sqlx::query("SET LOCAL ROLE rag_tenant").execute(&mut *tx).await.unwrap();
    let seen: i64 =
        sqlx::query_scalar("SELECT count(*) FROM rag_tower.chunks").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(seen, 0);
    tx.rollback().await.unwrap();
    app.close().await.unwrap();

    // What the audit is for: a table whose policy is not forced any more is refused, whoever restored it so.
    let (status, output, _) = spawn_blocking(|| server.stop()).await.unwrap();
    assert!(status.success(), "{output}");
    run(&mut admin, "ALTER TABLE rag_tower.chunks NO FORCE ROW LEVEL SECURITY").await;
    let again = setup(&to, "the-password-afterwards");
    let failed = spawn_blocking(|| again.try_start().map(|_| ())).await.unwrap().expect_err("not forced");
    assert!(failed.output.contains("chunks"), "{}", failed.output);
    drop(admin);
    to.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_data_directory_is_the_whole_server_and_an_index_that_is_lost_is_made_again() {
    const ASKED: &str = "Trung tâm có chính sách bảo lưu không?";
    let server = start(Setup::new(BINARY)).await;
    let before = answer(&server.tenant(), ASKED).await;
    assert!(!before.1.as_array().unwrap().is_empty(), "{before:?}");
    let owner = server.owner().await;
    let (status, output, kept) = {
        let (data, stopped) = (server.data.clone(), spawn_blocking(|| server.stop()));
        let (status, output, kept) = stopped.await.unwrap();
        (status, output, (data, kept))
    };
    assert!(status.success(), "{output}");

    let backup = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(backup.path(), open).unwrap();
    let copy = backup.path().join("data");
    done(Command::new("cp").arg("-a").arg(&kept.0).arg(&copy));
    drop(kept);

    let look = async |data: &Path| {
        let server = start(Setup::new(BINARY).on(data)).await;
        assert_eq!(answer(&server.tenant(), ASKED).await, before);
        // a session outlives the machine it began on: what signs it is in the copy
        let owner = owner.clone().at(server.addr);
        assert_eq!(owner.get("/owner/api/tenants").await.status, 200);
        let (status, output, _) = spawn_blocking(|| server.stop()).await.unwrap();
        assert!(status.success(), "{output}");
        output
    };
    let copied = look(&copy).await;
    assert!(!copied.contains("Bringing the vector index up to date"), "the index came along: {copied}");
    std::fs::remove_dir_all(copy.join("vectors")).unwrap();
    look(&copy).await;
    assert!(copy.join("vectors").exists());
}
