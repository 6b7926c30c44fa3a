//! Which headers pass.

use http::{HeaderMap, HeaderName, header};

/// What belongs to one hop (RFC 9110, 7.6.1), whatever `Connection` says.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The client's credential, who the client is, what belongs to a credential, and what is said anew.
const STAYS_HERE: [&str; 17] = [
    "accept-encoding",
    "api-key",
    "authorization",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "openai-organization",
    "openai-project",
    "origin",
    "referer",
    "via",
    "x-api-key",
    "x-goog-api-key",
    "x-real-ip",
    "x-tenant-id",
];

/// The provider's relation to us.
const STAYS_THERE: [&str; 3] = ["alt-svc", "set-cookie", "strict-transport-security"];

/// What a provider gets to see of a client's headers.
pub(super) fn to_provider(from: &HeaderMap) -> HeaderMap {
    let mut to = HeaderMap::with_capacity(from.len() + 1);
    for (name, value) in from {
        let own = STAYS_HERE.contains(&name.as_str()) || name.as_str().starts_with("x-forwarded-");
        if !own && !of_one_hop(name, from) {
            to.append(name, value.clone());
        }
    }
    to
}

/// What a client gets to see of a provider's headers. None that `is_secret`.
pub(super) fn to_client(from: &HeaderMap, is_secret: impl Fn(&[u8]) -> bool) -> HeaderMap {
    let mut to = HeaderMap::with_capacity(from.len());
    for (name, value) in from {
        let stays = STAYS_THERE.contains(&name.as_str()) || of_one_hop(name, from);
        if !stays && !is_secret(value.as_bytes()) {
            to.append(name, value.clone());
        }
    }
    to
}

fn of_one_hop(name: &HeaderName, all: &HeaderMap) -> bool {
    let named = || {
        all.get_all(header::CONNECTION)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .any(|listed| listed.trim().eq_ignore_ascii_case(name.as_str()))
    };
    HOP_BY_HOP.contains(&name.as_str()) || named()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: fn(&HeaderMap) -> HeaderMap, headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        of(&map).iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_credential_and_one_hop_stay_and_all_else_passes() {
        let passed = names(
            to_provider,
            &[
                ("authorization", "Bearer secret"),
                ("x-api-key", "secret"),
                ("cookie", "a=b"),
                ("connection", "keep-alive, X-Mine"),
                ("x-mine", "1"),
                ("te", "trailers"),
                ("x-forwarded-for", "10.0.0.1"),
                ("openai-organization", "org-1"),
                ("openai-beta", "a"),
                ("openai-beta", "b"),
                ("x-stainless-lang", "python"),
                ("content-type", "application/json"),
            ],
        );
        assert_eq!(
            passed,
            ["openai-beta=a", "openai-beta=b", "x-stainless-lang=python", "content-type=application/json"]
        );
        let passed = names(
            |headers| to_client(headers, |value| value == b"req_secret"),
            &[
                ("x-echo", "req_secret"),
                ("transfer-encoding", "chunked"),
                ("set-cookie", "a=b"),
                ("x-request-id", "req_1"),
                ("retry-after", "7"),
                ("content-length", "2"),
            ],
        );
        assert_eq!(passed, ["x-request-id=req_1", "retry-after=7", "content-length=2"]);
    }
}
