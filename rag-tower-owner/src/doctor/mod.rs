//! `doctor`: settings in, one line a finding with its mend out.

mod reach;
mod traces;

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use rag_tower::postgres::Database;
use rag_tower::redis::{Redis, RedisOptions};
use rag_tower::trace::{Fsync, WhenFull};

use crate::config::{Config, ConfigError};
use crate::data_dir::DataDir;
use crate::shared;

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    state: State,
    said: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Note,
    Bad,
}

/// Everything that was looked at.
pub(crate) struct Report(Vec<Finding>);

/// Looks at everything: what settings say, what is installed, and whether what is elsewhere can be reached.
pub(crate) async fn examine(config: &Result<Config, ConfigError>) -> Report {
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            let findings = error.findings().iter().map(|finding| bad("settings", finding.clone()));
            return Report(findings.collect());
        }
    };
    let data = data(config);
    let journal = journal(config);
    // A server that runs here has the directory and the addresses, as it should.
    let running = data.state == State::Note;
    let (postgres, database) = postgres(config).await;
    let mut found = vec![settings(config), mode(config), data, journal, postgres];
    found.extend(traces::examined(config, database).await);
    found.push(vectors(config).await);
    found.extend(models(config).await);
    found.extend(redis(config).await);
    found.push(listener("server", "RAG_TOWER_ADDR", config.addr, running));
    found.push(listener("metrics", "RAG_TOWER_METRICS_ADDR", config.metrics_addr, running));
    Report(found)
}

fn settings(config: &Config) -> Finding {
    match config.file() {
        Some(file) => good("settings", format!("from the environment and {}", file.display())),
        None => good("settings", "from the environment; there is no rag-tower.toml here"),
    }
}

fn mode(config: &Config) -> Finding {
    if config.demo() {
        good("mode", "demo: two tenants to try; no DATABASE_URL is set and only this machine can connect")
    } else {
        good("mode", "production: no demo tenants")
    }
}

/// One line for each model server, and whether it can be reached. No question is sent: that could cost money.
async fn models(config: &Config) -> Vec<Finding> {
    if config.providers.is_empty() {
        return vec![note(
            "model",
            "none: answers are the best sentences of the documents, with citations\nSet OPENAI_API_KEY, or OPENAI_BASE_URL and OPENAI_MODEL, to have a model answer.",
        )];
    }
    let mut found = Vec::with_capacity(config.providers.len());
    for provider in &config.providers {
        let said = format!("{} at {}", provider.model, provider.base_url);
        found.push(match reach::tcp(&provider.base_url).await {
            Ok(()) => good("model", format!("{said} can be reached")),
            Err(why) => bad(
                "model",
                format!("{said} cannot be reached: {why}\nCheck OPENAI_BASE_URL, or start that server."),
            ),
        });
    }
    found
}

/// The database of `DATABASE_URL` as the server would use it, else the programs for a private one.
async fn postgres(config: &Config) -> (Finding, Option<Database>) {
    let Some(url) = &config.database_url else {
        let installed = tokio::task::spawn_blocking(crate::cluster::installed).await;
        let finding = match installed {
            Ok(Ok(folder)) => {
                good("postgres", format!("a private one in the data directory, by {}", folder.display()))
            }
            Ok(Err(error)) => bad("postgres", error.to_string()),
            Err(error) => bad("postgres", error.to_string()),
        };
        return (finding, None);
    };
    match reach::postgres(url.expose()).await {
        Ok(database) => {
            let said = "the one of DATABASE_URL; its login, schema and policies are as they should be";
            (good("postgres", said), Some(database))
        }
        Err(why) => (bad("postgres", format!("the one of DATABASE_URL: {why}")), None),
    }
}

async fn vectors(config: &Config) -> Finding {
    let Some(url) = &config.qdrant_url else {
        return good("vectors", "the engine in this process, in the data directory");
    };
    match reach::tcp(url).await {
        Ok(()) => good("vectors", "the Qdrant server of QDRANT_URL can be reached"),
        Err(why) => bad(
            "vectors",
            format!(
                "the Qdrant server of QDRANT_URL cannot be reached: {why}\nStart it, or unset QDRANT_URL to use the engine in this process. The gRPC port is 6334."
            ),
        ),
    }
}

/// The Redis of `REDIS_URL` as the server would use it.
async fn redis(config: &Config) -> Option<Finding> {
    let url = config.redis_url.as_ref()?;
    Some(match Redis::connect(&RedisOptions::new(url.expose())).await {
        Ok(_) => good("redis", "the one of REDIS_URL takes what servers share: limits and tickets"),
        Err(why) => bad("redis", format!("the one of REDIS_URL: {why}\n{}", shared::MEND)),
    })
}

