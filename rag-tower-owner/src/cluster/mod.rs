//! A private Postgres: real Postgres, started and stopped with the server, for whoever sets no `DATABASE_URL`.
//!
//! Everything lives in one folder:
//!
//! | path | what |
//! |---|---|
//! | `data/` | the cluster (`initdb --locale=C.UTF-8 -E UTF8`; under the `C` locale pg_trgm drops every non-ASCII letter) |
//! | `run/` | the unix socket, mode 0700; in the temporary folder when this path is longer than a socket path may be |
//! | `admin.password`, `app.password` | generated once, mode 0600 |
//! | `postgres.log` | what Postgres says; started anew when it passes 10 MB |
//! | `lock` | held while the cluster is in use; names the process |
//!
//! # What can go wrong, and what then
//! - **No binaries**: the error names `apt install postgresql` and `DATABASE_URL`. Nothing is downloaded.
//! - **Root**: Postgres refuses to run as root, so it runs as `postgres` (else `nobody`), user and group both.
//! - **Ctrl-C**: the postmaster has its own process group, so that the server drains before Postgres goes.
//! - **The server is killed**: its postmaster lives on. The next start ends it (it is recognised by its working
//!   directory, not by its pid alone) and starts a new one. A half-made cluster is thrown away: `initdb` works aside
//!   and the result is moved into place.
//! - **Postgres ends by itself**, as when its disk is full: it is started again, until it comes up.
//! - **A second start on the same folder**: refused; the error says which process holds it.

mod binaries;
mod error;
mod files;
mod keeper;
mod postmaster;
mod run_as;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

use self::binaries::Binaries;
pub use self::error::ClusterError;
use self::files::Layout;
use self::keeper::Keeper;
use self::postmaster::Postmaster;
use self::run_as::RunAs;
use crate::locked::Locked;

/// The superuser of the private cluster, used by bootstrap and migrations alone.
const ADMIN: &str = "postgres";
/// The login of the server.
const APP: &str = "rag_app";
/// How long a start may take; crash recovery is part of it.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// How long a fast shutdown may take before it becomes an immediate one.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// How often to look while waiting for a process.
const POLL: Duration = Duration::from_millis(10);

/// How to run a [`Cluster`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterOptions {
    folder: PathBuf,
    max_connections: u16,
    durable: bool,
}

/// A running private Postgres. One that ends by itself is started again until it comes up, which the log says.
///
/// Dropping it asks Postgres to stop and waits for nothing; [`stop`](Self::stop) waits.
pub struct Cluster {
    layout: Layout,
    admin_password: String,
    app_password: String,
    /// `None` when another process started the postmaster.
    keeper: Option<Keeper>,
    /// Keeps the folder for this process; `None` when it is shared.
    _lock: Option<Locked>,
}

/// The folder of the Postgres programs that a new cluster would be made with. Blocks: it asks each for its version.
///
/// # Errors
/// [`ClusterError::NoBinaries`] says where was looked and what to install.
pub fn installed() -> Result<PathBuf, ClusterError> {
    Binaries::find(None).map(|found| found.path(""))
}

// === impl ClusterOptions ===

impl ClusterOptions {
    /// A durable cluster in `folder`, which is made when it is missing.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), max_connections: 60, durable: true }
    }

    /// Sets how many connections Postgres accepts. Default: 60.
    #[must_use]
    pub fn max_connections(mut self, connections: u16) -> Self {
        self.max_connections = connections;
        self
    }

    /// Trades durability for speed. Default: durable.
    ///
    /// # Warning
    /// A crash of the machine destroys the cluster. For tests and benchmarks.
    #[must_use]
    pub fn throwaway(mut self) -> Self {
        self.durable = false;
        self
    }
}

// === impl Cluster ===

impl Cluster {
    /// Starts the cluster of a folder and keeps the folder for this process: makes the cluster when there is none,
    /// ends a postmaster that an earlier process left behind, and returns when connections are accepted.
    ///
    /// # Errors
    /// [`ClusterError`] says what was wrong and what to do.
    pub async fn start(options: &ClusterOptions) -> Result<Self, ClusterError> {
        let (prepared, lock) = Prepared::new(options).await?;
        if let Some(left) = Postmaster::find(&prepared.layout.data)? {
            tracing::info!(pid = left.pid(), "ending the Postgres that an earlier process left behind");
            left.stop(STOP_DEADLINE).await?;
        }
        let postmaster = prepared.spawn(options).await?;
        Ok(Self {
            layout: prepared.layout.clone(),
            admin_password: prepared.admin_password.clone(),
            app_password: prepared.app_password.clone(),
            keeper: Some(Keeper::of(prepared, options.clone(), postmaster)),
            _lock: Some(lock),
        })
    }

