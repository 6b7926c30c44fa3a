//! A real Prometheus, started from a configuration such as the repository's, and asked over its HTTP API.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::http::{Client, DEADLINE};
use crate::patched;

/// What to do where it is missing: a rule that nobody has evaluated is not tested.
const NEEDED: &str = "Prometheus is needed for this test: apt install prometheus";

/// A running Prometheus; it ends when dropped, and what it stored goes with it.
pub struct Prometheus {
    client: Client,
    child: Child,
    folder: TempDir,
}

/// One series of an answer: its labels, and its values by time.
#[derive(Clone, Debug)]
pub struct Series {
    /// The labels, as Prometheus gives them.
    pub labels: Value,
    /// Seconds since 1970, and the value.
    pub points: Vec<(f64, f64)>,
}

/// The folder with dashboards, rules and configuration.
#[must_use]
pub fn folder() -> PathBuf {
    patched::workspace().join("grafana")
}

/// Runs `promtool`; gives what it printed.
///
/// # Panics
/// When it is not there, or fails.
#[must_use]
pub fn promtool(arguments: &[&str], files: &[PathBuf]) -> String {
    let output =
        Command::new("promtool").args(arguments).args(files).current_dir(folder()).output().expect(NEEDED);
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success(), "promtool {arguments:?} {files:?}:\n{said}");
    said
}

/// The files of a folder of [`folder`] with this ending, by name.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn files(under: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder().join(under)).expect("a folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == ending));
    files.sort();
    assert!(!files.is_empty(), "no .{ending} in grafana/{under}");
    files
}

/// Now, as Prometheus counts time.
///
/// # Panics
/// Before 1970.
#[must_use]
pub fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

// === impl Prometheus ===

impl Prometheus {
    /// Starts it on a free port with the repository's configuration and rules, on `target` instead of the default one, and
    /// looking that often instead of each 15 seconds.
    ///
    /// # Panics
    /// When it is not there, or does not start.
    pub async fn start(target: SocketAddr, every: &str) -> Self {
        Self::with(target, every, |rules| rules).await
    }

    /// Starts it on one target with rules for which an hour is a minute ([`quicker`]): what is told
    /// after a quarter of an hour is told after 15 seconds.
    ///
    /// # Panics
    /// When it is not there, or does not start.
    pub async fn quick(target: SocketAddr) -> Self {
        Self::with(target, "1s", |rules| quicker(&rules)).await
    }

    async fn with(target: SocketAddr, every: &str, rules: impl Fn(String) -> String) -> Self {
        let own = tempfile::tempdir().expect("a temporary directory");
        let put = |name: &str, text: &str| {
            let path = own.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect(name);
        };
        let read = |name: &str| std::fs::read_to_string(folder().join(name)).expect(name);
        put("prometheus.yml", &replaced(&read("prometheus.yml"), ": 15s", &format!(": {every}")));
        let targets = "targets/rag-tower.yml";
        put(targets, &replaced(&read(targets), "127.0.0.1:9464", &target.to_string()));
        for file in files("rules", "yml") {
            let name = format!("rules/{}", name(&file));
            put(&name, &rules(read(&name)));
        }
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", own.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", own.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=logfmt"])
            .current_dir(own.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect(NEEDED);
        let mut log = BufReader::new(child.stderr.take().expect("stderr")).lines().map_while(Result::ok);
        let mut said = String::new();
        let found = tokio::task::spawn_blocking(move || {
            let address = log.find_map(|line| {
                writeln!(said, "{line}").expect("a string");
                let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
                address.parse::<SocketAddr>().ok()
            });
            // nobody may be kept waiting for room in the pipe
            std::thread::spawn(move || log.for_each(drop));
            address.unwrap_or_else(|| panic!("Prometheus did not start:\n{said}"))
        });
        let started =
            Self { client: Client::new(found.await.expect("a running Prometheus")), child, folder: own };
        started.until("ready", async |own| own.client.get("/-/ready").await.status == 200).await;
        started
    }

    /// What a query is worth at a moment.
    ///
    /// # Panics
    /// When Prometheus refuses it.
    pub async fn at(&self, query: &str, time: f64) -> Vec<Series> {
        let path = format!("/api/v1/query?time={time}&query={}", encoded(query));
        self.get(&path).await["result"].as_array().expect("series").iter().map(Series::read).collect()
    }

    /// What a query is worth from `since` to `until`, each `step`.
    ///
    /// # Panics
    /// When Prometheus refuses it.
    pub async fn range(&self, query: &str, (since, until): (f64, f64), step: Duration) -> Vec<Series> {
        let step = step.as_secs_f64();
        let path =
            format!("/api/v1/query_range?start={since}&end={until}&step={step}&query={}", encoded(query));
        self.get(&path).await["result"].as_array().expect("series").iter().map(Series::read).collect()
    }

    /// What an address of the API gives, below `data`.
    ///
    /// # Panics
    /// When Prometheus refuses it.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(path).await;
        let body = answer.json();
        assert!(answer.status == 200 && body["status"] == "success", "{path}: {body}");
        body["data"].clone()
    }

