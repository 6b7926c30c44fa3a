//! How each peer is started: as its own documentation says a server is run, with what it keeps, and as light as it can be.
//!
//! Each is started twice, and the second start is timed: caches of files are warm and nothing is made for the first time.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rag_tower::tenant::TenantId;
use rag_tower_owner::cluster::{Cluster, ClusterOptions};
use rag_tower_tests::corpus::Corpus;
use rag_tower_tests::patched::workspace;
use rag_tower_tests::server::{DEMO_KEY, Server, Setup};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::asks::{Asks, Wire};
use crate::peer::{Peer, Processes, first_answer};
use crate::programs::{Program, folder, free_port, sources, target};
use crate::python;
use crate::roles::Role;
use crate::stub::{EMBEDDINGS, MODEL};

/// Chunks of the tenant that is asked for.
pub(crate) const CHUNKS: usize = 265;
/// The demo tenant whose key is used.
const TENANT: &str = "language-centre";
/// Workers of programs that take a number of them: one for each core of a small machine.
const WORKERS: &str = "2";
/// How long a program may take to print its address.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long Postgres may take to end.
const STOP: Duration = Duration::from_secs(20);
/// A key that nobody checks.
const NO_KEY: &str = "bench-key-that-no-provider-knows";

/// The login that owns a peer's database.
const LOGIN: &str = "bench";
const PASSWORD: &str = "bench-password-0123456789";

/// A chunk as both RAG peers have it.
pub(crate) struct Chunk {
    id: Uuid,
    file: String,
    text: String,
}

/// A private Postgres with an empty database. Dropping it waits until Postgres has ended.
struct Database {
    url: String,
    postmaster: u32,
    cluster: Option<Cluster>,
    folder: TempDir,
}

/// The model server itself: what all others are compared with.
pub(crate) async fn stub() -> Result<(Peer, String), String> {
    let wire = Wire::Chat { path: "/v1/chat/completions", prefix: "" };
    let peer = printed("stub", Asks::new(wire, None), || Role::Stub.start(&[])).await?;
    let base = format!("http://{}/v1", peer.addr);
    Ok((Peer { described: "the model server itself".into(), ..peer }, base))
}

/// The bare proxy.
pub(crate) async fn pass_through(base: &str) -> Result<Peer, String> {
    let wire = Wire::Chat { path: "/v1/chat/completions", prefix: "" };
    let peer = printed("axum", Asks::new(wire, None), || Role::PassThrough.start(&[base])).await?;
    Ok(Peer { described: "a bare proxy".into(), ..peer })
}

/// What the server waits for, and nothing else.
pub(crate) async fn calls(base: &str) -> Result<Peer, String> {
    let described = "a key, an embedding, a row and the model, one after the other";
    bare(base, "calls", Role::Calls, described).await
}

/// The same, and what an answer from documents cannot do without.
pub(crate) async fn floor(base: &str) -> Result<Peer, String> {
    bare(base, "floor", Role::Floor, "calls, with the search in the engine and a row of what was found").await
}

async fn bare(base: &str, name: &'static str, role: Role, described: &str) -> Result<Peer, String> {
    let database = Database::start().await?;
    let wire = Wire::Chat { path: "/v1/chat/completions", prefix: "" };
    let start = || role.start(&[base, &database.url, DEMO_KEY]);
    let mut peer = printed(name, Asks::new(wire, Some(DEMO_KEY.into())), start).await?;
    peer.described = described.into();
    peer.processes.stores = vec![database.postmaster];
    peer._keep.push(Box::new(database));
    Ok(peer)
}

/// The example that is a stack of the library's layers, with a row for each call.
pub(crate) async fn gateway(base: &str) -> Result<Peer, String> {
    let binary = match std::env::var_os("GATEWAY") {
        Some(built) => PathBuf::from(built),
        None => build_gateway()?,
    };
    let database = Database::start().await?;
    let start = || {
        let mut command = Command::new(&binary);
        command
            .env("GATEWAY_ADDR", "127.0.0.1:0")
            .env("GATEWAY_KEYS", format!("bench={DEMO_KEY}"))
            .env("GATEWAY_CALLS_PER_MINUTE", "0")
            .env("DATABASE_URL", &database.url)
            .env("OPENAI_BASE_URL", base)
            .env("OPENAI_API_KEY", NO_KEY);
        Program::start("gateway", command)
    };
    let wire = Wire::Chat { path: "/v1/chat/completions", prefix: "" };
    let mut peer = printed("gateway", Asks::new(wire, Some(DEMO_KEY.into())), start).await?;
    peer.described =
        format!("rag-tower {}, examples/gateway: a key and a row a call", env!("CARGO_PKG_VERSION"));
    peer.processes.stores = vec![database.postmaster];
    peer._keep.push(Box::new(database));
    Ok(peer)
}

