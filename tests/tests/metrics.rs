//! The metrics of a running server against the table of the guide, both ways: what is documented is exported, and what is
//! exported is documented, with the same type, labels and description.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rag_tower_tests::http::{Client, DEADLINE};
use rag_tower_tests::model_stub::{ModelStub, Reply};
use rag_tower_tests::server::{Server, Setup};
use serde_json::{Value, json};

const MODEL: &str = "writer";
/// One that is searched for and that the model answers.
const QUESTION: &str = "Trung tâm có chính sách hoàn học phí không?";
const GUIDE: &str = include_str!("../../rag-tower/src/docs/metrics.md");

/// What is said of a metric, or what a scrape has of it.
#[derive(Debug, Default, PartialEq)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
    optional: BTreeSet<String>,
}

/// The series of a scrape: name, labels and value.
type Series = (String, BTreeMap<String, String>, f64);

/// The table of the guide.
fn documented() -> BTreeMap<String, Family> {
    let table = GUIDE.split("\n## ").find(|section| section.starts_with("All of them")).expect("the table");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    rows.map(|row| {
        let cells: Vec<&str> = row.splitn(4, " | ").collect();
        let [name, kind, labels, help] = cells[..] else { panic!("four cells: {row}") };
        let mut family = Family { kind: kind.into(), help: help.into(), ..Family::default() };
        for label in labels.split([',', ' ']).filter(|label| !label.is_empty()) {
            let (names, name) = match label.strip_prefix('(') {
                Some(optional) => (&mut family.optional, optional.trim_end_matches(')')),
                None => (&mut family.labels, label),
            };
            names.insert(name.trim_matches('`').to_owned());
        }
        (name.trim_end_matches('`').to_owned(), family)
    })
    .collect()
}

/// The families of a scrape: type and description of each.
fn families(scrape: &str) -> BTreeMap<String, Family> {
    let mut found: BTreeMap<String, Family> = BTreeMap::new();
    for line in scrape.lines() {
        let mut words = line.splitn(4, ' ');
        let (Some("#"), Some(what), Some(name), Some(text)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let family = found.entry(name.to_owned()).or_default();
        match what {
            "TYPE" => family.kind = text.into(),
            "HELP" => family.help = text.into(),
            _ => panic!("{line}"),
        }
    }
    found
}

fn series(scrape: &str) -> Vec<Series> {
    let lines = scrape.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
            let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
            let labels = labels.map(|label| {
                let (name, value) = label.split_once("=\"").expect("a label");
                (name.to_owned(), value.trim_end_matches('"').to_owned())
            });
            (name.to_owned(), labels.collect(), value.parse().expect("a number"))
        })
        .collect()
}

/// The metric that a series belongs to: a histogram has three names.
fn family_of<'a>(name: &'a str, known: &BTreeMap<String, Family>) -> &'a str {
    let parts = ["_bucket", "_sum", "_count"].into_iter().filter_map(|part| name.strip_suffix(part));
    parts.into_iter().find(|whole| known.get(*whole).is_some_and(|it| it.kind == "histogram")).unwrap_or(name)
}

/// The sum of all series of this name that have these labels.
fn sum(scrape: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |of: &BTreeMap<String, String>| {
        labels.iter().all(|(name, value)| of.get(*name).is_some_and(|it| it == value))
    };
    series(scrape).iter().filter(|(of, with, _)| of == name && has(with)).map(|(.., value)| value).sum()
}

