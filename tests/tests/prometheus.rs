//! A real Prometheus, with the repository's configuration and rules, scrapes a server on which everything happens that can
//! happen to an ask. Each query of each dashboard must then have something to show, each link must lead somewhere, and the
//! alert on isolation must ring.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rag_tower_tests::console::{hand_off, rate};
use rag_tower_tests::http::{Answer, Client, DEADLINE, Events};
use rag_tower_tests::model_stub::{self, ModelStub, Reply, Step};
use rag_tower_tests::postgres::{close_hole, open_hole};
use rag_tower_tests::prometheus::{Prometheus, Series, files, now};
use rag_tower_tests::server::{Server, Setup};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
const WRITER: &str = "writer";
const SECOND: &str = "second-writer";
const ROUTER: &str = "sorter";
const QUESTION: &str = "Trung tâm có chính sách hoàn học phí không?";
/// How often Prometheus looks.
const EVERY: Duration = Duration::from_secs(1);
/// What Grafana takes for `$__rate_interval` then: four scrapes.
const RATE: &str = "4s";

/// Panels, or lines of them by their legend, that rightly stay at zero here, and why. They must have a value all the same.
const QUIET: [(&str, &str); 14] = [
    ("Panics", "no handler panics"),
    ("Waiting", "Postgres is there, so rows do not wait"),
    ("Rows that wait", "the same"),
    ("Rows in the journal alone", "the same"),
    ("Turns of conversations that wait for their store", "the same"),
    ("Conversations that failed", "the same"),
    ("Rows lost", "nothing is lost"),
    ("Lost, refused, torn", "nothing is lost"),
    ("What the journal could not do", "the disk is not full"),
    ("Rollups behind", "somebody folds them"),
    ("Batches in no rollup yet", "somebody folds them, between two looks"),
    ("Jobs", "documents are taken in between two looks"),
    ("Oldest job that waits", "the same"),
    ("Owner's alerts", "there are no rules of the owner's"),
];
/// The same, where chance decides, or the figure may be below zero.
const AT_ZERO: [(&str, &str); 6] = [
    ("Error budget left", "asks fail on purpose, so it is used up"),
    ("OpenTelemetry spans", "there is no collector"),
    ("Files that failed", "what is sent can be read"),
    ("Passages of a mean search", "a search that finds nothing is not certain"),
    ("95 % of answers begin within 2.5 seconds", "all of them may"),
    ("Database connections in use", "there may be none when the server looks"),
];

/// A server with two model servers, and Prometheus before it.
struct Installation {
    server: Server,
    stub: ModelStub,
    second: ModelStub,
    prometheus: Prometheus,
}

/// A query of a panel.
struct Query {
    dashboard: String,
    panel: Value,
    expr: String,
}

// === impl Installation ===

impl Installation {
    async fn start() -> Self {
        let (stub, second) = (ModelStub::start().await, ModelStub::start().await);
        let server = Setup::new(BINARY)
            .second_model(&second.base_url(), SECOND)
            .env("OPENAI_BASE_URL", stub.base_url())
            .env("OPENAI_MODEL", WRITER)
            .env("ROUTER_MODEL", ROUTER)
            .env("RATE_LIMIT_PER_MINUTE", "60")
            .env("RAG_TOWER_METRICS_TENANTS", "10")
            .env("RAG_TOWER_CANARY_INTERVAL", "2")
            .start();
        let prometheus = Prometheus::start(server.metrics, "1s").await;
        Self { server, stub, second, prometheus }
    }

