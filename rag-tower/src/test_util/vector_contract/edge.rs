//! The contract over the embedded engine, and what only a directory can do.

use std::fs;
use std::path::Path;

use super::{DIMENSIONS, a_crowd_hides_nobody, dense, document, holds, point, search, tenant};
use crate::edge::{EdgeOptions, EdgeStore, Opened};
use crate::port::VectorStore;
use crate::{ErrorKind, Filter};

async fn open(path: &Path) -> EdgeStore {
    EdgeStore::open(EdgeOptions::new(path, DIMENSIONS).with_embedder("suite")).await.unwrap()
}

#[tokio::test]
async fn the_contract_holds() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    holds(&store).await.unwrap();
}

#[tokio::test]
async fn t15_a_crowd_around_the_question_hides_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    a_crowd_hides_nobody(&store, 20_000).await.unwrap();
    // The crowd was enough for the index to be optimised on the way.
    holds(&store).await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (tenant(), tenant());
    let document = document();
    let store = open(dir.path()).await;
    assert_eq!(store.opened(), Opened::Created);
    store.upsert(&a, vec![point(&a, document, 0)]).await.unwrap();
    store.upsert(&b, vec![point(&b, document, 0)]).await.unwrap();
    store.delete_document(&b, document).await.unwrap();
    let before = search(&store, &a, dense([1.0; DIMENSIONS]), Filter::default(), 10).await.unwrap();
    store.close().await.unwrap();

    for _ in 0..2 {
        let store = open(dir.path()).await;
        assert_eq!(store.opened(), Opened::Loaded);
        assert_eq!(
            search(&store, &a, dense([1.0; DIMENSIONS]), Filter::default(), 10).await.unwrap(),
            before
        );
        assert_eq!(store.count(&b).await.unwrap(), 0);
        // Writes after a restart, and so after the log was cut, still count.
        store.upsert(&b, vec![point(&b, document, 1)]).await.unwrap();
        assert_eq!(store.count(&b).await.unwrap(), 1);
        store.delete_document(&b, document).await.unwrap();
        store.close().await.unwrap();
    }
}

/// What a process killed now would leave: the files as they are, without anything that closing does.
#[tokio::test]
async fn what_a_finished_call_wrote_survives_a_kill() {
    let (dir, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = tenant();
    let store = open(dir.path()).await;
    for n in 0..5 {
        store.upsert(&a, vec![point(&a, document(), n)]).await.unwrap();
    }
    copy(dir.path(), crashed.path());
    let after = open(crashed.path()).await;
    assert_eq!(after.opened(), Opened::Loaded);
    assert_eq!(after.count(&a).await.unwrap(), 5);
}

#[tokio::test]
async fn a_second_opening_says_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(dir.path()).await;
    let refused = EdgeStore::open(EdgeOptions::new(dir.path(), DIMENSIONS)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StoreUnavailable);
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
}

#[tokio::test]
async fn another_embedder_or_unreadable_files_start_afresh() {
    let dir = tempfile::tempdir().unwrap();
    let a = tenant();
    let store = open(dir.path()).await;
    store.upsert(&a, vec![point(&a, document(), 0)]).await.unwrap();
    store.close().await.unwrap();

    let other = EdgeOptions::new(dir.path(), DIMENSIONS).with_embedder("other");
    let store = EdgeStore::open(other).await.unwrap();
    assert_eq!((store.opened(), store.count(&a).await.unwrap()), (Opened::Rebuilt, 0));
    store.close().await.unwrap();

    fs::write(dir.path().join("shard/edge_config.json"), "{").unwrap();
    fs::remove_dir_all(dir.path().join("shard/segments")).unwrap();
    fs::write(dir.path().join("shard/segments"), "not a folder").unwrap();
    let other = EdgeOptions::new(dir.path(), DIMENSIONS).with_embedder("other");
    let store = EdgeStore::open(other).await.unwrap();
    assert_eq!(store.opened(), Opened::Rebuilt);
    store.upsert(&a, vec![point(&a, document(), 0)]).await.unwrap();
    assert_eq!(store.count(&a).await.unwrap(), 1);
}

#[tokio::test]
async fn another_length_is_refused_with_the_command_that_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let a = tenant();
    let store = open(dir.path()).await;
    store.upsert(&a, vec![point(&a, document(), 0)]).await.unwrap();
    store.close().await.unwrap();

    let longer = EdgeOptions::new(dir.path(), DIMENSIONS + 1).with_embedder("suite");
    let refused = EdgeStore::open(longer.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let said = refused.to_string();
    assert!(said.contains("vectors of 8 numbers") && said.contains("makes 9"), "{said}");
    assert!(said.contains("rag-tower-owner reindex"), "{said}");
    // Refused is not emptied.
    let store = open(dir.path()).await;
    assert_eq!((store.opened(), store.count(&a).await.unwrap()), (Opened::Loaded, 1));
    store.close().await.unwrap();

    let store = EdgeStore::open(longer.emptied()).await.unwrap();
    assert_eq!((store.opened(), store.count(&a).await.unwrap()), (Opened::Rebuilt, 0));
}

#[tokio::test]
async fn writers_and_readers_meet_without_harm() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let a = tenant();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let (store, a) = (store.clone(), a.clone());
        tasks.spawn(async move {
            let document = document();
            store.upsert(&a, vec![point(&a, document, n)]).await.unwrap();
            search(&store, &a, dense([1.0; DIMENSIONS]), Filter::default(), 10).await.unwrap();
            if n % 2 == 0 {
                store.delete_document(&a, document).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(store.count(&a).await.unwrap(), 8);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
