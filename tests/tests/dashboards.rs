//! What is in `grafana/`, looked at without a server's traffic: dashboards that Grafana takes, rules that Prometheus takes,
//! alerts that fire when they should, and no name in either that no exporter knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use rag_tower::metrics::{Kind, METRICS};
use rag_tower_tests::dashboards;
use rag_tower_tests::patched::workspace;
use rag_tower_tests::prometheus::{files, folder, promtool};
use rag_tower_tests::server::shared;
use serde_json::{Value, json};

/// Grafana's names of the units that are used.
const UNITS: [&str; 9] = ["s", "short", "reqps", "ops", "cps", "bytes", "percentunit", "currencyUSD", "none"];
/// What screens of the console know besides the filter that all share.
const SCREENS_OWN: [&str; 2] = ["screen", "part"];

/// All dashboards as they are in the repository, by the name of their file.
fn all() -> BTreeMap<String, Value> {
    let read = |path: std::path::PathBuf| {
        let json = serde_json::from_str(&fs::read_to_string(&path).unwrap());
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name.clone(), json.unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    files("dashboards", "json").into_iter().map(read).collect()
}

/// What is no headline.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn expressions(panel: &Value) -> Vec<&str> {
    panel["targets"].as_array().unwrap().iter().map(|target| text(target, "expr")).collect()
}

/// The words of a query: names of metrics, functions, labels.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').filter(|word| !word.is_empty())
}

/// The names of metrics in a query or a file of rules.
fn metrics(query: &str) -> BTreeSet<&str> {
    let ours =
        |word: &&str| ["rag_", "http_server_", "gen_ai_client_"].iter().any(|ours| word.starts_with(ours));
    words(query).filter(ours).collect()
}

/// A file of rules without its comments, which are prose.
fn rules() -> BTreeMap<String, String> {
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        (path.file_name().unwrap().to_string_lossy().into_owned(), lines.collect::<Vec<_>>().join("\n"))
    };
    files("rules", "yml").into_iter().map(read).collect()
}

/// The alerts of a file, each with what is said of it.
fn alerts(rules: &str) -> Vec<(&str, &str)> {
    rules.split("- alert: ").skip(1).map(|rule| rule.split_once('\n').unwrap()).collect()
}

#[test]
fn files_are_what_their_source_makes() {
    let files = all();
    assert_eq!(files.len(), dashboards::all().len(), "{:?}", files.keys());
    for dashboard in dashboards::all() {
        let path = folder().join("dashboards").join(format!("{}.json", dashboard.uid));
        assert_eq!(
            fs::read_to_string(path).unwrap(),
            dashboard.file(),
            "{} is old: cargo run -p rag-tower-tests --bin dashboards",
            dashboard.uid
        );
    }
}

#[test]
fn dashboards_are_what_grafana_provisions() {
    let mut titles = BTreeSet::new();
    for (name, dashboard) in all() {
        assert_eq!(text(&dashboard, "uid"), name, "the uid is fixed, and that of the file");
        assert!(name.len() <= 40, "{name}: Grafana refuses longer uids");
        assert!(titles.insert(text(&dashboard, "title").to_owned()), "{name}: another has its title");
        assert!(dashboard.get("id").is_none(), "{name}: Grafana gives ids itself");
        assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36, "{name}");
        assert_eq!(dashboard["tags"], json!(["rag-tower"]), "{name}: menus find it by its tag");
        datasources(&name, &dashboard);

        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let names: Vec<_> = variables.iter().map(|variable| text(variable, "name")).collect();
        assert_eq!(names, ["datasource", "job", "route", "tenant", "console"], "{name}");
        assert_eq!(
            (&variables[0]["type"], &variables[0]["query"]),
            (&json!("datasource"), &json!("prometheus"))
        );
        for variable in &variables[1..4] {
            let expected = [
                ("type", json!("query")),
                ("multi", json!(true)),
                ("includeAll", json!(true)),
                ("allValue", json!(".*")),
                ("refresh", json!(2)),
            ];
            for (field, value) in expected {
                assert_eq!(variable[field], value, "{name}: {field} of {variable}");
            }
            let query = text(&variable["query"], "query");
            assert!(query.starts_with("label_values(rag_"), "{name}: {query}");
        }
        assert_eq!(text(&variables[4], "type"), "textbox", "{name}");
    }
}