    /// Everything that can happen, once. What is asked differs from wave to wave, where no cache may answer.
    async fn wave(&self, n: usize) {
        let (server, stub) = (&self.server, &self.stub);
        let tenant = server.tenant();
        stub.always_of(ROUTER, Reply::chat(&["none"]));
        let good = || Reply::chat(&["Có, ", "theo ", "tài liệu [1], ", "và [99]."]);
        stub.always_of(WRITER, good());

        // answers: of a model, of tools, of the cache, of a conversation, and none
        let rated = ask(&tenant, &format!("{QUESTION} ({n})")).await.json();
        rate(server, &rated, 1, None).await;
        let next = json!({"question": "Cần báo trước bao lâu?", "session_id": rated["session_id"]});
        let next = tenant.post("/query", &next).await.json();
        rate(server, &next, -1, None).await;
        for question in
            [QUESTION, QUESTION, "Tính học phí cho 2 học viên khóa IELTS 6.5", "Hôm nay giá vàng bao nhiêu?"]
        {
            assert_eq!(ask(&tenant, question).await.status, 200);
        }
        hand_off(server, &format!("Tôi muốn gặp tư vấn viên, số của tôi là 091234567{n}")).await;
        self.other_tenant().await;
        self.document(n).await;

        // a model that fails, so that the next answers, and one that breaks off
        stub.always_of(WRITER, Reply::refused(500, "server_error", "boom"));
        let untold = [
            model_stub::role(),
            model_stub::text("Vâng [1]."),
            model_stub::finish("stop"),
            model_stub::done(),
        ];
        self.second.always_of(SECOND, Reply::stream(untold));
        let passed_over = ask(&tenant, &format!("{QUESTION} Lần thứ {n}?")).await.json();
        assert_eq!(passed_over["llm_model"], SECOND, "{passed_over}");
        let half = [Step::Send(model_stub::role()), Step::Send(model_stub::text("Nửa")), Step::Cut];
        stub.always_of(WRITER, Reply::steps(half));
        let broken = ask(&tenant, &format!("Trung tâm hoàn học phí khi nào? ({n})")).await;
        let row = server.row(broken.json()["trace_id"].as_str().expect("a trace")).await;
        assert_eq!(row["status"], "ERROR", "{row}");

        self.held(n).await;
        stub.always_of(WRITER, good());
        self.closed(n).await;
        self.refused().await;
    }

    /// Callers that are there while Prometheus looks, and then go away: before the first text, and in the middle of it.
    async fn held(&self, n: usize) {
        let (server, tenant) = (&self.server, self.server.tenant());
        let begun = [Step::Send(model_stub::role()), Step::Send(model_stub::text("Một")), Step::Hang];
        self.stub.always_of(WRITER, Reply::steps(begun));
        let (mut streaming, id) = stream(&tenant, &format!("{QUESTION} Và bảo lưu? ({n})")).await;
        while streaming.next().await.expect("some text").name != "delta" {}
        self.stub.always_of(WRITER, Reply::never());
        let mut silent = JoinSet::new();
        let question = format!("{QUESTION} Và học bổng? ({n})");
        silent.spawn(async move { ask(&tenant, &question).await });
        let socket = self.socket().await;
        self.prometheus.scrapes(2).await;
        drop((streaming, silent));
        let row = server.row(&id).await;
        assert_eq!(row["status"], "CANCELLED", "{row}");
        // one that says more than it may
        self.flood(socket).await;
    }

    /// A tenant that knows nothing of it, and asks more often than it may.
    async fn other_tenant(&self) {
        let token = self.server.client().post("/demo/token", &json!({"tenant": "docs"})).await.json();
        let docs = self.server.client().bearer(token["token"].as_str().expect("a token"));
        let end = Instant::now() + DEADLINE;
        while ask(&docs, "How is the server installed on Windows with Docker swarm?").await.status == 429 {
            assert!(Instant::now() < end, "it may ask again after a second");
            tokio::task::yield_now().await;
        }
        let mut asked = 0;
        while ask(&docs, "How do I start the server?").await.status != 429 {
            asked += 1;
            assert!(asked < 500, "there is no limit");
        }
    }

    /// A document that is taken in beside the running server, through it.
    async fn document(&self, n: usize) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zeppelin.md");
        std::fs::write(&file, format!("# Zeppelin\n\nThe Zeppelin layer keeps {n} masts.\n")).unwrap();
        let arguments = ["ingest", file.to_str().unwrap(), "--tenant", "docs"];
        let mut command = Setup::new(BINARY).on(&self.server.data).command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A hole in the schema, for as long as an ask takes: whoever looks at the corpus becomes another tenant.
    async fn closed(&self, n: usize) {
        let mut admin = self.server.database().await;
        open_hole(&mut admin).await;
        let asked =
            ask(&self.server.tenant(), &format!("Trung tâm hoàn phí trong những trường hợp nào? ({n})"))
                .await;
        close_hole(&mut admin).await;
        let row = self.server.row(asked.json()["trace_id"].as_str().expect("a trace")).await;
        assert_eq!((&row["status"], &row["reason"]), (&json!("FAIL_CLOSED"), &json!("isolation")), "{row}");
    }

    /// Callers and owners that nobody knows.
    async fn refused(&self) {
        let anonymous = self.server.client();
        let stranger = anonymous.clone().bearer("a-key-that-nobody-was-ever-given-0123456789");
        for client in [&anonymous, &stranger] {
            assert_eq!(ask(client, QUESTION).await.status, 401);
        }
        let wrong = json!({"username": "owner", "password": "not-the-password-0123456789"});
        assert_ne!(anonymous.post("/owner/auth/login", &wrong).await.status, 200);
    }

