//! The server on a database of its operator's: migrated by the command line, without demo tenants.

use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rag_tower::postgres::{Database, DatabaseOptions, PgSettings};
use rag_tower::tenant::{BranchId, Grant, TenantId};
use rag_tower_owner::tenant_data::TenantData;
use rag_tower_tests::http::{Answer, Client, DEADLINE};
use rag_tower_tests::postgres::TestDatabase;
use rag_tower_tests::server::{DEMO_KEY, Server, Setup};
use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
const KEY: &str = "key-of-acme-that-is-long-enough-0123456789";
const LOGIN: (&str, &str) = ("rag_production", "a-password-of-the-test");
const SETTINGS: &str = r#"
[tenant]
slug = "acme"
name = "Acme"

[[route]]
name = "weather_talk"
action = "search"
keywords = ["weather"]
examples = ["How is the weather today?"]
"#;

fn acme() -> TenantId {
    TenantId::named("acme")
}

fn setup(url: &str) -> Setup {
    Setup::new(BINARY).env("DATABASE_URL", url)
}

/// A tenant with a branch and a key, as an operator registers one.
async fn register(database: &TestDatabase) {
    database.register("acme", KEY).await;
    let (id, branch) = (acme(), BranchId::named(acme(), "north"));
    database
        .run_as_admin(&format!(
            "INSERT INTO rag_tower.branches (tenant_id, id, name) VALUES ('{id}', '{branch}', 'North')"
        ))
        .await;
}

async fn ask(client: &Client, question: &str) -> Answer {
    client.post("/query", &json!({ "question": question })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_ones_own_is_migrated_served_and_read_again_at_each_start() {
    let database = TestDatabase::empty().await;
    let url = database.url_of(LOGIN.0, LOGIN.1);

    // Without its schema the database is refused, with the command that makes it.
    let failed = setup(&url).try_start().map(|_| ()).expect_err("an empty database");
    assert!(failed.output.contains("rag-tower-owner migrate"), "{}", failed.output);
    assert!(!failed.output.contains(LOGIN.1), "{}", failed.output);

    let mut migrate = setup(&url).env("DATABASE_ADMIN_URL", database.admin_url()).command(&["migrate"]);
    migrate.stdout(Stdio::piped()).stderr(Stdio::piped());
    let migrated = migrate.output().unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    register(&database).await;

    let server = setup(&url).start();
    let client = server.client().bearer(KEY);
    let first = ask(&client, "How is the weather today?").await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_ne!(first.json()["route"], "weather_talk", "nothing is configured yet");
    // There is no demo: neither its routes nor its key.
    assert_eq!(server.client().get("/demo").await.status, 404);
    assert_eq!(ask(&server.tenant(), "Anything?").await.status, 401, "{DEMO_KEY}");
    branches_are_known_or_not_found(&client).await;
    let owner = server.owner().await;

    save_settings(&url).await;
    let data = server.data.clone();
    let (status, output, keep) = server.stop();
    assert!(status.success(), "{output}");
    let server = setup(&url).on(&data).env("RAG_TOWER_LOG", "debug").start();
    let client = server.client().bearer(KEY);
    let again = ask(&client, "How is the weather today?").await.json();
    assert_eq!(again["route"], "weather_talk", "what was saved is in force: {again}");
    // The owner who had logged in before still is.
    let owner = owner.at(server.addr);
    assert_eq!(owner.get("/owner/api/tenants").await.status, 200);

    t63_a_suspended_tenant_loses_its_open_socket(&server, &owner).await;
    assert_eq!(ask(&client, "Anything?").await.status, 401);
    let resumed = owner.post(&format!("/owner/api/tenants/{}/resume", acme()), &json!({})).await;
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    assert_eq!(ask(&client, "Anything?").await.status, 200);

    t62_a_credential_in_the_url_is_refused(&server).await;
    let (status, output, _keep) = server.stop();
    assert!(status.success(), "{output}");
    assert!(output.contains("INFO"), "the log is what was looked at: {output}");
    assert!(!output.contains(KEY), "a credential was logged: {output}");
    drop(keep);
}

/// What such a request leaves in the log is looked at when the server has stopped.
async fn t62_a_credential_in_the_url_is_refused(server: &Server) {
    for parameter in ["token", "api_key"] {
        let url = format!("ws://{}/ws/query?{parameter}={KEY}", server.addr);
        match connect_async(url.into_client_request().unwrap()).await {
            Err(tokio_tungstenite::tungstenite::Error::Http(refused)) => assert_eq!(refused.status(), 400),
            other => panic!("{parameter}: {:?}", other.map(|_| "a socket")),
        }
        let answer = server.client().get(&format!("/ws/ticket?{parameter}={KEY}")).await;
        assert!(answer.status.is_client_error(), "{}", answer.text());
    }
}

async fn save_settings(url: &str) {
    let settings = TenantData::from_toml(SETTINGS, "the test").unwrap().to_settings().unwrap();
    let pool = Database::connect(&DatabaseOptions::new(url).max_connections(2)).await.unwrap();
    let scope = rag_tower::test_util::granted(Grant::new(acme()));
    PgSettings::new(&pool).save(&scope, settings.courses, settings.routes).await.unwrap();
    pool.close().await;
}

/// The key opens every branch there is, and none that there is not.
async fn branches_are_known_or_not_found(client: &Client) {
    let of = |branch: BranchId| json!({"question": "Anything at all?", "branch_id": branch.to_string()});
    let north = client.post("/query", &of(BranchId::named(acme(), "north"))).await;
    assert_eq!(north.status, 200, "{}", north.text());
    for branch in [BranchId::named(acme(), "moon"), BranchId::named(TenantId::named("rival"), "north")] {
        let answer = client.post("/query", &of(branch)).await;
        assert_eq!(answer.status, 404, "{}", answer.text());
        assert_eq!(answer.json()["kind"], "not_found");
    }
}

async fn t63_a_suspended_tenant_loses_its_open_socket(server: &Server, owner: &Client) {
    let mut request = format!("ws://{}/ws/query", server.addr).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {KEY}").parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    socket.send(Message::text(json!({"message": "Anything?"}).to_string())).await.unwrap();
    loop {
        let frame = tokio::time::timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap();
        if frame.to_text().unwrap().contains("\"type\":\"end\"") {
            break;
        }
    }
    let path = format!("/owner/api/tenants/{}/suspend", acme());
    let suspended = owner.post(&path, &json!({"reason": "has not paid"})).await;
    assert_eq!(suspended.status, 200, "{}", suspended.text());
    let closed = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("no close frame: {other:?}"),
            }
        }
    };
    // It asks nothing more: the server notices by itself.
    let code = tokio::time::timeout(Duration::from_secs(5), closed).await.expect("within five seconds");
    assert_eq!(code, 1008);
}

