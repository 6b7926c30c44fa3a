//! The Grafana dashboards: what each panel asks Prometheus, and the JSON that Grafana provisions.
//!
//! `cargo run -p rag-tower-tests --bin dashboards` writes `grafana/dashboards/*.json` from here, so that sixty panels look
//! and behave alike; a test fails when the files are not what this makes.

mod ingestion;
mod isolation;
mod llm;
mod overview;
mod panel;
mod rag;

use serde_json::{Value, json};

pub use self::panel::{Panel, Row};

/// One dashboard.
pub struct Dashboard {
    /// Its fixed identity, which links and bookmarks name; also the name of its file.
    pub uid: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it is for.
    about: &'static str,
    rows: Vec<Row>,
}

/// All of them, in the order of their menu.
#[must_use]
pub fn all() -> Vec<Dashboard> {
    vec![
        overview::dashboard(),
        rag::dashboard(),
        llm::dashboard(),
        isolation::dashboard(),
        ingestion::dashboard(),
    ]
}

/// Where everything comes from.
fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// Writes JSON as a person would: what fits on a line is on one.
fn write(value: &Value, indent: usize, file: &mut String) {
    let line = value.to_string();
    let list: Vec<_> = match value {
        _ if indent + line.len() < LINE => vec![],
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (format!("{}: ", json!(name)), value)).collect()
        }
        Value::Array(items) => items.iter().map(|item| (String::new(), item)).collect(),
        _ => vec![],
    };
    if list.is_empty() {
        file.push_str(&line);
        return;
    }
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    file.push(open);
    for (index, (name, value)) in list.iter().enumerate() {
        file.push_str(if index == 0 { "\n" } else { ",\n" });
        file.push_str(&" ".repeat(indent + 2));
        file.push_str(name);
        write(value, indent + 2, file);
    }
    file.push('\n');
    file.push_str(&" ".repeat(indent));
    file.push(close);
}

// === impl Dashboard ===

impl Dashboard {
    /// The file that Grafana provisions.
    #[must_use]
    pub fn file(&self) -> String {
        let mut file = String::new();
        let mut json = self.json();
        // whatever serde_json is told of order by another crate
        json.sort_all_objects();
        write(&json, 0, &mut file);
        file + "\n"
    }

    fn json(&self) -> Value {
        let (mut panels, mut top) = (Vec::new(), 0);
        for row in &self.rows {
            top = row.lay(&mut panels, top);
        }
        for (index, panel) in panels.iter_mut().enumerate() {
            panel["id"] = json!(index + 1);
        }
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": ["rag-tower"],
            "schemaVersion": 41,
            "editable": true,
            "fiscalYearStartMonth": 0,
            "graphTooltip": 1,
            "preload": false,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timepicker": {},
            "timezone": "browser",
            "annotations": {"list": [
                events("Alerts", "red", r#"ALERTS{alertstate="firing",job=~"$job"}"#, "{{alertname}}"),
                events(
                    "Versions",
                    "blue",
                    r#"count by (version) (rag_build_info{job=~"$job"}) unless count by (version) (rag_build_info{job=~"$job"} offset 5m)"#,
                    "{{version}}",
                ),
            ]},
            "links": [
                {
                    "type": "dashboards", "title": "Dashboards", "tags": ["rag-tower"], "asDropdown": true, "icon": "external link",
                    "includeVars": true, "keepTime": true, "targetBlank": false, "tooltip": "", "url": "",
                },
                {
                    "type": "link", "title": "Owner console", "url": "${console}/owner", "icon": "external link", "tags": [],
                    "asDropdown": false, "includeVars": false, "keepTime": false, "targetBlank": true,
                    "tooltip": "Single requests, with what was found and why it was answered so",
                },
            ],
            "templating": {"list": variables()},
            "panels": panels,
        })
    }
}

/// Vertical lines where something happened.
fn events(name: &str, colour: &str, expr: &str, title: &str) -> Value {
    json!({
        "name": name, "datasource": datasource(), "enable": true, "hide": false, "iconColor": colour, "titleFormat": title,
        "target": {"refId": "Anno", "expr": expr, "interval": "60s"},
    })
}

/// What a reader chooses at the top.
fn variables() -> Vec<Value> {
    let query = |name: &str, label: &str, query: &str, about: &str| {
        json!({
            "type": "query", "name": name, "label": label, "description": about, "datasource": datasource(),
            "query": {"query": query, "refId": name}, "regex": "", "refresh": 2, "sort": 1,
            "multi": true, "includeAll": true, "allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]},
            "hide": 0, "skipUrlSync": false, "options": [],
        })
    };
    vec![
        json!({
            "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "regex": "",
            "current": {"text": "default", "value": "default"}, "hide": 0, "refresh": 1, "multi": false, "includeAll": false, "skipUrlSync": false, "options": [],
        }),
        query("job", "Job", "label_values(rag_build_info, job)", "The scrape job: one for each installation"),
        query(
            "route",
            "Route",
            r#"label_values(rag_requests_total{job=~"$job"}, route)"#,
            "What answered: a search, a tool, or none",
        ),
        query(
            "tenant",
            "Tenant",
            r#"label_values(rag_requests_total{job=~"$job"}, tenant)"#,
            "Tenants that are told apart (RAG_TOWER_METRICS_TENANTS); without that there is nothing to \
             choose",
        ),
        json!({
            "type": "textbox", "name": "console", "label": "Owner console", "query": CONSOLE,
            "description": "Where the links to single requests lead",
            "current": {"text": CONSOLE, "value": CONSOLE}, "hide": 0, "skipUrlSync": false,
            "options": [{"text": CONSOLE, "value": CONSOLE, "selected": true}],
        }),
    ]
}

/// How long a line of a file may be.
const LINE: usize = 180;
/// Where the reference server listens by default.
const CONSOLE: &str = "http://127.0.0.1:8080";
