//! Configuration: environment variables and the same keys in an optional TOML file in, a checked [`Config`] out.
//!
//! The environment wins over the file, the file over the defaults. An empty value counts as not set. Every finding is
//! reported at once, each with what was expected; nothing is guessed and nothing secret is printed.

mod keys;
mod print;
mod provider;
mod read;
mod reranker;

mod source;
mod suggest;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;
use rag_tower::trace::{Fsync, WhenFull};

pub use self::keys::{Key, Kind, SETTINGS};
pub use self::print::Setting;
pub(crate) use self::print::without_password;
pub use self::provider::Provider;
pub use self::reranker::Reranker;
use self::source::Values;
pub use crate::secret::Secret;
pub use crate::zone::Zone;

/// The file that is read when no other is named.
pub const FILE_NAME: &str = "rag-tower.toml";

/// Everything that can be set, checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where Postgres is; none runs a private one.
    pub database_url: Option<Secret>,
    /// A login that may make roles and tables, for `migrate` alone.
    pub database_admin_url: Option<Secret>,
    /// Where the Qdrant server is; none runs the engine in process.
    pub qdrant_url: Option<String>,
    /// Its API key.
    pub qdrant_api_key: Option<Secret>,
    /// Where the Redis is that several servers share; none keeps what it would hold in process.
    pub redis_url: Option<Secret>,
    /// Models in fallback order; empty answers extractively.
    pub providers: Vec<Provider>,
    /// The remote embedding model, at the first provider; none embeds locally.
    pub embedding_model: Option<String>,
    /// The model, at the first provider, that routes what keywords leave open; none leaves it to them.
    pub router_model: Option<String>,
    /// The model that puts passages in order; none leaves that to the question's words.
    pub reranker: Option<Reranker>,
    /// Who may log in as the owner.
    pub owner_username: String,
    /// The owner's password, when it is given as such.
    pub owner_password: Option<Secret>,
    /// The owner's password as an argon2 hash.
    pub owner_password_hash: Option<Secret>,
    /// What tokens are signed with.
    pub jwt_secret: Option<Secret>,
    /// How long an owner's login lasts.
    pub jwt_expire: Duration,
    /// The header in which a caller may assert its tenant.
    pub tenant_header: HeaderName,
    /// Origins that the pages are served from, when it is not this server's own address.
    pub frontend_origin: Vec<String>,
    /// Requests a minute of one tenant and of one key; 0 sets no limit.
    pub rate_limit_per_minute: u32,
    /// The size of a chunk, in tokens.
    pub chunk_token_size: usize,
    /// How much of a chunk the next one repeats, in tokens.
    pub chunk_overlap: usize,
    /// The most tokens of passages and history in a prompt.
    pub max_context_tokens: usize,
    /// How many passages an answer is made of.
    pub top_k: usize,
    /// Where the server listens.
    pub addr: SocketAddr,
    /// Where the metrics are.
    pub metrics_addr: SocketAddr,
    /// How many tenants have metrics of their own; 0 tells none apart.
    pub metrics_tenants: usize,
    /// Whether spans name the tenant's id.
    pub otel_tenants: bool,
    /// The data directory.
    pub data: PathBuf,
    /// The time zone that dates of reports are read in.
    pub zone: Zone,
    /// For how many days the rows of asks are kept; none is for ever.
    pub trace_retention: Option<NonZeroU32>,
    /// When the rows of answered asks are forced to the disk.
    pub fsync: Fsync,
    /// What an ask does whose row could not be kept.
    pub when_full: WhenFull,
    /// How often the canary tenants ask; none is never.
    pub canary_interval: Option<Duration>,
    /// How long a server that was told to stop goes on answering, not ready any more, before it stops.
    pub stop_delay: Duration,
    /// A fixed API key of the demo language centre.
    pub demo_key: Option<Secret>,
    /// What is logged: a level, or `target=level` pairs.
    pub log: String,
    /// True when log lines are JSON.
    pub log_json: bool,
    values: Values,
    file: Option<PathBuf>,
}

/// Why a configuration was refused: every finding, one a line.
#[derive(Debug)]
pub struct ConfigError(Vec<String>);

// === impl Config ===

impl Config {
    /// Reads the process's environment, and `file` or else `rag-tower.toml` in the working directory when there is one.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            // a name or value that is not UTF-8 is none of ours
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::read(file, environment)
    }

    /// As [`load`](Self::load), from an environment of one's own.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        read::config(file, environment)
    }

    /// True when nothing says where real data is and only this machine can reach the server.
    #[must_use]
    pub fn demo(&self) -> bool {
        self.database_url.is_none() && self.addr.ip().is_loopback()
    }

    /// The file that was read, when there was one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Every setting with where it is from; secrets are hidden.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        print::settings(&self.values)
    }

    /// The configuration as TOML that could be read again, with where each value is from; secrets are hidden.
    #[must_use]
    pub fn print(&self) -> String {
        print::toml(&self.values, &self.providers)
    }
}

// === impl ConfigError ===

impl ConfigError {
    /// The findings.
    #[must_use]
    pub fn findings(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, finding) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            f.write_str(finding)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