/// Builds it with its own features and no other's.
fn build_gateway() -> Result<PathBuf, String> {
    eprintln!("building the gateway…");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--locked", "-p", "gateway"]).current_dir(workspace());
    let out = build.env("CARGO_TARGET_DIR", target()).output().map_err(|error| error.to_string())?;
    if out.status.success() {
        return Ok(target().join("release/gateway"));
    }
    Err(format!("it does not build: {}", String::from_utf8_lossy(&out.stderr)))
}

/// TensorZero's gateway, as its Python package carries it.
pub(crate) async fn tensorzero(base: &str) -> Result<Peer, String> {
    let python = python::environment("tensorzero")?;
    let sources = sources().join("tensorzero");
    let config = std::fs::read_to_string(sources.join("gateway.toml")).map_err(|error| error.to_string())?;
    let written = folder().join("tensorzero.toml");
    std::fs::write(&written, config.replace("STUB_BASE", base)).map_err(|error| error.to_string())?;
    let start = || {
        let mut command = Command::new(&python);
        command.arg(sources.join("gateway.py")).arg(&written);
        Program::start("tensorzero", command)
    };
    let wire = Wire::Chat { path: "/openai/v1/chat/completions", prefix: "tensorzero::model_name::" };
    let peer = printed("tensorzero", Asks::new(wire, None), start).await?;
    let versions = python::versions(&python, &["tensorzero"]);
    Ok(Peer { described: format!("{versions}, without observability"), ..peer })
}

/// LiteLLM's proxy.
pub(crate) async fn litellm(base: &str) -> Result<Peer, String> {
    let python = python::environment("litellm")?;
    let key = format!("sk-{}{}", Uuid::now_v7().simple(), Uuid::now_v7().simple());
    let start = |port: u16| {
        let mut command = Command::new(python.with_file_name("litellm"));
        command
            .arg("--config")
            .arg(sources().join("litellm/config.yaml"))
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--num_workers", WORKERS])
            .env("STUB_BASE", base)
            // it starts with no other than a strong one
            .env("LITELLM_MASTER_KEY", &key)
            // as its guide to production says; and without asking the network for prices
            .env("LITELLM_MODE", "PRODUCTION")
            .env("LITELLM_LOG", "ERROR")
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .env("DO_NOT_TRACK", "1");
        Program::start("litellm", command)
    };
    let wire = Wire::Chat { path: "/v1/chat/completions", prefix: "" };
    let peer = listening("litellm", Asks::new(wire, Some(key.clone())), start).await?;
    let versions = python::versions(&python, &["litellm"]);
    Ok(Peer { described: format!("{versions}, {WORKERS} workers, without a database"), ..peer })
}

/// The reference server, and the chunks of the tenant that is asked.
pub(crate) async fn server(base: &str) -> Result<(Peer, Vec<Chunk>), String> {
    let binary = env!("CARGO_BIN_EXE_rag-tower-server");
    let with = |setup: Setup| {
        setup
            .env("OPENAI_BASE_URL", base)
            .env("OPENAI_API_KEY", NO_KEY)
            .env("OPENAI_MODEL", MODEL)
            .env("EMBEDDING_MODEL", EMBEDDINGS)
    };
    let first = with(Setup::new(binary)).start();
    let data = first.data.clone();
    let chunks = chunks_of(&first, &with(Setup::new(binary)).on(&data)).await?;
    let (_, _, keep) = first.stop();

    let asks = Asks::new(Wire::Server, Some(DEMO_KEY.into()));
    let began = Instant::now();
    let server = with(Setup::new(binary)).on(&data).start();
    first_answer(server.addr, &asks, || Ok(())).await?;
    let start = began.elapsed();
    let peer = Peer {
        name: "server",
        described: format!(
            "rag-tower {}, all on: Postgres, hybrid search, rerank, memory, trace",
            env!("CARGO_PKG_VERSION")
        ),
        addr: server.addr,
        asks,
        talks: true,
        start,
        processes: Processes { pid: server.pid(), keeps_children: true, stores: Vec::new() },
        _keep: vec![Box::new(server), Box::new(keep)],
    };
    Ok((peer, chunks))
}

