//! The OpenAPI document of the owner's API: the route table and the types that handlers take and give in, one JSON object out.
//!
//! Every route below `/owner/api` has an [`Operation`]; the compiler sees to that. Which parameters there are, and what an
//! answer looks like, is read off the types that are used, so neither can differ from what is served.

use std::sync::LazyLock;

use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use rag_tower::trace::Status;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::api::owner::operation;
use crate::auth::OwnerScope;
use crate::owner_store::{GapReason, GapState};
use crate::routes::{Endpoint, ROUTES, Route};

/// Where schemas are in the document.
const SCHEMAS: &str = "#/components/schemas";

/// The schema of a type.
type Of = fn(&mut SchemaGenerator) -> Schema;

/// What a route takes and gives.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    summary: &'static str,
    query: Option<Of>,
    body: Option<Of>,
    status: u16,
    answer: Answer,
}

/// What an answer holds when all is well.
#[derive(Clone, Copy)]
enum Answer {
    Nothing,
    Json(Of),
    /// One of these kinds of text.
    Text(&'static [&'static str]),
}

/// The document as it is sent.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| written().to_string().into());

/// Sends the document.
pub(crate) async fn document(_: OwnerScope) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone())
}

// === impl Operation ===

impl Operation {
    /// An operation that takes nothing and gives nothing.
    pub(crate) const fn new(summary: &'static str) -> Self {
        Self { summary, query: None, body: None, status: 204, answer: Answer::Nothing }
    }

    /// Takes the fields of `T` as parameters of the query.
    pub(crate) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// Takes a `T` as JSON.
    pub(crate) fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// Gives a `T` as JSON, with the status 200.
    pub(crate) fn gives<T: JsonSchema>(mut self) -> Self {
        self.status = 200;
        self.answer = Answer::Json(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// Gives text of one of these kinds, with the status 200.
    pub(crate) const fn gives_text(mut self, kinds: &'static [&'static str]) -> Self {
        self.status = 200;
        self.answer = Answer::Text(kinds);
        self
    }

    /// With another status.
    pub(crate) const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    fn describe(&self, route: &Route, schemas: &mut SchemaGenerator) -> Value {
        let mut parameters: Vec<Value> = path_parameters(route.path);
        if let Some(query) = self.query {
            parameters.extend(query_parameters(route.path, query(schemas), schemas));
        }
        let content = match self.answer {
            Answer::Nothing => Map::new(),
            Answer::Json(of) => {
                Map::from_iter([("application/json".to_owned(), json!({ "schema": of(schemas) }))])
            }
            Answer::Text(kinds) => {
                let text = json!({ "schema": { "type": "string" } });
                kinds.iter().map(|kind| ((*kind).to_owned(), text.clone())).collect()
            }
        };
        let mut answer = json!({ "description": "Done" });
        if !content.is_empty() {
            answer["content"] = Value::Object(content);
        }
        let mut described = json!({
            "summary": self.summary,
            "tags": [tag(route.path)],
            "operationId": format!("{} {}", route.method.as_str(), route.path),
            "parameters": parameters,
            "responses": { self.status.to_string(): answer, "default": { "$ref": "#/components/responses/Problem" } },
        });
        if let Some(body) = self.body {
            described["requestBody"] = json!({
                "required": true,
                "content": { "application/json": { "schema": body(schemas) } },
            });
        }
        described
    }
}

fn written() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = SCHEMAS.trim_start_matches('#').into();
    settings.meta_schema = None;
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for route in ROUTES {
        let Endpoint::Owner(endpoint) = route.endpoint else { continue };
        let described = operation(endpoint).describe(route, &mut schemas);
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.as_str().to_ascii_lowercase()] = described;
    }
    let definitions = schemas.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "rag-tower owner API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the owner of the platform sees and does. Errors are problems (RFC 9457) that say what was \
                            wrong and what was expected. Telephone numbers and e-mail addresses are masked. Every change is \
                            an entry in the audit log.",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "cookie": [] }, { "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": { "Problem": {
                "description": "What was wrong, and what was expected",
                "content": { "application/problem+json": { "schema": problem() } },
            } },
            "securitySchemes": {
                "cookie": { "type": "apiKey", "in": "cookie", "name": "owner_token" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
        },
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "kind": { "type": "string" },
        },
    })
}

