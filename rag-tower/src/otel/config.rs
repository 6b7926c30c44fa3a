//! Where spans go and how, from the variables that OpenTelemetry names.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Settings of an exporter. [`from_env`](Self::from_env) reads them from the environment.
#[derive(Clone)]
#[must_use = "settings do nothing by themselves"]
pub struct OtlpConfig {
    pub(super) endpoint: Url,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) resource: Vec<(String, String)>,
    pub(super) sampled: Sampled,
    pub(super) queue: usize,
    pub(super) batch: usize,
    pub(super) delay: Duration,
    pub(super) tenants: bool,
}

/// A setting that cannot be used. Values are not repeated where they may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfigError {
    variable: &'static str,
    expected: &'static str,
}

/// Which asks become spans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampled {
    /// Of those that come without a decision, the share.
    pub(super) ratio: f64,
    /// Whether a decision that comes with an ask holds.
    pub(super) by_parent: bool,
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const URL: &str = "http:// or https:// and a host, such as http://localhost:4318";

// === impl OtlpConfig ===

impl OtlpConfig {
    /// Spans to this address, as it is, such as `http://localhost:4318/v1/traces`; all of them, in the name of `rag-tower`.
    ///
    /// # Errors
    /// [`OtlpConfigError`] for one that is not `http` or `https` with a host.
    pub fn new(endpoint: &str) -> Result<Self, OtlpConfigError> {
        Ok(Self {
            endpoint: url(TRACES_ENDPOINT, endpoint)?,
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(10),
            resource: vec![("service.name".to_owned(), env!("CARGO_PKG_NAME").to_owned())],
            sampled: Sampled { ratio: 1.0, by_parent: true },
            queue: 2_048,
            batch: 512,
            delay: Duration::from_secs(5),
            tenants: false,
        })
    }

    /// Reads the environment; none when it names no endpoint or turns spans off. These are read, as
    /// [OpenTelemetry](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/) says:
    ///
    /// | variable | default |
    /// |---|---|
    /// | `OTEL_EXPORTER_OTLP_ENDPOINT`, to which `/v1/traces` is added | none: no spans are sent |
    /// | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, taken as it is | |
    /// | `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TRACES_HEADERS`: `name=value`, comma-separated, percent-encoded | none |
    /// | `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`, in milliseconds | 10000 |
    /// | `OTEL_EXPORTER_OTLP_PROTOCOL`, `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL` | `http/protobuf`, the only one |
    /// | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | `rag-tower` |
    /// | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | `parentbased_always_on` |
    /// | `OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, in spans | 2048, 512 |
    /// | `OTEL_BSP_SCHEDULE_DELAY`, in milliseconds | 5000 |
    /// | `OTEL_TRACES_EXPORTER`: `otlp` or `none`; `OTEL_SDK_DISABLED`: `true` or `false` | `otlp`, `false` |
    ///
    /// # Errors
    /// [`OtlpConfigError`] for a value that cannot be used.
    pub fn from_env() -> Result<Option<Self>, OtlpConfigError> {
        Self::from_vars(|name| std::env::var(name).ok())
    }