/// Breaks the database, takes the SQL out of what the server says when it refuses, and runs just that.
#[tokio::test(flavor = "multi_thread")]
async fn t20_the_server_refuses_a_broken_database_and_starts_after_its_own_sql() {
    let database = TestDatabase::migrated().await;
    register(&database).await;
    let url = database.app_url();
    database
        .run_as_admin(
            "CREATE VIEW public.everything AS SELECT * FROM rag_tower.chunks; GRANT SELECT ON public.everything TO PUBLIC;
             ALTER POLICY tenant_isolation ON rag_tower.documents
             USING (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid OR true);
             CREATE FUNCTION public.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER
             AS 'SELECT count(*) FROM rag_tower.request_traces'",
        )
        .await;
    let failed = setup(&url).try_start().map(|_| ()).expect_err("a broken database");
    assert!(!failed.status.success());
    let doctor = {
        let mut command = setup(&url).command(&["doctor"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
    };
    assert!(!doctor.status.success());
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let mends: Vec<&str> = failed
        .output
        .lines()
        .filter_map(|line| line.split_once("; to mend it: "))
        .map(|(_, sql)| sql)
        .collect();
    assert_eq!(mends.len(), 3, "{}", failed.output);
    for (what, mend) in [
        ("view public.everything", "ALTER VIEW public.everything SET (security_invoker = true)"),
        ("policy documents.tenant_isolation", "ALTER POLICY tenant_isolation ON rag_tower.documents"),
        ("function public.peek()", "REVOKE ALL ON ROUTINE public.peek() FROM PUBLIC"),
    ] {
        for said in [&failed.output, &doctor] {
            assert!(said.contains(what) && said.contains(mend), "{what} with {mend} is not in: {said}");
        }
    }
    assert!(doctor.contains("BAD   postgres"), "{doctor}");
    for mend in mends {
        database.run_as_admin(mend).await;
    }
    let server = setup(&url).start();
    assert_eq!(ask(&server.client().bearer(KEY), "Anything?").await.status, 200);
}

/// A standby answers, and takes no rows: the server says so instead of accusing the policies.
#[tokio::test(flavor = "multi_thread")]
async fn t21_the_server_says_that_a_standby_takes_no_rows() {
    let database = TestDatabase::migrated().await;
    database
        .run_as_admin(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$",
        )
        .await;
    let failed = setup(&database.app_url()).try_start().map(|_| ()).expect_err("a standby");
    assert!(failed.output.contains("nothing can be written to the database"), "{}", failed.output);
    assert!(!failed.output.contains("keep tenants apart"), "{}", failed.output);
}