/// The part of the path that says what it is about.
fn tag(path: &str) -> &str {
    path.split('/').nth(3).unwrap_or_default().trim_end_matches(".json")
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "format": "uuid" } });
    names.map(parameter).collect()
}

/// The fields of an object, as parameters.
fn query_parameters(path: &str, schema: Schema, schemas: &SchemaGenerator) -> Vec<Value> {
    let named = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next());
    let object = match named {
        Some(name) => schemas.definitions().get(name).cloned().unwrap_or_default(),
        None => schema.to_value(),
    };
    let Some(fields) = object.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let parameter = |(name, field): (&String, &Value)| {
        let mut schema = parameter(path, name).unwrap_or_else(|| json!({ "type": "string" }));
        if let Some(said) = field.get("description") {
            schema["description"] = said.clone();
        }
        json!({ "name": name, "in": "query", "required": false, "schema": schema })
    };
    fields.iter().map(parameter).collect()
}

/// What a parameter of this name takes, wherever it stands. All come as text; this says which text.
fn parameter(path: &str, name: &str) -> Option<Value> {
    let whole = |most: u64| json!({ "type": "integer", "minimum": 1, "maximum": most });
    Some(match (name, tag(path)) {
        ("tenant_id", _) => json!({ "type": "string", "format": "uuid" }),
        ("since" | "until", _) => json!({
            "type": "string",
            "examples": ["2026-01-31", "1769817600", "2026-01-31T12:00:00Z"],
            "description": "A date in the reporting zone, seconds since 1970, or an RFC 3339 moment; `until` is the first \
                            moment that does not count, and as a date the end of that day.",
        }),
        ("limit", _) => whole(200),
        ("offset" | "min_tokens" | "max_tokens", _) => {
            json!({ "type": "integer", "minimum": 0 })
        }
        ("min_ms" | "max_ms" | "min_cost" | "max_cost", _) => json!({ "type": "number", "minimum": 0 }),
        ("points", _) => whole(if path.ends_with("/heatmap") { 96 } else { 400 }),
        ("status", "handoffs") => json!({ "type": "string", "enum": ["new", "contacted", "closed"] }),
        ("status", _) => json!({ "type": "string", "enum": Status::ALL.map(Status::as_str) }),
        ("by", _) => json!({ "type": "string", "enum": ["tenant", "route", "status", "channel", "model"] }),
        ("rating", _) => json!({ "type": "string", "enum": ["up", "down"] }),
        ("state", "gaps") => json!({ "type": "string", "enum": GapState::ALL.map(GapState::as_str) }),
        ("reason", "gaps") => json!({ "type": "string", "enum": GapReason::ALL.map(GapReason::as_str) }),
        ("state", _) => json!({ "type": "string", "enum": ["open", "done"] }),
        ("feedback", _) => json!({ "type": "string", "enum": ["up", "down", "any", "none"] }),
        ("handoff", _) => json!({ "type": "string", "enum": ["yes", "no"] }),
        ("cache", _) => json!({ "type": "string", "enum": ["hit", "miss"] }),
        ("format", _) => json!({ "type": "string", "enum": ["csv", "jsonl"] }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::Auth;

    #[test]
    fn every_route_of_the_owner_is_in_the_document_and_nothing_else_is() {
        let document = written();
        let paths = document["paths"].as_object().unwrap();
        let mut operations = 0;
        for route in ROUTES.iter().filter(|route| route.auth == Auth::Owner) {
            let operation = &paths[route.path][route.method.as_str().to_ascii_lowercase()];
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{}", route.path);
            operations += 1;
        }
        assert_eq!(
            paths.values().map(|methods| methods.as_object().unwrap().len()).sum::<usize>(),
            operations
        );
    }

    #[test]
    fn what_is_referred_to_is_there() {
        let document = written();
        let text = document.to_string();
        let references = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
        let mut count = 0;
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
            count += 1;
        }
        assert!(count > 20, "{count}");
        assert!(document.pointer("/paths/~1owner~1api~1logs/get/parameters/0/name").is_some());
    }
}