    /// Joins the running cluster of a folder, or starts it; for test suites, whose processes share one cluster.
    ///
    /// The folder is locked only while this runs. The postmaster outlives this process and this value; the next
    /// caller finds it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn share(options: &ClusterOptions) -> Result<Self, ClusterError> {
        let deadline = Instant::now() + START_DEADLINE;
        let (prepared, _lock) = loop {
            match Prepared::new(options).await {
                Err(ClusterError::Held { .. }) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
                other => break other?,
            }
        };
        match Postmaster::find(&prepared.layout.data)? {
            Some(running) if running.is_ready() => {}
            Some(leaving) => {
                leaving.stop(STOP_DEADLINE).await?;
                prepared.spawn(options).await?;
            }
            None => drop(prepared.spawn(options).await?),
        }
        Ok(Self {
            layout: prepared.layout,
            admin_password: prepared.admin_password,
            app_password: prepared.app_password,
            keeper: None,
            _lock: None,
        })
    }

    /// Where the server's own login connects in the running cluster of a folder, whoever keeps it; none when it does not run.
    /// Nothing is made, started or locked. Contains a password: never log it.
    ///
    /// # Errors
    /// [`ClusterError::Io`] when the folder cannot be read, as by another user than the one that runs the server.
    pub fn running(folder: &Path, database: &str) -> Result<Option<String>, ClusterError> {
        let layout = Layout::of(folder)?;
        if !Postmaster::find(&layout.data)?.is_some_and(|postmaster| postmaster.is_ready()) {
            return Ok(None);
        }
        let path = layout.folder.join("app.password");
        let password = std::fs::read_to_string(&path).map_err(|source| ClusterError::io(path, source))?;
        Ok(Some(url(&layout.run, APP, password.trim(), database)))
    }

    /// Where the superuser connects, for bootstrap and migrations. Contains a password: never log it.
    #[must_use]
    pub fn admin_url(&self, database: &str) -> String {
        self.url(ADMIN, &self.admin_password, database)
    }

    /// Where the server's own login connects, once bootstrap has made it. Contains a password: never log it.
    #[must_use]
    pub fn app_url(&self, database: &str) -> String {
        self.url(APP, &self.app_password, database)
    }

    /// The password to give to the server's own login.
    #[must_use]
    pub fn app_password(&self) -> &str {
        &self.app_password
    }

    /// The postmaster's process id, when it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        Postmaster::find(&self.layout.data).ok().flatten().map(|postmaster| postmaster.pid())
    }

    /// Stops Postgres: a fast shutdown (open transactions are rolled back, nothing committed is lost), an immediate
    /// one after 20 s (recovery runs at the next start). Returns when the process is gone.
    ///
    /// # Errors
    /// [`ClusterError::Stop`] when the process is still there.
    pub async fn stop(mut self) -> Result<(), ClusterError> {
        if let Some(keeper) = self.keeper.take() {
            keeper.end().await;
        }
        match Postmaster::find(&self.layout.data)? {
            Some(postmaster) => postmaster.stop(STOP_DEADLINE).await,
            None => Ok(()),
        }
    }

    fn url(&self, user: &str, password: &str, database: &str) -> String {
        url(&self.layout.run, user, password, database)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.keeper.take().is_some()
            && let Ok(Some(postmaster)) = Postmaster::find(&self.layout.data)
        {
            postmaster.ask_to_stop();
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("data", &self.layout.data)
            .field("run", &self.layout.run)
            .finish_non_exhaustive()
    }
}

/// A folder that is reachable and holds an initialised cluster: all that comes before a postmaster.
struct Prepared {
    layout: Layout,
    binaries: Binaries,
    run_as: Option<RunAs>,
    admin_password: String,
    app_password: String,
}

/// A postmaster that is coming up; killed when it is given up, as its own recovery allows.
struct Starting(Option<Child>);

// === impl Prepared ===

impl Prepared {
    /// Comes with the lock of the folder.
    async fn new(options: &ClusterOptions) -> Result<(Self, Locked), ClusterError> {
        let folder = options.folder.clone();
        let (prepared, lock, initialise) = tokio::task::spawn_blocking(move || Self::folder(&folder))
            .await
            .map_err(ClusterError::internal)??;
        if initialise {
            prepared.initialise().await?;
        }
        Ok((prepared, lock))
    }