fn data(config: &Config) -> Finding {
    let data = match DataDir::open(&config.data) {
        Ok(data) => data,
        Err(failure) => return bad("data", failure.to_string()),
    };
    match data.lock("doctor") {
        Ok(_lock) => good("data", format!("{} is there and can be written", data.path().display())),
        Err(failure) => note("data", failure.to_string()),
    }
}

/// How safe the rows of answered asks are before they are in Postgres.
fn journal(config: &Config) -> Finding {
    let keeps = match config.fsync {
        Fsync::Never => "survives the process; a power failure may take what the system has not written",
        Fsync::Each => "is on disk before its answer ends",
        _ => "survives the process, and is on disk within a second",
    };
    let full = match config.when_full {
        WhenFull::Shed => "are refused",
        _ => "run, and are counted",
    };
    good("journal", format!("an ask's row {keeps}; asks that cannot be recorded {full}"))
}

fn listener(what: &'static str, name: &str, addr: SocketAddr, running: bool) -> Finding {
    match TcpListener::bind(addr) {
        Ok(_) => good(what, format!("{addr} is free")),
        Err(_) if running => {
            good(what, format!("{addr} is in use, and so is the data directory: a server runs"))
        }
        Err(error) => bad(what, format!("{addr} cannot be used: {error}\nSet {name} to another address.")),
    }
}

fn good(what: &'static str, said: impl Into<String>) -> Finding {
    Finding { what, state: State::Good, said: said.into() }
}

fn note(what: &'static str, said: impl Into<String>) -> Finding {
    Finding { what, state: State::Note, said: said.into() }
}

fn bad(what: &'static str, said: impl Into<String>) -> Finding {
    Finding { what, state: State::Bad, said: said.into() }
}

// === impl Report ===

impl Report {
    /// Success unless something is bad.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let bad = self.0.iter().any(|finding| finding.state == State::Bad);
        if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

impl fmt::Display for Report {
    /// One line a finding, its mend below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            let mut lines = finding.said.lines();
            writeln!(f, "{:<5} {:<14} {}", finding.state.mark(), finding.what, lines.next().unwrap_or(""))?;
            for line in lines.filter(|line| !line.is_empty()) {
                writeln!(f, "{:<20} {line}", "")?;
            }
        }
        Ok(())
    }
}

// === impl State ===

impl State {
    fn mark(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Bad => "BAD",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn report(settings: &[(&str, &str)]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let own = [
            ("RAG_TOWER_DATA", data.to_str().unwrap()),
            ("RAG_TOWER_ADDR", "127.0.0.1:0"),
            ("RAG_TOWER_METRICS_ADDR", "127.0.0.1:0"),
        ];
        let all = own.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        examine(&Config::read(None, all)).await.to_string()
    }

    /// An address that nobody listens on.
    fn nobody() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn a_machine_that_has_everything_has_nothing_bad() {
        let said = report(&[]).await;
        assert!(!said.contains("BAD"), "{said}");
        assert!(said.contains("ok    journal") && said.contains("within a second"), "{said}");
        assert!(said.contains("ok    postgres") && said.contains("/bin"), "{said}");
    }

    #[tokio::test]
    async fn what_cannot_be_reached_is_named_with_its_mend() {
        let (model, qdrant, database, redis) = (nobody(), nobody(), nobody(), nobody());
        let said = report(&[
            ("OPENAI_BASE_URL", &format!("http://{model}/v1")),
            ("OPENAI_MODEL", "m"),
            ("QDRANT_URL", &format!("http://{qdrant}")),
            ("DATABASE_URL", &format!("postgres://someone:canary@{database}/db")),
            ("REDIS_URL", &format!("redis://:canary@{redis}")),
        ])
        .await;
        for (what, mend) in [
            ("model", "OPENAI_BASE_URL"),
            ("vectors", "unset QDRANT_URL"),
            ("postgres", "DATABASE_URL"),
            ("redis", "unset REDIS_URL"),
        ] {
            assert!(said.contains(&format!("BAD   {what}")) && said.contains(mend), "{what}: {said}");
        }
        assert!(!said.contains("canary"), "{said}");
    }

    #[tokio::test]
    async fn settings_that_cannot_be_read_are_the_finding() {
        let said = report(&[("TOP_K", "many")]).await;
        assert!(said.contains("BAD   settings") && said.contains("TOP_K"), "{said}");
    }
}
