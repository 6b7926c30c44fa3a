//! An OpenAPI 3 document in, its operations out, with what in them looks like an id.

use std::fmt;

use http::Method;
use serde_json::Value;

use super::entry::Place;
use super::inventory::{Operation, parameters};

/// What a path has beside operations.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
/// References to references end here.
const MAX_REFERENCES: usize = 8;

/// The document is not an OpenAPI 3 document with paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenApiError(String);

/// The operations of a document.
pub(super) fn operations(document: &Value) -> Result<Vec<Operation>, OpenApiError> {
    let version = document["openapi"].as_str().unwrap_or_default();
    if !version.starts_with("3.") {
        return Err(OpenApiError(format!("expected \"openapi\": \"3.…\", not {version:?}")));
    }
    let paths = document["paths"].as_object().filter(|paths| !paths.is_empty());
    let paths = paths.ok_or_else(|| OpenApiError("it has no paths".to_owned()))?;
    let mut found = Vec::new();
    for (path, item) in paths {
        let item = resolved(document, item);
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let Ok(name) = Method::from_bytes(method.to_ascii_uppercase().as_bytes()) else { continue };
            let mut places = Vec::new();
            for list in [&item["parameters"], &operation["parameters"]] {
                let all = list.as_array().into_iter().flatten().map(|one| resolved(document, one));
                places.extend(all.filter_map(|parameter| place(document, parameter)));
            }
            places.extend(fields(document, operation));
            places.extend(parameters(path).map(|name| Place::path(name.to_owned())));
            found.push(Operation { method: name, path: path.clone(), places });
        }
    }
    Ok(found)
}

/// The place of a parameter of the query or a header that looks like an id.
fn place(document: &Value, parameter: &Value) -> Option<Place> {
    let name = parameter["name"].as_str()?;
    if !is_reference(document, name, &parameter["schema"]) {
        return None;
    }
    match parameter["in"].as_str()? {
        "query" => Some(Place::query(name.to_owned())),
        "header" => Some(Place::header(name.to_owned())),
        _ => None,
    }
}

/// The fields of an operation's JSON body that look like ids; those of inner objects are not looked at.
fn fields<'a>(document: &'a Value, operation: &'a Value) -> impl Iterator<Item = Place> + 'a {
    let body = resolved(document, &operation["requestBody"]);
    let schema = resolved(document, &body["content"]["application/json"]["schema"]);
    let fields = schema["properties"].as_object().into_iter().flatten();
    fields
        .filter(|(name, schema)| is_reference(document, name, schema))
        .map(|(name, _)| Place::body(format!("/{}", name.replace('~', "~0").replace('/', "~1"))))
}

fn is_reference(document: &Value, name: &str, schema: &Value) -> bool {
    let schema = resolved(document, schema);
    let is_uuid = |schema: &Value| resolved(document, schema)["format"] == "uuid";
    let some = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
    let by_name = ["id", "ids"].contains(&name)
        || ["_id", "_ids", "Id", "Ids"].iter().any(|suffix| name.ends_with(suffix));
    by_name
        || is_uuid(schema)
        || is_uuid(&schema["items"])
        || some.is_some_and(|some| some.iter().any(is_uuid))
}

/// What a `$ref` into the same document points to.
fn resolved<'a>(document: &'a Value, mut value: &'a Value) -> &'a Value {
    for _ in 0..MAX_REFERENCES {
        let target = value["$ref"].as_str().and_then(|target| document.pointer(target.strip_prefix('#')?));
        match target {
            Some(target) => value = target,
            None => break,
        }
    }
    value
}

// === impl OpenApiError ===

impl fmt::Display for OpenApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an OpenAPI document: {}", self.0)
    }
}

impl std::error::Error for OpenApiError {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_come_with_what_looks_like_an_id() {
        let document = json!({
            "openapi": "3.1.0",
            "paths": {
                "/notes/{id}": {
                    "summary": "Notes",
                    "parameters": [{ "$ref": "#/components/parameters/Folder" }],
                    "get": {},
                    "post": {
                        "parameters": [{ "name": "q", "in": "query", "schema": { "type": "string" } }],
                        "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/New" } } } },
                    },
                },
            },
            "components": {
                "parameters": { "Folder": { "name": "folder", "in": "query", "schema": { "$ref": "#/components/schemas/Id" } } },
                "schemas": {
                    "Id": { "type": "string", "format": "uuid" },
                    "New": { "properties": {
                        "title": { "type": "string" },
                        "likes": { "type": "array", "items": { "$ref": "#/components/schemas/Id" } },
                        "author_id": { "type": "integer" },
                        "parent": { "anyOf": [{ "$ref": "#/components/schemas/Id" }, { "type": "null" }] },
                    } },
                },
            },
        });
        let found = operations(&document).unwrap();
        let names: Vec<_> = found.iter().map(Operation::name).collect();
        assert_eq!(names, ["GET /notes/{id}", "POST /notes/{id}"]);
        let mut places: Vec<_> = found[1].places.iter().map(ToString::to_string).collect();
        places.sort();
        let expected = [
            "the body's /author_id",
            "the body's /likes",
            "the body's /parent",
            "the path's {id}",
            "the query's folder",
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn what_is_no_document_is_said() {
        for value in [json!({}), json!({ "swagger": "2.0", "paths": {} }), json!({ "openapi": "3.0.0" })] {
            assert!(operations(&value).is_err(), "{value}");
        }
    }
}
