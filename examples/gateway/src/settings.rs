//! What the environment says.

use std::env::{self, VarError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use rag_tower::generate::Fallback;
use rag_tower::metrics::Labels;
use rag_tower::openai::Endpoint;
use rag_tower::openai::relay::{Call, Operation, Upstream};
use rag_tower::postgres::{PriceBook, Prices};
use rag_tower::quota::Quota;
use rag_tower::tenant::{Grant, MemoryApiKeys, TenantId};
use time::OffsetDateTime;
use tokio::signal::unix::{SignalKind, signal};

/// Why the gateway does not start: what was wrong, and what was expected.
pub(crate) type Problem = Box<dyn std::error::Error>;

/// What can be set.
pub(crate) struct Settings {
    /// `GATEWAY_ADDR`: where to listen. Default: 127.0.0.1:8080.
    pub(crate) addr: SocketAddr,
    /// `DATABASE_URL`: where the rows go.
    pub(crate) database_url: String,
    /// `GATEWAY_KEYS`: `tenant=key`, separated by commas. A tenant may have several.
    pub(crate) keys: MemoryApiKeys,
    /// `OPENAI_BASE_URL` and `OPENAI_API_KEY`; then `FALLBACK_BASE_URL`, `FALLBACK_API_KEY` and, where its models have other
    /// names, `FALLBACK_MODEL`.
    pub(crate) providers: Fallback<Call>,
    /// `GATEWAY_CALLS_PER_MINUTE`, of each tenant. Default: 600; 0 is off.
    pub(crate) rate: Quota,
    /// `GATEWAY_CALLS_AT_ONCE`, of all tenants. Default: 1024.
    pub(crate) most_calls: usize,
    /// `GATEWAY_CALLS_AT_ONCE_PER_TENANT`. Default: 128.
    pub(crate) most_calls_of_one: usize,
    /// `GATEWAY_PRICES`: `model=input/output` in US dollars for a million tokens, separated by commas.
    pub(crate) prices: Prices,
    /// Which routes and models may be labels of metrics.
    pub(crate) labels: Labels,
}

/// A model may think for as long as OpenAI's own clients wait.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long answers in flight may go on after the signal to stop.
const DRAIN: Duration = Duration::from_secs(20);

// === impl Settings ===

impl Settings {
    pub(crate) fn from_env() -> Result<Self, Problem> {
        let mut keys = MemoryApiKeys::new();
        for (place, pair) in list(&required("GATEWAY_KEYS", "tenant=key, separated by commas")?).enumerate() {
            let (tenant, key) = pair.split_once('=').ok_or("GATEWAY_KEYS: expected tenant=key")?;
            let subject = format!("{}-{}", tenant.trim(), place + 1);
            keys = keys.with(key.trim(), Grant::new(TenantId::named(tenant.trim())).with_subject(subject))?;
        }
        let (mut book, mut models) = (PriceBook::default(), Vec::new());
        for pair in list(&optional("GATEWAY_PRICES")?.unwrap_or_default()) {
            let wrong = || format!("GATEWAY_PRICES: expected model=input/output, not {pair}");
            let (model, prices) = pair.split_once('=').ok_or_else(wrong)?;
            let (input, output) = prices.split_once('/').ok_or_else(wrong)?;
            let (input, output) = (number(input).ok_or_else(wrong)?, number(output).ok_or_else(wrong)?);
            book = book.with(model, OffsetDateTime::UNIX_EPOCH, input, output);
            models.push(model.to_owned());
        }
        let prices = Prices::default();
        prices.set(book);
        let labels = Labels::new().with_routes(Operation::ALL.map(Operation::as_str)).with_models(models);
        Ok(Self {
            addr: parsed(
                "GATEWAY_ADDR",
                "an address, such as 127.0.0.1:8080",
                SocketAddr::from(([127, 0, 0, 1], 8080)),
            )?,
            database_url: required("DATABASE_URL", "postgres://user:password@host/database")?,
            keys,
            providers: providers(&labels)?,
            rate: Quota::per_minute(parsed("GATEWAY_CALLS_PER_MINUTE", "a number", 600)?),
            most_calls: parsed("GATEWAY_CALLS_AT_ONCE", "a number", 1024)?,
            most_calls_of_one: parsed("GATEWAY_CALLS_AT_ONCE_PER_TENANT", "a number", 128)?,
            prices,
            labels,
        })
    }
}

fn providers(labels: &Labels) -> Result<Fallback<Call>, Problem> {
    let base = optional("OPENAI_BASE_URL")?.unwrap_or_else(|| "https://api.openai.com/v1".to_owned());
    let mut providers = Fallback::new("first", provider(base, "first", optional("OPENAI_API_KEY")?, labels)?);
    if let Some(base) = optional("FALLBACK_BASE_URL")? {
        let mut second = provider(base, "second", optional("FALLBACK_API_KEY")?, labels)?;
        if let Some(model) = optional("FALLBACK_MODEL")? {
            second = second.with_model(model);
        }
        providers = providers.or("second", second);
    }
    Ok(providers)
}

fn provider(base: String, name: &str, key: Option<String>, labels: &Labels) -> Result<Upstream, Problem> {
    let endpoint = Endpoint::builder(base).with_name(name).with_key(key.unwrap_or_default());
    let endpoint = endpoint.with_first_event_timeout(PATIENCE).with_idle_timeout(PATIENCE).build()?;
    Ok(Upstream::new(&endpoint).with_labels(labels.clone()))
}

pub(crate) fn optional(name: &str) -> Result<Option<String>, Problem> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.trim().is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8").into()),
    }
}

fn required(name: &str, expected: &str) -> Result<String, Problem> {
    Ok(optional(name)?.ok_or_else(|| format!("{name} is not set: expected {expected}"))?)
}

fn parsed<T: std::str::FromStr>(name: &str, expected: &str, default: T) -> Result<T, Problem> {
    match optional(name)? {
        None => Ok(default),
        Some(value) => {
            Ok(value.trim().parse().map_err(|_| format!("{name}: expected {expected}, not {value}"))?)
        }
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// Says where something is.
pub(crate) fn announce(what: &str, addr: SocketAddr, path: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{what} http://{addr}{path}")
}

/// Ends at SIGINT or SIGTERM. Where neither can be waited for, never.
pub(crate) async fn told_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Ends some time after that.
pub(crate) async fn waited_long_enough() {
    told_to_stop().await;
    tokio::time::sleep(DRAIN).await;
}
