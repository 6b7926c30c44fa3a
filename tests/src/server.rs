//! The reference server as its users run it: a process of its own, started from nothing, stopped by a signal.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tempfile::TempDir;

use crate::http::{Client, DEADLINE};

/// The demo tenant's API key in tests.
pub const DEMO_KEY: &str = "test-demo-key-of-the-language-centre-0123456789";
/// The owner's name in tests.
pub const OWNER: &str = "owner";
/// The owner's password in tests.
pub const PASSWORD: &str = "test-owner-password-0123456789";

/// The first start makes a database cluster and ingests two tenants, unoptimised and beside other tests.
const START: Duration = Duration::from_secs(180);
const STOP: Duration = Duration::from_secs(60);
const CANNOT_MOUNT: &str = "cannot-mount-a-disk";

/// How to start a server.
pub struct Setup {
    binary: PathBuf,
    data: PathBuf,
    keep: Option<TempDir>,
    env: Vec<(String, String)>,
    /// Options of a file system in memory for the data directory.
    disk: Option<String>,
}

/// A running server; killed when dropped.
pub struct Server {
    /// Where it answers.
    pub addr: SocketAddr,
    /// Where its metrics are.
    pub metrics: SocketAddr,
    /// What it printed while starting.
    pub banner: String,
    /// Its data directory.
    pub data: PathBuf,
    child: Child,
    lines: Mutex<Receiver<String>>,
    keep: Option<TempDir>,
}

/// How a server that did not come up ended.
#[derive(Debug)]
pub struct Failed {
    /// How it ended.
    pub status: ExitStatus,
    /// All it printed.
    pub output: String,
}

// === impl Setup ===