    /// As [`from_env`](Self::from_env), with variables from elsewhere. One that is empty counts as not set.
    ///
    /// # Errors
    /// [`OtlpConfigError`] for a value that cannot be used.
    pub fn from_vars(var: impl Fn(&'static str) -> Option<String>) -> Result<Option<Self>, OtlpConfigError> {
        let var = |name| var(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let off = var("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || var(EXPORTER).is_some_and(|value| value == "none");
        let endpoint = match (var(TRACES_ENDPOINT), var(ENDPOINT)) {
            _ if off => return Ok(None),
            (Some(traces), _) => url(TRACES_ENDPOINT, &traces)?,
            (None, Some(base)) => {
                let mut url = url(ENDPOINT, &base)?;
                let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
                url.set_path(&path);
                url
            }
            (None, None) => return Ok(None),
        };
        let mut config = Self::new(endpoint.as_str())?;
        for name in ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] {
            only(name, var(name), "http/protobuf")?;
        }
        if var(EXPORTER).is_some_and(|value| value != "otlp") {
            return Err(OtlpConfigError { variable: EXPORTER, expected: "otlp, or none to send no spans" });
        }
        for name in ["OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"] {
            only(name, var(name), "none")?;
        }
        for name in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
            for (key, value) in pairs(name, var(name), "name=value pairs, separated by commas")? {
                let wrong =
                    OtlpConfigError { variable: name, expected: "names and values that headers may have" };
                let key = HeaderName::try_from(key).map_err(|_| wrong.clone())?;
                let mut value = HeaderValue::try_from(value).map_err(|_| wrong)?;
                value.set_sensitive(true);
                config.headers.insert(key, value);
            }
        }
        for name in ["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"] {
            if let Some(millis) = number(name, var(name))? {
                config.timeout = Duration::from_millis(millis as u64);
            }
        }
        let attributes = "OTEL_RESOURCE_ATTRIBUTES";
        for (key, value) in pairs(attributes, var(attributes), "key=value pairs, separated by commas")? {
            config = config.with_resource(key, value);
        }
        if let Some(name) = var("OTEL_SERVICE_NAME") {
            config = config.with_resource("service.name", name);
        }
        config.sampled = sampled(var("OTEL_TRACES_SAMPLER"), var("OTEL_TRACES_SAMPLER_ARG"))?;
        let numbers = [
            ("OTEL_BSP_MAX_QUEUE_SIZE", &mut config.queue),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", &mut config.batch),
        ];
        for (name, place) in numbers {
            *place = number(name, var(name))?.unwrap_or(*place).max(1);
        }
        let delay = "OTEL_BSP_SCHEDULE_DELAY";
        if let Some(millis) = number(delay, var(delay))? {
            config.delay = Duration::from_millis(millis as u64);
        }
        Ok(Some(config))
    }

    /// Sets an attribute of the resource, such as `service.name`. Default: the name of this crate.
    pub fn with_resource(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        self.resource.retain(|(other, _)| *other != key);
        self.resource.push((key, value));
        self
    }

    /// The share of asks that become spans, 0 to 1. Default: 1.
    pub fn with_ratio(mut self, ratio: f64) -> Self {
        self.sampled.ratio = ratio.clamp(0.0, 1.0);
        self
    }

    /// The most spans that wait to be sent, at least 1. Default: 2048.
    pub fn with_queue(mut self, spans: usize) -> Self {
        self.queue = spans.max(1);
        self
    }

    /// How long spans wait for others before they are sent together. Default: 5 seconds.
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// How long one try to send may take. Default: 10 seconds.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether the id of the tenant is an attribute, `rag.tenant.id`. Default: false.
    pub fn with_tenants(mut self, tenants: bool) -> Self {
        self.tenants = tenants;
        self
    }

    /// Where spans go.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.endpoint.as_str()
    }
}

impl fmt::Debug for OtlpConfig {
    /// Shows no header: one of them holds a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpConfig")
            .field("endpoint", &self.endpoint.as_str())
            .field("sampled", &self.sampled)
            .finish_non_exhaustive()
    }
}

// === impl OtlpConfigError ===

impl fmt::Display for OtlpConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be used: expected {}", self.variable, self.expected)
    }
}

impl std::error::Error for OtlpConfigError {}

/// An address without a user: keys go into headers, which are not shown.
fn url(variable: &'static str, text: &str) -> Result<Url, OtlpConfigError> {
    let url = Url::parse(text.trim()).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
    });
    url.ok_or(OtlpConfigError { variable, expected: URL })
}

fn only(
    variable: &'static str,
    value: Option<String>,
    expected: &'static str,
) -> Result<(), OtlpConfigError> {
    match value {
        Some(value) if value != expected => Err(OtlpConfigError { variable, expected }),
        _ => Ok(()),
    }
}

fn number(variable: &'static str, value: Option<String>) -> Result<Option<usize>, OtlpConfigError> {
    let Some(value) = value else { return Ok(None) };
    let number = value.parse().map_err(|_| OtlpConfigError { variable, expected: "a whole number" })?;
    Ok(Some(number))
}

