//! Demo data on a running server: filled by a request, looked at by a command, removed again, and the other way round.

use std::process::{Output, Stdio};
use std::time::Instant;

use http::Method;
use http_body_util::Full;
use rag_tower_tests::http::{Answer, Client, DEADLINE};
use rag_tower_tests::server::{Server, Setup};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
const PATH: &str = "/owner/api/demo-data";

async fn run(server: &Server, arguments: &[&str]) -> Output {
    let mut command = Setup::new(BINARY).on(&server.data).command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

async fn delete(owner: &Client) -> Answer {
    owner.send(owner.request(Method::DELETE, PATH).body(Full::default()).unwrap()).await
}

/// Waits until it is in that state; what it says then.
async fn reaches(owner: &Client, state: &str) -> Value {
    let end = Instant::now() + 4 * DEADLINE;
    loop {
        let said = owner.get(PATH).await.json();
        if said["state"] == state {
            return said;
        }
        assert!(Instant::now() < end, "not {state}: {said}");
        tokio::task::yield_now().await;
    }
}

async fn total(owner: &Client) -> Value {
    owner.get("/owner/api/metrics").await.json()["total_requests"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_data_is_filled_and_removed_by_requests_and_by_commands() {
    let server = Setup::new(BINARY).start();
    let owner = server.owner().await;
    let asked =
        server.tenant().post("/query", &json!({ "question": "Which IELTS courses are there?" })).await;
    server.row(asked.json()["trace_id"].as_str().unwrap()).await;
    let nothing = owner.get(PATH).await.json();
    assert_eq!(
        (&nothing["state"], &nothing["tenants"]),
        (&json!("none"), &json!(["language-centre", "docs"]))
    );
    assert_eq!(delete(&owner).await.status, 409);
    assert_eq!(owner.post(PATH, &json!({ "days": 3 })).await.status, 400, "it takes nothing");

    let begun = owner.post(PATH, &json!({})).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    assert_eq!(owner.post(PATH, &json!({})).await.status, 409, "twice");
    let there = reaches(&owner, "there").await;
    let rows = there["rows"].as_i64().unwrap();
    assert!((10_000..20_000).contains(&rows) && there["done"] == rows, "{there}");
    assert_eq!(total(&owner).await, rows + 1);
    let list = owner.get("/owner/api/logs?status=FAIL_CLOSED&limit=5").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 5, "{list}");
    let trace = list["items"][0]["trace_id"].as_str().unwrap().to_owned();
    let row = server.row(&trace).await;
    assert_eq!(row["tool_metadata"]["demo"], true, "{row}");
    let tickets = owner.get("/owner/api/handoffs?limit=5").await.json();
    assert!(tickets["items"][0]["phone"].as_str().unwrap().contains('*'), "{tickets}");

    let looked = run(&server, &["demo-data", "status"]).await;
    assert_eq!(String::from_utf8_lossy(&looked.stdout), format!("There are {rows} asks of demo data.\n"));
    let again = run(&server, &["demo-data", "fill"]).await;
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("remove it first"));
    let removed = run(&server, &["demo-data", "remove"]).await;
    let said = String::from_utf8_lossy(&removed.stdout).into_owned();
    assert!(said.starts_with(&format!("{rows} asks are removed")), "{said}{removed:?}");
    assert_eq!(total(&owner).await, 1);
    assert_eq!(owner.get(&format!("/owner/api/logs/{trace}")).await.status, 404);

    let filled = run(&server, &["demo-data", "fill"]).await;
    let said = String::from_utf8_lossy(&filled.stdout).into_owned();
    assert!(said.contains("language-centre and docs"), "{said}{filled:?}");
    assert_eq!(delete(&owner).await.status, 202);
    reaches(&owner, "none").await;
    assert_eq!(total(&owner).await, 1);
    let sums = run(&server, &["doctor"]).await;
    let said = String::from_utf8_lossy(&sums.stdout).into_owned();
    assert!(!said.contains("rollups rebuild"), "{said}");
}
