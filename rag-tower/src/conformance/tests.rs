//! The kit against a small service of notes, whole and with one flaw at a time: it finds each, and nothing else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::util::BoxCloneSyncService;

use super::*;

const CANARY_A: &str = "canary-of-acme-4711";
const CANARY_B: &str = "canary-of-globex-0815";
/// Ids of notes: four of each tenant's, of which the first is looked at and the others may be used up.
const A: [&str; 4] = ["aaaaaaaa-0000-4000-8000-000000000001", "a2", "a3", "a4"];
const B: [&str; 4] = ["bbbbbbbb-0000-4000-8000-000000000001", "b2", "b3", "b4"];
const UNKNOWN: &str = "cccccccc-0000-4000-8000-000000000001";

type Service = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>;

/// What is wrong with the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    LooksUpById,
    SaysForbidden,
    EchoesTheTitle,
    ListsAll,
    ListsForeignIds,
    ChecksTheFirstOnly,
    DeletesSilently,
    TellsInAHeader,
    AbsentIsAll,
    BelievesTheHeader,
    MemberIsAdmin,
    ExpiredCounts,
    Logs,
    LogsNothing,
    ForgetsEverything,
    LimitsRequests,
    Hangs,
}

struct Notes {
    flaw: Flaw,
    /// By id: whose, and its text.
    notes: Mutex<BTreeMap<&'static str, (&'static str, &'static str)>>,
    log: Mutex<String>,
}

// === impl Notes ===