    /// Takes its targets away: there is nobody to look at any more.
    ///
    /// # Panics
    /// When its file cannot be written.
    pub fn forget(&self) {
        std::fs::write(self.folder.path().join("targets/rag-tower.yml"), "[]\n").expect("targets");
    }

    /// True when no alert is firing.
    pub async fn is_quiet(&self) -> bool {
        let alerts = self.get("/api/v1/alerts").await;
        alerts["alerts"].as_array().expect("alerts").iter().all(|alert| alert["state"] != "firing")
    }

    /// True when an alert, by its name or as a selector such as `Stale{check="canary"}`, has fired since a moment.
    pub async fn fired(&self, alert: &str, since: f64) -> bool {
        let (name, labels) = alert.split_once('{').unwrap_or((alert, "}"));
        let now = now();
        let firing = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\",{labels}");
        let query = format!("count_over_time({firing}[{}ms])", ((now - since) * 1000.0).max(1.0) as u64);
        !self.at(&query, now).await.is_empty()
    }

    /// Waits until that many scrapes that began after this call have been stored.
    pub async fn scrapes(&self, count: usize) {
        let from = now();
        self.until("a scrape", async |own| {
            let seen = own.at("up{job=\"rag-tower\"}[1h]", now()).await;
            seen.iter().any(|series| {
                series.points.iter().filter(|(at, up)| *at > from && *up > 0.0).count() >= count
            })
        })
        .await;
    }

    /// Waits for something.
    ///
    /// # Panics
    /// When it has not come after half a minute.
    pub async fn until(&self, what: &str, is: impl AsyncFn(&Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !is(self).await {
            assert!(Instant::now() < end, "not in time: {what}");
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Series ===

impl Series {
    fn read(series: &Value) -> Self {
        let point = |point: &Value| {
            let value = point[1].as_str().and_then(|value| value.parse().ok());
            (point[0].as_f64().expect("a time"), value.expect("a value"))
        };
        let points = match series["values"].as_array() {
            Some(points) => points.iter().map(point).collect(),
            None => vec![point(&series["value"])],
        };
        Self { labels: series["metric"].clone(), points }
    }

    /// The last value that is a number.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        self.points.iter().rev().map(|(_, value)| *value).find(|value| value.is_finite())
    }

    /// The highest value that is a number.
    #[must_use]
    pub fn highest(&self) -> Option<f64> {
        self.points.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).reduce(f64::max)
    }
}

/// Rules for which an hour is a minute: each span of time in them is a sixtieth, and so are the few figures that count seconds
/// in which nothing happened. What counts events, shares, or how long an ask took, stays as it is.
///
/// # Panics
/// When a span cannot be read.
#[must_use]
pub fn quicker(rules: &str) -> String {
    let mut quick = String::with_capacity(rules.len());
    for line in rules.lines() {
        let mut rest = line;
        // where a span begins: after `for:`, in brackets, after the colon of a subquery, after `offset`
        while let Some((at, after)) =
            ["for: ", "[", "offset "].iter().filter_map(|s| Some((rest.find(s)?, *s))).min()
        {
            let (before, spans) = rest.split_at(at + after.len());
            let end = spans.find(|c: char| !c.is_ascii_alphanumeric() && c != ':').unwrap_or(spans.len());
            quick.push_str(before);
            quick.push_str(&spans[..end].split(':').map(sixtieth).collect::<Vec<_>>().join(":"));
            rest = &spans[end..];
        }
        quick.push_str(rest);
        quick.push('\n');
    }
    for (figure, sixtieth) in [
        ("timestamp_seconds > 10800", "timestamp_seconds > 180"),
        ("{check=\"canary\"} > 3600", "{check=\"canary\"} > 60"),
        ("queued_seconds) > 600", "queued_seconds) > 10"),
        ("lag_seconds) > 300", "lag_seconds) > 5"),
    ] {
        quick = quick.replace(figure, sixtieth);
    }
    quick
}

/// A span such as `15m`, as a sixtieth of it, in seconds.
fn sixtieth(span: &str) -> String {
    let (number, unit) = span.split_at(span.len().saturating_sub(1));
    let minutes = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        _ => panic!("{span:?} is no span"),
    };
    format!("{}s", number.parse::<u64>().expect("a number") * minutes)
}

fn replaced(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old} is not in {text}");
    text.replace(old, new)
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// A query in an address.
fn encoded(query: &str) -> String {
    query.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string");
        }
        encoded
    })
}