    async fn socket(&self) -> WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>> {
        let ticket = self.server.tenant().post("/ws/ticket", &json!({})).await.json();
        let url = format!(
            "ws://{}/ws/query?ticket={}",
            self.server.addr,
            ticket["ticket"].as_str().expect("a ticket")
        );
        let mut request = url.into_client_request().unwrap();
        let own = format!("http://{}", self.server.addr);
        request.headers_mut().insert("origin", own.parse().unwrap());
        connect_async(request).await.unwrap().0
    }

    async fn flood(&self, mut socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>) {
        for _ in 0..=120 {
            // the server may close while the last ones are on their way
            let _ = socket.send(Message::text(json!({"type": "cancel"}).to_string())).await;
        }
        while let Ok(Some(Ok(message))) = tokio::time::timeout(DEADLINE, socket.next()).await {
            if message.is_close() {
                return;
            }
        }
    }
}

async fn ask(client: &Client, question: &str) -> Answer {
    client.post("/query", &json!({"question": question, "channel": "web"})).await
}

/// A stream that has begun, and its trace.
async fn stream(client: &Client, question: &str) -> (Events, String) {
    let mut events = client.events("/query", &json!({ "question": question })).await;
    let start = events.next().await.expect("a start");
    (events, start.data["trace_id"].as_str().expect("a trace").to_owned())
}

/// Every query of every panel.
fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for file in files("dashboards", "json") {
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                queries.push(Query {
                    dashboard: dashboard["uid"].as_str().unwrap().to_owned(),
                    panel: panel.clone(),
                    expr: target["expr"].as_str().unwrap().to_owned(),
                });
            }
        }
    }
    queries
}

