//! The owner's side against whoever is not the owner, over the whole route table, and against what tenants' users write.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use rag_tower_owner::routes::{Auth, Method as RouteMethod, ROUTES, Route};
use rag_tower_tests::http::{Answer, Client};
use rag_tower_tests::server::{OWNER, PASSWORD, Server, Setup, shared};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
const ELSEWHERE: &str = "https://evil.example";

fn server() -> std::sync::Arc<Server> {
    shared(BINARY)
}

/// The path with something in place of each parameter.
fn path_of(route: &Route) -> String {
    let parts = route.path.split('/').map(|part| match part.strip_prefix('{') {
        Some(_) => "019a9f3e-8b1c-7abc-8def-0123456789ab",
        None => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn method_of(route: &Route) -> Method {
    match route.method {
        RouteMethod::Get => Method::GET,
        RouteMethod::Post => Method::POST,
        RouteMethod::Put => Method::PUT,
        RouteMethod::Delete => Method::DELETE,
    }
}

/// A request of that client; its origin is the server's own unless another is given.
fn request(client: &Client, route: &Route, origin: Option<&str>) -> Request<Full<Bytes>> {
    let mut request = client.request(method_of(route), &path_of(route)).body(Full::from("{}")).unwrap();
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    match origin {
        Some("") => drop(request.headers_mut().remove("origin")),
        Some(origin) => drop(request.headers_mut().insert("origin", origin.parse().unwrap())),
        None => {}
    }
    request
}

/// That it is refused so, as a problem, with nothing of the owner's in it.
fn refused(answer: &Answer, status: u16, who: &str, route: &Route) {
    let place = format!("{who}: {} {}", route.method.as_str(), route.path);
    assert_eq!(answer.status, status, "{place}: {}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{place}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{place}");
    let known = ["type", "title", "status", "detail", "kind", "trace_id", "request_id", "instance"];
    let keys = problem.as_object().unwrap().keys();
    for key in keys {
        assert!(known.contains(&key.as_str()), "{place}: {problem}");
    }
}

/// A token of a member of a demo tenant.
async fn tenant_token(server: &Server) -> String {
    let asked =
        server.client().request(Method::POST, "/demo/token").header("content-type", "application/json");
    let asked = asked.header("host", format!("localhost:{}", server.addr.port()));
    let answer = server.client().send(asked.body(Full::from(r#"{"tenant": "docs"}"#)).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// A client whose session has ended.
async fn logged_out(server: &Server) -> Client {
    let owner = server.owner().await;
    assert_eq!(owner.get("/owner/api/tenants").await.status, 200);
    assert_eq!(owner.post("/owner/auth/logout", &json!({})).await.status, 200);
    owner
}

#[tokio::test(flavor = "multi_thread")]
async fn t42_no_route_of_the_owner_opens_for_anybody_else() {
    let server = server();
    let token = tenant_token(&server).await;
    let key = server.tenant();
    let strangers = [
        ("nobody", server.client()),
        ("a tenant's key", key),
        ("a tenant's token", server.client().bearer(&token)),
        ("a tenant's token in the cookie", server.client().cookie(&format!("owner_token={token}"))),
        ("a session that ended", logged_out(&server).await),
        ("nonsense", server.client().bearer("nonsense")),
    ];
    let routes: Vec<_> = ROUTES.iter().filter(|route| route.path.starts_with("/owner/api")).collect();
    assert!(routes.len() >= 9);
    for route in routes {
        assert_eq!(route.auth, Auth::Owner, "{}", route.path);
        for (who, client) in &strangers {
            refused(&client.send(request(client, route, None)).await, 401, who, route);
        }
    }
    // what is not in the table is not there, for nobody and for the owner
    assert_eq!(server.client().get("/owner/api/nothing").await.status, 404);
    assert_eq!(server.owner().await.get("/owner/api/nothing").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn t42_an_owners_session_gives_no_tenant() {
    let server = server();
    let owner = server.owner().await;
    for (path, body) in [
        ("/query", json!({ "question": "Which IELTS courses are there?" })),
        ("/ws/ticket", json!({})),
        ("/feedback", json!({ "trace_id": "019a9f3e-8b1c-7abc-8def-0123456789ab", "rating": 1 })),
    ] {
        let answer = owner.post(path, &body).await;
        assert_eq!(answer.status, 401, "{path}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t60_a_page_elsewhere_changes_nothing_with_the_owners_cookie() {
    let server = server();
    let owner = server.owner().await;
    let changing =
        ROUTES.iter().filter(|route| route.auth == Auth::Owner && route.method != RouteMethod::Get);
    for route in changing {
        for origin in [ELSEWHERE, "null", "", "http://127.0.0.1:1", "http://127.0.0.1.evil.example"] {
            let answer = owner.send(request(&owner, route, Some(origin))).await;
            refused(&answer, 403, origin, route);
        }
    }
    // what only reads is not shown to such a page either: no header allows it
    for route in ROUTES.iter().filter(|route| route.auth == Auth::Owner && route.method == RouteMethod::Get) {
        if route.path.ends_with("/tail") {
            continue;
        }
        let answer = owner.send(request(&owner, route, Some(ELSEWHERE))).await;
        for header in ["access-control-allow-origin", "access-control-allow-credentials"] {
            assert!(!answer.headers.contains_key(header), "{}: {header}", route.path);
        }
    }
    let preflight = server.client().request(Method::OPTIONS, "/owner/api/tenants");
    let preflight =
        preflight.header("access-control-request-method", "DELETE").body(Full::default()).unwrap();
    let answer = server.client().send(preflight).await;
    assert!(!answer.status.is_success() && !answer.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn t60_the_cookie_is_for_this_site_and_not_for_scripts() {
    let server = server();
    let login = json!({ "username": OWNER, "password": PASSWORD });
    let answer = server.client().post("/owner/auth/login", &login).await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("owner_token=") && !cookie.contains("Secure"), "plain HTTP: {cookie}");
    for attribute in ["; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    assert!(!cookie.contains("Domain="), "{cookie}");
}

/// Bodies that parsers, databases and log files stumble over.
fn hostile_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(1_000), close.repeat(1_000)).into_bytes();
    vec![
        ("nothing", Vec::new()),
        ("null", b"null".to_vec()),
        ("a number", b"1e400".to_vec()),
        ("__proto__", br#"{"__proto__": {"admin": true}, "constructor": {"prototype": {}}}"#.to_vec()),
        ("deep arrays", deep("[", "]")),
        ("deep objects", deep("{\"a\":", "}")),
        ("a NUL", br#"{"question": "a\u0000b", "username": "a\u0000b", "comment": "a\u0000b"}"#.to_vec()),
        (
            "a lone surrogate",
            br#"{"question": "a\ud800b", "username": "\udfff", "password": "\ud800"}"#.to_vec(),
        ),
        ("not UTF-8", b"{\"question\": \"\xff\xfe\"}".to_vec()),
        (
            "the same key twice",
            br#"{"question": "a", "question": "b", "username": "a", "username": "b"}"#.to_vec(),
        ),
        ("half", br#"{"question": "a"#.to_vec()),
        ("more than one", br#"{"question": "a"} {"question": "b"}"#.to_vec()),
        ("a large number", br#"{"rating": 123456789012345678901234567890, "trace_id": 1}"#.to_vec()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn t74_hostile_bodies_are_refused_or_taken_and_never_a_fault() {
    let server = server();
    let (tenant, owner) = (server.tenant(), server.owner().await);
    for route in ROUTES.iter().filter(|route| route.method != RouteMethod::Get) {
        // its own session would end; logins by nobody are waited for
        if route.path.ends_with("/logout") {
            continue;
        }
        for (what, body) in hostile_bodies() {
            let client = if route.auth == Auth::Owner { &owner } else { &tenant };
            let request = client.request(method_of(route), &path_of(route));
            let request = request.header("content-type", "application/json");
            let answer = client.send(request.body(Full::from(body)).unwrap()).await;
            let place = format!("{what}: {} {}: {}", route.method.as_str(), route.path, answer.text());
            assert!(!answer.status.is_server_error(), "{place}");
            if answer.status.is_client_error() {
                assert_eq!(answer.headers["content-type"], "application/problem+json", "{place}");
            }
        }
    }
}

/// A newline that would begin a log line of its own, and colours of a terminal.
const CONTROL: &str = "trick\n2026-01-01T00:00:00Z ERROR forged\u{1b}[31mred\u{1b}[0m";
/// Text that runs backwards, and what is not seen.
const HIDDEN: &str = "forged \u{202e}desrever\u{202c} zero\u{200b}width\u{feff}";

#[tokio::test(flavor = "multi_thread")]
async fn t73_what_tenants_write_reaches_the_owner_as_data_and_no_log() {
    let server = Setup::new(BINARY).start();
    let tenant = server.tenant();
    let refused = tenant.post("/query", &json!({ "question": CONTROL })).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(!refused.text().contains("forged"), "{}", refused.text());
    let answer = tenant.post("/query", &json!({ "question": HIDDEN })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let id = answer.json()["trace_id"].clone();
    let row = server.row(id.as_str().unwrap()).await;
    assert!(row["question"].as_str().unwrap().contains("desrever"), "{row}");
    // a comment may have lines
    let comment = json!({ "trace_id": id, "rating": -1, "comment": CONTROL });
    assert_eq!(tenant.post("/feedback", &comment).await.status, 204);
    for text in [CONTROL, HIDDEN] {
        let login = json!({ "username": text, "password": text });
        assert_eq!(server.client().post("/owner/auth/login", &login).await.status, 401);
    }
    let owner = server.owner().await;
    for list in ["/owner/api/logs", "/owner/api/feedback", "/owner/api/audit"] {
        let raw = owner.get(list).await;
        assert_eq!(raw.status, 200, "{list}");
        assert!(!raw.body.iter().any(|byte| *byte < 0x20), "{list}: JSON escapes what a terminal would obey");
    }
    assert!(owner.get("/owner/api/feedback").await.text().contains("forged"), "it is there to be read");

    let (_, output, _kept) = server.stop();
    for secret in ["forged", "desrever", "\u{1b}[31m", "\u{202e}", "\u{200b}"] {
        assert!(!output.contains(secret), "{secret:?} in\n{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t50_guesses_at_the_server_wait_whatever_they_say_of_themselves() {
    let server = Setup::new(BINARY).start();
    let client = server.client();
    let mut refused = None;
    for n in 0..12 {
        let request = client.request(Method::POST, "/owner/auth/login");
        let request = request
            .header("content-type", "application/json")
            .header("x-forwarded-for", format!("203.0.113.{n}"))
            .header("forwarded", format!("for=203.0.113.{n}"))
            .header("x-real-ip", format!("203.0.113.{n}"));
        let guess = json!({ "username": OWNER, "password": format!("guess number {n}") }).to_string();
        let answer = client.send(request.body(Full::from(guess)).unwrap()).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
    let refused = refused.expect("a 429 within a dozen guesses");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    assert_eq!(refused.headers["content-type"], "application/problem+json");
}

/// Problems say what was wrong and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn problems_repeat_nothing_that_was_sent() {
    let server = server();
    let owner = server.owner().await;
    for query in [
        "tenant_id=canary-4711",
        "since=canary-4711",
        "limit=canary-4711",
        "cursor=canary-4711",
        "canary-4711=1",
    ] {
        let answer = owner.get(&format!("/owner/api/logs?{query}")).await;
        let problem: Value = answer.json();
        assert_eq!(answer.status, 400, "{problem}");
        assert!(!answer.text().contains("canary-4711"), "{problem}");
    }
}

/// Cells of a file of comma-separated values.
fn cells(text: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' | '\n' if !quoted => cells.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            c => cell.push(c),
        }
    }
    cells
}

#[tokio::test(flavor = "multi_thread")]
async fn t72_no_cell_of_an_export_is_a_formula() {
    let server = server();
    let tenant = server.tenant();
    let formulas = [
        "=HYPERLINK(\"https://evil.example\",\"fees\")",
        "+1+cmd|' /C calc'!A0",
        "-2+3 formula",
        "@SUM(1+1) formula",
        "\u{a0}=1+1 after a space that is not one",
        "\u{feff}=1+1 after a mark that is not seen",
        "a, \"quoted\" =formula",
    ];
    for question in formulas {
        let answer = tenant.post("/query", &json!({ "question": question })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        server.row(answer.json()["trace_id"].as_str().unwrap()).await;
    }
    let path = "/owner/api/logs/export?format=csv&columns=trace_id,question,answer,error";
    let file = server.owner().await.get(path).await;
    assert_eq!(file.status, 200, "{}", file.text());
    let cells = cells(&file.text());
    assert!(cells.iter().any(|cell| cell.contains("HYPERLINK")) && cells.len() > 4 * formulas.len());
    for cell in cells {
        let bare = cell.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        assert!(!bare.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
    }
}
