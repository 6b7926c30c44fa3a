//! The conformance kit against the reference server: every route of its table × every kind of caller, with the data of two
//! tenants that were made as users make them.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use rag_tower::conformance::{
    Case, Check, Conformance, Entry, Fixture, Inventory, Outcome, Place, Principal, Remote, Report, Tenant,
};
use rag_tower::tenant::{BranchId, Grant, Role, TenantId, TokenMinter};
use rag_tower_owner::routes::{Auth, ROUTES, Route};
use rag_tower_tests::http::{Client, DEADLINE};
use rag_tower_tests::postgres::run;
use rag_tower_tests::server::{OWNER, PASSWORD, Server, Setup};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
const SECRET: &str = "the-signing-secret-of-this-test-0123456789abcdef";
/// What nobody has, as a UUID like those of asks and sessions.
const UNKNOWN: &str = "019a9f3e-8b1c-7abc-8def-0123456789ab";
/// What the documents of both tenants answer, each with its own canary.
const QUESTION: &str = "Where is the Zeppelin of the IELTS course and of rag-tower moored?";
const TENANTS: [&str; 2] = ["language-centre", "docs"];
/// It has data of nobody's and is refused everything.
const SUSPENDED: &str = "moved-out";

/// What a tenant owns, and what is written in it.
struct Owned {
    slug: &'static str,
    id: TenantId,
    branch: BranchId,
    session: String,
    trace: String,
    ticket: String,
    canaries: Vec<String>,
}

/// A run, and what was seen beside it.
struct Seen {
    report: Report,
    /// Frames over a socket for a foreign session and for an unknown one, by the tenant that asked.
    sockets: Vec<(&'static str, Vec<Value>, Vec<Value>)>,
    /// All that the server printed.
    log: String,
    canaries: Vec<String>,
}

/// The one run that the tests look at.
async fn seen() -> &'static Seen {
    static SEEN: OnceCell<Seen> = OnceCell::const_new();
    SEEN.get_or_init(look).await
}

async fn look() -> Seen {
    // it is over by the time the server is up
    let expired = token(TENANTS[0], Role::Member, Duration::ZERO);
    let server = Setup::new(BINARY).env("JWT_SECRET", SECRET).start();
    let mut database = server.database().await;
    let suspended = TenantId::named(SUSPENDED);
    run(
        &mut database,
        &format!("INSERT INTO rag_tower.tenants (id, slug, name, status) VALUES ('{suspended}', '{SUSPENDED}', 'Moved out', 'suspended')"),
    )
    .await;
    drop(database);
    let mut owned = Vec::new();
    for slug in TENANTS {
        owned.push(own(&server, slug).await);
    }
    until_over(&server, &expired).await;
    let mut sockets = Vec::new();
    for (by, of) in [(0, 1), (1, 0)] {
        let foreign = talk(&server, owned[by].slug, &owned[of].session).await;
        sockets.push((owned[by].slug, foreign, talk(&server, owned[by].slug, UNKNOWN).await));
    }
    let server = Arc::new(server);
    let report = kit(&server, &owned, &expired).await.run().await;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("isolation-of-the-server.xml");
    std::fs::write(file, report.to_junit("rag-tower-owner")).unwrap();
    let canaries = owned.into_iter().flat_map(|owned| owned.canaries).collect();
    let server = Arc::into_inner(server).expect("nobody else has the server");
    let log = tokio::task::spawn_blocking(move || server.stop().1).await.unwrap();
    Seen { report, sockets, log, canaries }
}

fn token(slug: &str, role: Role, life: Duration) -> String {
    let (minter, _) = TokenMinter::hs256("rag-tower", SECRET.as_bytes()).unwrap();
    let grant = Grant::new(TenantId::named(slug)).with_subject(format!("{}-of-{slug}", role.as_str()));
    minter.mint(&grant.with_role(role), life).unwrap().token
}

fn member(server: &Server, slug: &str) -> Client {
    server.client().bearer(&token(slug, Role::Member, Duration::from_mins(30)))
}

