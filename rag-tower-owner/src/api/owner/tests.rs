//! The owner's routes as a page or a program meets them, on the whole application.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use rag_tower::postgres::{NewHandoff, PgHandoffs, PgTraceStore};
use rag_tower::trace::{Outcome, TraceRow};
use rag_tower::{AbstainReason, AskId, Finish};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::app::tests::{PASSWORD, Running};
use crate::owner_store::tests::alerts::Ear;

/// Sends a request, with a session when there is one.
async fn send(
    running: &Running,
    session: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> (StatusCode, Value, Option<String>) {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    if !session.is_empty() {
        request = request.header("authorization", format!("Bearer {session}"));
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let answer = running.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let cookie = answer.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap().to_owned());
    let status = answer.status();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default(), cookie)
}

/// Logs in and gives the session's token.
async fn log_in(running: &Running) -> String {
    let login = json!({ "username": "owner", "password": PASSWORD });
    let (status, said, cookie) = send(running, "", "POST", "/owner/auth/login", Some(login)).await;
    assert_eq!(status, 200, "{said}");
    cookie.unwrap().split(['=', ';']).nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn the_owner_works_through_what_waits() {
    let running = Running::start().await;
    let wrong = json!({ "username": "owner", "password": "hunter2-hunter2" });
    assert_eq!(send(&running, "", "POST", "/owner/auth/login", Some(wrong)).await.0, 401);
    let other = json!({ "username": "hunter2-hunter2", "password": PASSWORD });
    assert_eq!(send(&running, "", "POST", "/owner/auth/login", Some(other)).await.0, 401);
    let session = log_in(&running).await;
    let get = async |path: &str| send(&running, &session, "GET", path, None).await;
    let post = async |path: &str, body: Value| send(&running, &session, "POST", path, Some(body)).await;

    // tickets
    let scope = rag_tower::test_util::scope("a");
    let mut wanted = NewHandoff::new("asked_for_a_person");
    wanted.phone = Some("0912345678".into());
    let ticket = PgHandoffs::new(&running.platform.database).open(&scope, &wanted).await.unwrap().id;
    let path = format!("/owner/api/handoffs/{ticket}");
    let list = get("/owner/api/handoffs?status=new").await.1;
    assert_eq!(list["items"][0]["phone"], "09****678");
    assert_eq!(list["counts"], json!({ "new": 1, "contacted": 0, "closed": 0 }));
    assert_eq!(get("/owner/api/handoffs?status=open").await.0, 400);
    let step = json!({ "from": "new", "to": "contacted", "note": "gọi rồi" });
    let (status, moved, _) = post(&format!("{path}/transition"), step.clone()).await;
    assert_eq!((status.as_u16(), &moved["status"], &moved["notes"]), (200, &json!("contacted"), &json!(1)));
    let (status, problem, _) = post(&format!("{path}/transition"), step).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("it is contacted"), "{problem}");
    let back = json!({ "from": "contacted", "to": "new" });
    assert_eq!(post(&format!("{path}/transition"), back).await.0, 400);
    let odd = json!({ "from": "contacted", "to": "closed", "force": true });
    assert_eq!(post(&format!("{path}/transition"), odd).await.0, 400);
    let (status, event, _) = post(&format!("{path}/notes"), json!({ "text": " chờ " })).await;
    assert_eq!((status.as_u16(), &event["note"], &event["to"]), (201, &json!("chờ"), &Value::Null));
    assert_eq!(post(&format!("{path}/notes"), json!({ "text": " " })).await.0, 400);
    assert_eq!(post(&format!("{path}/notes"), json!({ "text": "a\u{0}b" })).await.0, 400);
    assert_eq!(post(&format!("{path}/reveal"), json!({ "reason": "ab" })).await.0, 400);
    let (status, shown, _) = post(&format!("{path}/reveal"), json!({ "reason": "call back" })).await;
    assert_eq!((status.as_u16(), shown), (200, json!({ "phone": "0912345678", "message": "" })));
    assert_eq!(get(&path).await.1["history"].as_array().unwrap().len(), 2);
    for missing in [uuid::Uuid::nil().to_string(), "x".to_owned()] {
        let missing = format!("/owner/api/handoffs/{missing}");
        assert_eq!(get(&missing).await.0, 404);
        assert_eq!(post(&format!("{missing}/reveal"), json!({ "reason": "call back" })).await.0, 404);
    }

    // the queue and the views
    assert_eq!(get("/owner/api/feedback?state=open&rating=down").await.1["total"], 0);
    assert_eq!(get("/owner/api/feedback?rating=1").await.0, 400);
    let view = json!({ "screen": "logs", "name": "errors", "query": "?status=ERROR" });
    let (status, view, _) = post("/owner/api/views", view.clone()).await;
    assert_eq!((status.as_u16(), &view["query"]), (201, &json!("status=ERROR")));
    let again = json!({ "screen": "logs", "name": "errors", "query": "" });
    assert_eq!(post("/owner/api/views", again).await.0, 409);
    let long = json!({ "screen": "logs", "name": "long", "query": "x".repeat(2_001) });
    assert_eq!(post("/owner/api/views", long).await.0, 400);
    let view = format!("/owner/api/views/{}", view["id"].as_str().unwrap());
    assert_eq!(send(&running, &session, "DELETE", &view, None).await.0, 204);
    assert_eq!(send(&running, &session, "DELETE", &view, None).await.0, 404);

    // who came and went is in the log, what was typed is not
    assert_eq!(send(&running, &session, "POST", "/owner/auth/logout", None).await.0, 200);
    assert_eq!(get("/owner/api/audit").await.0, 401);
    let session = log_in(&running).await;
    let log = send(&running, &session, "GET", "/owner/api/audit", None).await.1;
    let mut actions: Vec<_> = log["items"].as_array().unwrap().iter().map(|line| &line["action"]).collect();
    actions.reverse();
    assert_eq!(
        actions,
        [
            "owner.login_refused",
            "owner.login_refused",
            "owner.login",
            "handoff.transition",
            "handoff.note",
            "handoff.reveal",
            "view.create",
            "view.delete",
            "owner.logout",
            "owner.login"
        ]
    );
    let names: Vec<_> = log["items"].as_array().unwrap().iter().map(|line| &line["who"]).collect();
    assert_eq!((names[9], names[8], names[7]), (&json!("owner"), &json!(""), &json!("owner")));
    let text = log.to_string();
    assert!(
        !text.contains("hunter2") && !text.contains("0912345678") && text.contains("call back"),
        "{text}"
    );
    running.stop().await;
}

