//! The floor below the server: an axum program that makes the calls that an answer of the server waits for, one after the
//! other, and does nothing between them. A key is looked up in Postgres together with the state of the documents, the question
//! is embedded, and the model is asked. No search, no prompt, no row, no limits, one tenant. With `floor` the search and the
//! row are there too.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::serve::ListenerExt;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;

use crate::floor::Floor;
use crate::stub::EMBEDDINGS;

#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Body>,
    chat: Uri,
    embeddings: Uri,
    database: PgPool,
    floor: Option<Arc<Floor>>,
}

/// Serves for good before a model server at `base`, with a table of keys in `database` that knows `key`; with `search`, also
/// what `floor` adds.
pub(crate) async fn serve(listener: TcpListener, base: &str, database: &str, key: &str, search: bool) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let uri = |path: &str| format!("{base}{path}").parse().expect("an address");
    // as few connections as the server has for such reads
    let database = PgPoolOptions::new().max_connections(2).connect(database).await.expect("Postgres");
    let floor = if search { Some(Arc::new(Floor::start(&database).await)) } else { None };
    let upstream = Upstream {
        client: Client::builder(TokioExecutor::new()).build(connector),
        chat: uri("/chat/completions"),
        embeddings: uri("/embeddings"),
        database,
        floor,
    };
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS keys (hash bytea PRIMARY KEY, tenant int NOT NULL);
         CREATE TABLE IF NOT EXISTS corpora (tenant int PRIMARY KEY, version bigint NOT NULL);
         INSERT INTO corpora VALUES (1, 1) ON CONFLICT DO NOTHING",
    )
    .execute(&upstream.database)
    .await
    .expect("tables");
    sqlx::query("INSERT INTO keys VALUES (sha256($1), 1) ON CONFLICT DO NOTHING")
        .bind(key.as_bytes())
        .execute(&upstream.database)
        .await
        .expect("a key");
    let app = Router::new().route("/v1/chat/completions", post(answer)).with_state(upstream);
    let listener = listener.tap_io(|io| io.set_nodelay(true).expect("TCP_NODELAY"));
    axum::serve(listener, app).await.expect("serve");
}

async fn answer(State(upstream): State<Upstream>, request: Request<Body>) -> Result<Response, StatusCode> {
    let failed = |_| StatusCode::BAD_GATEWAY;
    let (parts, body) = request.into_parts();
    let key = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = key.and_then(|value| value.strip_prefix("Bearer ")).ok_or(StatusCode::UNAUTHORIZED)?;
    let version: Option<i64> = sqlx::query_scalar(
        "SELECT c.version FROM keys k JOIN corpora c USING (tenant) WHERE k.hash = sha256($1)",
    )
    .bind(key.as_bytes())
    .fetch_optional(&upstream.database)
    .await
    .map_err(|_| StatusCode::BAD_GATEWAY)?;
    version.ok_or(StatusCode::UNAUTHORIZED)?;

    let body = body.collect().await.map_err(|_| StatusCode::BAD_REQUEST)?.to_bytes();
    let asked: Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let embed = json!({
        "model": EMBEDDINGS, "input": [asked["messages"][0]["content"]], "encoding_format": "base64",
    });
    let embedded = upstream.post(&upstream.embeddings, embed.to_string().into()).await?;
    let embedded = embedded.into_body().collect().await.map_err(failed)?.to_bytes();

    let Some(floor) = &upstream.floor else { return upstream.post(&upstream.chat, body).await };
    let found = floor.search(&embedded).await;
    let answer = upstream.post(&upstream.chat, body).await;
    floor.record(&asked["messages"][0]["content"], &found).await;
    answer
}

// === impl Upstream ===

impl Upstream {
    async fn post(&self, to: &Uri, body: Bytes) -> Result<Response, StatusCode> {
        let request = Request::post(to).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body)).map_err(|_| StatusCode::BAD_REQUEST)?;
        let answer = self.client.request(request).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        Ok(answer.map(Body::new))
    }
}
