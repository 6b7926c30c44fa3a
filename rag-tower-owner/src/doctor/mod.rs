//! `doctor`: settings in, one line a finding with its mend out.

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use crate::config::{Config, ConfigError};
use crate::data_dir::DataDir;

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

/// Everything that was looked at, one line each.
#[must_use]
pub(crate) fn report(config: &Result<Config, ConfigError>) -> String {
    let mut out = String::new();
    for finding in findings(config) {
        let mut lines = finding.said.lines();
        let _ =
            writeln!(out, "{:<5} {:<14} {}", finding.state.mark(), finding.what, lines.next().unwrap_or(""));
        for line in lines.filter(|line| !line.is_empty()) {
            let _ = writeln!(out, "{:<20} {line}", "");
        }
    }
    out
}

/// Success unless something is bad.
pub(crate) fn exit_code(config: &Result<Config, ConfigError>) -> ExitCode {
    let bad = findings(config).iter().any(|finding| finding.state == State::Bad);
    if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn findings(config: &Result<Config, ConfigError>) -> Vec<Finding> {
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            return error.findings().iter().map(|finding| bad("settings", finding.clone())).collect();
        }
    };
    let mut found = vec![settings(config), mode(config), models(config), data(config)];
    found.extend(stores(config));
    found.push(listener("server", "RAG_TOWER_ADDR", config.addr));
    found.push(listener("metrics", "RAG_TOWER_METRICS_ADDR", config.metrics_addr));
    found
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

fn models(config: &Config) -> Finding {
    if config.providers.is_empty() {
        return note(
            "model",
            "none: answers are the best sentences of the documents, with citations\nSet OPENAI_API_KEY, or OPENAI_BASE_URL and OPENAI_MODEL, to have a model answer.",
        );
    }
    let names: Vec<String> = config
        .providers
        .iter()
        .map(|provider| format!("{} at {}", provider.model, provider.base_url))
        .collect();
    good("model", names.join(", then "))
}

/// What is kept where, as far as settings say.
fn stores(config: &Config) -> Vec<Finding> {
    let postgres = match config.database_url {
        Some(_) => good("postgres", "the one of DATABASE_URL"),
        None => good("postgres", "a private one in the data directory"),
    };
    let vectors = match config.qdrant_url {
        Some(_) => good("vectors", "the Qdrant server of QDRANT_URL"),
        None => good("vectors", "the engine in this process, in the data directory"),
    };
    let redis = config.redis_url.as_ref().map(|_| {
        note("redis", "limits, tickets and caches are kept in memory\nUnset REDIS_URL, and run one replica.")
    });
    [postgres, vectors].into_iter().chain(redis).collect()
}

fn data(config: &Config) -> Finding {
    match DataDir::open(&config.data).and_then(|data| data.lock("doctor").map(|_lock| data)) {
        Ok(data) => good("data", format!("{} is there and can be written", data.path().display())),
        Err(failure) => bad("data", failure.to_string()),
    }
}

fn listener(what: &'static str, name: &str, addr: SocketAddr) -> Finding {
    match TcpListener::bind(addr) {
        Ok(_) => good(what, format!("{addr} is free")),
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