/// The tenant's chunks, after more have made them as many as they should be.
async fn chunks_of(server: &Server, same: &Setup) -> Result<Vec<Chunk>, String> {
    let read = async || -> Result<Vec<Chunk>, sqlx::Error> {
        let tenant = TenantId::named(TENANT).as_uuid();
        let rows: Vec<(Uuid, String, String)> = sqlx::query_as(
            "SELECT c.id, d.file_name, c.text FROM rag_tower.chunks c
             JOIN rag_tower.documents d ON d.tenant_id = c.tenant_id AND d.id = c.document_id
             WHERE c.tenant_id = $1 ORDER BY c.id",
        )
        .bind(tenant)
        .fetch_all(&mut server.database().await)
        .await?;
        Ok(rows.into_iter().map(|(id, file, text)| Chunk { id, file, text }).collect())
    };
    let there = read().await.map_err(|error| error.to_string())?.len();
    let missing =
        CHUNKS.checked_sub(there).ok_or_else(|| format!("the demo tenant has {there} chunks already"))?;
    let mut corpus = Corpus::new(265);
    let lines: String = (0..missing)
        .map(|n| format!("{}\n", json!({"id": format!("more-{n}"), "text": corpus.document(1).concat()})))
        .collect();
    let file = folder().join("more.jsonl");
    std::fs::write(&file, lines).map_err(|error| error.to_string())?;
    let file = file.to_string_lossy();
    let out =
        same.command(&["ingest", &file, "--tenant", TENANT]).output().map_err(|error| error.to_string())?;
    if !out.status.success() {
        return Err(format!("ingest: {}", String::from_utf8_lossy(&out.stderr)));
    }
    let chunks = read().await.map_err(|error| error.to_string())?;
    if chunks.len() == CHUNKS { Ok(chunks) } else { Err(format!("{} chunks, not {CHUNKS}", chunks.len())) }
}

/// The FastAPI design, over the same chunks; another tenant has as many.
pub(crate) async fn fastapi(base: &str, chunks: &[Chunk]) -> Result<Peer, String> {
    let python = python::environment("fastapi")?;
    let database = Database::start().await?;
    let mut qdrant = Role::Qdrant.start(&[]);
    let grpc = qdrant.address(PATIENCE)?.port().to_string();
    let with = |command: &mut Command| {
        command
            // asyncpg takes the folder of the socket only where no other host is named
            .env("DATABASE_URL", database.url.replace("@localhost/", "@/"))
            .env("QDRANT_GRPC_PORT", &grpc)
            .env("OPENAI_BASE_URL", base)
            .env("OPENAI_API_KEY", NO_KEY)
            .env("MODEL", MODEL)
            .env("EMBEDDING_MODEL", EMBEDDINGS)
            .current_dir(sources().join("fastapi"))
            // leaves nothing in the sources
            .env("PYTHONPYCACHEPREFIX", folder().join("python/cache"));
    };
    let mut load = Command::new(&python);
    with(load.arg("load.py"));
    fill(&mut load, chunks)?;

    let start = |port: u16| {
        let mut command = Command::new(&python);
        let port = port.to_string();
        let arguments =
            ["-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", &port, "--workers", WORKERS];
        with(command.args(arguments).args(["--no-access-log", "--log-level", "warning"]));
        Program::start("fastapi", command)
    };
    let mut peer = listening("fastapi", Asks::new(Wire::FastApi, Some(DEMO_KEY.into())), start).await?;
    let versions = python::versions(&python, &["fastapi", "uvicorn", "asyncpg", "qdrant-client", "openai"]);
    peer.described = format!("{versions}; {WORKERS} workers");
    peer.talks = true;
    peer.processes.stores = vec![database.postmaster, qdrant.pid()];
    peer._keep.push(Box::new(qdrant));
    peer._keep.push(Box::new(database));
    Ok(peer)
}

