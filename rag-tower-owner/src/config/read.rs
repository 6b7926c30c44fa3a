//! Values as written in, a checked configuration out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use http::HeaderName;
use rag_tower::trace::{Fsync, WhenFull};

use super::source::{FileContents, Values};
use super::{Config, ConfigError, Secret, Zone, provider, reranker};
use crate::secret;

/// The least length of the owner's password, in characters.
const PASSWORD: usize = 12;
/// The least length of a key, in characters.
const KEY: usize = 32;

pub(super) fn config(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let environment: BTreeMap<String, String> = environment.into_iter().collect();
    let mut problems = Vec::new();
    let contents = FileContents::read(file, &environment, &mut problems);
    let values = Values::gather(&contents, &environment, &mut problems);
    let lookup = |name: &str| environment.get(name).filter(|text| !text.is_empty()).cloned();
    let providers = provider::list(&values, &contents.providers, &lookup, &mut problems);
    let mut reader = Reader { values: &values, problems };
    let config = reader.config(providers, &lookup, contents.path);
    match (config, reader.problems) {
        (Some(mut config), problems) if problems.is_empty() => {
            config.values = values;
            Ok(config)
        }
        (_, problems) => Err(ConfigError(problems)),
    }
}

/// Reads values and notes what is wrong with them.
struct Reader<'a> {
    values: &'a Values,
    problems: Vec<String>,
}

// === impl Reader ===