impl Setup {
    /// A server of `binary` on a fresh data directory, with fixed credentials and free ports. Its canaries are silent: tests
    /// that count rows, or take the database away, want no others'.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let keep = tempfile::tempdir().expect("a temporary directory");
        // The database of a server that runs as root belongs to another user, who has to pass through here.
        std::fs::set_permissions(keep.path(), PermissionsExt::from_mode(0o755)).expect("permissions");
        let data = keep.path().join("data");
        let setup = Self { binary: binary.into(), data, keep: Some(keep), env: Vec::new(), disk: None };
        setup
            .env("RAG_TOWER_ADDR", "127.0.0.1:0")
            .env("RAG_TOWER_METRICS_ADDR", "127.0.0.1:0")
            .env("RAG_TOWER_DEMO_KEY", DEMO_KEY)
            .env("RAG_TOWER_CANARY_INTERVAL", "0")
            .env("OWNER_USERNAME", OWNER)
            .env("OWNER_PASSWORD", PASSWORD)
    }

    /// The same on a data directory that another server has used.
    #[must_use]
    pub fn on(mut self, data: &Path) -> Self {
        self.data = data.to_owned();
        self.keep = None;
        self
    }

    /// The same with the data directory on a disk of its own, such as `size=64m`, which goes with the process.
    ///
    /// This takes the right to mount inside a namespace: of root, or of users where the system lets them. A machine that
    /// allows neither cannot show what a full disk does, and [`assert_mounted`] says so.
    #[must_use]
    pub fn on_disk(mut self, options: &str) -> Self {
        self.disk = Some(options.to_owned());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// A second model server, for when the first fails; its settings are in a file beside the data directory.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn second_model(self, base_url: &str, model: &str) -> Self {
        let config = self.data.with_file_name("rag-tower.toml");
        let provider =
            format!("[[provider]]\nname = \"second\"\nbase_url = \"{base_url}\"\nmodel = \"{model}\"\n");
        std::fs::write(&config, provider).expect("a file");
        self.env("RAG_TOWER_CONFIG", config.to_str().expect("UTF-8"))
    }

    /// A command of this binary with this setup's environment and no other.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.disk {
            Some(options) => self.on_own_disk(options),
            None => Command::new(&self.binary),
        };
        command.args(arguments).env_clear().stdin(Stdio::null()).current_dir(std::env::temp_dir());
        for name in ["PATH", "HOME", "USER", "LANG", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("RAG_TOWER_DATA", &self.data);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The binary in a namespace of its own, where a file system in memory is mounted over the parent of the data
    /// directory. A user is made root to mount it and becomes itself again, since Postgres refuses to run as root.
    fn on_own_disk(&self, options: &str) -> Command {
        let me = std::fs::metadata("/proc/self").expect("/proc");
        let (user, group) = (me.uid().to_string(), me.gid().to_string());
        let (namespace, back): (&[&str], &[&str]) = if me.uid() == 0 {
            (&["--mount"], &["exec"])
        } else {
            (
                &["--mount", "--user", "--map-root-user"],
                &["exec", "unshare", "--user", "--mount", "--map-user", &user, "--map-group", &group],
            )
        };
        let script = format!(
            "mount -t tmpfs -o \"$1\" tmpfs \"$2\" || {{ echo {CANNOT_MOUNT}; exit 1; }}; shift 2; {} \"$@\"",
            back.join(" ")
        );
        let mut command = Command::new("unshare");
        command.args(namespace).args(["sh", "-c", &script, "sh", options]);
        command.arg(self.data.parent().expect("a data directory in another")).arg(&self.binary);
        command
    }

    /// Starts it and waits until it says where to go.
    ///
    /// # Errors
    /// How it ended, when it ended instead.
    pub fn try_start(self) -> Result<Server, Failed> {
        let mut command = self.command(&[]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawn");
        let (sender, lines) = channel();
        let (out, err) = (child.stdout.take().expect("stdout"), child.stderr.take().expect("stderr"));
        let errors = sender.clone();
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).try_for_each(|l| sender.send(l))
        });
        std::thread::spawn(move || {
            BufReader::new(err).lines().map_while(Result::ok).try_for_each(|l| errors.send(l))
        });
        let mut server = Server {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            metrics: SocketAddr::from(([127, 0, 0, 1], 0)),
            banner: String::new(),
            data: self.data,
            child,
            lines: Mutex::new(lines),
            keep: self.keep,
        };
        let end = Instant::now() + START;
        loop {
            match server.next_line(end) {
                Some(line) => {
                    server.banner.push_str(&line);
                    server.banner.push('\n');
                }
                None => {
                    let status = server.child.try_wait().expect("wait");
                    let status = status.unwrap_or_else(|| {
                        assert!(Instant::now() < end, "the server took too long:\n{}", server.banner);
                        server.child.wait().expect("wait")
                    });
                    return Err(Failed { status, output: std::mem::take(&mut server.banner) });
                }
            }
            let found = (address(&server.banner, "/owner"), address(&server.banner, "/metrics"));
            if let ((Some(addr), Some(metrics)), true) = (found, server.banner.contains("Ctrl-C")) {
                (server.addr, server.metrics) = (addr, metrics);
                return Ok(server);
            }
        }
    }

    /// Starts it and waits until it says where to go.
    #[must_use]
    pub fn start(self) -> Server {
        self.try_start().unwrap_or_else(|failed| {
            assert_mounted(&failed.output);
            panic!("{}:\n{}", failed.status, failed.output)
        })
    }
}

// === impl Server ===