/// Gives the chunks to the loader, for two tenants.
fn fill(load: &mut Command, chunks: &[Chunk]) -> Result<(), String> {
    let tenants = [TENANT, "somebody-else"].map(|name| (name, TenantId::named(name).as_uuid()));
    let mut lines = format!("{}\n", json!({"keys": {DEMO_KEY: tenants[0].1.to_string()}}));
    for (name, tenant) in tenants {
        for chunk in chunks {
            let id = if name == TENANT { chunk.id } else { Uuid::now_v7() };
            let line =
                json!({"tenant_id": tenant, "chunk_id": id, "file_name": chunk.file, "content": chunk.text});
            lines.push_str(&format!("{line}\n"));
        }
    }
    let spawned = load.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| error.to_string())?;
    let mut input = child.stdin.take().expect("its input");
    input.write_all(lines.as_bytes()).map_err(|error| error.to_string())?;
    drop(input);
    let out = child.wait_with_output().map_err(|error| error.to_string())?;
    if out.status.success() {
        Ok(())
    } else {
        Err(format!("load.py: {}", String::from_utf8_lossy(&out.stderr)))
    }
}

/// A peer that prints its address.
async fn printed(name: &'static str, asks: Asks, start: impl Fn() -> Program) -> Result<Peer, String> {
    let up = async || {
        let began = Instant::now();
        let mut program = start();
        let addr = program.address(PATIENCE)?;
        first_answer(addr, &asks, || program.alive()).await?;
        Ok::<_, String>((addr, began.elapsed(), program))
    };
    drop(up().await?);
    let (addr, time, program) = up().await?;
    Ok(peer(name, addr, asks.clone(), time, program))
}

/// A peer that is told its port.
async fn listening(name: &'static str, asks: Asks, start: impl Fn(u16) -> Program) -> Result<Peer, String> {
    let up = async || {
        let port = free_port();
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let began = Instant::now();
        let mut program = start(port);
        first_answer(addr, &asks, || program.alive()).await?;
        Ok::<_, String>((addr, began.elapsed(), program))
    };
    drop(up().await?);
    let (addr, time, program) = up().await?;
    Ok(peer(name, addr, asks.clone(), time, program))
}

fn peer(name: &'static str, addr: SocketAddr, asks: Asks, start: Duration, program: Program) -> Peer {
    Peer {
        name,
        described: String::new(),
        addr,
        asks,
        talks: false,
        start,
        processes: Processes::of(program.pid()),
        _keep: vec![Box::new(program)],
    }
}

// === impl Database ===

impl Database {
    /// A login of its own owns it. Durable, and with the settings that the server's own has.
    async fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        // Postgres belongs to another user when this runs as root, who has to pass through here.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))
            .map_err(|error| error.to_string())?;
        let cluster = Cluster::start(&ClusterOptions::new(folder.path().join("postgres"))).await;
        let cluster = cluster.map_err(|error| error.to_string())?;
        let made = async {
            let mut admin = PgConnection::connect(&cluster.admin_url("postgres")).await?;
            sqlx::raw_sql(AssertSqlSafe(format!("CREATE ROLE {LOGIN} LOGIN PASSWORD '{PASSWORD}'")))
                .execute(&mut admin)
                .await?;
            sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {LOGIN} OWNER {LOGIN}")))
                .execute(&mut admin)
                .await?;
            admin.close().await
        };
        made.await.map_err(|error: sqlx::Error| error.to_string())?;
        let postmaster = postmaster(&folder.path().join("postgres"))?;
        let url = cluster.admin_url(LOGIN);
        let (_, place) = url.split_once('@').ok_or("an address without a login")?;
        let url = format!("postgres://{LOGIN}:{PASSWORD}@{place}");
        Ok(Self { url, postmaster, cluster: Some(cluster), folder })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.cluster.take();
        let mark = self.folder.path().join("postgres/data/postmaster.pid");
        let end = Instant::now() + STOP;
        while mark.exists() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn postmaster(folder: &Path) -> Result<u32, String> {
    let file =
        std::fs::read_to_string(folder.join("data/postmaster.pid")).map_err(|error| error.to_string())?;
    file.lines().next().and_then(|line| line.trim().parse().ok()).ok_or_else(|| "no postmaster".to_owned())
}