impl Notes {
    fn new(flaw: Flaw) -> Arc<Self> {
        let of = |ids: [&'static str; 4], tenant, text| ids.map(|id| (id, (tenant, text)));
        let notes = of(A, "acme", CANARY_A).into_iter().chain(of(B, "globex", CANARY_B));
        let notes = if flaw == Flaw::ForgetsEverything { BTreeMap::new() } else { notes.collect() };
        Arc::new(Self { flaw, notes: Mutex::new(notes), log: Mutex::default() })
    }

    fn answer(&self, method: &Method, path: &str, headers: &http::HeaderMap, body: &[u8]) -> (u16, Value) {
        let flaw = self.flaw;
        let get = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        let known = [("GET", "/notes"), ("POST", "/batch"), ("GET", "/admin")];
        let id = path.strip_prefix("/notes/");
        if id.is_none() && !known.contains(&(method.as_str(), path)) {
            return (404, json!("no such address"));
        }
        let (tenant, role) = match get("authorization") {
            Some("Bearer member-of-acme") => ("acme", "member"),
            Some("Bearer member-of-globex") => ("globex", "member"),
            Some("Bearer admin-of-acme") => ("acme", "admin"),
            Some("Bearer expired-of-acme") if flaw == Flaw::ExpiredCounts => ("acme", "member"),
            None if flaw == Flaw::AbsentIsAll => ("", "member"),
            _ => return (401, json!("who are you?")),
        };
        let tenant = match get("x-tenant") {
            Some(said) if flaw == Flaw::BelievesTheHeader => {
                if said == "acme" {
                    "acme"
                } else {
                    "globex"
                }
            }
            Some(said) if said != tenant => return (403, json!("another tenant")),
            _ => tenant,
        };
        let mut notes = self.notes.lock().unwrap();
        let is_own = |owner: &str| tenant.is_empty() || owner == tenant;
        match (method.as_str(), path) {
            ("GET", "/notes") => {
                let all = notes.iter().filter(|(_, (owner, _))| is_own(owner) || flaw == Flaw::ListsAll);
                let mut list: Vec<_> = all.map(|(id, (_, text))| json!({ "id": id, "text": text })).collect();
                if flaw == Flaw::ListsForeignIds {
                    list.push(json!({ "id": B[0] }));
                }
                (200, json!(list))
            }
            ("POST", "/batch") => {
                let ids: Value = serde_json::from_slice(body).unwrap();
                let mut found = Vec::new();
                for (n, id) in ids["ids"].as_array().unwrap().iter().enumerate() {
                    let checked = n == 0 || flaw != Flaw::ChecksTheFirstOnly;
                    match notes.get(id.as_str().unwrap()) {
                        Some((owner, text)) if is_own(owner) || !checked => found.push(json!(text)),
                        _ => return (404, json!("no such note")),
                    }
                }
                (200, json!(found))
            }
            ("GET", "/admin") => match role == "admin" || flaw == Flaw::MemberIsAdmin {
                true => (200, json!("hello")),
                false => (403, json!("for admins")),
            },
            (_, _) => {
                let id = id.unwrap();
                let missing = (404, json!(format!("no note {id}")));
                let Some((owner, text)) = notes.get(id).copied() else { return missing };
                if !is_own(owner) {
                    if flaw == Flaw::Logs {
                        self.log.lock().unwrap().push_str(text);
                    }
                    if method == Method::DELETE && flaw == Flaw::DeletesSilently {
                        notes.remove(id);
                    }
                    return match flaw {
                        Flaw::LooksUpById => (200, json!({ "id": id, "text": text })),
                        Flaw::SaysForbidden => (403, json!("not yours")),
                        Flaw::EchoesTheTitle => (404, json!(format!("{text} is not yours"))),
                        _ => missing,
                    };
                }
                if method == Method::DELETE {
                    notes.remove(id);
                    return (204, Value::Null);
                }
                (200, json!({ "id": id, "text": text }))
            }
        }
    }

    fn service(self: &Arc<Self>) -> Service {
        let notes = Arc::clone(self);
        BoxCloneSyncService::new(tower::service_fn(move |request: Request<Full<Bytes>>| {
            let notes = Arc::clone(&notes);
            async move {
                let (parts, body) = request.into_parts();
                let path = parts.uri.path().to_owned();
                let body = body.collect().await.unwrap().to_bytes();
                let (mut status, said) = notes.answer(&parts.method, &path, &parts.headers, &body);
                match notes.flaw {
                    Flaw::LimitsRequests if path == "/batch" && status == 200 => status = 429,
                    Flaw::Hangs if path == "/admin" && status == 200 => pending().await,
                    _ => {}
                }
                let mut response = Response::new(Full::from(said.to_string()));
                *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
                if notes.flaw == Flaw::TellsInAHeader && path.ends_with(B[0]) {
                    response.headers_mut().insert("x-owner", "globex".parse().unwrap());
                }
                let mut log = notes.log.lock().unwrap();
                if notes.flaw != Flaw::LogsNothing {
                    log.push_str("a request\n");
                }
                drop(log);
                Ok(response)
            }
        }))
    }
}

fn inventory() -> Inventory {
    Inventory::from_iter([
        (Method::GET, "/notes"),
        (Method::GET, "/notes/{id}"),
        (Method::DELETE, "/notes/{id}"),
        (Method::POST, "/batch"),
        (Method::GET, "/admin"),
    ])
}

fn entries() -> Vec<Entry> {
    vec![
        Entry::get("/notes").scoped().shows_canary(),
        Entry::get("/notes/{id}").scoped().reference(Place::path("id"), "note").shows_canary(),
        Entry::delete("/notes/{id}").scoped().reference(Place::path("id"), "note").consumes(),
        Entry::post("/batch").scoped().reference(Place::body("/ids"), "note").json(json!({ "ids": [] })),
        Entry::get("/admin").scoped_for(["admin"]),
    ]
}

fn kit(notes: &Arc<Notes>) -> Conformance<Service> {
    let mut fixture = Fixture::new("note").unknown(UNKNOWN);
    for (a, b) in A.into_iter().zip(B) {
        fixture = fixture.own("acme", a).own("globex", b);
    }
    let log = Arc::clone(notes);
    Conformance::new(notes.service())
        .inventory(inventory())
        .entries(entries())
        .tenant(Tenant::new("acme").canary(CANARY_A))
        .tenant(Tenant::new("globex").canary(CANARY_B))
        .principal(Principal::member("acme").bearer("member-of-acme"))
        .principal(Principal::member("globex").bearer("member-of-globex"))
        .principal(Principal::new("admin").of("acme").bearer("admin-of-acme"))
        .principal(Principal::new("expired").of("acme").bearer("expired-of-acme").refused())
        .fixture(fixture)
        .tenant_header(HeaderName::from_static("x-tenant"))
        .probe("log", move || std::future::ready(log.log.lock().unwrap().clone()))
}

/// What a run finds, one line each.
async fn found(flaw: Flaw) -> Vec<String> {
    let report = kit(&Notes::new(flaw)).run().await;
    let said = report.to_string() + &report.to_junit("notes");
    for secret in [CANARY_A, CANARY_B, "member-of-acme", "expired-of-acme"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
    report
        .failures()
        .map(|case| format!("{}: {}: {}", case.check.as_str(), case.name, case.outcome))
        .collect()
}

#[tokio::test]
async fn a_service_that_keeps_tenants_apart_passes() {
    let report = kit(&Notes::new(Flaw::None)).run().await;
    report.result().unwrap();
    for check in Check::ALL.into_iter().filter(|check| *check != Check::Setup) {
        assert!(report.cases().iter().any(|case| case.check == check), "no case of {check:?}");
    }
    assert!(report.cases().len() > 60, "{report}");
}

/// Each flaw, what must be in each line that is found, and what begins one of them. A flaw that changes data is found in more
/// than one place.
#[tokio::test(start_paused = true)]
async fn each_flaw_is_found_and_nothing_else() {
    let flaws: [(Flaw, &[&str], &str); 17] = [
        (Flaw::LooksUpById, &["/notes/{id}", "an id of ", "the canary of "], "canary: "),
        (Flaw::SaysForbidden, &["/notes/{id}", "the status is 403, not 404"], "canary: "),
        (Flaw::EchoesTheTitle, &["/notes/{id}", "it holds the canary of "], "canary: "),
        (Flaw::ListsAll, &["GET /notes as ", "it holds the canary of "], "canary: "),
        (
            Flaw::ListsForeignIds,
            &["GET /notes as ", " of acme", "it holds an id of another tenant"],
            "canary: ",
        ),
        (
            Flaw::ChecksTheFirstOnly,
            &["POST /batch", "after an own one", "it holds the canary of "],
            "canary: ",
        ),
        (Flaw::DeletesSilently, &[], "roles: GET /notes/{id} as member of globex: expected 2xx, not 404"),
        (Flaw::TellsInAHeader, &["the header x-owner differs"], "canary: "),
        (Flaw::AbsentIsAll, &[], "absent tenant: GET /notes as anonymous: it holds the canary of acme"),
        (Flaw::BelievesTheHeader, &["absent tenant", " that says it is "], ""),
        (Flaw::MemberIsAdmin, &["GET /admin as member of ", "expected 401 or 403, not 200"], "roles: "),
        (Flaw::ExpiredCounts, &[], "roles: GET /notes as expired of acme: expected 401 or 403, not 200"),
        (Flaw::Logs, &["log: it holds the canary of "], "probe: "),
        (Flaw::LogsNothing, &["log: unproven: there is nothing in it"], "probe: "),
        (Flaw::ForgetsEverything, &[], "control: the canary of globex is seen: unproven"),
        (Flaw::LimitsRequests, &["/batch", "unproven: too many requests"], "roles: "),
        (Flaw::Hangs, &["GET /admin as admin of acme", "no answer within 10 s"], "roles: "),
    ];
    for (flaw, every, some) in flaws {
        let lines = found(flaw).await;
        assert!(lines.iter().any(|line| line.starts_with(some)), "{flaw:?}: {some:?} is not in {lines:#?}");
        for line in &lines {
            for part in every {
                assert!(line.contains(part), "{flaw:?}: {part:?} is not in {line:?} of {lines:#?}");
            }
        }
    }
}

#[tokio::test]
async fn a_run_that_could_not_have_failed_proves_nothing() {
    let lines = found(Flaw::ForgetsEverything).await;
    for part in [
        "control: GET /notes/{id} as member of acme: its own canary: unproven",
        "control: GET /notes/{id} as member of acme: an own id in the path's {id} is no unknown one: unproven",
        "control: the canary of globex is seen: unproven",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(part)), "{part} in {lines:#?}");
    }
    let notes = Notes::new(Flaw::None);
    let empty = Conformance::new(notes.service()).run().await;
    assert!(empty.result().is_err(), "an empty run proves nothing");
}