/// A query with its variables replaced, as Grafana does: all jobs, routes and tenants are `.*`.
fn replaced(expr: &str, range: f64) -> String {
    let expr = expr.replace("$__rate_interval", RATE).replace("$__range", &format!("{}s", range.ceil()));
    ["$job", "$route", "$tenant"].iter().fold(expr, |expr, variable| expr.replace(variable, ".*"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_of_every_dashboard_shows_what_happens() {
    let installed = Installation::start().await;
    let owner = installed.server.owner().await;
    let price = json!({"model": WRITER, "effective_from": "2020-01-01", "input_per_million": 900, "output_per_million": 900});
    let priced = owner.post("/owner/api/prices", &price).await;
    assert_eq!(priced.status, 201, "{}", priced.text());

    let prometheus = &installed.prometheus;
    prometheus.scrapes(2).await;
    let began = now();
    for n in 1..=3 {
        installed.wave(n).await;
        prometheus.scrapes(3).await;
    }
    let ended = now();

    let mut faults = Vec::new();
    let queries = queries();
    assert!(queries.len() > 80, "{}", queries.len());
    for Query { dashboard, panel, expr } in queries {
        let title = panel["title"].as_str().unwrap();
        let query = replaced(&expr, ended - began);
        let found = match expr.contains("$__range") {
            true => prometheus.at(&query, ended).await,
            false => prometheus.range(&query, (began, ended), EVERY).await,
        };
        let highest = found.iter().filter_map(Series::highest).reduce(f64::max);
        let zero = QUIET.iter().chain(&AT_ZERO).any(|(quiet, _)| *quiet == title);
        match highest {
            None => faults.push(format!("{dashboard}: {title}: nothing but {} series: {query}", found.len())),
            Some(highest) if !zero && highest <= 0.0 => {
                faults.push(format!("{dashboard}: {title}: {highest}, as if nothing had happened: {query}"));
            }
            Some(_) => links(&owner, &dashboard, &panel, &found, (began, ended), &mut faults).await,
        }
    }
    assert!(faults.is_empty(), "{}\n\n{}", faults.join("\n"), installed.server.scrape().await);

    by_name(prometheus, (began, ended)).await;
    narrowed(prometheus, ended).await;
    variables(prometheus).await;
    rules(prometheus).await;
}

/// What a click on each series opens is there: the page, and behind it the requests of that filter.
async fn links(
    owner: &Client,
    dashboard: &str,
    panel: &Value,
    found: &[Series],
    (since, until): (f64, f64),
    faults: &mut Vec<String>,
) {
    for link in panel["fieldConfig"]["defaults"]["links"].as_array().unwrap() {
        let url = link["url"].as_str().unwrap().replace("${console}", "");
        let url = url.replace("${__from:date:seconds}", &format!("{since:.0}"));
        let url = url.replace("${__to:date:seconds}", &format!("{:.0}", until + 1.0));
        let mut opened = BTreeSet::new();
        for series in found {
            let mut url = url.clone();
            for (label, value) in series.labels.as_object().unwrap() {
                url = url.replace(&format!("${{__field.labels.{label}}}"), value.as_str().unwrap());
            }
            // those that have no series of their own share one, which is nobody's id
            let shared = url.contains("tenant_id=other") || url.contains("tenant_id=${");
            if !shared && opened.insert(url.clone()) {
                let page = owner.get(&url).await;
                let screen = url.split("screen=").nth(1).unwrap().split('&').next().unwrap();
                let filter = url.replace(&format!("/owner?screen={screen}&range=custom&"), "");
                let behind = owner.get(&format!("/owner/api/logs?{filter}")).await;
                if page.status != 200 || url.contains("${") || (screen == "logs" && behind.status != 200) {
                    faults.push(format!("{dashboard}: {}: {url}: {}", panel["title"], behind.text()));
                }
            }
        }
    }
}

/// Each way that an ask can end is told from the others.
async fn by_name(prometheus: &Prometheus, range: (f64, f64)) {
    for (query, label, values) in [
        (
            "sum by (status) (rate(rag_requests_total{channel!=\"canary\"}[4s])) > 0",
            "status",
            &["SUCCESS", "ERROR", "ABSTAINED", "FAIL_CLOSED", "CANCELLED", "RATE_LIMITED"][..],
        ),
        (
            "sum by (phase) (rate(rag_stream_aborts_total[4s])) > 0",
            "phase",
            &["before_first_token", "streaming"],
        ),
        ("sum by (rating) (rate(rag_feedback_total[4s])) > 0", "rating", &["up", "down"]),
        ("sum by (result) (rate(rag_citations_total[4s])) > 0", "result", &["kept", "removed"]),
        ("sum by (result) (rate(rag_cache_requests_total[4s])) > 0", "result", &["hit", "miss", "bypass"]),
        (
            "sum by (kind) (rate(rag_auth_failures_total[4s])) > 0",
            "kind",
            &["missing", "unknown_key", "wrong_password"],
        ),
    ] {
        let found = prometheus.range(query, range, EVERY).await;
        let named: BTreeSet<_> = found.iter().filter_map(|series| series.labels[label].as_str()).collect();
        for value in values {
            assert!(named.contains(value), "{query}: no {value} in {named:?}");
        }
    }
}

/// A choice of one tenant and one route leaves its asks alone.
async fn narrowed(prometheus: &Prometheus, at: f64) {
    let asks = |tenant: &str, route: &str| {
        format!("sum(rag_requests_total{{tenant=~\"{tenant}\",route=~\"{route}\",channel!=\"canary\"}})")
    };
    let all = prometheus.at(&asks(".*", ".*"), at).await[0].last().unwrap();
    let own = rag_tower::TenantId::named("language-centre").to_string();
    let some = prometheus.at(&asks(&own, "course_search|docs_search"), at).await[0].last().unwrap();
    assert!(some > 0.0 && some < all, "{some} of {all}");
}

/// Each choice at the top offers something.
async fn variables(prometheus: &Prometheus) {
    for (label, metric, value) in [
        ("job", "rag_build_info", "rag-tower"),
        ("route", "rag_requests_total", "tuition_calculator"),
        ("tenant", "rag_requests_total", "other"),
    ] {
        let values = prometheus.get(&format!("/api/v1/label/{label}/values?match[]={metric}")).await;
        assert!(values.as_array().unwrap().contains(&json!(value)), "{label}: {values}");
    }
}

/// All rules can be evaluated, the alert on isolation rings, and what it says is complete.
async fn rules(prometheus: &Prometheus) {
    let groups = prometheus.get("/api/v1/rules").await;
    let rules: Vec<_> = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert!(rules.len() > 50, "{}", rules.len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert!(!rule.to_string().contains("error expanding"), "{rule}");
    }
    let firing = prometheus.get("/api/v1/alerts").await;
    let firing: BTreeSet<_> = firing["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|alert| alert["state"] == "firing")
        .map(|alert| alert["labels"]["alertname"].as_str().unwrap())
        .collect();
    for alert in ["IsolationViolated", "FailedClosed"] {
        assert!(firing.contains(alert), "{alert} is not among {firing:?}");
    }
    for alert in [
        "ServerDown",
        "NoServer",
        "DependencyDown",
        "TraceRowsDropped",
        "HandlerPanicked",
        "TracePartitionMissing",
    ] {
        assert!(!firing.contains(alert), "{alert} is among {firing:?}");
    }
}
