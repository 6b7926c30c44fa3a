//! Programs that run beside this one: started with their output in a file, ended with all that they started.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to end by itself.
const STOP: Duration = Duration::from_secs(10);

/// A running program. Dropping it ends it and its children.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
}

// === impl Program ===

impl Program {
    /// Starts a command. What it prints goes to a file of its name.
    pub(crate) fn start(name: &str, mut command: Command) -> Self {
        let log = folder().join(format!("{name}.log"));
        let out = File::create(&log).expect("a log file");
        let err = out.try_clone().expect("a log file");
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        // Python keeps what it has compiled, as it does by default
        command.env_remove("PYTHONDONTWRITEBYTECODE");
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first address of the form `http://host:port` that it prints.
    ///
    /// # Errors
    /// What it printed, when it ended instead or took longer than `patience`.
    pub(crate) fn address(&mut self, patience: Duration) -> Result<SocketAddr, String> {
        let end = Instant::now() + patience;
        loop {
            let file = File::open(&self.log).expect("a log file");
            let mut lines = BufReader::new(file).lines().map_while(Result::ok);
            if let Some(addr) = lines.find_map(|line| address(&line)) {
                return Ok(addr);
            }
            self.alive()?;
            if Instant::now() > end {
                return Err(format!("{} s have brought no address:\n{}", patience.as_secs(), self.said()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// An error with what it printed when it has ended.
    pub(crate) fn alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            ended => Err(format!("it ended ({ended:?}):\n{}", self.said())),
        }
    }

    /// The last lines that it printed.
    fn said(&self) -> String {
        let all = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = all.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn signal(&self, name: &str) {
        let group = format!("-{}", self.pid());
        let _ = Command::new("kill").args([&format!("-{name}"), "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal("TERM");
        let end = Instant::now() + STOP;
        while Instant::now() < end && self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.signal("KILL");
        let _ = self.child.wait();
    }
}

/// The address of the first URL in a line.
fn address(line: &str) -> Option<SocketAddr> {
    line.split_once("http://")?.1.split(['/', ' ']).next()?.parse().ok()
}

/// Where this benchmark keeps logs and Python environments: in the target directory.
pub(crate) fn folder() -> PathBuf {
    let folder = target().join("peers");
    std::fs::create_dir_all(&folder).expect("a folder in the target directory");
    folder
}

/// The target directory.
pub(crate) fn target() -> PathBuf {
    let built = std::env::current_exe().expect("a path");
    // <target>/release/deps/peers-…
    built.ancestors().nth(3).expect("a target directory").to_owned()
}

/// Where this benchmark's own files are.
pub(crate) fn sources() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers"))
}

/// A port that nobody listens on, for programs that cannot choose one themselves.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