#[tokio::test]
async fn ids_that_are_no_secret_may_be_anywhere() {
    let mut kit = kit(&Notes::new(Flaw::ListsForeignIds));
    kit.claims.fixtures = kit.claims.fixtures.into_iter().map(Fixture::no_secret).collect();
    kit.run().await.result().unwrap();
}

/// The lines of a run that is changed first.
async fn changed(change: impl FnOnce(&mut kit::Claims)) -> Vec<String> {
    let mut kit = kit(&Notes::new(Flaw::None));
    change(&mut kit.claims);
    let report = kit.run().await;
    report
        .failures()
        .map(|case| format!("{}: {}: {}", case.check.as_str(), case.name, case.outcome))
        .collect()
}

#[tokio::test]
async fn a_route_without_an_entry_and_an_entry_without_a_route_are_found() {
    let more = inventory().and(Inventory::from_iter([(Method::GET, "/new")]));
    let lines = changed(|claims| claims.inventory = Some(more)).await;
    assert_eq!(lines, ["inventory: GET /new: it has no entry in the isolation matrix"]);

    let less = Inventory::from_iter(
        inventory().operations().iter().skip(1).map(|one| (one.method.clone(), one.path.clone())),
    );
    let lines = changed(|claims| claims.inventory = Some(less)).await;
    assert_eq!(lines, ["inventory: GET /notes: the inventory has no such route"]);

    let lines = changed(|claims| {
        claims.inventory = Some(inventory().and(Inventory::from_iter([(Method::GET, "/gone")])));
        claims.entries.push(Entry::get("/gone").public().expect("anonymous", 404));
    })
    .await;
    assert!(lines.iter().any(|line| line.starts_with("inventory: GET /gone is there: ")), "{lines:#?}");
}

#[tokio::test]
async fn what_is_not_given_is_said() {
    let lines = changed(|claims| claims.fixtures.clear()).await;
    assert!(lines.iter().any(|line| line.contains("there is no fixture \"note\"")), "{lines:#?}");
    let lines = changed(|claims| claims.tenants[0].canaries = vec!["short".to_owned()]).await;
    assert!(
        lines.iter().any(|line| line.contains("setup: the tenant acme: unproven: a canary is")),
        "{lines:#?}"
    );
    let lines = changed(|claims| claims.principals.truncate(2)).await;
    assert!(
        lines.iter().any(|line| line.contains("setup: the tenant globex: unproven: nobody")),
        "{lines:#?}"
    );
    let lines = changed(|claims| {
        let fixture = Fixture::new("note").own("acme", A[0]).own("globex", B[0]).unknown(UNKNOWN);
        claims.fixtures = vec![fixture];
    })
    .await;
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("no further id of")), "{lines:#?}");
}
