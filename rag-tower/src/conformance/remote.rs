//! A running server as a service: requests in, sent to its address; its responses out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, Parts as UriParts, Scheme};
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower_service::Service;

use crate::error::BoxError;

/// Sends requests to a server at an address, over plain HTTP/1.1, with connections of its own.
///
/// It is for a server on this machine or in the same test network. For one behind TLS give a run any client that is a
/// `tower::Service` of `http::Request<Full<Bytes>>`.
#[derive(Clone)]
pub struct Remote {
    authority: Authority,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// The address is not such as `http://127.0.0.1:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError(String);

/// The body of a response of a [`Remote`].
pub struct RemoteBody(hyper::body::Incoming);

/// The future of a [`Remote`].
#[must_use = "futures do nothing unless polled"]
pub struct RemoteFuture(Pin<Box<dyn Future<Output = Result<Response<RemoteBody>, BoxError>> + Send>>);

// === impl Remote ===

impl Remote {
    /// A server at an address such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// [`AddressError`] when that is not `http://` with a host and nothing after it.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        let error = || AddressError(address.to_owned());
        let uri: Uri = address.parse().map_err(|_| error())?;
        let bare = uri.path() == "/" && uri.query().is_none() && uri.scheme() == Some(&Scheme::HTTP);
        let authority = uri.authority().filter(|_| bare).cloned().ok_or_else(error)?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Self { authority, client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    fn address(&self, mut request: Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>, BoxError> {
        let mut parts = UriParts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from_parts(parts)?;
        request.headers_mut().insert(HOST, self.authority.as_str().parse()?);
        Ok(request)
    }
}

impl Service<Request<Full<Bytes>>> for Remote {
    type Response = Response<RemoteBody>;
    type Error = BoxError;
    type Future = RemoteFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> RemoteFuture {
        let (client, request) = (self.client.clone(), self.address(request));
        RemoteFuture(Box::pin(async move { Ok(client.request(request?).await?.map(RemoteBody)) }))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("authority", &self.authority).finish_non_exhaustive()
    }
}

// === impl AddressError ===

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an address such as http://127.0.0.1:8080", self.0)
    }
}

impl std::error::Error for AddressError {}

// === impl RemoteBody ===

impl Body for RemoteBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for RemoteBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteBody")
    }
}

// === impl RemoteFuture ===

impl Future for RemoteFuture {
    type Output = Result<Response<RemoteBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for RemoteFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteFuture")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_nothing_else() {
        assert!(Remote::new("http://127.0.0.1:8080").is_ok());
        assert!(Remote::new("http://localhost:1/").is_ok());
        for bad in ["127.0.0.1:8080", "https://localhost", "http://localhost/api", "http://localhost?a=b", ""]
        {
            assert!(Remote::new(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_request_goes_to_the_address_with_its_own_path() {
        let remote = Remote::new("http://127.0.0.1:8080").unwrap();
        let request = Request::builder().uri("/notes?a=b").header(HOST, "localhost");
        let request = remote.address(request.body(Full::default()).unwrap()).unwrap();
        assert_eq!(request.uri(), "http://127.0.0.1:8080/notes?a=b");
        assert_eq!(request.headers()[HOST], "127.0.0.1:8080");
    }
}
