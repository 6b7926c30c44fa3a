//! Real Postgres for tests: one private cluster for all test processes, one database for each test.
//!
//! The cluster lives in the temporary folder, under a name that follows from this checkout and user. Whoever comes
//! first starts it. It ends half a minute after the last test process has; the next run starts it again where it was.
//! Databases are not dropped one by one, which costs a checkpoint each: once there are many and nobody else is using
//! the cluster, it is made anew.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rag_tower::postgres::{APP_LOGIN, Database, DatabaseOptions, bootstrap};
use rag_tower::tenant::{KeyHash, TenantId};
use rag_tower_owner::cluster::{Cluster, ClusterOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;

/// A database of one test's own.
pub struct TestDatabase {
    cluster: &'static Cluster,
    name: String,
}

/// The cluster, and what keeps it alive while this process lives.
struct Shared {
    cluster: Cluster,
    template: String,
    _user: File,
}

static SHARED: OnceCell<Shared> = OnceCell::const_new();

/// A cluster with more databases than this is made anew.
const MANY: usize = 60;

// === impl TestDatabase ===

impl TestDatabase {
    /// A database with the whole schema and the roles.
    pub async fn migrated() -> Self {
        let shared = shared().await;
        Self::create(shared, &format!("TEMPLATE {}", shared.template)).await
    }

    /// An empty database.
    pub async fn empty() -> Self {
        Self::create(shared().await, "TEMPLATE template0").await
    }

    async fn create(shared: &'static Shared, template: &str) -> Self {
        let name = format!("t_{}", uuid::Uuid::now_v7().simple());
        let mut admin = connect(&shared.cluster.admin_url("postgres")).await;
        run(&mut admin, &format!("CREATE DATABASE {name} {template}")).await;
        Self { cluster: &shared.cluster, name }
    }

    /// Where the superuser connects.
    pub fn admin_url(&self) -> String {
        self.cluster.admin_url(&self.name)
    }

    /// Where the server's login connects.
    pub fn app_url(&self) -> String {
        self.cluster.app_url(&self.name)
    }

    /// Where another login connects.
    pub fn url_of(&self, login: &str, password: &str) -> String {
        let (_, host) = self.admin_url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        format!("postgres://{login}:{password}@{host}")
    }

    /// A connection as the superuser, which no policy binds.
    pub async fn admin(&self) -> PgConnection {
        connect(&self.admin_url()).await
    }

    /// A connection as the server's login, which has no rights of its own.
    pub async fn app(&self) -> PgConnection {
        connect(&self.app_url()).await
    }

    /// The library's pool, through the server's login.
    pub async fn database(&self) -> Database {
        Database::connect(&self.options()).await.unwrap()
    }

    /// Options for the server's login, with a small pool.
    pub fn options(&self) -> DatabaseOptions {
        DatabaseOptions::new(self.app_url()).max_connections(4)
    }

    /// Registers a tenant with an API key, as an operator does.
    pub async fn register(&self, slug: &str, key: &str) {
        register(&mut self.admin().await, slug, key).await;
    }

    /// Runs statements as the superuser.
    pub async fn run_as_admin(&self, sql: &str) {
        run(&mut self.admin().await, sql).await;
    }
}

/// Runs statements on a connection.
///
/// # Panics
/// When one fails.
pub async fn run(connection: &mut PgConnection, sql: &str) {
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await {
        panic!("{sql}: {error}");
    }
}

/// The tenant that nobody is: what whoever looks at a corpus becomes by [`open_hole`].
pub const STRANGER: uuid::Uuid = uuid::Uuid::from_u128(7);

/// Opens a hole in the schema: whoever looks at a corpus becomes another tenant, [`STRANGER`].
pub async fn open_hole(admin: &mut PgConnection) {
    meddle(admin, &format!("PERFORM set_config('rag.tenant_id', '{STRANGER}', true)")).await;
}

/// Makes each look at a corpus do this to its transaction, as a hole in the schema could.
pub async fn meddle(admin: &mut PgConnection, what: &str) {
    let hole = format!(
        "CREATE OR REPLACE FUNCTION rag_tower.meddle() RETURNS boolean LANGUAGE plpgsql AS
             $$ BEGIN {what}; RETURN true; END $$;
         GRANT EXECUTE ON FUNCTION rag_tower.meddle() TO PUBLIC;
         DROP POLICY IF EXISTS meddle ON rag_tower.corpora;
         CREATE POLICY meddle ON rag_tower.corpora AS RESTRICTIVE FOR SELECT TO rag_tenant USING (rag_tower.meddle())"
    );
    run(admin, &hole).await;
}

/// Closes the hole again.
///
/// # Panics
/// When there is none.
pub async fn close_hole(admin: &mut PgConnection) {
    run(admin, "DROP POLICY meddle ON rag_tower.corpora").await;
}

/// Registers a tenant with an API key on a connection of the superuser.
///
/// # Panics
/// When it is there already.
pub async fn register(admin: &mut PgConnection, slug: &str, key: &str) {
    let hash: String = KeyHash::of(key).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let (tenant, id) = (TenantId::named(slug), uuid::Uuid::now_v7());
    let registered = format!(
        "INSERT INTO rag_tower.tenants (id, slug, name) VALUES ('{tenant}', '{slug}', '{slug}');
         INSERT INTO rag_tower.api_keys (id, tenant_id, hash, name, role)
         VALUES ('{id}', '{tenant}', '\\x{hash}', 'test', 'member')"
    );
    run(admin, &registered).await;
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn shared() -> &'static Shared {
    SHARED.get_or_init(start).await
}

async fn start() -> Shared {
    let folder = folder();
    std::fs::create_dir_all(&folder).unwrap();
    let options = ClusterOptions::new(&folder).throwaway().max_connections(300);
    let user = File::create(folder.join("users")).unwrap();
    if databases_in(&folder) > MANY && user.try_lock().is_ok() {
        kill_postmaster(&folder).await;
        std::fs::remove_dir_all(folder.join("data")).unwrap();
        user.unlock().unwrap();
    }
    let user = tokio::task::spawn_blocking(move || user.lock_shared().map(|()| user)).await.unwrap().unwrap();
    let cluster = Cluster::share(&options).await.unwrap();
    end_with_the_last_user(&folder);
    let template = template(&cluster).await;
    Shared { cluster, template, _user: user }
}

/// Ends a postmaster at once: what a clean stop would still write is thrown away anyway.
async fn kill_postmaster(folder: &Path) {
    let Ok(file) = std::fs::read_to_string(folder.join("data/postmaster.pid")) else { return };
    let pid = file.lines().next().unwrap_or_default().to_owned();
    let alive =
        || Path::new("/proc").join(&pid).join("cwd").read_link().is_ok_and(|cwd| cwd == folder.join("data"));
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while alive() {
        assert!(tokio::time::Instant::now() < deadline, "Postgres {pid} does not end");
        Command::new("kill").args(["-QUIT", &pid]).status().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn databases_in(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("data/base")).map_or(0, Iterator::count)
}

/// One folder per checkout and user.
fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let uid = std::fs::metadata("/proc/self").map_or(0, |meta| meta.uid());
    std::env::temp_dir().join(format!("rag-tower-tests-{uid}-{:016x}", hash_of([here.to_string_lossy()])))
}

fn hash_of<T: Hash>(parts: impl IntoIterator<Item = T>) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.into_iter().for_each(|part| part.hash(&mut hasher));
    hasher.finish()
}

