//! The yardstick among gateways: the least that an axum program can do with a chat completion, which is to hand it on.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::serve::ListenerExt;
use http::{Request, StatusCode, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Body>,
    url: Uri,
}

/// Serves for good before a model server at `base`.
pub(crate) async fn serve(listener: TcpListener, base: &str) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let upstream = Upstream {
        client: Client::builder(TokioExecutor::new()).build(connector),
        url: format!("{base}/chat/completions").parse().expect("an address"),
    };
    let app = Router::new().route("/v1/chat/completions", post(hand_on)).with_state(upstream);
    let listener = listener.tap_io(|io| io.set_nodelay(true).expect("TCP_NODELAY"));
    axum::serve(listener, app).await.expect("serve");
}

async fn hand_on(State(upstream): State<Upstream>, request: Request<Body>) -> Result<Response, StatusCode> {
    let (mut parts, body) = request.into_parts();
    parts.uri = upstream.url;
    parts.headers.remove(header::HOST);
    let answer = upstream.client.request(Request::from_parts(parts, body)).await;
    Ok(answer.map_err(|_| StatusCode::BAD_GATEWAY)?.map(Body::new))
}
