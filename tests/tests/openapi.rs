//! The owner's API against its own document: for every operation, parameters and bodies that fit and such that do not. No
//! answer is a fault, every refusal is a problem, and what is given is what the document says.

use std::collections::BTreeMap;
use std::time::Instant;

use http::Method;
use http_body_util::Full;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rag_tower_tests::http::{Answer, Client, DEADLINE};
use rag_tower_tests::server::{Server, Setup};
use serde_json::{Map, Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
const DOCUMENT: &str = "/owner/api/openapi.json";
/// Requests to each operation.
const CASES: usize = 24;
/// Items that ids are taken from.
const IDS: usize = 5;

/// The document, and what is known of the server that serves it.
struct Subject {
    document: Value,
    owner: Client,
    /// By the path of a list: the ids in it.
    ids: BTreeMap<String, Vec<String>>,
    runner: TestRunner,
}

/// A request that was made up.
struct Made {
    path: String,
    body: Option<String>,
    /// True when everything in it fits the document.
    fits: bool,
}

// === impl Subject ===

impl Subject {
    async fn new(server: &Server) -> Self {
        let owner = server.owner().await;
        let document = owner.get(DOCUMENT).await;
        assert_eq!(document.status, 200);
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let runner = TestRunner::new_with_rng(Config::default(), rng);
        Self { document: document.json(), owner, ids: BTreeMap::new(), runner }
    }

    /// Reads the lists that ids in paths come from.
    async fn learn(&mut self) {
        let paths: Vec<String> = self.document["paths"].as_object().unwrap().keys().cloned().collect();
        for path in paths {
            let Some((list, _)) = path.split_once("/{") else { continue };
            let answer = self.owner.get(list).await;
            let items = if answer.status == 200 { answer.json()["items"].clone() } else { Value::Null };
            let ids = items.as_array().into_iter().flatten().take(IDS).filter_map(|item| {
                let id = item.get("trace_id").filter(|_| list.ends_with("/logs")).or_else(|| item.get("id"));
                id.and_then(Value::as_str).map(str::to_owned)
            });
            self.ids.insert(list.to_owned(), ids.collect());
        }
    }

    fn pick<S: Strategy>(&mut self, strategy: S) -> S::Value {
        strategy.new_tree(&mut self.runner).unwrap().current()
    }

    fn chance(&mut self, percent: u8) -> bool {
        self.pick(0..100_u8) < percent
    }

    /// A request to an operation.
    fn make(&mut self, path: &str, operation: &Value) -> Made {
        let mut fits = true;
        let mut target = path.to_owned();
        if let Some((list, _)) = path.split_once("/{") {
            let (from, to) = (path.find('{').unwrap(), path.find('}').unwrap());
            let known = self.ids.get(list).cloned().unwrap_or_default();
            let id = if known.is_empty() || self.chance(20) {
                fits = false;
                let strange = self.strange();
                escaped(if strange.is_empty() { "x" } else { &strange })
            } else {
                self.pick(prop::sample::select(known))
            };
            target.replace_range(from..=to, &id);
        }
        let hostile = self.chance(40);
        let mut query = Vec::new();
        for parameter in operation["parameters"].as_array().unwrap().iter().filter(|p| p["in"] == "query") {
            if !self.chance(35) {
                continue;
            }
            let name = parameter["name"].as_str().unwrap();
            let value = if hostile && self.chance(50) {
                fits = false;
                self.strange()
            } else {
                self.text_for(name, &parameter["schema"])
            };
            query.push(format!("{name}={}", escaped(&value)));
        }
        if hostile && self.chance(30) {
            fits = false;
            query.push(format!("{}=1", escaped(&self.strange())));
        }
        if !query.is_empty() {
            target = format!("{target}?{}", query.join("&"));
        }
        let schema = operation.pointer("/requestBody/content/application~1json/schema").cloned();
        let body = schema.map(|schema| {
            if hostile {
                fits = false;
                if self.chance(40) { self.strange() } else { self.any_json(3).to_string() }
            } else {
                self.json_for(&schema, 4).to_string()
            }
        });
        Made { path: target, body, fits }
    }

    /// Text that a parameter takes.
    fn text_for(&mut self, name: &str, schema: &Value) -> String {
        match (name, schema["format"].as_str()) {
            ("since", _) => self
                .pick(prop::sample::select(vec!["2026-01-01", "1767225600", "2026-01-01T00:00:00Z"]))
                .into(),
            ("until", _) => self
                .pick(prop::sample::select(vec!["2026-12-31", "1798675200", "2026-12-31T00:00:00+07:00"]))
                .into(),
            ("cursor" | "q" | "columns", _) => String::new(),
            (_, Some("uuid")) => "019a9f3e-8b1c-7abc-8def-0123456789ab".into(),
            _ => match self.json_for(schema, 1) {
                Value::String(text) => text,
                other => other.to_string(),
            },
        }
    }

    /// A value that fits a schema.
    fn json_for(&mut self, schema: &Value, depth: u8) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = self.document.pointer(&reference[1..]).unwrap().clone();
            return self.json_for(&target, depth);
        }
        if let Some(known) = schema["enum"].as_array() {
            return self.pick(prop::sample::select(known.clone()));
        }
        if let Some(known) = schema.get("const") {
            return known.clone();
        }
        if let Some(some) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()).cloned() {
            let one = self.pick(prop::sample::select(some));
            return self.json_for(&one, depth);
        }
        let kinds = match &schema["type"] {
            Value::Array(kinds) => kinds.clone(),
            Value::Null => vec![],
            kind => vec![kind.clone()],
        };
        let kind = if kinds.is_empty() { Value::Null } else { self.pick(prop::sample::select(kinds)) };
        let bound = |name: &str, other: i64| schema[name].as_f64().map_or(other, |bound| bound as i64);
        match kind.as_str().unwrap_or("null") {
            "string" if schema["format"] == "uuid" => json!("019a9f3e-8b1c-7abc-8def-0123456789ab"),
            "string" if schema["format"] == "date-time" => json!("2026-01-01T00:00:00Z"),
            "string" => json!(self.pick("[a-zà-ỹ0-9 ]{3,40}")),
            "integer" => json!(self.pick(bound("minimum", 0)..=bound("maximum", 1_000))),
            "number" => json!(self.pick(bound("minimum", 0)..=bound("maximum", 1_000))),
            "boolean" => json!(self.pick(any::<bool>())),
            "array" if depth > 0 => {
                let items = schema["items"].clone();
                json!([self.json_for(&items, depth - 1)])
            }
            "array" => json!([]),
            "object" => {
                let mut object = Map::new();
                let required = schema["required"].as_array().cloned().unwrap_or_default();
                for (name, field) in schema["properties"].as_object().cloned().unwrap_or_default() {
                    if required.contains(&json!(name)) || (depth > 0 && self.chance(50)) {
                        object.insert(name, self.json_for(&field, depth.saturating_sub(1)));
                    }
                }
                Value::Object(object)
            }
            _ => Value::Null,
        }
    }

    /// JSON of any shape.
    fn any_json(&mut self, depth: u8) -> Value {
        match self.pick(0..7_u8) {
            0 => Value::Null,
            1 => json!(self.pick(any::<i64>())),
            2 => json!(self.pick(any::<f64>())),
            3 => json!(self.strange()),
            4 => json!(self.pick(any::<bool>())),
            5 if depth > 0 => (0..self.pick(0..4_u8)).map(|_| self.any_json(depth - 1)).collect(),
            _ if depth > 0 => {
                let names = [
                    "id",
                    "to",
                    "from",
                    "text",
                    "reason",
                    "name",
                    "__proto__",
                    "threshold",
                    "top_k",
                    "weights",
                ];
                let fields = (0..self.pick(0..5_u8)).map(|_| {
                    (self.pick(prop::sample::select(names.to_vec())).to_owned(), self.any_json(depth - 1))
                });
                Value::Object(fields.collect::<Vec<_>>().into_iter().collect())
            }
            _ => Value::Null,
        }
    }

    /// Text that something may stumble over.
    fn strange(&mut self) -> String {
        let known = [
            "",
            " ",
            "0",
            "-1",
            "1e400",
            "NaN",
            "null",
            "true",
            "%00",
            "\0",
            "'; DROP TABLE tenants; --",
            "../../etc/passwd",
            "9999-12-31",
            "0000-00-00",
            "2026-02-30",
            "99999999999999999999",
            "-99999999999",
            "2026-13-01T00:00:00Z",
            "\u{202e}",
            "\u{feff}",
            "\u{1f4a9}",
            "<script>",
            "{{7*7}}",
            "=cmd()",
            "00000000-0000-0000-0000-000000000000",
            "019a9f3e-8b1c-7abc-8def-0123456789ab",
            "9223372036854775807.00000000-0000-0000-0000-000000000000",
            "-9223372036854775808.00000000-0000-0000-0000-000000000000",
        ];
        match self.pick(0..10_u8) {
            0..=5 => self.pick(prop::sample::select(known.to_vec())).to_owned(),
            6 => "a".repeat(self.pick(100..5_000_usize)),
            _ => self.pick(any::<String>()),
        }
    }

    /// What is wrong with an answer.
    fn fault(&self, made: &Made, operation: &Value, answer: &Answer) -> Option<String> {
        let status = answer.status.as_u16();
        let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if status >= 500 {
            return Some(format!("a fault: {}", answer.text()));
        }
        if !answer.status.is_success() {
            let problem = answer.status.is_client_error() && kind == "application/problem+json";
            let said = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
            let says =
                said["detail"].as_str().is_some_and(|detail| detail.len() > 3) && said["status"] == status;
            // what fits may still be refused for what there is: no such thing, or not in this state
            let allowed = !made.fits || [400, 404, 409, 422, 429].contains(&status);
            return (!problem || !says || !allowed).then(|| format!("no problem: {kind} {}", answer.text()));
        }
        let Some(declared) = operation["responses"].get(status.to_string()) else {
            return Some(format!("a status that the document does not have: {status}"));
        };
        let Some(content) = declared["content"].as_object() else {
            return (!answer.body.is_empty())
                .then(|| format!("a body where none is declared: {}", answer.text()));
        };
        let declared = kind.split(';').next().unwrap_or_default();
        let Some(schema) = content.get(declared).map(|content| &content["schema"]) else {
            return Some(format!("{kind} is not declared"));
        };
        if declared != "application/json" {
            return None;
        }
        let mut errors = Vec::new();
        check(&self.document, schema, &answer.json(), "", &mut errors);
        errors.truncate(3);
        (!errors.is_empty()).then(|| format!("not as declared: {}", errors.join("; ")))
    }
}

