//! Searching again for what was asked: the same settings find the same, others something else, in one tenant alone.

use std::collections::BTreeSet;

use rag_tower::tenant::TenantId;
use rag_tower_tests::http::Client;
use rag_tower_tests::server::{Server, shared};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");

/// Asks, and gives the trace's id once its row is there.
async fn asked(server: &Server, question: &str) -> String {
    let answer = server.tenant().post("/query", &json!({ "question": question })).await.json();
    let id = answer["trace_id"].as_str().unwrap().to_owned();
    server.row(&id).await;
    id
}

async fn replay(owner: &Client, trace: &str, settings: Value) -> Value {
    let answer = owner.post(&format!("/owner/api/logs/{trace}/replay"), &settings).await;
    assert_eq!(answer.status, 200, "{settings}: {}", answer.text());
    answer.json()
}

fn chunks(hits: &Value) -> BTreeSet<String> {
    let hits = hits.as_array().unwrap().iter().filter(|hit| hit["used"] == true);
    hits.map(|hit| hit["chunk_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_made_again_finds_the_same_and_other_settings_show_what_they_change() {
    let server = shared(BINARY);
    let owner = server.owner().await;
    let trace = asked(&server, "Which IELTS courses are there?").await;

    let same = replay(&owner, &trace, json!({})).await;
    assert_eq!((&same["entered"], &same["left"]), (&json!([]), &json!([])), "{same}");
    assert!(!chunks(&same["original"]).is_empty());
    assert_eq!(same["original"], same["replayed"], "rank by rank and score by score");
    assert_eq!(same["settings"], same["usual"]);
    let tenant = TenantId::named("language-centre").as_uuid().to_string();
    assert_eq!(same["filter"]["tenant_id"], tenant.as_str());
    for hit in same["replayed"].as_array().unwrap() {
        assert!(hit["title"].is_string() && hit["file_name"].as_str().unwrap().ends_with(".md"), "{hit}");
    }

    let one = replay(&owner, &trace, json!({ "top_k": 1 })).await;
    assert_eq!(chunks(&one["replayed"]).len(), 1, "{one}");
    assert_eq!(one["left"].as_array().unwrap().len(), chunks(&one["original"]).len() - 1);
    let meant =
        replay(&owner, &trace, json!({ "weights": { "keyword": 0, "vector": 3 }, "rerank": false })).await;
    assert_eq!(meant["settings"]["vector"], 1.0);
    assert_ne!(meant["replayed"], same["replayed"], "the order is another one");
    let (then, now) = (chunks(&meant["original"]), chunks(&meant["replayed"]));
    let difference = |a: &BTreeSet<String>, b: &BTreeSet<String>| json!(a.difference(b).collect::<Vec<_>>());
    assert_eq!(meant["entered"], difference(&now, &then));
    assert_eq!(meant["left"], difference(&then, &now));

    let phoned = asked(&server, "How long does IELTS 7.0 take? I am on 0912 345 678").await;
    let masked = replay(&owner, &phoned, json!({})).await;
    assert!(masked["question"].as_str().unwrap().ends_with("09****678"), "{masked}");

    // nothing was asked: no row more; but somebody looked
    let rows = owner.get("/owner/api/logs?q=which%20ielts%20courses%20are%20there").await.json();
    assert_eq!(rows["items"].as_array().unwrap().len(), 1, "{rows}");
    let log = owner.get("/owner/api/audit?action=trace.replay").await.json();
    assert_eq!(log["items"].as_array().unwrap().len(), 4, "{log}");
    assert_eq!(
        (&log["items"][1]["target"], &log["items"][3]["detail"]["top_k"]),
        (&json!(trace), &same["usual"]["top_k"])
    );
    assert_eq!(log["items"][0]["tenant_id"], tenant.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_searched_again_says_why() {
    let server = shared(BINARY);
    let owner = server.owner().await;
    let trace = asked(&server, "Is there a weekend class for IELTS Foundation?").await;
    let path = format!("/owner/api/logs/{trace}/replay");
    for settings in [
        json!({ "top_k": 0 }),
        json!({ "top_k": 51 }),
        json!({ "top_k": "6" }),
        json!({ "weights": { "keyword": 0, "vector": 0 } }),
        json!({ "weights": { "keyword": -1, "vector": 1 } }),
        json!({ "weights": { "keyword": 1 } }),
        json!({ "tenant_id": TenantId::named("docs").as_uuid() }),
        json!({ "question": "another" }),
        json!([]),
    ] {
        let refused = owner.post(&path, &settings).await;
        assert_eq!(refused.status, 400, "{settings}: {}", refused.text());
    }
    let unknown = "/owner/api/logs/019a9f3e-8b1c-7abc-8def-0123456789ab/replay";
    assert_eq!(owner.post(unknown, &json!({})).await.status, 404);
}
