//! A bad copy of the program: the same routes, written as such programs often are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use conformance_kit::Log;
use http::{Method, StatusCode};
use rag_tower::tenant::{ApiKeyResolver, MemoryApiKeys, ResolveTenantLayer};
use rag_tower::{TenantAuthority, TenantId, TenantScope};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::matrix::{CANARIES, NOTES, Owned};

/// What is found by its id alone.
#[derive(Clone)]
pub(crate) struct Row {
    id: Uuid,
    tenant: TenantId,
    text: String,
}

#[derive(Clone)]
struct Leaky {
    notes: Arc<Mutex<Vec<Row>>>,
    invoices: Arc<Vec<(Row, Uuid)>>,
    log: Log,
}

impl Leaky {
    fn notes(&self) -> MutexGuard<'_, Vec<Row>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its routes. The last one is in nobody's matrix.
pub(crate) fn inventory() -> Vec<(Method, &'static str)> {
    vec![
        (Method::GET, "/health"),
        (Method::GET, "/notes"),
        (Method::POST, "/notes"),
        (Method::GET, "/notes/{id}"),
        (Method::DELETE, "/notes/{id}"),
        (Method::POST, "/notes/archive"),
        (Method::GET, "/invoices"),
        (Method::GET, "/invoices/{id}"),
        (Method::GET, "/admin/usage"),
        (Method::GET, "/notes/export"),
    ]
}

/// The bad copy, and what its tenants own.
pub(crate) fn app(keys: MemoryApiKeys, log: Log) -> (Router, Vec<Owned>) {
    let (mut notes, mut invoices, mut owned) = (Vec::new(), Vec::new(), Vec::new());
    for (name, canary) in CANARIES {
        let tenant = TenantId::named(name);
        let row = |text: String| Row { id: Uuid::now_v7(), tenant, text };
        let own: Vec<_> = (0..NOTES).map(|n| row(format!("{n}: {canary}"))).collect();
        let invoice = row(format!("the payer of {canary}"));
        owned.push(Owned {
            tenant: name,
            notes: own.iter().map(|note| note.id).collect(),
            invoice: invoice.id,
        });
        invoices.push((invoice, own[0].id));
        notes.extend(own);
    }
    let tenants = ResolveTenantLayer::new(TenantAuthority::new(), ApiKeyResolver::new(keys));
    let leaky = Leaky { notes: Arc::new(Mutex::new(notes)), invoices: Arc::new(invoices), log };
    let app = Router::new()
        .route("/notes", get(list).post(new_note))
        .route("/notes/{id}", get(note).delete(delete))
        .route("/notes/export", get(list))
        .route("/notes/archive", post(archive))
        .route("/invoices", get(about))
        .route("/invoices/{id}", get(invoice))
        .route("/admin/usage", get(usage))
        .layer(tenants)
        .route("/health", get(async || "well"))
        .with_state(leaky);
    (app, owned)
}

type Answer = (StatusCode, Json<Value>);

fn found(value: Value) -> Answer {
    (StatusCode::OK, Json(value))
}

fn missing(why: &str) -> Answer {
    (StatusCode::NOT_FOUND, Json(json!(why)))
}

/// Leak: the id is all that is asked for.
async fn note(State(leaky): State<Leaky>, Path(id): Path<Uuid>, _: TenantScope) -> Answer {
    let notes = leaky.notes();
    match notes.iter().find(|note| note.id == id) {
        Some(note) => found(json!({ "id": note.id, "text": note.text })),
        None => missing("there is no such note"),
    }
}

/// Leak: the error tells the title of what it refuses, and so does the log.
async fn delete(State(leaky): State<Leaky>, Path(id): Path<Uuid>, scope: TenantScope) -> Answer {
    let mut notes = leaky.notes();
    let Some(at) = notes.iter().position(|note| note.id == id) else {
        return missing("there is no such note");
    };
    if notes[at].tenant != scope.tenant() {
        let why = format!("the note {:?} is not yours", notes[at].text);
        leaky.log.line(why.clone());
        return missing(&why);
    }
    notes.remove(at);
    (StatusCode::NO_CONTENT, Json(Value::Null))
}

/// Leak: a list without the tenant.
async fn list(State(leaky): State<Leaky>, _: TenantScope) -> Answer {
    let notes = leaky.notes();
    found(notes.iter().map(|note| json!({ "id": note.id, "text": note.text })).collect())
}

async fn new_note(State(leaky): State<Leaky>, scope: TenantScope, Json(new): Json<Value>) -> Answer {
    let text = new["text"].as_str().unwrap_or_default().to_owned();
    leaky.notes().push(Row { id: Uuid::now_v7(), tenant: scope.tenant(), text });
    (StatusCode::CREATED, Json(Value::Null))
}

/// Leak: the first id is checked and the others are believed.
async fn archive(State(leaky): State<Leaky>, scope: TenantScope, Json(body): Json<Value>) -> Answer {
    let ids: Vec<Uuid> = serde_json::from_value(body["ids"].clone()).unwrap_or_default();
    let notes = leaky.notes();
    let one = |id: &Uuid| notes.iter().find(|note| note.id == *id);
    let Some(first) = ids.first().and_then(one) else { return missing("there is no such note") };
    match first.tenant == scope.tenant() && ids.iter().all(|id| one(id).is_some()) {
        true => found(json!({ "archived": ids.len() })),
        false => missing("there is no such note"),
    }
}

async fn about(
    State(leaky): State<Leaky>,
    scope: TenantScope,
    Query(query): Query<std::collections::BTreeMap<String, Uuid>>,
) -> Answer {
    let notes = leaky.notes();
    let note = notes.iter().find(|note| query.get("note") == Some(&note.id) && note.tenant == scope.tenant());
    let Some(note) = note else { return missing("there is no such note") };
    let about = leaky.invoices.iter().filter(|(_, of)| *of == note.id);
    found(about.map(|(invoice, _)| json!({ "payer": invoice.text })).collect())
}

/// Leak: what is somebody else's is forbidden, so it is there.
async fn invoice(State(leaky): State<Leaky>, Path(id): Path<Uuid>, scope: TenantScope) -> Answer {
    match leaky.invoices.iter().map(|(invoice, _)| invoice).find(|invoice| invoice.id == id) {
        Some(invoice) if invoice.tenant != scope.tenant() => {
            (StatusCode::FORBIDDEN, Json(json!("not yours")))
        }
        Some(invoice) => found(json!({ "payer": invoice.text })),
        None => missing("there is no such invoice"),
    }
}

/// Leak: a member is as good as an administrator.
async fn usage(State(leaky): State<Leaky>, scope: TenantScope) -> Answer {
    let notes = leaky.notes();
    found(json!({ "notes": notes.iter().filter(|note| note.tenant == scope.tenant()).count() }))
}
