//! Requests in, JSON or a problem out. What is not the tenant's is not there.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use rag_tower::TenantScope;
use rag_tower::http::Problem;
use rag_tower::tenant::Role;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::store::{Invoice, Note, Store};

type Answer<T> = Result<Json<T>, Problem>;

#[derive(Deserialize)]
pub(crate) struct NewNote {
    text: String,
}

#[derive(Deserialize)]
pub(crate) struct Ids {
    ids: Vec<Uuid>,
}

#[derive(Deserialize)]
pub(crate) struct OfNote {
    note: Uuid,
}

pub(crate) async fn health() -> &'static str {
    "well"
}

pub(crate) async fn notes(State(store): State<Arc<Store>>, scope: TenantScope) -> Json<Vec<Note>> {
    Json(store.notes(&scope))
}

pub(crate) async fn new_note(
    State(store): State<Arc<Store>>,
    scope: TenantScope,
    Json(new): Json<NewNote>,
) -> (StatusCode, Json<Note>) {
    (StatusCode::CREATED, Json(store.add_note(&scope, new.text)))
}

pub(crate) async fn note(
    State(store): State<Arc<Store>>,
    scope: TenantScope,
    Path(id): Path<Uuid>,
) -> Answer<Note> {
    store.note(&scope, id).map(Json).ok_or_else(missing)
}

pub(crate) async fn delete_note(
    State(store): State<Arc<Store>>,
    scope: TenantScope,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    store.delete_note(&scope, id).map(|_| StatusCode::NO_CONTENT).ok_or_else(missing)
}

pub(crate) async fn archive(
    State(store): State<Arc<Store>>,
    scope: TenantScope,
    Json(Ids { ids }): Json<Ids>,
) -> Answer<Value> {
    store.archive(&scope, &ids).map(|count| Json(json!({ "archived": count }))).ok_or_else(missing)
}

pub(crate) async fn invoices(
    State(store): State<Arc<Store>>,
    scope: TenantScope,
    Query(OfNote { note }): Query<OfNote>,
) -> Answer<Vec<Invoice>> {
    store.invoices(&scope, note).map(Json).ok_or_else(missing)
}

pub(crate) async fn invoice(
    State(store): State<Arc<Store>>,
    scope: TenantScope,
    Path(id): Path<Uuid>,
) -> Answer<Invoice> {
    store.invoice(&scope, id).map(Json).ok_or_else(missing)
}

pub(crate) async fn usage(State(store): State<Arc<Store>>, scope: TenantScope) -> Answer<Value> {
    if scope.role() < Role::Admin {
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "this is for administrators"));
    }
    Ok(Json(json!({ "notes": store.notes(&scope).len() })))
}

fn missing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing")
}
