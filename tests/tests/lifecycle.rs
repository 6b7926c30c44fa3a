//! Starting, stopping, crashing and starting again.

use std::net::TcpListener;
use std::process::Command;

use rag_tower_tests::http::Client;
use rag_tower_tests::model_stub::ModelStub;
use rag_tower_tests::server::{DEMO_KEY, Setup};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");

#[tokio::test(flavor = "multi_thread")]
async fn stop_start_kill_and_start_again_on_the_same_data() {
    let server = Setup::new(BINARY).start();
    let data = server.data.clone();
    let body = server.tenant().post("/query", &json!({"question": "Giờ mở cửa?"})).await.json();
    let (status, output, keep) = server.stop();
    assert!(status.success(), "{status}:\n{output}");

    // What was asked before is still there, and the second start ingests nothing again.
    let server = Setup::new(BINARY).on(&data).start();
    let path = format!("/owner/api/logs/{}", body["trace_id"].as_str().unwrap());
    assert_eq!(server.owner().await.get(&path).await.status, 200);

    // A second server on the same data says who holds it.
    let failed =
        Setup::new(BINARY).on(&data).try_start().map(|_| ()).expect_err("two servers on one directory");
    assert!(failed.output.contains(&server.pid().to_string()), "says which process:\n{}", failed.output);

    server.signal("KILL");
    let (_, _, none) = server.wait();
    assert!(none.is_none());
    let server = Setup::new(BINARY).on(&data).start();
    let after = server.tenant().post("/query", &json!({"question": "Giờ mở cửa?"})).await;
    assert_eq!(after.status, 200, "{}", after.text());
    let (status, output, _) = server.stop();
    assert!(status.success(), "{status}:\n{output}");
    drop(keep);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_embedding_model_is_refused_until_everything_is_embedded_again() {
    let stub = ModelStub::start().await;
    let server = Setup::new(BINARY).start();
    let data = server.data.clone();
    let (status, output, keep) = server.stop();
    assert!(status.success(), "{status}:\n{output}");

    let other = || {
        Setup::new(BINARY)
            .on(&data)
            .env("OPENAI_BASE_URL", stub.base_url())
            .env("OPENAI_API_KEY", "key-that-no-provider-knows")
            .env("OPENAI_MODEL", "stub")
            .env("EMBEDDING_MODEL", "stub-embedding")
    };
    let failed = other().try_start().map(|_| ()).expect_err("vectors of another length");
    assert!(failed.output.contains("rag-tower-owner reindex"), "{}", failed.output);

    let output = other().command(&["reindex"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let chunks: u64 = said.split(' ').next().unwrap().parse().unwrap();
    assert!(chunks > 10, "{said}");

    let server = other().start();
    let answer = server.tenant().post("/query", &json!({"question": "Học phí khoá IELTS?"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.json()["sources"].as_array().unwrap().is_empty(), "{}", answer.text());
    let (status, output, _) = server.stop();
    assert!(status.success(), "{status}:\n{output}");
    drop(keep);
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let failed =
        Setup::new(BINARY).env("RAG_TOWER_ADDR", &addr).try_start().map(|_| ()).expect_err("a taken port");
    assert!(failed.output.contains(&addr) && failed.output.contains("RAG_TOWER_ADDR"), "{}", failed.output);
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    // A file where the directory should be: unwritable for root too.
    let file = tempfile::NamedTempFile::new().unwrap();
    let failed =
        Setup::new(BINARY).on(&file.path().join("data")).try_start().map(|_| ()).expect_err("no directory");
    assert!(failed.output.contains("RAG_TOWER_DATA"), "{}", failed.output);
}

#[test]
fn t43_secrets_that_are_short_or_shipped_are_refused() {
    for (name, value) in
        [("OWNER_PASSWORD", "short"), ("JWT_SECRET", "short"), ("RAG_TOWER_DEMO_KEY", "short")]
    {
        let failed = Setup::new(BINARY).env(name, value).try_start().map(|_| ()).expect_err(name);
        assert!(failed.output.contains(name) && !failed.output.contains(DEMO_KEY), "{}", failed.output);
    }
    let failed = Setup::new(BINARY).env("RAG_TOWER_TYPO", "1").try_start().map(|_| ()).expect_err("unknown");
    assert!(failed.output.contains("RAG_TOWER_TYPO"), "{}", failed.output);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_flight_is_finished_before_the_end() {
    let server = Setup::new(BINARY).start();
    let client = Client::new(server.addr).bearer(DEMO_KEY);
    let mut events = client.events("/query", &json!({"question": "Chính sách bảo lưu?"})).await;
    assert_eq!(events.next().await.unwrap().name, "start");
    server.signal("INT");
    let last = events.all().await.pop().expect("events");
    assert_eq!(last.name, "end");
    let (status, output, _keep) = server.wait();
    assert!(status.success(), "{status}:\n{output}");
}

#[test]
fn the_command_line_teaches() {
    let setup = Setup::new(BINARY);
    let run = |arguments: &[&str]| {
        let output = Command::output(&mut setup.command(arguments)).unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (ok, help) = run(&["--help"]);
    assert!(ok);
    for word in ["serve", "migrate", "ingest", "ask", "doctor", "RAG_TOWER_ADDR", "DATABASE_URL"] {
        assert!(help.contains(word), "{word}:\n{help}");
    }
    let (ok, printed) = run(&["--print-config"]);
    assert!(ok && printed.contains("top_k") && !printed.contains(DEMO_KEY), "{printed}");
}