impl Reader<'_> {
    fn config(
        &mut self,
        providers: Vec<provider::Provider>,
        environment: &dyn Fn(&str) -> Option<String>,
        file: Option<PathBuf>,
    ) -> Option<Config> {
        if self.values.get("OWNER_PASSWORD").is_some() && self.values.get("OWNER_PASSWORD_HASH").is_some() {
            self.problem("OWNER_PASSWORD and OWNER_PASSWORD_HASH are both set: keep one of them");
        }
        let addr = self.address("RAG_TOWER_ADDR");
        let metrics_addr = self.address("RAG_TOWER_METRICS_ADDR");
        if let (Some(addr), Some(metrics)) = (addr, metrics_addr)
            && addr == metrics
            && addr.port() != 0
        {
            self.problem("RAG_TOWER_ADDR and RAG_TOWER_METRICS_ADDR are the same: give them different ports");
        }
        let chunk_token_size = self.number("CHUNK_TOKEN_SIZE", 16, 8_000);
        let chunk_overlap = self.number("CHUNK_OVERLAP", 0, 4_000);
        if let (Some(size), Some(overlap)) = (chunk_token_size, chunk_overlap)
            && overlap * 2 > size
        {
            self.problem("CHUNK_OVERLAP is more than half of CHUNK_TOKEN_SIZE: lower it");
        }
        let database_url = self.postgres("DATABASE_URL");
        let database_admin_url = self.postgres("DATABASE_ADMIN_URL");
        if database_admin_url.is_some() && database_url.is_none() {
            self.problem("DATABASE_ADMIN_URL is set and DATABASE_URL is not: set both, or neither for a private Postgres");
        }
        let redis_url = self.redis("REDIS_URL");
        let qdrant_url = self.values.get("QDRANT_URL").map(str::to_owned);
        if let Some(url) = &qdrant_url {
            provider::check_url("QDRANT_URL", url, &mut self.problems);
        }
        let router_model = self.values.get("ROUTER_MODEL").map(str::to_owned);
        if router_model.is_some() && providers.is_empty() {
            self.problem(
                "ROUTER_MODEL is set, but no model server is: set OPENAI_BASE_URL and OPENAI_MODEL, or OPENAI_API_KEY",
            );
        }
        let reranker = reranker::from(self.values, &providers, &mut self.problems);
        // everything is read before anything is given up, so that all findings are reported together
        let jwt_expire = self.number("JWT_EXPIRE_MIN", 1, 525_600);
        let tenant_header = self.header("TENANT_HEADER");
        let rate_limit_per_minute = self.number("RATE_LIMIT_PER_MINUTE", 0, u32::MAX);
        let max_context_tokens = self.number("MAX_CONTEXT_TOKENS", 100, 10_000_000);
        let top_k = self.number("TOP_K", 1, 100);
        let data = self.data(environment);
        let owner_password = self.secret("OWNER_PASSWORD", PASSWORD);
        let owner_password_hash = self.hash("OWNER_PASSWORD_HASH");
        let jwt_secret = self.secret("JWT_SECRET", KEY);
        let zone = self.zone("RAG_TOWER_ZONE");
        let trace_retention = self.number("RAG_TOWER_TRACE_RETENTION_DAYS", 0, 36_500);
        // a secret of theirs is replaced within the hour
        let canary_interval = self.number("RAG_TOWER_CANARY_INTERVAL", 0, 1_800);
        let stop_delay = self.number("RAG_TOWER_STOP_DELAY", 0, 300);
        let demo_key = self.secret("RAG_TOWER_DEMO_KEY", KEY);
        let metrics_tenants = self.number("RAG_TOWER_METRICS_TENANTS", 0, 1_000);
        let otel_tenants = self.one_of("RAG_TOWER_OTEL_TENANTS", [("no", false), ("yes", true)]);
        let frontend_origin = self.origins("FRONTEND_ORIGIN");
        let fsync = self.one_of(
            "RAG_TOWER_FSYNC",
            [("never", Fsync::Never), ("interval", Fsync::DEFAULT), ("each", Fsync::Each)],
        );
        let when_full =
            self.one_of("RAG_TOWER_WHEN_FULL", [("run", WhenFull::RunUnrecorded), ("shed", WhenFull::Shed)]);
        let log_json = self.log_format("RAG_TOWER_LOG_FORMAT");
        Some(Config {
            database_url,
            database_admin_url,
            qdrant_url,
            qdrant_api_key: self.values.get("QDRANT_API_KEY").map(Secret::new),
            redis_url,
            providers,
            embedding_model: self.values.get("EMBEDDING_MODEL").map(str::to_owned),
            router_model,
            reranker,
            owner_username: self.values.get("OWNER_USERNAME")?.to_owned(),
            owner_password,
            owner_password_hash,
            jwt_secret,
            jwt_expire: Duration::from_secs(60 * jwt_expire?),
            tenant_header: tenant_header?,
            frontend_origin,
            rate_limit_per_minute: rate_limit_per_minute?,
            chunk_token_size: chunk_token_size?,
            chunk_overlap: chunk_overlap?,
            max_context_tokens: max_context_tokens?,
            top_k: top_k?,
            addr: addr?,
            metrics_addr: metrics_addr?,
            metrics_tenants: metrics_tenants?,
            otel_tenants: otel_tenants?,
            data: data?,
            zone: zone?,
            trace_retention: NonZeroU32::new(trace_retention?),
            fsync: fsync?,
            when_full: when_full?,
            canary_interval: Some(canary_interval?).filter(|every| *every > 0).map(Duration::from_secs),
            stop_delay: Duration::from_secs(stop_delay?),
            demo_key,
            log: self.values.get("RAG_TOWER_LOG")?.to_owned(),
            log_json,
            values: Values::default(),
            file,
        })
    }

    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn number<T: FromStr + PartialOrd + std::fmt::Display>(
        &mut self,
        name: &str,
        least: T,
        most: T,
    ) -> Option<T> {
        let text = self.values.get(name)?;
        match text.parse::<T>() {
            Ok(number) if number >= least && number <= most => Some(number),
            _ => {
                self.problem(format!("{name} is {text:?}: expected a whole number from {least} to {most}"));
                None
            }
        }
    }

    fn address(&mut self, name: &str) -> Option<SocketAddr> {
        let text = self.values.get(name)?;
        let spelt = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let address = spelt.as_deref().unwrap_or(text).parse();
        if address.is_err() {
            self.problem(format!(
                "{name} is {text:?}: expected an address and a port, such as 127.0.0.1:8080 or 0.0.0.0:8080"
            ));
        }
        address.ok()
    }

    fn postgres(&mut self, name: &str) -> Option<Secret> {
        let text = self.values.get(name)?;
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            // the value itself may hold a password
            self.problem(format!(
                "{name} is not a Postgres address: expected postgres://user:password@host/database"
            ));
        }
        Some(Secret::new(text))
    }

    fn redis(&mut self, name: &str) -> Option<Secret> {
        let text = self.values.get(name)?;
        if !["redis://", "rediss://", "unix:///"].iter().any(|scheme| text.starts_with(scheme)) {
            // the value itself may hold a password
            self.problem(format!(
                "{name} is not an address of Redis: expected redis://:password@host:6379/0, or rediss:// for TLS"
            ));
        }
        Some(Secret::new(text))
    }

    fn zone(&mut self, name: &str) -> Option<Zone> {
        let text = self.values.get(name)?;
        let zone = text.parse::<Zone>();
        if let Err(expected) = &zone {
            self.problem(format!("{name} is {text:?}: {expected}"));
        }
        zone.ok()
    }

    fn secret(&mut self, name: &str, least: usize) -> Option<Secret> {
        let text = self.values.get(name)?;
        if let Some(weakness) = secret::weakness(text, least) {
            self.problem(format!("{name} is refused: {weakness}. `openssl rand -hex 24` makes a good one"));
        }
        Some(Secret::new(text))
    }

    fn hash(&mut self, name: &str) -> Option<Secret> {
        let text = self.values.get(name)?;
        if !text.starts_with("$argon2") {
            self.problem(format!("{name} is not an argon2 hash: expected text that begins with $argon2id$"));
        }
        Some(Secret::new(text))
    }

    fn header(&mut self, name: &str) -> Option<HeaderName> {
        let text = self.values.get(name)?;
        let header = HeaderName::try_from(text);
        if header.is_err() {
            self.problem(format!("{name} is {text:?}: expected the name of a header, such as x-tenant-id"));
        }
        header.ok()
    }

    fn origins(&mut self, name: &str) -> Vec<String> {
        let origins: Vec<String> =
            self.values.get(name).unwrap_or("").split(',').map(str::trim).map(str::to_owned).collect();
        let origins: Vec<String> = origins.into_iter().filter(|origin| !origin.is_empty()).collect();
        for origin in &origins {
            let uri = origin.parse::<http::Uri>().ok();
            let fits = uri.is_some_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.host().is_some()
                    && uri.path() == "/"
            });
            if !fits || origin.ends_with('/') {
                self.problem(format!(
                    "{name} holds {origin:?}: expected an origin without a path, such as https://rag.example.com"
                ));
            }
        }
        origins
    }

    fn one_of<T, const N: usize>(&mut self, name: &str, known: [(&str, T); N]) -> Option<T> {
        let text = self.values.get(name)?;
        let names = known.each_ref().map(|(name, _)| *name).join(", ");
        let found = known.into_iter().find(|(name, _)| *name == text).map(|(_, value)| value);
        if found.is_none() {
            self.problem(format!("{name} is {text:?}: expected one of {names}"));
        }
        found
    }

    fn log_format(&mut self, name: &str) -> bool {
        match self.values.get(name) {
            Some("json") => true,
            None | Some("text") => false,
            Some(other) => {
                self.problem(format!("{name} is {other:?}: expected text or json"));
                false
            }
        }
    }

    /// The data directory: as set, else the platform's own place.
    fn data(&mut self, environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
        if let Some(path) = self.values.get("RAG_TOWER_DATA") {
            return Some(PathBuf::from(path));
        }
        if nix::unistd::Uid::effective().is_root() {
            return Some(PathBuf::from("/var/lib/rag-tower"));
        }
        // the base directory specification: a relative path there is to be ignored
        let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home_data =
            if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
        let base = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(home_data)));
        if base.is_none() {
            self.problem(
                "there is no place for data: neither HOME nor XDG_DATA_HOME is set; set RAG_TOWER_DATA",
            );
        }
        base.map(|base| base.join("rag-tower"))
    }
}
