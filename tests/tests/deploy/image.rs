//! What the image holds, without an engine for images: the program in a root of its own, read-only, as nobody, without a
//! shell, with the libraries of the image's base and nothing else.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rag_tower_tests::http::{Client, DEADLINE};
use rag_tower_tests::postgres::TestDatabase;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, interval};

use super::{BINARY, done, read, run};

/// The libraries of `cc-debian12` that the program may use.
const LIBRARIES: [&str; 6] = [
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libgcc_s.so.1",
    "libm.so.6",
    "libstdc++.so.6",
];
const KEY: &str = "key-of-acme-that-is-long-enough-0123456789";
/// The image's user.
const USER: u32 = 65532;

/// The libraries that the program asks for, where they are here.
fn libraries() -> Vec<PathBuf> {
    let said = done(Command::new("ldd").arg(BINARY));
    said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

#[test]
fn the_program_asks_for_libraries_of_the_base_alone() {
    let names: BTreeSet<String> =
        libraries().iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let more: Vec<_> = names.iter().filter(|name| !LIBRARIES.contains(&name.as_str())).collect();
    assert!(more.is_empty(), "the image's base has no {more:?}");
    assert!(names.contains("libc.so.6"), "{names:?}");
}

/// A container's root: the program, its libraries, and folders to mount on. The base has certificates, too; the program starts
/// without any.
fn root() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &str| {
        let to = root.path().join(to.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    };
    copy(Path::new(BINARY), "/usr/local/bin/rag-tower-owner");
    for library in libraries() {
        copy(&library, library.to_str().unwrap());
    }
    for folder in ["var/lib/rag-tower", "tmp", "etc"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
    root
}

/// The program as the image runs it, in a namespace that goes with it. Whoever is not root here becomes it in a namespace of
/// its own, in which no other user exists: then all holds but the user.
fn contained(root: &Path, arguments: &[&str], environment: &[(&str, String)]) -> Command {
    let me = std::fs::metadata("/proc/self").unwrap().uid();
    let (namespace, user): (&[&str], String) = match me {
        0 => (&["--mount"], format!("--userspec={USER}:{USER}")),
        _ => (&["--mount", "--user", "--map-root-user"], "--userspec=0:0".to_owned()),
    };
    let script = "set -e
        mount --bind \"$1\" \"$1\"
        mount -t tmpfs -o mode=1777,size=64m tmpfs \"$1/tmp\"
        mount -t tmpfs -o mode=0777,size=1g tmpfs \"$1/var/lib/rag-tower\"
        mount -o remount,bind,ro \"$1\"
        root=$1 user=$2; shift 2
        exec chroot \"$user\" \"$root\" /usr/local/bin/rag-tower-owner \"$@\"";
    let mut command = Command::new("unshare");
    command.args(namespace).args(["sh", "-c", script, "sh"]).arg(root).arg(user).args(arguments);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    // as the Dockerfile has them
    command.env("RAG_TOWER_DATA", "/var/lib/rag-tower").env("RAG_TOWER_LOG_FORMAT", "json");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// Ends what is left of a test that failed.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port in front of a Postgres that listens on a socket file, which a container does not see.
async fn reach(socket: PathBuf) -> (SocketAddr, JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut bridge = JoinSet::new();
    bridge.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((mut outer, _)) = listener.accept().await {
            let mut inner = UnixStream::connect(&socket).await.unwrap();
            open.spawn(async move { tokio::io::copy_bidirectional(&mut outer, &mut inner).await });
        }
    });
    (addr, bridge)
}

/// `postgres://user:password@localhost/name?host=%2Ffolder`: the socket, and the URL over a port.
async fn over_a_port(url: &str) -> (String, JoinSet<()>) {
    let (place, folder) = url.split_once("?host=").unwrap();
    let folder = PathBuf::from(folder.replace("%2F", "/"));
    let socket = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let socket = socket.into_iter().find(|path| {
        path.to_string_lossy().contains(".s.PGSQL.") && path.extension().is_some_and(|end| end != "lock")
    });
    let (addr, bridge) = reach(socket.expect("a socket of Postgres")).await;
    (format!("{}?sslmode=disable", place.replace("@localhost/", &format!("@{addr}/"))), bridge)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_runs_as_nobody_from_a_read_only_root_and_stops_when_it_is_told() {
    let database = TestDatabase::migrated().await;
    database.register("acme", KEY).await;
    let (database_url, _bridge) = over_a_port(&database.app_url()).await;
    let root = root();
    let (addr, metrics) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let environment = [
        ("DATABASE_URL", database_url),
        ("RAG_TOWER_ADDR", addr.clone()),
        ("RAG_TOWER_METRICS_ADDR", metrics),
        ("RAG_TOWER_CANARY_INTERVAL", "0".to_owned()),
    ];
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = log.reopen().unwrap();
    let mut command = contained(root.path(), &["serve"], &environment);
    command.stdout(Stdio::null()).stderr(output);
    let mut server = Ended(command.spawn().expect("NOT TESTED: unshare is needed"));

    // its own health check says when it is up
    let end = Instant::now() + 4 * DEADLINE;
    let mut ticks = interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        let mut ready = contained(root.path(), &["ready"], &environment);
        if spawn_blocking(move || run(&mut ready)).await.unwrap().status.success() {
            break;
        }
        let ended = server.0.try_wait().unwrap();
        assert!(ended.is_none() && Instant::now() < end, "{ended:?}: {}", read(log.path()));
    }
    let process = std::fs::metadata(format!("/proc/{}", server.0.id())).unwrap();
    let me = std::fs::metadata("/proc/self").unwrap();
    assert_eq!(process.uid(), if me.uid() == 0 { USER } else { me.uid() });
    let client = Client::new(addr.parse().unwrap()).bearer(KEY);
    let answer = client.post("/query", &json!({"question": "Is anybody there?"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let page = client.get("/owner").await;
    assert_eq!(page.status, 200, "the pages are in the program");

    done(Command::new("kill").args(["-TERM", &server.0.id().to_string()]));
    let (status, _server) = spawn_blocking(move || (server.0.wait().unwrap(), server)).await.unwrap();
    let said = read(log.path());
    assert!(status.success(), "{status}: {said}");
    let lines = said.lines().filter(|line| line.starts_with('{'));
    assert!(lines.clone().count() > 0, "the log is JSON: {said}");
    lines.for_each(|line| drop(serde_json::from_str::<serde_json::Value>(line).unwrap()));
}