/// Nothing is asked of a data source that is not the chosen one.
fn datasources(name: &str, value: &Value) {
    if let Some(datasource) = value.get("datasource") {
        assert_eq!(*datasource, json!({"type": "prometheus", "uid": "${datasource}"}), "{name}: {value}");
    }
    match value {
        Value::Object(fields) => fields.values().for_each(|value| datasources(name, value)),
        Value::Array(items) => items.iter().for_each(|value| datasources(name, value)),
        _ => {}
    }
}

#[test]
fn panels_lie_beside_each_other() {
    for (name, dashboard) in all() {
        let mut taken = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = text(panel, "title");
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: the id of {title} is another's");
            let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
            assert!(at("w") > 0 && at("h") > 0 && at("x") + at("w") <= 24, "{name}: {title} is not inside");
            for (x, y) in
                (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
            {
                let other = taken.insert((x, y), title);
                assert_eq!(other, None, "{name}: {title} lies upon it");
            }
        }
    }
}

#[test]
fn each_panel_says_what_it_is_in_which_unit_and_what_is_bad() {
    for (name, dashboard) in all() {
        for panel in panels(&dashboard) {
            let title = text(panel, "title");
            let about = text(panel, "description");
            assert!(about.len() > 15 && about.ends_with('.'), "{name}: {title}: {about:?}");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(UNITS.contains(&text(defaults, "unit")), "{name}: {title}: {}", defaults["unit"]);
            let steps = defaults["thresholds"]["steps"].as_array().unwrap();
            assert_eq!(defaults["thresholds"]["mode"], "absolute", "{name}: {title}");
            assert!(steps[0]["value"].is_null(), "{name}: {title}: the first threshold is the ground");
            let values: Vec<_> = steps[1..].iter().map(|step| step["value"].as_f64().unwrap()).collect();
            assert!(values.is_sorted(), "{name}: {title}: {values:?}");
            assert!(steps.iter().all(|step| !text(step, "color").is_empty()), "{name}: {title}");
            assert!(
                !defaults["links"].as_array().unwrap().is_empty() || title == "Alerts firing",
                "{name}: {title}"
            );

            let targets = panel["targets"].as_array().unwrap();
            let ids: BTreeSet<_> = targets.iter().map(|target| text(target, "refId")).collect();
            assert!(!targets.is_empty() && ids.len() == targets.len(), "{name}: {title}");
            for target in targets {
                let whole = text(target, "expr").contains("$__range");
                assert_eq!(
                    (&target["instant"], &target["range"]),
                    (&json!(whole), &json!(!whole)),
                    "{name}: {title}"
                );
                if panel["type"] == "heatmap" {
                    assert_eq!(
                        (&target["format"], &target["legendFormat"]),
                        (&json!("heatmap"), &json!("{{le}}"))
                    );
                    assert_eq!(
                        panel["options"]["calculate"], false,
                        "{name}: {title}: the buckets are there"
                    );
                    assert_eq!(panel["options"]["yAxis"]["unit"], defaults["unit"], "{name}: {title}");
                }
            }
        }
    }
}

#[test]
fn queries_are_of_the_chosen_job_over_the_interval_that_fits() {
    for (name, dashboard) in all() {
        for (panel, query) in
            panels(&dashboard).flat_map(|panel| expressions(panel).into_iter().map(move |q| (panel, q)))
        {
            let title = text(panel, "title");
            for window in query.split('[').skip(1) {
                let window = window.split_once(']').unwrap().0;
                assert!(["$__rate_interval", "$__range"].contains(&window), "{name}: {title}: {window}");
            }
            // each selector of a series names the job
            for (at, metric) in metrics(query).into_iter().flat_map(|metric| query.match_indices(metric)) {
                let rest = &query[at + metric.len()..];
                if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                    || query[..at].ends_with(':')
                {
                    continue;
                }
                assert!(rest.starts_with(r#"{job=~"$job""#), "{name}: {title}: {metric} in {query}");
                let counted =
                    metric.ends_with("_total") || metric.ends_with("_count") || metric.ends_with("_sum");
                if counted || metric.ends_with("_bucket") {
                    let over = query[..at].ends_with("rate(") || query[..at].ends_with("increase(");
                    assert!(over, "{name}: {title}: {metric} only grows: {query}");
                }
            }
        }
    }
}

/// The kind of each metric that the library has, or that a server exposes.
async fn known() -> BTreeMap<String, String> {
    let server = shared(env!("CARGO_BIN_EXE_rag-tower-server"));
    assert_eq!(server.client().get("/healthz").await.status, 200);
    let exposed = server.scrape().await;
    let types = exposed.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut known: BTreeMap<_, _> = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Histogram => "histogram",
            _ if metric.name.ends_with("_total") => "counter",
            _ => "gauge",
        };
        let exposed = known.insert(metric.name.to_owned(), kind.to_owned());
        assert!(exposed.is_none_or(|exposed| exposed == kind), "{}", metric.name);
    }
    known
}