/// Waits until a token counts no more.
async fn until_over(server: &Server, token: &str) {
    let end = std::time::Instant::now() + DEADLINE;
    while server.client().bearer(token).post("/ws/ticket", &json!({})).await.status != 401 {
        assert!(std::time::Instant::now() < end, "a token that has ended still counts");
        tokio::task::yield_now().await;
    }
}

/// Makes a tenant's data: a document, a branch, a conversation, an opinion, and a ticket with a telephone number.
async fn own(server: &Server, slug: &'static str) -> Owned {
    let canary = |what: &str| format!("canary-{what}-of-{slug}-4711");
    let phone = format!("091234567{}", slug.len() % 10);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("{}.md", canary("file")));
    let text = canary("text");
    let sentence = format!("The Zeppelin of the IELTS course and of rag-tower is moored at {text}.");
    std::fs::write(&file, format!("# {}\n\n{sentence}\n", canary("title"))).unwrap();
    let mut ingest =
        Setup::new(BINARY).on(&server.data).command(&["ingest", file.to_str().unwrap(), "--tenant", slug]);
    ingest.stdout(Stdio::piped()).stderr(Stdio::piped());
    let taken = tokio::task::spawn_blocking(move || ingest.output()).await.unwrap().unwrap();
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));

    let id = TenantId::named(slug);
    let branch = BranchId::named(id, &format!("north of {slug}"));
    let sql = format!(
        "INSERT INTO rag_tower.branches (tenant_id, id, name) VALUES ('{id}', '{branch}', '{}')",
        canary("branch")
    );
    run(&mut server.database().await, &sql).await;

    let client = member(server, slug);
    let ask = async |question: String| {
        let answer = client.post("/query", &json!({ "question": question })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        server.row(answer["trace_id"].as_str().unwrap()).await;
        answer
    };
    let first = ask(QUESTION.to_owned()).await;
    assert!(first["answer"].as_str().unwrap().contains(&text), "{slug}: {first}");
    let asked = ask(format!("{QUESTION} {}", canary("question"))).await;
    let called = ask(format!("I want to talk to a person, call me on {phone}")).await;
    let ticket = called["tool_metadata"]["ticket_id"].as_str();
    let opinion = json!({ "trace_id": asked["trace_id"], "rating": -1, "comment": canary("comment") });
    assert_eq!(client.post("/feedback", &opinion).await.status, 204);
    let canaries = ["text", "title", "file", "branch", "question", "comment"].map(canary);
    Owned {
        slug,
        id,
        branch,
        session: asked["session_id"].as_str().unwrap().to_owned(),
        trace: asked["trace_id"].as_str().unwrap().to_owned(),
        ticket: ticket.unwrap_or_else(|| panic!("{slug}: no ticket in {called}")).to_owned(),
        canaries: canaries.into(),
    }
}

/// What a conversation over a socket gives for a question that goes on with a session.
async fn talk(server: &Server, slug: &str, session: &str) -> Vec<Value> {
    let mut request = format!("ws://{}/ws/query", server.addr).into_client_request().unwrap();
    let bearer = format!("Bearer {}", token(slug, Role::Member, Duration::from_mins(5)));
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    let frame = json!({ "message": "And who is it that asked before me?", "session_id": session });
    socket.send(Message::text(frame.to_string())).await.unwrap();
    let mut frames = Vec::new();
    loop {
        let message = tokio::time::timeout(DEADLINE, socket.next()).await.expect("in time").unwrap().unwrap();
        let text = message.to_text().unwrap().replace(session, "the session");
        let mut frame: Value = serde_json::from_str(&text).unwrap();
        // of each ask its own
        frame.as_object_mut().unwrap().remove("trace_id");
        let last = frame["type"] == "end" || frame["type"] == "error";
        frames.push(frame);
        if last {
            return frames;
        }
    }
}