async fn ask(client: &Client, question: &str) -> Value {
    let answer = client.post("/query", &json!({ "question": question })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Scrapes until it is so.
async fn until(server: &Server, what: &str, holds: impl Fn(&str) -> bool) -> String {
    let end = Instant::now() + DEADLINE;
    loop {
        let scrape = server.scrape().await;
        if holds(&scrape) {
            return scrape;
        }
        assert!(Instant::now() < end, "{what}: {scrape}");
        tokio::task::yield_now().await;
    }
}

fn server(stub: &ModelStub) -> Server {
    Setup::new(env!("CARGO_BIN_EXE_rag-tower-server"))
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_MODEL", MODEL)
        .env("RAG_TOWER_METRICS_TENANTS", "1")
        .start()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_documented_is_exported_and_what_is_exported_is_documented() {
    let stub = ModelStub::start().await;
    let server = server(&stub);
    let client = server.tenant();
    stub.always(Reply::chat(&["Theo ", "tài liệu [1]."]));
    let body = ask(&client, QUESTION).await;
    client.post("/feedback", &json!({"trace_id": body["trace_id"], "rating": 1})).await;
    // refused, so that a call has an error
    stub.script([Reply::refused(400, "bad", "no")]);
    ask(&client, &format!("{QUESTION} (2)")).await;

    let known = documented();
    assert!(known.len() > 50, "the table was not understood: {known:?}");
    let missing = |scrape: &str| -> BTreeSet<String> {
        let all = series(scrape);
        let there: BTreeSet<&str> = all.iter().map(|(name, ..)| family_of(name, &known)).collect();
        known.keys().filter(|name| !there.contains(name.as_str())).cloned().collect()
    };
    let failed = |scrape: &str| {
        sum(scrape, "gen_ai_client_operation_duration_seconds_count", &[("error_type", "provider_rejected")])
    };
    let end = Instant::now() + DEADLINE;
    let scrape = loop {
        let scrape = server.scrape().await;
        if missing(&scrape).is_empty() && failed(&scrape) == 1.0 {
            break scrape;
        }
        assert!(Instant::now() < end, "documented and not exported: {:?}\n{scrape}", missing(&scrape));
        tokio::task::yield_now().await;
    };

    let mut optional_seen = BTreeSet::new();
    for (name, family) in families(&scrape) {
        let documented = known.get(&name).unwrap_or_else(|| panic!("{name} is exported and not documented"));
        assert_eq!((&family.kind, &family.help), (&documented.kind, &documented.help), "{name}");
    }
    for (name, labels, _) in series(&scrape) {
        let family = family_of(&name, &known);
        let documented = known.get(family).unwrap_or_else(|| panic!("{name} has no type and no description"));
        let has: BTreeSet<String> = labels.keys().filter(|label| *label != "le").cloned().collect();
        let lacking: Vec<_> = documented.labels.difference(&has).collect();
        assert!(lacking.is_empty(), "{name} {labels:?} lacks {lacking:?}");
        for other in has.difference(&documented.labels) {
            assert!(documented.optional.contains(other), "{name}: the label {other} is not documented");
            optional_seen.insert((family.to_owned(), other.clone()));
        }
        if documented.kind == "histogram" {
            assert_ne!(family, name, "a histogram without buckets");
            assert!(!labels.contains_key("quantile"), "{name}: a summary");
        }
    }
    let optional = known
        .iter()
        .flat_map(|(name, family)| family.optional.iter().map(move |label| (name.clone(), label.clone())));
    assert_eq!(optional.collect::<BTreeSet<_>>(), optional_seen, "labels that are said to be there at times");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_alerts_stand_on_is_there_at_0_before_anything_happens() {
    let stub = ModelStub::start().await;
    let server = server(&stub);
    let scrape = server.scrape().await;
    let zero = |name: &str, label: &str, values: &[&str]| {
        for value in values {
            let found: Vec<_> = series(&scrape)
                .into_iter()
                .filter(|(of, labels, _)| of == name && (label.is_empty() || labels[label] == **value))
                .collect();
            assert!(!found.is_empty(), "{name}{{{label}={value}}} is not there: {scrape}");
            assert!(found.iter().all(|(.., value)| *value == 0.0), "{found:?}");
        }
    };
    zero("rag_isolation_violations_total", "layer", &["retrieve", "memory", "index", "database", "canary"]);
    zero("rag_fail_closed_total", "reason", &["isolation", "filter_unavailable", "store_unavailable"]);
    zero("rag_abstain_total", "reason", &["no_documents", "below_threshold"]);
    zero("rag_auth_failures_total", "kind", &["missing", "unknown_key", "tenant_mismatch", "wrong_password"]);
    zero("rag_rate_limited_total", "scope", &["tenant", "key"]);
    zero("rag_stream_aborts_total", "phase", &["before_first_token", "streaming"]);
    zero("rag_feedback_total", "rating", &["up", "down"]);
    zero("rag_handoffs_total", "status", &["new", "contacted", "closed"]);
    zero("rag_handoffs_open", "status", &["new", "contacted"]);
    zero("rag_ingest_failures_total", "reason", &["invalid_input", "store_unavailable"]);
    zero("rag_alert_deliveries_total", "ok", &["true", "false"]);
    zero("rag_unpriced_tokens_total", "model", &[MODEL, "other"]);
    zero("rag_cost_usd_total", "model", &[MODEL, "other"]);
    zero("rag_provider_retries_total", "", &[""]);
    zero("rag_provider_fallbacks_total", "", &[""]);
    zero("rag_otel_spans_total", "result", &["exported", "failed", "dropped"]);
    for name in ["rag_trace_dropped_total", "rag_trace_refused_total", "rag_panics_total"] {
        zero(name, "", &[""]);
    }
    for dependency in ["postgres", "vectors"] {
        assert_eq!(sum(&scrape, "rag_dependency_up", &[("dependency", dependency)]), 1.0, "{scrape}");
    }
    for pool in ["asks", "background", "owner"] {
        assert!(sum(&scrape, "rag_db_pool_max_connections", &[("pool", pool)]) >= 1.0, "{scrape}");
    }
    let taken = [("kind", "batch")];
    assert!(sum(&scrape, "rag_ingest_job_duration_seconds_count", &taken) >= 1.0, "the demo's: {scrape}");
    assert_eq!(sum(&scrape, "rag_ingest_jobs", &[]), 0.0, "{scrape}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asks_cost_what_their_model_costs_and_tickets_count_as_they_move() {
    let stub = ModelStub::start().await;
    let server = server(&stub);
    let (client, owner) = (server.tenant(), server.owner().await);
    stub.always(Reply::chat(&["Theo ", "tài liệu [1]."]));
    ask(&client, QUESTION).await;
    let unpriced = |scrape: &str| sum(scrape, "rag_unpriced_tokens_total", &[("model", MODEL)]);
    let cost = |scrape: &str| sum(scrape, "rag_cost_usd_total", &[("model", MODEL)]);
    // eleven in, two out, as the model says
    let scrape = until(&server, "unpriced", |scrape| unpriced(scrape) > 0.0).await;
    assert_eq!((unpriced(&scrape), cost(&scrape)), (13.0, 0.0), "{scrape}");

    let price = json!({
        "model": MODEL, "effective_from": "2026-01-01T00:00:00Z",
        "input_per_million": 1_000_000.0, "output_per_million": 500_000.0,
    });
    let added = owner.post("/owner/api/prices", &price).await;
    assert!(added.status.is_success(), "{}", added.text());
    // the server looks for prices each few seconds
    let end = Instant::now() + DEADLINE;
    let mut n = 0;
    let scrape = loop {
        n += 1;
        ask(&client, &format!("{QUESTION} ({n})")).await;
        let done = |scrape: &str| unpriced(scrape) + cost(scrape) >= 13.0 + 12.0 * f64::from(n);
        let scrape = until(&server, "the ask is counted", done).await;
        if cost(&scrape) > 0.0 {
            break scrape;
        }
        assert!(Instant::now() < end, "{scrape}");
    };
    assert_eq!((cost(&scrape), unpriced(&scrape)), (12.0, 13.0 * f64::from(n)), "{scrape}");
    assert!(scrape.contains("# TYPE rag_cost_usd_total counter\n"), "{scrape}");

    ask(&client, "Tôi muốn gặp tư vấn viên, số của tôi là 0912345678").await;
    let open = |scrape: &str, status| sum(scrape, "rag_handoffs_open", &[("status", status)]);
    let moved = |scrape: &str, status| {
        sum(scrape, "rag_handoffs_total", &[("status", status), ("reason", "call_back")])
    };
    let scrape = until(&server, "a ticket is open", |scrape| open(scrape, "new") == 1.0).await;
    assert_eq!((moved(&scrape, "new"), moved(&scrape, "contacted")), (1.0, 0.0), "{scrape}");
    let tickets = owner.get("/owner/api/handoffs").await.json();
    let id = tickets["items"][0]["id"].as_str().expect("a ticket");
    let step = json!({"from": "new", "to": "closed"});
    let answer = owner.post(&format!("/owner/api/handoffs/{id}/transition"), &step).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let scrape = until(&server, "no ticket is open", |scrape| open(scrape, "new") == 0.0).await;
    assert_eq!((moved(&scrape, "new"), moved(&scrape, "closed")), (1.0, 1.0), "{scrape}");
}