/// What of a value is not as its schema says: those words of JSON Schema that the document uses. A word that is not known here
/// is an error too, or it would be believed unread.
fn check(document: &Value, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
    let Some(words) = schema.as_object() else {
        if schema == &Value::Bool(false) {
            errors.push(format!("{at}: nothing is allowed here"));
        }
        return;
    };
    let fits = |schema: &Value| {
        let mut errors = Vec::new();
        check(document, schema, value, at, &mut errors);
        errors.is_empty()
    };
    let wrong = |what: &str| Some(format!("{at}: {what} in {value}, expected {schema}"));
    for (word, says) in words {
        let error = match word.as_str() {
            "title" | "description" | "default" | "examples" | "format" | "$defs" => None,
            "$ref" => {
                let target = document.pointer(&says.as_str().unwrap()[1..]).expect("a schema");
                check(document, target, value, at, errors);
                None
            }
            "type" => {
                let of = |kind: &Value| match kind.as_str().unwrap() {
                    "null" => value.is_null(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "string" => value.is_string(),
                    "array" => value.is_array(),
                    _ => value.is_object(),
                };
                let one = says.as_array().map_or_else(|| of(says), |kinds| kinds.iter().any(of));
                if one { None } else { wrong("another type") }
            }
            "enum" if !says.as_array().unwrap().contains(value) => wrong("another value"),
            "const" if says != value => wrong("another value"),
            "enum" | "const" => None,
            "anyOf" if !says.as_array().unwrap().iter().any(fits) => wrong("none of the forms"),
            "oneOf" if says.as_array().unwrap().iter().filter(|one| fits(one)).count() != 1 => {
                wrong("not one form")
            }
            "allOf" if !says.as_array().unwrap().iter().all(fits) => wrong("not every form"),
            "anyOf" | "oneOf" | "allOf" => None,
            "required" => {
                let missing =
                    |name: &&Value| value.is_object() && value.get(name.as_str().unwrap()).is_none();
                says.as_array()
                    .unwrap()
                    .iter()
                    .find(missing)
                    .and_then(|name| wrong(&format!("{name} is missing")))
            }
            "properties" => {
                for (name, field) in says.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(document, field, value, &format!("{at}/{name}"), errors);
                    }
                }
                None
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object();
                let others = value.as_object().into_iter().flatten();
                for (name, value) in
                    others.filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)))
                {
                    check(document, says, value, &format!("{at}/{name}"), errors);
                }
                None
            }
            "unevaluatedProperties" => None,
            "items" => {
                for (n, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, says, value, &format!("{at}/{n}"), errors);
                }
                None
            }
            "prefixItems" => {
                for (n, item) in says.as_array().unwrap().iter().enumerate() {
                    if let Some(value) = value.get(n) {
                        check(document, item, value, &format!("{at}/{n}"), errors);
                    }
                }
                None
            }
            "minItems" | "maxItems" => {
                let count = value.as_array().map_or(0, Vec::len) as u64;
                let bound = says.as_u64().unwrap();
                let holds = if word == "minItems" { count >= bound } else { count <= bound };
                if holds || !value.is_array() { None } else { wrong("another length") }
            }
            "minimum" if value.as_f64().is_some_and(|n| n < says.as_f64().unwrap()) => wrong("too little"),
            "maximum" if value.as_f64().is_some_and(|n| n > says.as_f64().unwrap()) => wrong("too much"),
            "minimum" | "maximum" => None,
            _ => Some(format!("{at}: the word {word} of a schema is not understood")),
        };
        errors.extend(error);
    }
}

