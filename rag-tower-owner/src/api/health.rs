//! `GET /healthz`: is this process able to answer?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::app::App;

/// 200 when the database answers, else 503. Says nothing else: the route is public.
pub(crate) async fn health(State(app): State<Arc<App>>) -> Response {
    let up = app.database.is_up().await;
    metrics::gauge!("rag_dependency_up", "dependency" => "postgres").set(f64::from(u8::from(up)));
    let (status, word) =
        if up { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "degraded") };
    (status, Json(json!({ "status": word, "version": env!("CARGO_PKG_VERSION") }))).into_response()
}