    /// The blocking half: folders, lock, passwords, binaries. True when there is no cluster yet.
    fn folder(folder: &Path) -> Result<(Self, Locked, bool), ClusterError> {
        let run_as = RunAs::choose()?;
        let layout = Layout::make(folder, run_as.as_ref())?;
        let lock = layout.lock()?;
        let admin_password = layout.secret("admin.password")?;
        let app_password = layout.secret("app.password")?;
        let major = layout.major()?;
        let binaries = Binaries::find(major)?;
        Ok((Self { layout, binaries, run_as, admin_password, app_password }, lock, major.is_none()))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.path(program));
        command.stdin(Stdio::null()).current_dir("/").env_clear().env("LC_ALL", "C.UTF-8").process_group(0);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some(run_as) = &self.run_as {
            command.uid(run_as.uid).gid(run_as.gid);
        }
        command
    }

    /// `initdb` beside the final place, then a rename: a cluster is there whole or not at all.
    async fn initialise(&self) -> Result<(), ClusterError> {
        tracing::info!(folder = %self.layout.folder.display(), "making a private Postgres cluster");
        let fresh = self.layout.fresh_data(self.run_as.as_ref()).await?;
        let password = self.layout.password_file(&self.admin_password, self.run_as.as_ref()).await?;
        let output = self
            .command("initdb")
            .arg("--pgdata")
            .arg(&fresh)
            .args(["--locale=C.UTF-8", "--encoding=UTF8", "--username", ADMIN])
            .args(["--auth-local=scram-sha-256", "--auth-host=scram-sha-256"])
            .arg("--pwfile")
            .arg(&password)
            .kill_on_drop(true)
            .output()
            .await;
        let _ = tokio::fs::remove_file(&password).await;
        let output = output.map_err(|source| ClusterError::spawn(self.binaries.path("initdb"), source))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(ClusterError::Initialise { folder: self.layout.folder.clone(), said });
        }
        tokio::fs::rename(&fresh, &self.layout.data)
            .await
            .map_err(|source| ClusterError::io(&self.layout.data, source))
    }

    /// Starts a postmaster and waits until it accepts connections.
    async fn spawn(&self, options: &ClusterOptions) -> Result<Child, ClusterError> {
        let log = self.layout.log_file()?;
        let errors = log.try_clone().map_err(|source| ClusterError::io(&self.layout.log, source))?;
        let child = self
            .command("postgres")
            .arg("-D")
            .arg(&self.layout.data)
            .args(
                settings(options, &self.layout.run)
                    .iter()
                    .flat_map(|(name, value)| ["-c".into(), format!("{name}={value}")]),
            )
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|source| ClusterError::spawn(self.binaries.path("postgres"), source))?;
        let mut starting = Starting(Some(child));
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Some(child) = starting.ready(&self.layout.data)? {
                return Ok(child);
            }
            if starting.ended() || Instant::now() > deadline {
                return Err(ClusterError::Start {
                    log: self.layout.log.clone(),
                    said: self.layout.log_tail(),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

// === impl Starting ===

impl Starting {
    /// The postmaster, once it accepts connections.
    fn ready(&mut self, data: &Path) -> Result<Option<Child>, ClusterError> {
        let running = Postmaster::find(data)?.filter(Postmaster::is_ready);
        let ours = running.is_some_and(|running| Some(running.pid()) == self.0.as_ref().and_then(Child::id));
        Ok(if ours { self.0.take() } else { None })
    }

    fn ended(&mut self) -> bool {
        self.0.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.start_kill();
        }
    }
}

/// The settings of the postmaster; `initdb`'s own files stay as they are.
fn settings(options: &ClusterOptions, run: &Path) -> Vec<(&'static str, String)> {
    let memory_mb = files::memory_mb().unwrap_or(2048);
    let on = |yes: bool| if yes { "on" } else { "off" }.to_owned();
    vec![
        ("listen_addresses", String::new()),
        ("unix_socket_directories", run.to_string_lossy().into_owned()),
        ("unix_socket_permissions", "0700".into()),
        ("max_connections", options.max_connections.to_string()),
        ("shared_buffers", format!("{}MB", (memory_mb / 16).clamp(64, 1024))),
        ("effective_cache_size", format!("{}MB", (memory_mb / 2).max(128))),
        ("work_mem", "16MB".into()),
        ("maintenance_work_mem", "64MB".into()),
        ("random_page_cost", "1.1".into()),
        ("jit", "off".into()),
        ("wal_level", "minimal".into()),
        ("max_wal_senders", "0".into()),
        ("wal_compression", "on".into()),
        ("max_wal_size", "1GB".into()),
        ("checkpoint_timeout", "15min".into()),
        ("fsync", on(options.durable)),
        ("synchronous_commit", on(options.durable)),
        ("full_page_writes", on(options.durable)),
        ("idle_in_transaction_session_timeout", "60s".into()),
        ("timezone", "UTC".into()),
        ("log_timezone", "UTC".into()),
        // what people wrote must not reach the log: no statements, no "failing row contains"
        ("log_min_messages", "warning".into()),
        ("log_min_error_statement", "panic".into()),
        ("log_error_verbosity", "terse".into()),
    ]
}

/// A connection string for the socket in `run`.
fn url(run: &Path, user: &str, password: &str, database: &str) -> String {
    let host = percent_encoded(&run.to_string_lossy());
    format!("postgres://{user}:{password}@localhost/{}?host={host}", percent_encoded(database))
}

/// Percent-encodes everything but unreserved characters and `/`.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests;