/// `key=value,key=value`, percent-encoded.
fn pairs(
    variable: &'static str,
    value: Option<String>,
    expected: &'static str,
) -> Result<Vec<(String, String)>, OtlpConfigError> {
    let wrong = || OtlpConfigError { variable, expected };
    let value = value.unwrap_or_default();
    let pairs = value.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
            let (key, value) = (decoded(key.trim()), decoded(value.trim()));
            let (Some(key), Some(value)) = (key, value) else { return Err(wrong()) };
            if key.is_empty() { Err(wrong()) } else { Ok((key, value)) }
        })
        .collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, left)) = rest.split_first() {
        if *byte == b'%' {
            let (hex, left) = left.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = left;
        } else {
            bytes.push(*byte);
            rest = left;
        }
    }
    String::from_utf8(bytes).ok()
}

fn sampled(sampler: Option<String>, argument: Option<String>) -> Result<Sampled, OtlpConfigError> {
    let sampler = sampler.unwrap_or_else(|| "parentbased_always_on".to_owned());
    let (by_parent, name) = match sampler.strip_prefix("parentbased_") {
        Some(name) => (true, name),
        None => (false, &*sampler),
    };
    let ratio = match name {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => {
            let wrong =
                OtlpConfigError { variable: "OTEL_TRACES_SAMPLER_ARG", expected: "a number from 0 to 1" };
            let ratio: f64 = argument.map_or(Ok(1.0), |ratio| ratio.parse()).map_err(|_| wrong.clone())?;
            if !(0.0..=1.0).contains(&ratio) {
                return Err(wrong);
            }
            ratio
        }
        _ => {
            return Err(OtlpConfigError {
                variable: "OTEL_TRACES_SAMPLER",
                expected: "always_on, always_off or traceidratio, each also with parentbased_ before it",
            });
        }
    };
    Ok(Sampled { ratio, by_parent })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Option<OtlpConfig>, OtlpConfigError> {
        OtlpConfig::from_vars(|name| {
            vars.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_endpoint_turns_it_on_and_the_signal_s_own_is_taken_as_it_is() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[(ENDPOINT, " ")]).unwrap().is_none());
        for (vars, endpoint) in [
            (&[(ENDPOINT, "http://localhost:4318")][..], "http://localhost:4318/v1/traces"),
            (&[(ENDPOINT, "https://otel.example.com/in/")], "https://otel.example.com/in/v1/traces"),
            (&[(ENDPOINT, "http://a"), (TRACES_ENDPOINT, "http://b/c")], "http://b/c"),
        ] {
            assert_eq!(read(vars).unwrap().unwrap().endpoint(), endpoint);
        }
        for off in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert!(read(&[(ENDPOINT, "http://localhost:4318"), off]).unwrap().is_none());
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_and_not_repeated() {
        for (name, value) in [
            (ENDPOINT, "secret.example.com:4317"),
            (ENDPOINT, "http://secret@example.com"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc-secret"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip-secret"),
            (EXPORTER, "zipkin-secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=%zzsecret"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "secret"),
            ("OTEL_TRACES_SAMPLER", "secret"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "secret"),
        ] {
            let mut vars = vec![(name, value)];
            if name != ENDPOINT {
                vars.push((ENDPOINT, "http://localhost:4318"));
            }
            let error = read(&vars).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains("expected"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn names_headers_and_sampler_come_as_they_are_written() {
        let config = read(&[
            (ENDPOINT, "http://localhost:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20top-secret, x-scope=a"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=test"),
            ("OTEL_SERVICE_NAME", "desk"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ]);
        let config = config.unwrap().unwrap();
        assert_eq!(config.headers["authorization"], "Bearer top-secret");
        assert!(!format!("{config:?} {:?}", config.headers).contains("top-secret"));
        let has = |key: &str, value: &str| config.resource.contains(&(key.to_owned(), value.to_owned()));
        assert!(
            has("service.name", "desk") && has("deployment.environment.name", "test"),
            "{:?}",
            config.resource
        );
        assert_eq!(config.sampled, Sampled { ratio: 0.25, by_parent: false });
        assert_eq!(config.timeout, Duration::from_millis(1500));
    }
}
