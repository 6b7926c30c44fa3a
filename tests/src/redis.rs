//! A real Redis on a socket of its own, which can go away and come back.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rag_tower::redis::{Redis, RedisOptions};
use redis::aio::MultiplexedConnection;
use redis::{Client, FromRedisValue};
use tempfile::TempDir;

/// What to do where it is missing: a script that no Redis has run is not tested.
const NEEDED: &str = "NOT TESTED: redis-server is needed: apt install redis-server";

/// The password of every one.
pub const PASSWORD: &str = "canary-of-the-redis-login";

/// Makes everything that is stored older: as if so many milliseconds had passed, without waiting for them.
const AGE: &str = r"
local by = tonumber(ARGV[1])
local function earlier(at) return string.format('%.0f', at - by) end
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local left = redis.call('PTTL', key) - by
  if left <= 0 then
    redis.call('DEL', key)
  elseif kind == 'zset' then
    for _, name in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -by, name) end
  elseif kind == 'hash' then
    for _, field in ipairs(redis.call('HKEYS', key)) do
      local value = redis.call('HGET', key, field)
      if field == 'made' then redis.call('HSET', key, field, (string.gsub(value, '%d+', earlier))) end
      if string.sub(field, 1, 3) == 'at:' then redis.call('HSET', key, field, earlier(value)) end
    end
  elseif string.match(key, ':rate:') then
    local second, nanos = string.match(redis.call('GET', key), '(%d+) (%d+)')
    local sum = nanos - (by % 1000) * 1e6
    second = second - math.floor(by / 1000) + math.floor(sum / 1e9)
    redis.call('SET', key, string.format('%.0f %.0f', second, sum % 1e9))
  end
  if left > 0 then redis.call('PEXPIRE', key, left) end
end
";

/// A running Redis; it ends when dropped, and what it stored goes with it.
pub struct RedisServer {
    child: Option<Child>,
    /// Its configuration; else the settings of every one here.
    file: Option<PathBuf>,
    arguments: Vec<String>,
    folder: TempDir,
    socket: PathBuf,
}

// === impl RedisServer ===

impl RedisServer {
    /// Starts one, empty, with [`PASSWORD`].
    ///
    /// # Panics
    /// When it is not there, or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with settings of its own, such as `["--maxmemory", "1mb"]`.
    ///
    /// # Panics
    /// When it is not there, or does not start.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        let mut server = Self::new(arguments);
        server.come_back();
        server
    }

    fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let socket = folder.path().join("s");
        Self { child: None, file: None, arguments, folder, socket }
    }

    /// Starts one, empty, with a configuration from a file, of which all but the address counts.
    ///
    /// # Panics
    /// When it is not there, or does not start.
    #[must_use]
    pub fn start_as(file: &Path) -> Self {
        let mut server = Self::new(&[]);
        server.file = Some(file.to_owned());
        server.come_back();
        server
    }

    /// The same as [`start`](Self::start), which speaks TLS too, with this key and certificate: at a port that was free a moment ago, or the next one that is.
    ///
    /// # Panics
    /// When it is not there, or does not start.
    #[must_use]
    pub fn start_with_tls(key: &str, certificate: &str) -> (Self, u16) {
        let tls = ["--tls-auth-clients", "no", "--tls-key-file", key, "--tls-cert-file", certificate];
        let mut said = String::new();
        for _ in 0..10 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let free = listener.local_addr().expect("an address").port();
            drop(listener);
            let mut server =
                Self::new(&[&["--bind", "127.0.0.1", "--tls-port", &free.to_string()], &tls[..]].concat());
            match server.launch() {
                Ok(()) => return (server, free),
                Err(log) => said = log,
            }
        }
        panic!("Redis did not start:\n{said}")
    }

    /// Kills it, as a power failure does.
    pub fn go_away(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again at the same address, with nothing stored.
    ///
    /// # Panics
    /// When it does not start.
    pub fn come_back(&mut self) {
        self.launch().unwrap_or_else(|said| panic!("Redis did not start:\n{said}"));
    }

    /// Starts it; what it said when it does not.
    fn launch(&mut self) -> Result<(), String> {
        self.go_away();
        let mut command = Command::new("redis-server");
        match &self.file {
            Some(file) => command.arg(file),
            None => command.args(["--save", "", "--appendonly", "no", "--requirepass", PASSWORD]),
        };
        let mut child = command
            .args(["--port", "0", "--unixsocket"])
            .arg(&self.socket)
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect(NEEDED);
        let mut log = BufReader::new(child.stdout.take().expect("stdout")).lines().map_while(Result::ok);
        self.child = Some(child);
        let mut said = Vec::new();
        let ready = log.by_ref().any(|line| {
            said.push(line);
            // of the socket: older ones name it, newer ones its kind
            let ready = ["accept connections at /", "accept connections unix"];
            said.last().is_some_and(|line| ready.iter().any(|words| line.contains(words)))
        });
        // nobody may be kept waiting for room in the pipe
        std::thread::spawn(move || log.for_each(drop));
        if ready { Ok(()) } else { Err(said.join("\n")) }
    }

    /// Sends it a signal by name: `STOP` makes it hang, `CONT` go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("a running Redis");
        let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// Its address, with the login.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("default", PASSWORD)
    }

    /// The same with another login.
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str) -> String {
        format!("unix://{}?user={user}&pass={password}", self.socket.display())
    }

    /// A client as programs have it, with time for a machine that is busy.
    ///
    /// # Panics
    /// When it cannot connect.
    pub async fn client(&self) -> Redis {
        let options = RedisOptions::new(self.url()).with_patience(Duration::from_secs(20));
        Redis::connect(&options).await.expect("a connection")
    }

    /// The answer to a command, past the client.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn command<T: FromRedisValue>(&self, words: &[&[u8]]) -> T {
        let mut command = redis::cmd(std::str::from_utf8(words[0]).expect("a name"));
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut self.raw().await).await.expect("an answer")
    }

    /// All keys, in order.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.command(&[b"KEYS", b"*"]).await;
        keys.sort();
        keys
    }

    /// Everything that is stored, as somebody sees it who can read it.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn everything(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for key in self.keys().await {
            all.extend_from_slice(key.as_bytes());
            let kind: String = self.command(&[b"TYPE", key.as_bytes()]).await;
            let read: Vec<Vec<u8>> = match kind.as_str() {
                "string" => vec![self.command(&[b"GET", key.as_bytes()]).await],
                "hash" => self.command(&[b"HGETALL", key.as_bytes()]).await,
                "zset" => self.command(&[b"ZRANGE", key.as_bytes(), b"0", b"-1"]).await,
                other => panic!("{key} is a {other}"),
            };
            all.extend(read.concat());
        }
        all
    }

    /// Makes everything that is stored older by that much.
    pub async fn pass(&self, time: Duration) {
        let by = time.as_millis().to_string();
        self.command::<()>(&[b"EVAL", AGE.as_bytes(), b"0", by.as_bytes()]).await;
    }

    async fn raw(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).expect("an address");
        client.get_multiplexed_async_connection().await.expect("a connection")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.go_away();
    }
}