impl Server {
    /// A client without a credential.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.addr)
    }

    /// A client with the demo tenant's key.
    #[must_use]
    pub fn tenant(&self) -> Client {
        self.client().bearer(DEMO_KEY)
    }

    /// A client that has logged in as the owner.
    pub async fn owner(&self) -> Client {
        let answer =
            self.client().post("/owner/auth/login", &json!({"username": OWNER, "password": PASSWORD})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let cookie = answer.headers["set-cookie"].to_str().expect("ASCII");
        self.client().cookie(cookie.split(';').next().expect("a cookie"))
    }

    /// The row of a trace as the owner reads it, which is within a second of the answer's end.
    pub async fn row(&self, trace_id: &str) -> Value {
        let owner = self.owner().await;
        let end = Instant::now() + DEADLINE;
        loop {
            let answer = owner.get(&format!("/owner/api/logs/{trace_id}")).await;
            if answer.status == 200 || Instant::now() > end {
                assert_eq!(answer.status, 200, "{}", answer.text());
                return answer.json();
            }
            tokio::task::yield_now().await;
        }
    }

    /// A connection to its private database as the superuser, which no policy binds.
    pub async fn database(&self) -> PgConnection {
        let postgres = self.own_data().join("postgres");
        let password = std::fs::read_to_string(postgres.join("admin.password")).expect("a private database");
        let options = PgConnectOptions::new().socket(postgres.join("run")).username("postgres");
        options.password(password.trim()).database("postgres").connect().await.expect("a connection")
    }

    /// What its metrics listener says.
    pub async fn scrape(&self) -> String {
        Client::new(self.metrics).get("/metrics").await.text()
    }

    /// Its data directory as it sees it itself: on the disk of [`Setup::on_disk`] too.
    #[must_use]
    pub fn own_data(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()));
        root.join(self.data.strip_prefix("/").expect("an absolute path"))
    }

    /// True while its process runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line it prints; none when it has closed its output or `end` has come.
    fn next_line(&self, end: Instant) -> Option<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.recv_timeout(end.saturating_duration_since(Instant::now())).ok()
    }

    /// Sends a signal by name, such as `INT` or `KILL`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// Waits for its end; the data directory is kept as long as what is returned.
    pub fn wait(mut self) -> (ExitStatus, String, Option<TempDir>) {
        let end = Instant::now() + STOP;
        let mut output = std::mem::take(&mut self.banner);
        while let Some(line) = self.next_line(end) {
            output.push_str(&line);
            output.push('\n');
        }
        assert!(Instant::now() < end, "the server did not stop:\n{output}");
        (self.child.wait().expect("wait"), output, self.keep.take())
    }

    /// Stops it as an operator does, with Ctrl-C.
    pub fn stop(self) -> (ExitStatus, String, Option<TempDir>) {
        self.signal("INT");
        self.wait()
    }
}

impl Drop for Server {
    /// An interrupted test leaves no process behind: the server stops its database when it is asked to end.
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal("TERM");
            let end = Instant::now() + STOP;
            while self.next_line(end).is_some() {}
            if Instant::now() >= end {
                let _ = self.child.kill();
            }
            let _ = self.child.wait();
        }
    }
}

/// Fails where a server could not be given a disk of its own: then nothing of what happens on it was tested.
///
/// # Panics
/// When what it `said` is that.
pub fn assert_mounted(said: &str) {
    let mounted = !said.contains("unshare:") && !said.contains(CANNOT_MOUNT);
    assert!(mounted, "NOT TESTED: this machine lets nobody mount a disk in a namespace:\n{said}");
}

/// The address of the first URL that has this path.
fn address(text: &str, path: &str) -> Option<SocketAddr> {
    text.split("http://").skip(1).find_map(|rest| {
        let (host, tail) = rest.split_once('/')?;
        tail.starts_with(&path[1..]).then(|| host.parse().ok())?
    })
}

/// One server for all tests of a binary that only ask it things: the last test that holds it stops it.
///
/// A static that owned the server would leave its process behind, since statics are never dropped.
pub fn shared(binary: &str) -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Setup::new(binary).start());
        *shared = Arc::downgrade(&server);
        server
    })
}

/// Writes a file until the disk is full, and takes so many bytes back.
pub fn fill(path: &Path, leave: u64) {
    let mut file = OpenOptions::new().create_new(true).append(true).open(path).expect("a file");
    for block in [1 << 20, 4096, 1] {
        let block = vec![1; block];
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    let length = File::metadata(&file).expect("a file").len();
    file.set_len(length.saturating_sub(leave)).expect("a file");
}
