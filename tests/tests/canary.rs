//! Two tenants that nobody is ask a running server whether tenants are kept apart: what they find, where it is said, and
//! that nobody else has anything to do with them.

use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use rag_tower::tenant::TenantId;
use rag_tower_tests::http::{Client, DEADLINE};
use rag_tower_tests::postgres::run;
use rag_tower_tests::server::{DEMO_KEY, Setup};
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");

fn setup() -> Setup {
    Setup::new(BINARY).env("RAG_TOWER_CANARY_INTERVAL", "1")
}

fn ids() -> [String; 2] {
    ["rag-tower-canary-a", "rag-tower-canary-b"].map(|name| TenantId::named(name).to_string())
}

async fn state(owner: &Client) -> Value {
    owner.get("/owner/api/isolation").await.json()["canary"].clone()
}

/// Waits until the canaries are so; what they say then.
async fn reaches(owner: &Client, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + 4 * DEADLINE;
    loop {
        let said = state(owner).await;
        if is(&said) {
            return said;
        }
        assert!(Instant::now() < end, "not {what}: {said:#}");
        tokio::task::yield_now().await;
    }
}

/// A series' value.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {metrics}")).parse().unwrap()
}

async fn ones(connection: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.unwrap()
}

/// Documents of canaries that are there.
async fn documents(connection: &mut PgConnection) -> i64 {
    let [a, b] = ids();
    let sql = format!(
        "SELECT count(*) FROM rag_tower.documents WHERE tenant_id IN ('{a}', '{b}') AND deleted_at IS NULL"
    );
    ones(connection, &sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_canaries_ask_and_are_seen_nowhere_else() {
    let server = setup().start();
    let owner = server.owner().await;
    let mut live = owner.follow("/owner/api/logs/tail").await;
    assert_eq!(live.status, 200);

    // long enough for a secret to have been replaced
    let said = reaches(&owner, "replaced", |said| {
        said["state"] == "ok"
            && said["checks"].as_array().is_some_and(|checks| checks.iter().all(|c| c["ok"] == true))
    })
    .await;
    assert_eq!((&said["enabled"], &said["ok"], &said["interval_s"]), (&json!(true), &json!(true), &json!(1)));
    assert!(
        said["rounds"].as_u64() > Some(10) && said["at"].is_string() && said["next_at"].is_string(),
        "{said}"
    );
    assert!(said["rotated_at"].is_string(), "{said}");
    let names: Vec<_> =
        said["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    for name in [
        "own_secret",
        "foreign_question",
        "foreign_session",
        "foreign_vector",
        "foreign_rows",
        "rotated_secret",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }

    // the owner asks for a round
    let before = state(&owner).await["rounds"].as_u64().unwrap();
    let checked = owner.post("/owner/api/isolation/check", &json!({})).await;
    assert_eq!(checked.status, 200, "{}", checked.text());
    let checked = checked.json();
    assert_eq!(
        (&checked["canary"]["state"], &checked["audit"]["ok"]),
        (&json!("ok"), &json!(true)),
        "{checked}"
    );
    assert!(checked["canary"]["rounds"].as_u64().unwrap() > before);

    // the asks are rows like any other, which can be opened
    let trace = said["checks"][0]["trace_id"].as_str().unwrap();
    let row = server.row(trace).await;
    assert_eq!(
        (&row["channel"], &row["tenant"], &row["status"]),
        (&json!("canary"), &json!("canary-a"), &json!("SUCCESS"))
    );
    assert_eq!(row["llm_provider"], "extractive");

    // and are nowhere else, however somebody looks
    let own =
        server.tenant().post("/query", &json!({ "question": "Which IELTS courses are there?" })).await.json();
    server.row(own["trace_id"].as_str().unwrap()).await;
    let [a, b] = ids();
    for path in [
        "/owner/api/logs",
        "/owner/api/logs?channel=canary",
        "/owner/api/logs?q=lighthouse",
        "/owner/api/logs?min_ms=0",
        "/owner/api/logs/facets",
        "/owner/api/logs/facets?q=lighthouse",
        "/owner/api/logs/export?format=jsonl",
        "/owner/api/metrics",
        "/owner/api/metrics/breakdown?by=tenant",
        "/owner/api/metrics/breakdown?by=channel",
        "/owner/api/usage",
        "/owner/api/usage/export?format=csv",
        "/owner/api/tenants",
        "/owner/api/feedback",
        "/owner/api/handoffs",
        "/demo",
    ] {
        let answer = owner.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let text = answer.text();
        for trace in [a.as_str(), b.as_str(), "canary", "lighthouse"] {
            assert!(!text.contains(trace), "{trace} in {path}: {text}");
        }
    }
    for path in ["/owner/api/logs", "/owner/api/logs?min_ms=0", "/owner/api/tenants"] {
        let list = owner.get(path).await.json();
        let expected = if path.ends_with("tenants") { 2 } else { 1 };
        assert_eq!(
            (list["items"].as_array().unwrap().len(), &list["total"]),
            (expected, &json!(expected)),
            "{path}"
        );
    }
    let figures = owner.get("/owner/api/metrics").await.json();
    assert_eq!((&figures["total_requests"], &figures["active_tenants"]), (&json!(1), &json!(1)), "{figures}");
    for of in [&a, &b] {
        assert_eq!(owner.get(&format!("/owner/api/logs?tenant_id={of}")).await.json()["items"], json!([]));
        assert_eq!(owner.get(&format!("/owner/api/tenants/{of}")).await.status, 404);
        let suspend = json!({ "reason": "a test" });
        assert_eq!(owner.post(&format!("/owner/api/tenants/{of}/suspend"), &suspend).await.status, 404);
        let rule = json!({
            "name": "n", "metric": "requests", "window_min": 15, "comparison": "above", "threshold": 1, "min_requests": 0,
            "tenant_id": of,
        });
        assert_eq!(owner.post("/owner/api/alerts", &rule).await.status, 400);
    }
    // the live view has what was asked, and nothing before it
    let event = live.next().await.expect("an ask");
    assert_eq!(
        (event.name.as_str(), &event.data["trace_id"]),
        ("line", &own["trace_id"]),
        "{:?}",
        event.data
    );
    // Postgres holds them, and the rollups are what they are without them
    let mut database = server.database().await;
    let kept = format!(
        "SELECT count(*) FROM rag_tower.request_traces WHERE channel = 'canary' AND tenant_id IN ('{a}', '{b}')"
    );
    assert!(ones(&mut database, &kept).await > 40);
    let counted =
        "SELECT coalesce(sum(requests), 0)::bigint FROM rag_tower.system_rollups WHERE level = 1440";
    let end = Instant::now() + DEADLINE;
    while ones(&mut database, counted).await != 1 {
        assert!(Instant::now() < end, "the rollups are not folded");
        tokio::task::yield_now().await;
    }

    let metrics = server.scrape().await;
    for check in ["catalog", "probe", "canary"] {
        assert_eq!(value(&metrics, &format!("rag_isolation_audit_ok{{check=\"{check}\"}}")), 1.0);
        let at = value(&metrics, &format!("rag_isolation_audit_timestamp_seconds{{check=\"{check}\"}}"));
        assert!(at > 1_700_000_000.0, "{at}");
    }
    assert_eq!(value(&metrics, "rag_isolation_violations_total{layer=\"canary\"}"), 0.0);
    let asked = |channel: &str| -> f64 {
        let of = format!("channel=\"{channel}\"");
        let of_channel = |line: &&str| line.starts_with("rag_requests_total{") && line.contains(&of);
        metrics
            .lines()
            .filter(of_channel)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    assert!(asked("canary") > 40.0, "{}", asked("canary"));
    let durations: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("rag_request_duration_seconds_count"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert_eq!(durations, asked("api"), "dashboards add these up over all channels");
    let secrets = format!("{metrics}{}", server.banner);
    assert!(!secrets.contains("lighthouse"), "{secrets}");
}

/// No caller is a canary, by any way in.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_claims_to_be_a_canary() {
    let server = setup().start();
    let question = json!({ "question": "Hello there", "channel": "canary" });
    let refused = server.tenant().post("/query", &question).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("tenant_chat, api"), "{}", refused.text());

    let mut request = format!("ws://{}/ws/query", server.addr).into_client_request().unwrap();
    let key = format!("Bearer {}", DEMO_KEY);
    request.headers_mut().insert("authorization", key.parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    let frame = json!({ "message": "Hello there", "channel": "canary" });
    socket.send(Message::text(frame.to_string())).await.unwrap();
    let said = tokio::time::timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap();
    let said: Value = serde_json::from_str(said.to_text().unwrap()).unwrap();
    assert_eq!(said["type"], "error", "a frame has no channel: {said}");

    // nor is a tenant that is one opened
    let owner = server.owner().await;
    reaches(&owner, "ok", |said| said["state"] == "ok").await;
    let [a, _] = ids();
    for tenant in [a.as_str(), "canary-a"] {
        let answer = server.client().post("/demo/token", &json!({ "tenant": tenant })).await;
        assert_ne!(answer.status, 200, "{}", answer.text());
        let mut asked =
            Setup::new(BINARY).on(&server.data).command(&["ask", "--tenant", tenant, "Anything?"]);
        let asked = tokio::task::spawn_blocking(move || asked.output().unwrap()).await.unwrap();
        assert!(!asked.status.success(), "{}", String::from_utf8_lossy(&asked.stdout));
    }
}

/// It can fail: a hole that somebody makes beside the running server is found by the next round, and said.
#[tokio::test(flavor = "multi_thread")]
async fn a_hole_beside_the_running_server_is_found_by_the_next_round() {
    let server = setup().start();
    let owner = server.owner().await;
    reaches(&owner, "ok", |said| said["state"] == "ok").await;
    let mut admin = server.database().await;
    for table in ["request_traces", "chunks"] {
        run(
            &mut admin,
            &format!("CREATE POLICY hole ON rag_tower.{table} FOR SELECT TO rag_tenant USING (true)"),
        )
        .await;
        let said = reaches(&owner, "a leak", |said| said["state"] == "leak").await;
        assert_eq!(said["ok"], false, "{said}");
        let checks = said["checks"].as_array().unwrap();
        let rows = checks.iter().find(|check| check["name"] == "foreign_rows").unwrap();
        assert_eq!((&rows["ok"], &rows["tenant"]), (&json!(false), &json!("canary-a")), "{rows}");
        assert!(rows["detail"].as_str().unwrap().ends_with(table), "{rows}");
        let metrics = server.scrape().await;
        assert_eq!(value(&metrics, "rag_isolation_audit_ok{check=\"canary\"}"), 0.0);
        assert!(value(&metrics, "rag_isolation_violations_total{layer=\"canary\"}") >= 1.0);
        run(&mut admin, &format!("DROP POLICY hole ON rag_tower.{table}")).await;
        reaches(&owner, "ok again", |said| said["state"] == "ok").await;
    }
    // what is its own is not there: that shows nothing, and is no leak
    let [_, b] = ids();
    let shut = "CREATE POLICY shut ON rag_tower.chunks AS RESTRICTIVE TO rag_tenant";
    run(&mut admin, &format!("{shut} USING (tenant_id <> '{b}')")).await;
    let said = reaches(&owner, "inconclusive", |said| said["state"] == "inconclusive").await;
    assert_ne!(said["ok"], true, "{said}");
    assert!(
        said["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|check| check["name"] != "foreign_rows" || check["ok"] != false)
    );
    run(&mut admin, "DROP POLICY shut ON rag_tower.chunks").await;
    reaches(&owner, "ok again", |said| said["state"] == "ok").await;
    drop(admin);
    let (status, output, _keep) = server.stop();
    assert!(status.success() && output.contains("tenants are not kept apart"), "{output}");
}

/// Killed or stopped, nothing of the canaries piles up.
#[tokio::test(flavor = "multi_thread")]
async fn what_servers_leave_behind_is_removed() {
    let server = setup().start();
    let owner = server.owner().await;
    reaches(&owner, "ok", |said| said["state"] == "ok").await;
    let data = server.data.clone();
    assert_eq!(documents(&mut server.database().await).await, 2);
    server.signal("KILL");
    let (_, _, keep) = server.wait();

    let server = setup().on(&data).start();
    let owner = server.owner().await;
    reaches(&owner, "ok", |said| said["state"] == "ok").await;
    let mut admin = server.database().await;
    // those of the one that was killed, as long as nobody knows that it was
    assert_eq!(documents(&mut admin).await, 4);
    let [a, b] = ids();
    let old = format!(
        "UPDATE rag_tower.documents SET updated_at = now() - interval '61 minutes' WHERE tenant_id IN ('{a}', '{b}');
         UPDATE rag_tower.chat_sessions SET updated_at = now() - interval '11 minutes' WHERE tenant_id IN ('{a}', '{b}')"
    );
    run(&mut admin, &old).await;
    let end = Instant::now() + DEADLINE;
    while documents(&mut admin).await != 2 {
        assert!(Instant::now() < end, "{} documents", documents(&mut admin).await);
        tokio::task::yield_now().await;
    }
    let said = state(&owner).await;
    assert_eq!(said["state"], "ok", "{said}");
    let left = format!(
        "SELECT count(*) FROM rag_tower.chat_sessions WHERE tenant_id IN ('{a}', '{b}') AND updated_at < now() - interval '10 minutes'"
    );
    assert_eq!(ones(&mut admin, &left).await, 0);
    // its own document, too, is made again when somebody took it away
    run(&mut admin, &format!("DELETE FROM rag_tower.documents WHERE tenant_id = '{a}'")).await;
    reaches(&owner, "ok again", |now| {
        now["state"] == "ok" && now["rounds"].as_u64() > said["rounds"].as_u64().map(|n| n + 2)
    })
    .await;
    assert_eq!(documents(&mut admin).await, 2);
    drop(admin);
    let (status, output, _) = server.stop();
    assert!(status.success(), "{output}");

    // one that was stopped has taken its own with it; those who do not ask leave nothing
    let server = Setup::new(BINARY).on(&data).start();
    assert_eq!(documents(&mut server.database().await).await, 0);
    let said = state(&server.owner().await).await;
    assert_eq!(
        (&said["enabled"], &said["state"], &said["checks"]),
        (&json!(false), &json!("off"), &json!([]))
    );
    let metrics = server.scrape().await;
    assert_eq!(value(&metrics, "rag_isolation_audit_timestamp_seconds{check=\"canary\"}"), 0.0);
    drop((server, keep));
}