/// A name in a query, as the metric that it is a series of.
fn is_known(known: &BTreeMap<String, String>, name: &str) -> Option<String> {
    let of = |name: &str, histogram: bool| {
        known.get(name).is_some_and(|kind| (kind == "histogram") == histogram).then(|| name.to_owned())
    };
    of(name, false).or_else(|| {
        let series = ["_bucket", "_count", "_sum"].into_iter().find_map(|part| name.strip_suffix(part))?;
        of(series, true)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_named_exists_and_every_one_that_exists_is_looked_at() {
    let known = known().await;
    let (dashboards, rules) = (all(), rules());
    let recorded: BTreeSet<_> = rules
        .values()
        .flat_map(|text| text.split("- record: ").skip(1))
        .map(|rule| rule.lines().next().unwrap())
        .collect();
    let mut used = BTreeSet::new();
    let mut heatmaps = BTreeSet::new();
    for (name, dashboard) in &dashboards {
        for panel in panels(dashboard) {
            for query in expressions(panel) {
                for metric in metrics(query) {
                    let is = is_known(&known, metric)
                        .unwrap_or_else(|| panic!("{name}: nobody exports {metric}: {query}"));
                    if panel["type"] == "heatmap" {
                        heatmaps.insert(is.clone());
                    }
                    used.insert(is);
                }
                for record in words(query).filter(|word| word.starts_with("job:")) {
                    assert!(recorded.contains(record), "{name}: nobody records {record}");
                }
            }
        }
    }
    for (name, text) in &rules {
        for metric in metrics(text) {
            used.insert(
                is_known(&known, metric).unwrap_or_else(|| panic!("{name}: nobody exports {metric}")),
            );
        }
        for record in words(text).filter(|word| word.starts_with("job:")) {
            assert!(recorded.contains(record), "{name}: nobody records {record}");
        }
    }
    assert!(used.len() > 40, "{used:?}");
    for (metric, kind) in &known {
        assert!(used.contains(metric), "nobody looks at {metric}");
        assert!(kind != "histogram" || heatmaps.contains(metric), "no heatmap shows {metric}");
    }
}

#[test]
fn links_lead_to_screens_and_filters_that_the_console_has() {
    let read = |file: &str| fs::read_to_string(workspace().join("static/owner").join(file)).unwrap();
    let (screens, router) = (read("screens.js"), read("router.js"));
    let screens: BTreeSet<_> =
        screens.split("{ name: \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    let shared = router.split("export const SHARED = [").nth(1).unwrap().split(']').next().unwrap();
    let mut filters: BTreeSet<_> = shared.split('"').skip(1).step_by(2).collect();
    filters.extend(SCREENS_OWN);
    assert!(screens.contains("logs") && filters.contains("tenant_id"), "{screens:?} {filters:?}");
    let mut links = 0;
    for (name, dashboard) in all() {
        for panel in panels(&dashboard) {
            let title = text(panel, "title");
            for link in panel["fieldConfig"]["defaults"]["links"].as_array().unwrap() {
                links += 1;
                let url = text(link, "url");
                let query =
                    url.strip_prefix("${console}/owner?").unwrap_or_else(|| panic!("{name}: {title}: {url}"));
                for (filter, value) in query.split('&').map(|pair| pair.split_once('=').unwrap()) {
                    assert!(filters.contains(filter), "{name}: {title}: the console has no filter {filter}");
                    assert!(
                        filter != "screen" || screens.contains(value),
                        "{name}: {title}: no screen {value}"
                    );
                    let Some(label) = value.strip_prefix("${__field.labels.") else { continue };
                    let label = label.strip_suffix('}').unwrap();
                    for query in expressions(panel) {
                        let groups = query.split("by (").skip(1).map(|rest| rest.split(')').next().unwrap());
                        let kept = groups.flat_map(|group| group.split(", ")).any(|kept| kept == label);
                        assert!(kept, "{name}: {title}: {query} has no label {label}");
                    }
                }
            }
        }
    }
    assert!(links > 50, "{links}");
}

#[test]
fn promtool_takes_the_configuration_and_the_rules() {
    let said = promtool(&["check", "config"], &[folder().join("prometheus.yml")]);
    assert!(said.contains("rule files found"), "{said}");
    let said = promtool(&["check", "rules"], &files("rules", "yml"));
    assert!(!said.contains("FAILED") && !said.contains("duplicate"), "{said}");
}

#[test]
fn alerts_fire_when_their_cause_is_there_and_are_silent_without_it() {
    for file in files("rules/tests", "yml") {
        let said = promtool(&["test", "rules"], &[file]);
        assert!(said.contains("SUCCESS"), "{said}");
    }
    for (name, text) in rules() {
        let tests = fs::read_to_string(folder().join("rules/tests").join(&name)).unwrap();
        let tests: Vec<_> = tests.split("  - name: ").skip(1).collect();
        for (alert, _) in alerts(&text) {
            let own = tests.iter().find(|test| test.lines().next() == Some(alert));
            let own = own.unwrap_or_else(|| panic!("{name}: nobody tests {alert}"));
            assert!(
                own.contains(&format!("{{alertname=\"{alert}\"}}")),
                "{name}: {alert} never fires: {own}"
            );
            assert!(own.contains("exp_samples: []"), "{name}: {alert} is never silent: {own}");
        }
    }
}

#[test]
fn each_alert_says_what_is_wrong_what_to_do_and_where_that_is_explained() {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    let headings: BTreeSet<_> = readme.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut seen = BTreeSet::new();
    for (name, text) in rules() {
        for (alert, rule) in alerts(&text) {
            assert!(seen.insert(alert.to_owned()), "{name}: there are two {alert}");
            let severity =
                ["critical", "warning", "info"].map(|level| rule.contains(&format!("severity: {level}\n")));
            assert_eq!(severity.iter().filter(|is| **is).count(), 1, "{name}: {alert}");
            for part in ["summary: ", "description: "] {
                assert_eq!(rule.matches(part).count(), 1, "{name}: {part}of {alert}");
            }
            let page = format!(
                "runbook_url: https://github.com/rag-tower/rag-tower/blob/main/grafana/README.md#{}",
                alert.to_lowercase()
            );
            assert!(rule.contains(&page), "{name}: {alert}");
            assert!(headings.contains(alert), "grafana/README.md does not explain {alert}");
        }
    }
    assert!(seen.len() > 30, "{seen:?}");
    let stale: Vec<_> = readme
        .split("## Alerts")
        .nth(1)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|heading| !seen.contains(*heading))
        .collect();
    assert!(stale.is_empty(), "no such alert: {stale:?}");
}

#[test]
fn what_compose_brings_up_is_pinned_and_has_no_secret() {
    let compose = fs::read_to_string(folder().join("compose.yml")).unwrap();
    let images: Vec<_> = compose.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    assert_eq!(images.len(), 2, "{images:?}");
    for image in images {
        let version = image.rsplit_once(':').map_or("", |(_, version)| version.trim_start_matches('v'));
        assert_eq!(
            version.split('.').filter(|part| part.parse::<u32>().is_ok()).count(),
            3,
            "{image} is not pinned"
        );
    }
    for line in compose.lines().filter(|line| !line.trim_start().starts_with('#')) {
        for secret in ["PASSWORD", "SECRET_KEY", "TOKEN", "password"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
    for mount in compose.lines().filter_map(|line| line.trim().strip_prefix("- ./")) {
        let (file, place) = mount.split_once(':').unwrap();
        assert!(folder().join(file).exists() && place.ends_with(":ro"), "{mount}");
    }
    let datasource = fs::read_to_string(folder().join("provisioning/datasources/prometheus.yml")).unwrap();
    assert!(
        datasource.contains("uid: rag-tower-prometheus") && datasource.contains("url: ${PROMETHEUS_URL}")
    );
    assert!(compose.contains("PROMETHEUS_URL: http://127.0.0.1:9090"));
    let provider = fs::read_to_string(folder().join("provisioning/dashboards/rag-tower.yml")).unwrap();
    let place = provider.split("path: ").nth(1).unwrap().trim();
    assert!(compose.contains(&format!("./dashboards:{place}:ro")), "{place}");
}