#[test]
fn the_check_of_answers_can_fail() {
    let document = json!({ "components": { "schemas": { "A": {
        "type": "object", "required": ["id", "of"], "additionalProperties": false,
        "properties": { "id": { "type": "integer", "minimum": 0 }, "of": { "type": ["string", "null"] } },
    } } } });
    let schema = json!({ "type": "array", "items": { "$ref": "#/components/schemas/A" } });
    let wrong = |value: Value| {
        let mut errors = Vec::new();
        check(&document, &schema, &value, "", &mut errors);
        !errors.is_empty()
    };
    assert!(!wrong(json!([{ "id": 1, "of": null }, { "id": 0, "of": "x" }])));
    for value in [
        json!({}),
        json!([1]),
        json!([{ "id": 1 }]),
        json!([{ "id": -1, "of": "x" }]),
        json!([{ "id": 1.5, "of": "x" }]),
        json!([{ "id": 1, "of": true }]),
        json!([{ "id": 1, "of": "x", "more": 1 }]),
    ] {
        assert!(wrong(value.clone()), "{value}");
    }
}

/// Bytes of a query or a path.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

async fn send(client: &Client, method: &str, made: &Made) -> Answer {
    let request = client.request(method.to_ascii_uppercase().parse::<Method>().unwrap(), &made.path);
    let request = match &made.body {
        Some(body) => request.header("content-type", "application/json").body(Full::from(body.clone())),
        None => request.body(Full::default()),
    };
    client.send(request.unwrap()).await
}

