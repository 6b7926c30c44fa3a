//! Every key that can be set: the one list that reading, printing, help and refusal of unknown names are made from.

/// One setting.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Key {
    /// The environment variable, and the key of the TOML file (there in upper or lower case).
    pub name: &'static str,
    /// How it is printed.
    pub kind: Kind,
    /// The default as it would be written; none when it is not set.
    pub default: Option<&'static str>,
    /// What it is, in one line.
    pub help: &'static str,
}

/// How a value is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// As it is.
    Text,
    /// A number, without quotes.
    Number,
    /// An address whose password is hidden.
    Url,
    /// Hidden.
    Secret,
}

/// All settings, in the order in which they are explained.
pub const SETTINGS: [Key; 39] = [
    text("RAG_TOWER_ADDR", "127.0.0.1:8080", "where the server listens"),
    text("RAG_TOWER_METRICS_ADDR", "127.0.0.1:9464", "where /metrics, /livez and /readyz are"),
    unset("RAG_TOWER_DATA", Kind::Text, "the data directory (default: the platform's place for data)"),
    unset("DATABASE_URL", Kind::Url, "Postgres for everything but vectors (default: a private one)"),
    unset("DATABASE_ADMIN_URL", Kind::Url, "a login that may make roles and tables, used by `migrate` alone"),
    unset("QDRANT_URL", Kind::Url, "a Qdrant server for vectors (default: the engine in process)"),
    unset("QDRANT_API_KEY", Kind::Secret, "its API key"),
    unset(
        "REDIS_URL",
        Kind::Url,
        "a Redis in which several servers share limits and tickets (default: each has its own)",
    ),
    unset("OPENAI_API_KEY", Kind::Secret, "the key of a model server that speaks the OpenAI API"),
    unset("OPENAI_BASE_URL", Kind::Url, "its address (default: https://api.openai.com/v1)"),
    unset("OPENAI_MODEL", Kind::Text, "the model that answers (default: extractive answers, no model)"),
    unset(
        "EMBEDDING_MODEL",
        Kind::Text,
        "a remote embedding model, or dir: and a directory with a model2vec one (default: a local embedder)",
    ),
    unset(
        "ROUTER_MODEL",
        Kind::Text,
        "a model of the first model server for questions that keywords do not route (default: none is asked)",
    ),
    unset("RERANK_URL", Kind::Url, "a server with /rerank as Cohere, Jina and vLLM have it (default: none)"),
    unset("RERANK_MODEL", Kind::Text, "the model that reranks there"),
    unset("RERANK_API_KEY", Kind::Secret, "its key (default: the key of a model server at the same address)"),
    text("OWNER_USERNAME", "owner", "who may log in at /owner"),
    unset(
        "OWNER_PASSWORD",
        Kind::Secret,
        "the owner's password, at least 12 characters (default: generated)",
    ),
    unset("OWNER_PASSWORD_HASH", Kind::Secret, "the same as an argon2 hash"),
    unset("JWT_SECRET", Kind::Secret, "signs tokens, at least 32 characters (default: generated)"),
    number("JWT_EXPIRE_MIN", "1440", "minutes that an owner's login lasts"),
    text("TENANT_HEADER", "x-tenant-id", "the header in which a caller may assert its tenant"),
    unset("FRONTEND_ORIGIN", Kind::Text, "the public origin of the pages, such as https://rag.example.com"),
    number("RATE_LIMIT_PER_MINUTE", "0", "requests a minute of one tenant and of one key; 0 is no limit"),
    number("CHUNK_TOKEN_SIZE", "400", "the size of a chunk in tokens"),
    number("CHUNK_OVERLAP", "40", "tokens that a chunk shares with the one before"),
    number("MAX_CONTEXT_TOKENS", "8000", "the most tokens of passages and history in a prompt"),
    number("TOP_K", "6", "how many passages an answer is made of"),
    text("RAG_TOWER_ZONE", "UTC", "the time zone of dates in reports, by its IANA name"),
    number(
        "RAG_TOWER_TRACE_RETENTION_DAYS",
        "0",
        "days for which the rows of asks are kept; 0 is for ever; figures stay",
    ),
    text(
        "RAG_TOWER_FSYNC",
        "interval",
        "when answered asks are forced to disk: never (left to the system), interval (each second) or each",
    ),
    text(
        "RAG_TOWER_WHEN_FULL",
        "run",
        "what an ask does that cannot be recorded, the disk being full: run, and be counted, or shed",
    ),
    number(
        "RAG_TOWER_CANARY_INTERVAL",
        "300",
        "seconds between questions of two tenants that nobody is, which show whether tenants are kept apart; 0 asks none",
    ),
    number(
        "RAG_TOWER_STOP_DELAY",
        "0",
        "seconds for which a stopping server still answers, not ready any more, so that load balancers leave it first",
    ),
    unset("RAG_TOWER_DEMO_KEY", Kind::Secret, "fixes the demo API key, at least 32 characters"),
    number(
        "RAG_TOWER_METRICS_TENANTS",
        "0",
        "tenants that have metrics of their own, by id, the first that ask; the rest share one; 0 tells none apart",
    ),
    text(
        "RAG_TOWER_OTEL_TENANTS",
        "no",
        "whether spans for an OpenTelemetry collector, see OTEL_EXPORTER_OTLP_ENDPOINT, name the tenant's id: no or yes",
    ),
    text("RAG_TOWER_LOG", "info", "what is logged: a level, or target=level pairs"),
    text("RAG_TOWER_LOG_FORMAT", "text", "text or json"),
];

/// Names that are read elsewhere and so are not unknown.
pub(super) const OTHER_NAMES: [&str; 1] = [CONFIG_FILE];

/// Names the file; the same as `--config`.
pub(super) const CONFIG_FILE: &str = "RAG_TOWER_CONFIG";

/// The setting of this name, in upper or lower case.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    SETTINGS.iter().find(|key| key.name.eq_ignore_ascii_case(name))
}

const fn text(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, kind: Kind::Text, default: Some(default), help }
}

const fn number(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, kind: Kind::Number, default: Some(default), help }
}

const fn unset(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, default: None, help }
}
