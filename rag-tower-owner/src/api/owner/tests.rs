//! The owner's routes as a page or a program meets them, on the whole application.

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use rag_tower::TenantAuthority;
use rag_tower::postgres::{NewHandoff, PgHandoffs};
use rag_tower::tenant::TenantId;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::app::tests::{PASSWORD, Running};

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
    let scope = TenantAuthority::new().grant(TenantId::named("a"));
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
        "/owner/api/logs?feedback=down&handoff=no&cache=hit&min_ms=1&max_cost=0.5&min_tokens=3",
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