/// A month of traffic, so that lists have something in them.
async fn fill(owner: &Client) {
    assert_eq!(owner.post("/owner/api/demo-data", &json!({})).await.status, 202);
    let end = Instant::now() + 4 * DEADLINE;
    while owner.get("/owner/api/demo-data").await.json()["state"] != "there" {
        assert!(Instant::now() < end, "the demo data takes too long");
        tokio::task::yield_now().await;
    }
    for (list, item) in [
        (
            "alerts",
            json!({ "name": "errors", "metric": "error_rate", "window_min": 15, "comparison": "above", "threshold": 2 }),
        ),
        ("views", json!({ "screen": "logs", "name": "errors", "query": "status=ERROR" })),
        (
            "prices",
            json!({ "model": "m", "effective_from": "2026-01-01", "input_per_million": 1, "output_per_million": 2 }),
        ),
    ] {
        let made = owner.post(&format!("/owner/api/{list}"), &item).await;
        assert_eq!(made.status, 201, "{list}: {}", made.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_as_its_document_says_whatever_it_is_sent() {
    let server = Setup::new(BINARY).start();
    let mut subject = Subject::new(&server).await;
    fill(&subject.owner).await;
    subject.learn().await;
    let paths = subject.document["paths"].as_object().unwrap().clone();
    let of_path = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().unwrap().clone();
        methods.into_iter().map(|(method, operation)| (path.clone(), method, operation)).collect::<Vec<_>>()
    };
    let mut operations: Vec<_> = paths.iter().flat_map(of_path).collect();
    // what is deleted is of no use to the others
    operations.sort_by_key(|(_, method, _)| method == "delete");
    let (mut faults, mut answered) = (Vec::new(), 0);
    for (path, method, operation) in &operations {
        // what is filled is to stay, and a stream of events has no end
        let content = operation["responses"].as_object().unwrap().values();
        let endless = content.into_iter().any(|answer| answer["content"].get("text/event-stream").is_some());
        if endless || (path.ends_with("/demo-data") && method == "delete") {
            continue;
        }
        let mut well = 0;
        for _ in 0..CASES {
            let made = subject.make(path, operation);
            let client = subject.owner.clone();
            let answer = send(&client, method, &made).await;
            well += usize::from(answer.status.is_success());
            answered += 1;
            if let Some(fault) = subject.fault(&made, operation, &answer) {
                let body = made.body.as_deref().unwrap_or_default();
                faults.push(format!("{method} {} {body}: {fault}", made.path));
            }
        }
        if well == 0 && method == "get" {
            faults.push(format!("{method} {path} never answered with what it gives"));
        }
    }
    faults.sort();
    assert!(faults.is_empty(), "{} of {answered}:\n{}", faults.len(), faults.join("\n"));
    assert!(answered > 200, "{answered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_the_owners_alone_and_the_page_about_it_holds_nothing() {
    let server = Setup::new(BINARY).start();
    assert_eq!(server.client().get(DOCUMENT).await.status, 401);
    let page = server.client().get("/owner/reference").await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    assert!(!page.text().contains("/owner/api/handoffs"), "the document says what there is, after a login");
    let document = server.owner().await.get(DOCUMENT).await;
    assert_eq!(document.headers["content-type"], "application/json");
    assert_eq!(document.json()["openapi"], "3.1.0");
}