/// The owner's cookie.
async fn owner_cookie(server: &Server) -> String {
    let login = json!({ "username": OWNER, "password": PASSWORD });
    let answer = server.client().post("/owner/auth/login", &login).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

/// The run: the table of routes and the document of the owner's API, every kind of caller, and what the tenants own.
async fn kit(server: &Arc<Server>, owned: &[Owned], expired: &str) -> Conformance<Remote> {
    let origin = format!("http://{}", server.addr);
    let document = server.owner().await.get("/owner/api/openapi.json").await.json();
    let of_the_owner = Inventory::from_openapi(&document).unwrap();
    let others = ROUTES.iter().filter(|route| route.auth != Auth::Owner);
    let others = Inventory::from_iter(others.map(|route| (method_of(route), route.path)));
    let entries = ROUTES.iter().filter_map(entry).map(|entry| entry.header("origin", &origin));

    let cookie = HeaderValue::from_str(&owner_cookie(server).await).unwrap();
    let owner = Principal::new("owner").sees_all().with(move |parts: &mut Parts| {
        // its session is not to end
        if parts.uri.path() != "/owner/auth/logout" {
            parts.headers.insert("cookie", cookie.clone());
        }
    });
    let life = Duration::from_mins(30);
    let of = |slug: &str, role: Role| Principal::new(role.as_str()).of(slug).bearer(token(slug, role, life));
    let mut kit = Conformance::new(Remote::new(&origin).unwrap())
        .inventory(of_the_owner.and(others))
        .entries(entries)
        .principal(of(TENANTS[0], Role::Member))
        .principal(of(TENANTS[0], Role::Agent))
        .principal(of(TENANTS[0], Role::Admin))
        .principal(of(TENANTS[1], Role::Member))
        .principal(of(TENANTS[1], Role::Admin))
        .principal(owner)
        .principal(of(SUSPENDED, Role::Member).refused())
        .principal(Principal::member(TENANTS[0]).named("an expired token").bearer(expired).refused())
        .tenant_header(HeaderName::from_static("x-tenant-id"))
        // an ask's own id
        .ignore_field("trace_id")
        // a live view has no end: so long it is read
        .deadline(Duration::from_secs(15));
    let unknown = |kind: &str| match kind {
        // named, as those of branches are
        "branch" => TenantId::named("nobody").to_string(),
        _ => UNKNOWN.to_owned(),
    };
    let mut fixtures = ["branch", "session", "trace", "ticket", "tenant"]
        .map(|kind| Fixture::new(kind).unknown(unknown(kind)));
    // a tenant's id is a name that opens nothing; those of the demo's are told to everybody
    let [.., tenants] = &mut fixtures;
    *tenants = tenants.clone().no_secret();
    for owned in owned {
        let mut tenant = Tenant::new(owned.slug);
        for canary in &owned.canaries {
            tenant = tenant.canary(canary);
        }
        kit = kit.tenant(tenant);
        let ids = [
            owned.branch.to_string(),
            owned.session.clone(),
            owned.trace.clone(),
            owned.ticket.clone(),
            owned.id.to_string(),
        ];
        let mut ids = ids.into_iter();
        fixtures = fixtures.map(|fixture| fixture.own(owned.slug, ids.next().unwrap()));
    }
    for fixture in fixtures {
        kit = kit.fixture(fixture);
    }
    let metrics = Client::new(server.metrics);
    let kit = kit.probe("metrics", move || {
        let metrics = metrics.clone();
        async move { metrics.get("/metrics").await.text() }
    });
    let rows = Arc::new(tokio::sync::Mutex::new(server.database().await));
    kit.probe("the error column", move || {
        let rows = Arc::clone(&rows);
        async move {
            let errors = "SELECT string_agg(coalesce(error, 'none'), E'\\n') FROM rag_tower.request_traces";
            sqlx::query_scalar(errors).fetch_one(&mut *rows.lock().await).await.unwrap()
        }
    })
}

fn method_of(route: &Route) -> Method {
    route.method.as_str().parse().unwrap()
}

/// What is claimed of a route; nothing of one that is new, which fails the run.
fn entry(route: &Route) -> Option<Entry> {
    let entry = Entry::new(method_of(route), route.path);
    let unknown = |entry: Entry| entry.value(Place::path("id"), UNKNOWN);
    let entry = match (route.method.as_str(), route.path) {
        ("GET", "/" | "/owner" | "/owner/reference" | "/healthz" | "/demo") => entry.public(),
        ("GET", "/static/{*file}") => entry.public().value(Place::path("file"), "chat.css"),
        ("POST", "/demo/token") => entry.public().json(json!({ "tenant": TENANTS[1] })),
        ("POST", "/query") => entry
            .scoped()
            .json(json!({ "question": QUESTION, "session_id": null, "branch_id": null }))
            // a session that is not one's own is a new one
            .blind_reference(Place::body("/session_id"), "session")
            .reference(Place::body("/branch_id"), "branch")
            .shows_canary(),
        ("GET", "/ws/query") => upgrade(entry.scoped()).gives(101),
        ("POST", "/ws/ticket") => entry.scoped().json(json!({})),
        ("POST", "/feedback") => entry
            .scoped()
            .json(json!({ "trace_id": null, "rating": 1 }))
            // an ask may not have arrived yet, so everything is taken
            .blind_reference(Place::body("/trace_id"), "trace"),
        ("POST", "/owner/auth/login") => entry.public().json(json!({})).gives(400),
        ("POST", "/owner/auth/logout") => entry.public(),
        ("POST", "/operator/token") => entry.only_for(["operator"]).json(json!({ "tenant": TENANTS[0] })),
        ("POST", "/operator/documents") => entry
            .only_for(["operator"])
            .value(Place::query("tenant"), TENANTS[0])
            .value(Place::query("name"), "a.md")
            .bytes("application/octet-stream", "# A\n\nText.\n"),
        (method, path) if path.starts_with("/owner/api") => {
            owners(method, path, entry.only_for(["owner"]), unknown)?
        }
        _ => return None,
    };
    Some(entry)
}

/// What is claimed of a route of the owner's; those that change something are sent what changes nothing.
fn owners(method: &str, path: &str, entry: Entry, unknown: impl Fn(Entry) -> Entry) -> Option<Entry> {
    let path = path.strip_prefix("/owner/api/")?;
    let trace = |entry: Entry| entry.reference(Place::path("trace_id"), "trace");
    let of_tenant = |entry: Entry| entry.reference(Place::query("tenant_id"), "tenant");
    Some(match (method, path) {
        (
            "GET",
            "prices" | "views" | "alerts" | "tenants" | "demo-data" | "system" | "isolation" | "openapi.json",
        )
        | ("POST", "isolation/check") => entry,
        (
            "GET",
            "metrics" | "metrics/timeseries" | "metrics/heatmap" | "logs" | "logs/facets" | "logs/tail",
        )
        | ("GET", "usage" | "usage/export" | "handoffs" | "feedback" | "gaps" | "audit") => of_tenant(entry),
        ("GET", "metrics/breakdown") => of_tenant(entry).value(Place::query("by"), "tenant"),
        ("GET", "logs/export" | "gaps/export") => of_tenant(entry).value(Place::query("format"), "csv"),
        ("GET", "logs/{trace_id}" | "logs/{trace_id}/spans") => trace(entry),
        ("POST", "logs/{trace_id}/replay") => trace(entry).json(json!({})),
        ("GET", "handoffs/{id}") => entry.reference(Place::path("id"), "ticket"),
        ("GET", "tenants/{id}") => entry.reference(Place::path("id"), "tenant"),
        (
            "POST",
            "handoffs/{id}/transition"
            | "handoffs/{id}/notes"
            | "handoffs/{id}/reveal"
            | "feedback/{id}/review",
        ) => unknown(entry).json(json!({})).gives(400),
        // for one tenant or for all
        ("PUT", "alerts/{id}") => {
            unknown(entry).no_reference(Place::body("/tenant_id")).json(json!({})).gives(400)
        }
        ("POST", "alerts") => entry.no_reference(Place::body("/tenant_id")).json(json!({})).gives(400),
        // an ask of any tenant
        ("POST", "gaps/resolve" | "gaps/reopen") => {
            entry.no_reference(Place::body("/trace_id")).json(json!({})).gives(400)
        }
        ("POST", "prices" | "views") => entry.json(json!({})).gives(400),
        // they take no body
        ("POST" | "DELETE", "demo-data") => entry.json(json!({ "a": 1 })).gives(400),
        ("DELETE", "prices/{id}" | "views/{id}" | "alerts/{id}")
        | ("GET", "alerts/{id}/events")
        | ("POST", "alerts/{id}/test") => unknown(entry).gives(404),
        ("POST", "tenants/{id}/suspend") => unknown(entry).json(json!({ "reason": "a test" })).gives(404),
        ("POST", "tenants/{id}/resume") => unknown(entry).json(json!({})).gives(404),
        _ => return None,
    })
}

/// With what asks for a WebSocket.
fn upgrade(entry: Entry) -> Entry {
    entry
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// That no case of these kinds failed, and that there were some.
fn passed(report: &Report, checks: &[Check]) {
    let of = |case: &&Case| checks.contains(&case.check);
    let failed: Vec<_> = report.failures().filter(of).map(Case::to_string).collect();
    assert!(failed.is_empty(), "{}\n{report}", failed.join("\n"));
    for check in checks.iter().filter(|check| **check != Check::Setup) {
        assert!(report.cases().iter().any(|case| case.check == *check), "no case of {check:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t03_every_route_is_in_the_isolation_matrix_and_is_there() {
    let seen = seen().await;
    passed(&seen.report, &[Check::Setup, Check::Inventory]);
    let named = |case: &&Case| case.check == Check::Inventory && !case.name.ends_with(" is there");
    assert_eq!(seen.report.cases().iter().filter(named).count(), ROUTES.len(), "each route once");
}

#[tokio::test(flavor = "multi_thread")]
async fn t04_a_foreign_id_is_an_unknown_one_and_canaries_stay_at_home() {
    let seen = seen().await;
    passed(&seen.report, &[Check::AbsentTenant, Check::Canary, Check::Control, Check::Probe]);
    for canary in &seen.canaries {
        assert!(!seen.log.contains(canary), "{canary} in the log");
    }
    assert!(seen.log.contains("Ctrl-C"), "what was printed was read: {}", seen.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn t04_a_foreign_session_over_a_socket_is_an_unknown_one() {
    let seen = seen().await;
    assert_eq!(seen.sockets.len(), TENANTS.len());
    for (who, foreign, unknown) in &seen.sockets {
        assert_eq!(foreign, unknown, "as {who}");
        let of_others = seen.canaries.iter().filter(|canary| !canary.contains(who));
        for canary in of_others {
            assert!(!json!(foreign).to_string().contains(canary.as_str()), "{canary} as {who}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t05_every_route_gives_every_role_the_status_that_it_should() {
    let seen = seen().await;
    passed(&seen.report, &[Check::Roles]);
    let roles = seen.report.cases().iter().filter(|case| case.check == Check::Roles).count();
    assert_eq!(roles, ROUTES.len() * 9, "each route × each principal");
}

/// The report goes to a CI system as well as to a terminal, and shows nobody's secrets.
#[tokio::test(flavor = "multi_thread")]
async fn the_report_can_be_read_by_a_ci_system() {
    let seen = seen().await;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("isolation-of-the-server.xml");
    let xml = std::fs::read_to_string(file).unwrap();
    let cases = seen.report.cases().len();
    assert_eq!(xml.matches("<testcase ").count(), cases);
    assert!(xml.contains(&format!(
        "<testsuites name=\"rag-tower-owner\" tests=\"{cases}\" failures=\"0\" errors=\"0\""
    )));
    for secret in seen.canaries.iter().map(String::as_str).chain([SECRET, PASSWORD, "eyJ"]) {
        assert!(!xml.contains(secret), "{secret}");
    }
    assert!(seen.report.cases().iter().all(|case| case.outcome == Outcome::Passed));
}
