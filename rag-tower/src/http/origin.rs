//! Whether a request comes from a page of ours.

use std::net::IpAddr;

use crate::error::{Error, Stage};
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;

/// The origins that pages may be served from: any loopback address, and the configured ones.
#[derive(Clone, Debug)]
pub struct Origins(Vec<Origin>);

/// A scheme and an authority, without a port where it is the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    https: bool,
    authority: String,
}

// === impl Origins ===

impl Origins {
    /// The configured origins, as `https://rag.example.com`; there may be none.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for what is not a scheme and a host.
    pub fn parse(origins: &[String]) -> Result<Self, Error> {
        let parsed = origins.iter().map(|text| {
            Origin::parse(text.trim_end_matches('/')).ok_or_else(|| {
                let message = format!(
                    "{text:?} is not an origin: expected a scheme and a host, as in https://rag.example.com"
                );
                Error::invalid(Stage::Http, message)
            })
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// True when a configured origin is https: cookies are then for https only.
    #[must_use]
    pub fn any_https(&self) -> bool {
        self.0.iter().any(|origin| origin.https)
    }

    /// True when the request's `Origin` is there, equals its `Host`, and that host is one of ours. The host's own name
    /// must be known, since a page of any name can be made to resolve to this machine.
    #[must_use]
    pub fn is_same(&self, parts: &Parts) -> bool {
        let mut all = parts.headers.get_all(ORIGIN).iter();
        let (Some(origin), None) = (all.next(), all.next()) else { return false };
        let Some(origin) = origin.to_str().ok().and_then(Origin::parse) else { return false };
        let host = match parts.uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => parts.headers.get(HOST).and_then(|host| host.to_str().ok()),
        };
        let Some(host) = host.and_then(|host| normal(host, origin.https)) else { return false };
        host == origin.authority && (is_loopback(&host) || self.0.contains(&origin))
    }
}

// === impl Origin ===

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Some(Self { https, authority: normal(authority, https)? })
    }
}

/// Lower case, and without the scheme's own port.
fn normal(authority: &str, https: bool) -> Option<String> {
    let authority: Authority = authority.parse().ok()?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    let host = authority.host().to_ascii_lowercase();
    Some(match authority.port_u16() {
        Some(port) if port != if https { 443 } else { 80 } => format!("{host}:{port}"),
        _ => host,
    })
}

fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t61_origin_must_equal_a_host_that_is_ours() {
        let origins = Origins::parse(&["https://rag.example.com/".to_owned()]).unwrap();
        let same = |origin: &str, host: &str| {
            let request = http::Request::builder().header(ORIGIN, origin).header(HOST, host);
            origins.is_same(&request.body(()).unwrap().into_parts().0)
        };
        for (origin, host) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://localhost:8080", "LOCALHOST:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("http://localhost", "localhost:80"),
            ("https://rag.example.com", "rag.example.com"),
            ("https://rag.example.com", "rag.example.com:443"),
        ] {
            assert!(same(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://evil.example", "rag.example.com"),
            ("http://rag.example.com", "rag.example.com"),
            ("https://rag.example.com:8443", "rag.example.com"),
            ("http://localhost:9000", "localhost:8080"),
            ("http://localhost", "127.0.0.1"),
            ("http://rebound.example", "rebound.example"),
            ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example"),
            ("http://localhost@evil.example", "localhost@evil.example"),
            ("null", "localhost"),
            ("file://localhost", "localhost"),
            ("", ""),
        ] {
            assert!(!same(origin, host), "{origin} {host}");
        }
        let none = http::Request::builder().header(HOST, "localhost").body(()).unwrap().into_parts().0;
        assert!(!origins.is_same(&none));
        assert!(Origins::parse(&["rag.example.com".to_owned()]).is_err());
    }
}
