//! `/operator/*`: what the command line does through a running server, for one tenant that each request names.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use rag_tower::http::Problem;
use rag_tower::ingest::{Ingest, MAX_FILE_BYTES};
use rag_tower::tenant::TenantId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::{invalid, read_bytes, read_json};
use crate::identity::tenant_named;
use crate::operator::Operator;
use crate::platform::scope_of;

/// The longest name of a file, in bytes.
const MAX_NAME: usize = 1_024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    tenant: String,
}

/// Whose a file is, and its name, which says what it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    tenant: String,
    name: String,
}

/// A short-lived token of a member of the named tenant.
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    Extension(Operator { .. }): Extension<Operator>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let TokenRequest { tenant } = read_json(&headers, body, r#"{"tenant": "acme"}"#).await?;
    let tenant = tenant_of(&app, &tenant).await?;
    let minted = app.tokens.mint(tenant, "operator").map_err(Problem::from)?;
    Ok(Json(json!({ "token": minted.token, "expires_in": minted.expires_in.as_secs() })))
}

/// Takes the body in as a file of the named tenant; it waits its turn before it is read.
pub(crate) async fn documents(
    State(app): State<Arc<App>>,
    Extension(Operator { .. }): Extension<Operator>,
    asked: Result<Query<Document>, QueryRejection>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let Query(Document { tenant, name }) = asked
        .map_err(|_| invalid("the query cannot be used: expected tenant and name, each once".to_owned()))?;
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(invalid(format!(
            "`name` is a file's name: at most {MAX_NAME} bytes, no control characters"
        )));
    }
    let scope = scope_of(tenant_of(&app, &tenant).await?);
    let file = async { Ok::<_, Problem>(Ingest::new(scope, name, read_bytes(body, MAX_FILE_BYTES).await?)) };
    let taken = app.intake.take(file).await?;
    Ok(Json(json!({ "documents": taken.documents.len(), "chunks": taken.chunks })))
}

async fn tenant_of(app: &App, name: &str) -> Result<TenantId, Problem> {
    tenant_named(&app.database, name).await.map_err(|error| match error.kind() {
        rag_tower::ErrorKind::NotFound => Problem::new(StatusCode::NOT_FOUND, "not_found", error.to_string()),
        _ => Problem::from(error),
    })
}