/// Leaves a small watchman behind: it stops Postgres once no test process holds the folder any more. Where `flock` is
/// missing, the cluster stays until the next run finds it.
fn end_with_the_last_user(folder: &Path) {
    let watch =
        "while sleep 15; do flock -n -x users sh -c 'kill -INT $(head -1 data/postmaster.pid)' && exit; done";
    let _ = Command::new("flock")
        .args(["-n", "watchman", "sh", "-c", watch])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}

/// The template database of this schema, made once.
async fn template(cluster: &Cluster) -> String {
    let name = format!("tpl_{:016x}", hash_of(migrations()));
    let mut admin = connect(&cluster.admin_url("postgres")).await;
    run(&mut admin, "SELECT pg_advisory_lock(1)").await;
    let made: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    if !made {
        // renamed when it is whole
        let fresh = format!("{name}_new");
        run(&mut admin, &format!("DROP DATABASE IF EXISTS {fresh} WITH (FORCE)")).await;
        run(&mut admin, &format!("CREATE DATABASE {fresh} TEMPLATE template0")).await;
        bootstrap(&cluster.admin_url(&fresh), APP_LOGIN, Some(cluster.app_password())).await.unwrap();
        run(&mut admin, &format!("ALTER DATABASE {fresh} RENAME TO {name}")).await;
    }
    run(&mut admin, "SELECT pg_advisory_unlock(1)").await;
    name
}

/// What the schema is made from.
fn migrations() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut files: Vec<PathBuf> = ["trace", "server"]
        .iter()
        .flat_map(|set| std::fs::read_dir(root.join(set)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}
