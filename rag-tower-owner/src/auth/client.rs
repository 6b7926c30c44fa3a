//! Where a request really comes from.

use std::net::IpAddr;

use http::request::Parts;

/// The address of the connection's other end. Put it into a request's extensions where connections are accepted; with
/// axum its `ConnectInfo<SocketAddr>` will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// The client's address: the connection's, or, where that is a trusted proxy, the last address in `X-Forwarded-For`
/// that is none. What a client writes there itself is never believed.
pub(super) fn address(parts: &Parts, trusted: &[IpAddr]) -> Option<IpAddr> {
    let peer = peer(parts)?.to_canonical();
    if !trusted.contains(&peer) {
        return Some(peer);
    }
    let mut hops: Vec<&str> = Vec::new();
    for value in parts.headers.get_all("x-forwarded-for") {
        hops.extend(value.to_str().unwrap_or_default().split(','));
    }
    for hop in hops.into_iter().rev() {
        // A proxy that writes something else is not to be trusted further than itself.
        let Ok(hop) = hop.trim().parse::<IpAddr>() else { return Some(peer) };
        if !trusted.contains(&hop.to_canonical()) {
            return Some(hop.to_canonical());
        }
    }
    Some(peer)
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    if let Some(ClientAddr(address)) = parts.extensions.get() {
        return Some(*address);
    }
    #[cfg(feature = "server")]
    if let Some(axum::extract::ConnectInfo(address)) =
        parts.extensions.get::<axum::extract::ConnectInfo<std::net::SocketAddr>>()
    {
        return Some(address.ip());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_speaks_for_others() {
        let proxies: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let seen = |peer: &str, forwarded: &str| {
            let request = http::Request::builder().header("x-forwarded-for", forwarded);
            let mut parts = request.body(()).unwrap().into_parts().0;
            parts.extensions.insert(ClientAddr(peer.parse().unwrap()));
            address(&parts, &proxies).unwrap().to_string()
        };
        assert_eq!(seen("192.0.2.1", "203.0.113.9"), "192.0.2.1", "not a proxy");
        assert_eq!(seen("10.0.0.1", "203.0.113.9"), "203.0.113.9");
        assert_eq!(
            seen("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2"),
            "203.0.113.9",
            "the client wrote 1.1.1.1"
        );
        assert_eq!(seen("::ffff:10.0.0.1", "203.0.113.9"), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", "unknown"), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", ""), "10.0.0.1");
        assert_eq!(address(&http::Request::new(()).into_parts().0, &proxies), None);
    }
}