#[tokio::test]
async fn figures_files_and_live_views_are_strict_about_what_is_asked() {
    let running = Running::start().await;
    let session = log_in(&running).await;
    let get = async |path: &str| send(&running, &session, "GET", path, None).await;

    for path in [
        "/owner/api/metrics?since=2026-01-01&until=2026-01-31T12:00:00Z",
        "/owner/api/metrics/timeseries?since=2026-01-01&until=2026-01-31&points=31",
        "/owner/api/metrics/heatmap?status=ERROR",
        "/owner/api/metrics/breakdown?by=tenant&limit=3",
        "/owner/api/logs?feedback=down&handoff=no&cache=hit&min_ms=2.83&max_ms=4&max_cost=0.5&min_tokens=3",
        "/owner/api/logs/facets?reason=internal",
        "/owner/api/logs/export?format=jsonl&columns=ts,answer",
    ] {
        let (status, said, _) = get(path).await;
        assert_eq!(status, 200, "{path}: {said}");
    }
    let series = get("/owner/api/metrics/timeseries?since=2026-01-01&until=2026-01-31&points=31").await.1;
    assert_eq!((series["step_s"].as_i64(), series["buckets"].as_array().unwrap().len()), (Some(86_400), 31));
    assert_eq!(series["buckets"][0]["p95_ms"], Value::Null);
    for path in [
        "/owner/api/metrics?q=x",
        "/owner/api/metrics?since=now",
        "/owner/api/metrics/timeseries?points=0",
        "/owner/api/metrics/timeseries?points=401",
        "/owner/api/metrics/heatmap?points=97",
        "/owner/api/metrics/breakdown",
        "/owner/api/metrics/breakdown?by=answer",
        "/owner/api/metrics/breakdown?by=route&by=route",
        "/owner/api/logs?feedback=maybe",
        "/owner/api/logs?handoff=true",
        "/owner/api/logs?min_ms=-1",
        "/owner/api/logs?max_ms=1s",
        "/owner/api/logs?max_cost=NaN",
        "/owner/api/logs?format=csv",
        "/owner/api/logs/export?format=xlsx",
        "/owner/api/logs/export?columns=ts,phone",
        "/owner/api/logs/export?limit=5",
        "/owner/api/logs/tail?q=x",
        "/owner/api/logs/0191/spans?cursor=1",
    ] {
        let (status, said, _) = get(path).await;
        assert_eq!((status.as_u16(), &said["kind"]), (400, &json!("invalid_input")), "{path}: {said}");
    }
    assert_eq!(get("/owner/api/logs/0191/spans").await.0, 404);

    let ask = async |path: &str| {
        let request = Request::builder().uri(path).header("host", "localhost");
        let request =
            request.header("authorization", format!("Bearer {session}")).body(Body::empty()).unwrap();
        running.router.clone().oneshot(request).await.unwrap()
    };
    let file = ask("/owner/api/logs/export?columns=ts,question").await;
    assert_eq!(file.headers()["content-type"], "text/csv; charset=utf-8");
    let name = file.headers()["content-disposition"].to_str().unwrap();
    assert!(name.starts_with("attachment; filename=\"requests-") && name.ends_with(".csv\""), "{name}");
    assert_eq!(file.into_body().collect().await.unwrap().to_bytes(), "ts,question\r\n");

    // eight live views, and no more; each ends with the session
    let mut views = Vec::new();
    for _ in 0..8 {
        let view = ask("/owner/api/logs/tail").await;
        assert_eq!(
            (view.status().as_u16(), &view.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        views.push(view.into_body());
    }
    let refused = ask("/owner/api/logs/tail").await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (429, "10"));
    views.truncate(1);
    drop(ask("/owner/api/logs/tail").await);
    assert_eq!(send(&running, &session, "POST", "/owner/auth/logout", None).await.0, 200);
    let ended = async {
        while let Some(frame) = views[0].frame().await {
            frame.unwrap();
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), ended).await.expect("it ends with the session");
    drop(views);
    running.stop().await;
}

#[tokio::test]
async fn the_owner_sees_the_platform_and_stops_a_tenant_at_once() {
    let running = Running::start().await;
    let session = log_in(&running).await;
    let get = async |path: &str| send(&running, &session, "GET", path, None).await;
    let post = async |path: &str, body: Value| send(&running, &session, "POST", path, Some(body)).await;
    let key = running.secrets.demo_key.expose().to_owned();
    let ask =
        async || send(&running, &key, "POST", "/query", Some(json!({ "question": "Học phí?" }))).await.0;

    // a tenant
    let tenants = get("/owner/api/tenants").await.1;
    assert_eq!(tenants["total"], 2, "{tenants}");
    let demo = tenants["items"].as_array().unwrap().iter().find(|tenant| tenant["keys"] == 1).unwrap();
    assert!(demo["documents"].as_i64() > Some(0) && demo["chunks"].as_i64() > Some(0), "{demo}");
    let path = format!("/owner/api/tenants/{}", demo["id"].as_str().unwrap());
    assert_eq!(ask().await, 200);
    assert_eq!(post(&format!("{path}/suspend"), json!({})).await.0, 400);
    assert_eq!(post(&format!("{path}/suspend"), json!({ "reason": "x" })).await.0, 400);
    let (status, tenant, _) = post(&format!("{path}/suspend"), json!({ "reason": "a test" })).await;
    assert_eq!((status.as_u16(), &tenant["status"]), (200, &json!("suspended")));
    assert_eq!(ask().await, 401, "at once");
    assert_eq!(post(&format!("{path}/suspend"), json!({ "reason": "a test" })).await.0, 409);
    assert_eq!(post(&format!("{path}/resume"), json!({})).await.0, 200);
    assert_eq!(ask().await, 200);
    assert_eq!(get(&path).await.1["api_keys"].as_array().unwrap().len(), 1);
    assert!(!get(&path).await.1.to_string().contains("hash"));
    assert_eq!(get("/owner/api/tenants/x").await.0, 404);

    // the platform
    let (status, system, _) = get("/owner/api/system").await;
    assert_eq!((status.as_u16(), &system["version"]), (200, &json!(env!("CARGO_PKG_VERSION"))));
    assert!(system["partitions"]["count"].as_i64() > Some(0) && system["trace"]["lag_s"].is_number());
    let up: Vec<_> =
        system["dependencies"].as_array().unwrap().iter().map(|one| (&one["name"], &one["ok"])).collect();
    assert_eq!(up[..2], [(&json!("postgres"), &json!(true)), (&json!("vectors"), &json!(true))], "{system}");
    let text = system["settings"].to_string();
    assert!(text.contains("RAG_TOWER_ZONE") && !text.contains(PASSWORD), "{text}");

    // whether tenants are kept apart
    let (status, isolation, _) = get("/owner/api/isolation?since=2026-01-01").await;
    assert_eq!(status, 200);
    assert_eq!((&isolation["audit"]["ok"], &isolation["probe"]["ok"]), (&json!(true), &json!(true)));
    assert_eq!(isolation["fail_closed"], json!([]));
    let end = Instant::now() + Duration::from_secs(30);
    let funnel = loop {
        let funnel = get("/owner/api/isolation").await.1["funnel"].clone();
        if funnel["asked"] == 2 {
            break funnel;
        }
        assert!(Instant::now() < end, "{funnel}");
        tokio::task::yield_now().await;
    };
    let counts = funnel["steps"].as_array().unwrap().iter().map(|step| step["count"].as_i64().unwrap());
    assert_eq!(funnel["answered"].as_i64(), Some(2 - counts.sum::<i64>()), "{funnel}");
    assert_eq!(funnel["tenants"][0]["tenant_id"], demo["id"], "{funnel}");
    assert_eq!(get("/owner/api/isolation?since=soon").await.0, 400);
    let (status, found, _) = send(&running, &session, "POST", "/owner/api/isolation/check", None).await;
    assert_eq!((status.as_u16(), &found["audit"]["findings"]), (200, &json!([])), "{found}");
    assert!(found["probe"]["at"].as_str() > isolation["probe"]["at"].as_str());
    let log = get("/owner/api/audit?action=isolation.check").await.1;
    assert_eq!(log["items"][0]["detail"], json!({ "audit_ok": true, "probe_ok": true, "canary_ok": true }));
    // the canaries have asked for it, and are in no list
    let canary = &found["canary"];
    assert_eq!((&canary["state"], &canary["rounds"]), (&json!("ok"), &json!(1)), "{canary}");
    assert_eq!(get("/owner/api/tenants").await.1["total"], 2);
    running.stop().await;
}

#[tokio::test]
async fn the_owner_says_what_to_be_told_of_and_tries_it() {
    let running = Running::start().await;
    let session = log_in(&running).await;
    let get = async |path: &str| send(&running, &session, "GET", path, None).await;
    let change = async |method: &str, path: &str, body: Value| {
        send(&running, &session, method, path, Some(body)).await
    };
    let ear = Ear::open().await;
    let rule = json!({
        "name": "errors", "metric": "error_rate", "window_min": 15, "comparison": "above", "threshold": 0.05,
        "min_requests": 20, "webhook": ear.address
    });
    let with = |name: &str, value: Value| {
        let mut rule = rule.clone();
        rule[name] = value;
        rule
    };
    for (name, value) in [
        ("name", json!(" ")),
        ("metric", json!("weather")),
        ("window_min", json!(0)),
        ("comparison", json!("near")),
        ("min_requests", json!(-1)),
        ("tenant_id", json!("acme")),
        ("tenant_id", json!(uuid::Uuid::nil())),
        ("webhook", json!("file:///etc/passwd")),
        ("webhook", json!("s3cret")),
        ("more", json!(1)),
    ] {
        let (status, problem, _) = change("POST", "/owner/api/alerts", with(name, value)).await;
        assert_eq!(status, 400, "{name}: {problem}");
        assert!(!problem.to_string().contains("s3cret"), "{problem}");
    }
    let (status, alert, _) = change("POST", "/owner/api/alerts", rule.clone()).await;
    assert_eq!((status.as_u16(), &alert["state"], &alert["enabled"]), (201, &json!("no_data"), &json!(true)));
    assert!(!alert.to_string().contains("s3cret"), "{alert}");
    let path = format!("/owner/api/alerts/{}", alert["id"].as_str().unwrap());

    let (status, done, _) = change("POST", &format!("{path}/test"), json!({})).await;
    assert_eq!((status.as_u16(), done), (200, json!({ "ok": true, "status": 200, "error": null })));
    ear.answers(404);
    let done = change("POST", &format!("{path}/test"), json!({})).await.1;
    assert_eq!(done, json!({ "ok": false, "status": 404, "error": "it answered with 404" }));
    let heard = ear.heard();
    assert_eq!(
        (heard.len(), &heard[0]["test"], &heard[0]["alert"]["name"]),
        (2, &json!(true), &json!("errors"))
    );
    let events = get(&format!("{path}/events?limit=1")).await.1;
    assert_eq!((&events["items"][0]["kind"], &events["total"]), (&json!("test"), &json!(2)));
    let listed = get("/owner/api/alerts").await.1;
    assert_eq!(listed["items"][0]["last_delivery"]["status"], 404);

    // left out it stays, null takes it away
    let mut changed = with("threshold", json!(0.5));
    changed.as_object_mut().unwrap().remove("webhook");
    let (status, alert, _) = change("PUT", &path, changed).await;
    assert_eq!((status.as_u16(), &alert["threshold"]), (200, &json!(0.5)));
    assert!(alert["webhook"].is_string());
    assert_eq!(change("PUT", &path, with("webhook", Value::Null)).await.1["webhook"], Value::Null);
    assert_eq!(change("POST", &format!("{path}/test"), json!({})).await.0, 409);
    assert_eq!(send(&running, &session, "DELETE", &path, None).await.0, 204);
    for (method, path) in [("DELETE", path.clone()), ("PUT", path.clone()), ("POST", format!("{path}/test"))]
    {
        assert_eq!(change(method, &path, rule.clone()).await.0, 404, "{method}");
    }
    assert_eq!(get(&format!("{path}/events")).await.0, 404);
    let log = get("/owner/api/audit?action=alert.test").await.1;
    assert_eq!(log["total"], 2, "what could not be tried is no entry");
    drop(ear);
    running.stop().await;
}

#[tokio::test]
async fn gaps_are_listed_closed_and_opened_again() {
    let running = Running::start().await;
    let session = log_in(&running).await;
    let get = async |path: &str| send(&running, &session, "GET", path, None).await;
    let post = async |path: &str, body: Value| send(&running, &session, "POST", path, Some(body)).await;
    let scope = rag_tower::test_util::scope("a");
    let mut rows = Vec::new();
    for question in ["Có bể bơi không? gọi 0912345678", "Có sân bóng không?", "có sân bóng không"]
    {
        let outcome = Outcome::Completed(Finish::Abstained(AbstainReason::NoDocuments));
        let mut row = TraceRow::new(AskId::generate(), scope.tenant(), outcome, Duration::from_millis(1));
        row.question = Some(question.into());
        rows.push(row);
    }
    PgTraceStore::new(&running.platform.database).insert(&rows).await.unwrap();
    let asked: Vec<Value> = rows.iter().map(|row| json!(row.trace_id)).collect();

    let (status, list, _) =
        get("/owner/api/gaps?limit=1&state=open&reason=no_documents&since=2020-01-01").await;
    assert_eq!(status, 200, "{list}");
    let first = &list["items"][0];
    assert_eq!(
        (&first["count"], &first["sample_trace_id"], &list["total"]),
        (&json!(2), &asked[2], &json!(2))
    );
    assert_eq!((&list["counts"], &list["complete"]), (&json!({ "open": 2, "resolved": 0 }), &json!(true)));
    let next = get(&format!("/owner/api/gaps?limit=1&cursor={}", list["next"].as_str().unwrap())).await.1;
    assert_eq!(next["items"][0]["question"], "Có bể bơi không? gọi 09****678");
    assert_eq!(next["next"], Value::Null);
    for path in [
        "/owner/api/gaps?state=done",
        "/owner/api/gaps?reason=isolation",
        "/owner/api/gaps?limit=201",
        "/owner/api/gaps?cursor=1.2.3",
        "/owner/api/gaps?tenant_id=a",
        "/owner/api/gaps?until=soon",
        "/owner/api/gaps?offset=1",
        "/owner/api/gaps/export?format=xlsx",
        "/owner/api/gaps/export?limit=1",
    ] {
        let (status, said, _) = get(path).await;
        assert_eq!((status.as_u16(), &said["kind"]), (400, &json!("invalid_input")), "{path}: {said}");
    }
    assert_eq!(get("/owner/api/gaps/export?format=csv").await.0, 200);

    let (resolve, reopen) = ("/owner/api/gaps/resolve", "/owner/api/gaps/reopen");
    let (status, standing, _) = post(resolve, json!({ "trace_id": asked[1], "note": " thêm rồi " })).await;
    assert_eq!(
        (status.as_u16(), &standing["note"], &standing["key"]),
        (200, &json!("thêm rồi"), &first["key"])
    );
    let closed = get("/owner/api/gaps?state=resolved").await.1;
    assert_eq!((&closed["total"], &closed["items"][0]["resolved_by"]), (&json!(1), &json!("owner")));
    assert_eq!(post(reopen, json!({ "trace_id": asked[2] })).await.0, 200);
    let (status, said, _) = post(reopen, json!({ "trace_id": asked[2] })).await;
    assert_eq!((status.as_u16(), &said["kind"]), (409, &json!("conflict")));
    for (path, body, expected) in [
        (resolve, json!({ "trace_id": uuid::Uuid::nil() }), 404),
        (reopen, json!({ "trace_id": AskId::generate() }), 404),
        (resolve, json!({ "trace_id": "x" }), 400),
        (resolve, json!({ "key": first["key"] }), 400),
        (resolve, json!({ "trace_id": asked[0], "note": "x".repeat(2_001) }), 400),
        (reopen, json!({ "trace_id": asked[0], "note": "x" }), 400),
    ] {
        assert_eq!(post(path, body.clone()).await.0.as_u16(), expected, "{path} {body}");
    }
    let log = get("/owner/api/audit?action=gap.resolve").await.1;
    assert_eq!((&log["total"], &log["items"][0]["tenant_id"]), (&json!(1), &first["tenant_id"]));
    running.stop().await;
}

#[tokio::test]
async fn prices_are_entered_once_and_taken_out() {
    let running = Running::start().await;
    let session = log_in(&running).await;
    let get = async |path: &str| send(&running, &session, "GET", path, None).await;
    let post = async |body: Value| send(&running, &session, "POST", "/owner/api/prices", Some(body)).await;
    let price = json!({
        "model": "m", "effective_from": "2026-01-31", "input_per_million": 0.15, "output_per_million": 0.6,
    });
    let (status, entered, _) = post(price.clone()).await;
    assert_eq!((status.as_u16(), &entered["effective_from"]), (201, &json!("2026-01-31T00:00:00Z")));
    assert_eq!(post(price.clone()).await.0, 409);
    for (field, value) in [
        ("input_per_million", json!(-1)),
        ("output_per_million", json!(1e9)),
        ("model", json!(" ")),
        ("effective_from", json!("soon")),
        ("effective_from", json!("")),
        ("currency", json!("EUR")),
    ] {
        let mut odd = price.clone();
        odd[field] = value;
        assert_eq!(post(odd).await.0, 400, "{field}");
    }
    let list = get("/owner/api/prices").await.1;
    assert_eq!((&list["total"], &list["items"][0]["input_per_million"]), (&json!(1), &json!(0.15)));
    let path = format!("/owner/api/prices/{}", entered["id"].as_str().unwrap());
    assert_eq!(send(&running, &session, "DELETE", &path, None).await.0, 204);
    for path in [path.as_str(), "/owner/api/prices/x"] {
        assert_eq!(send(&running, &session, "DELETE", path, None).await.0, 404);
    }
    let used = get("/owner/api/usage?since=2026-01-01&until=2026-01-31").await;
    assert_eq!((used.0.as_u16(), &used.1["items"], &used.1["total"]), (200, &json!([]), &json!(0)));
    assert_eq!(used.1["month"]["requests"], 0);
    assert_eq!(get("/owner/api/usage/export?format=csv").await.0, 200);
    for path in ["/owner/api/usage?day=1", "/owner/api/usage?limit=0", "/owner/api/usage/export?limit=1"] {
        assert_eq!(get(path).await.0, 400, "{path}");
    }
    running.stop().await;
}
