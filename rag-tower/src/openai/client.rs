//! A request in, a provider's response out, over connections that are kept: every call to a model goes through here.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::uri::Scheme;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use crate::error::{BoxError, Error, Stage};
use crate::tls;

/// Clones share the connections.
pub(super) type HttpClient = Client<Connector, Full<Bytes>>;

/// Connects, over TLS where the address says so, as long as somebody is patient.
#[derive(Clone)]
pub(super) struct Connector {
    secured: HttpsConnector<Way>,
    patience: Duration,
}

/// How a provider is reached.
#[derive(Clone)]
enum Way {
    Direct(HttpConnector),
    /// Through the proxy that the environment names.
    Tunnel(Tunnel<HttpConnector>),
}

type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// How long a connection that nobody uses is kept.
const IDLE_CONNECTION: Duration = Duration::from_secs(60);

/// A client for what is below `base`, which waits so long for a connection.
///
/// Redirects are not followed: one would carry the question, and perhaps the key, to who knows where.
pub(super) fn client(base: &Uri, patience: Duration) -> Result<HttpClient, Error> {
    let mut tls = tls::config(base.scheme() == Some(&Scheme::HTTPS), Stage::Generate)?;
    // the connector says these itself
    tls.alpn_protocols.clear();
    let secured = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(Way::to(base, &Matcher::from_env())?);
    let client = Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .build(Connector { secured, patience });
    Ok(client)
}

// === impl Way ===

impl Way {
    fn to(base: &Uri, proxies: &Matcher) -> Result<Self, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let Some(proxy) = proxies.intercept(base) else { return Ok(Self::Direct(tcp)) };
        if proxy.uri().scheme() != Some(&Scheme::HTTP) {
            // it may hold a password, so it is not repeated
            let message = "the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names is not reached over http://: \
                           give one that is, or name the provider's host in NO_PROXY";
            return Err(Error::invalid(Stage::Generate, message));
        }
        let tunnel = Tunnel::new(proxy.uri().clone(), tcp);
        Ok(Self::Tunnel(match proxy.basic_auth() {
            Some(auth) => tunnel.with_auth(auth.clone()),
            None => tunnel,
        }))
    }
}

impl Service<Uri> for Way {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Connecting<TokioIo<TcpStream>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(tcp) => tcp.poll_ready(cx).map_err(Into::into),
            Self::Tunnel(tunnel) => tunnel.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        match self {
            Self::Direct(tcp) => {
                let connecting = tcp.call(to);
                Box::pin(async move { Ok(connecting.await?) })
            }
            Self::Tunnel(tunnel) => {
                let connecting = tunnel.call(with_port(to));
                Box::pin(async move { Ok(connecting.await?) })
            }
        }
    }
}

/// A tunnel takes every address without a port for one of TLS.
fn with_port(to: Uri) -> Uri {
    if to.port().is_some() || to.scheme() != Some(&Scheme::HTTP) {
        return to;
    }
    let host = to.host().unwrap_or_default();
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(format!("{host}:80"))
        .path_and_query("/")
        .build()
        .unwrap_or(to)
}

// === impl Connector ===

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.secured.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = timeout(self.patience, self.secured.call(to));
        Box::pin(async move { connecting.await? })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn way(base: &'static str, proxy: &str) -> Result<Way, Error> {
        Way::to(&Uri::from_static(base), &Matcher::builder().all(proxy).no("localhost").build())
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_a_tunnel_to_the_provider() {
        for (base, asked) in [
            ("http://model.example/v1", "CONNECT model.example:80 HTTP/1.1\r\n"),
            ("http://model.example:9/v1", "CONNECT model.example:9 HTTP/1.1\r\n"),
            ("https://model.example/v1", "CONNECT model.example:443 HTTP/1.1\r\n"),
        ] {
            let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut way = way(base, &format!("http://user:pass@{}", proxy.local_addr().unwrap())).unwrap();
            let connecting = way.call(Uri::from_static(base));
            let serving = async {
                let (mut stream, _) = proxy.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                String::from_utf8(head).unwrap()
            };
            let (connected, head) = tokio::join!(connecting, serving);
            connected.unwrap();
            assert!(head.starts_with(asked), "{head}");
            assert!(head.to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz"), "{head}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_said_without_its_password() {
        assert!(matches!(way("http://localhost/v1", "http://p:1"), Ok(Way::Direct(_))));
        assert!(matches!(way("https://model.example/v1", "http://p:1"), Ok(Way::Tunnel(_))));
        for proxy in ["socks5://u:secret@p:1", "https://u:secret@p:1"] {
            let Err(error) = way("https://model.example/v1", proxy) else { panic!("{proxy} was taken") };
            assert!(error.to_string().contains("NO_PROXY") && !format!("{error:?}").contains("secret"));
        }
    }
}
