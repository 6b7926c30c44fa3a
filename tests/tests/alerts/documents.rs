//! Documents that are not taken in, or cannot be found.

use std::process::Stdio;

use rag_tower_tests::model_stub::{ModelStub, Reply};
use rag_tower_tests::postgres::register;
use rag_tower_tests::server::{Server, Setup};

use super::{BINARY, Watched, ask, wait};

pub(super) const ALERTS: &[&[&str]] = &[REFUSED, STUCK, EMPTY];

const REFUSED: &[&str] = &["IngestionFails"];
const STUCK: &[&str] = &["IngestionStuck"];
const EMPTY: &[&str] = &["RetrievalFindsNothing"];

const EMBEDDER: &str = "embedder";
const KEY: &str = "key-of-a-tenant-without-documents-0123456789";

/// Takes a document in through the running server; true when it was.
async fn ingest(server: &Server, n: usize) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zeppelin.md");
    std::fs::write(&file, format!("# Zeppelin\n\nThe Zeppelin has {n} masts.\n")).unwrap();
    let arguments = ["ingest", file.to_str().unwrap(), "--tenant", "docs"];
    let mut command = tokio::process::Command::from(Setup::new(BINARY).on(&server.data).command(&arguments));
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.status().await.unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_an_embedder_does_not_take_and_a_tenant_without_any() {
    let stub = ModelStub::start_fast().await;
    let setup = Setup::new(BINARY)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_MODEL", "writer")
        .env("EMBEDDING_MODEL", EMBEDDER);
    let watched = Watched::start(setup).await;
    let server = &watched.server;

    register(&mut server.database().await, "empty", KEY).await;
    let empty = server.client().bearer(KEY);
    watched
        .until(EMPTY, async |n| {
            let asked = ask(&empty, &format!("Trung tâm có chính sách hoàn học phí không? ({n})")).await;
            assert_eq!(asked.status, 200, "{}", asked.text());
            wait().await;
        })
        .await;

    stub.always_of(EMBEDDER, Reply::refused(400, "invalid_request", "no"));
    watched.until(REFUSED, async |n| assert!(!ingest(server, n).await)).await;

    stub.always_of(EMBEDDER, Reply::never());
    let told = watched.until(STUCK, async |_| wait().await);
    tokio::select! {
        () = told => {}
        () = async {
            // two are taken in at once, and whoever comes next waits for a turn
            loop {
                tokio::join!(ingest(server, 1), ingest(server, 2), ingest(server, 3));
            }
        } => unreachable!("it goes on"),
    }
}
