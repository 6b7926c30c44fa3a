//! The stores against the library's own contracts, which say when they are done.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;

use custom_store::{FileTraces, FileVectors};
use rag_tower::filter::Filter;
use rag_tower::passage::{ChunkId, DocumentId};
use rag_tower::port::{Embedding, Point, QueryVector, SparseVector, VectorQuery, VectorStore};
use rag_tower::test_util::trace_contract::{self, KeptRow};
use rag_tower::test_util::{scope, vector_contract};
use rag_tower::trace::{Outcome, TraceRow, TraceStore};
use rag_tower::{AskId, ErrorKind, Finish, Origin, TenantId, TenantScope};

fn point(scope: &TenantScope) -> Point {
    let document = DocumentId::named(scope.tenant(), "pool.md");
    Point {
        chunk: ChunkId::of(scope.tenant(), document, 0),
        document,
        branch: None,
        dense: Embedding::new([1.0, 0.5]),
        sparse: SparseVector::default(),
        labels: Default::default(),
    }
}

fn everything() -> VectorQuery {
    let vector = QueryVector::Dense(Embedding::new([1.0, 1.0]));
    VectorQuery { vector, filter: Filter::default(), limit: 10 }
}

#[tokio::test]
async fn it_keeps_the_contract_of_vector_stores() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileVectors::open(directory.path(), vector_contract::DIMENSIONS).unwrap();
    vector_contract::holds(&store).await.unwrap();
    vector_contract::a_crowd_hides_nobody(&store, 2_000).await.unwrap();
}

/// The rows of a file.
fn rows(path: &Path) -> Vec<TraceRow> {
    let lines = fs::read_to_string(path).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn it_keeps_the_contract_of_trace_stores() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("traces.jsonl");
    let store = FileTraces::open(&path).unwrap();
    let kept = async |id: AskId| {
        let rows = rows(&path).into_iter().filter(|row| row.trace_id == id);
        rows.map(|row| KeptRow { tenant: row.tenant_id, question: row.question, answer: row.answer })
            .collect::<Vec<_>>()
    };
    trace_contract::holds(&store, kept).await.unwrap();
}

/// What was written is known after a restart, and a line that a crash has cut off is none.
#[tokio::test]
async fn rows_are_written_once_by_all_runs_together() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("traces.jsonl");
    let row = || {
        let ended = Outcome::Completed(Finish::Stop);
        TraceRow::new(AskId::generate(), TenantId::named("pool"), ended, Default::default())
    };
    let (first, second) = (row(), row());
    FileTraces::open(&path).unwrap().write(std::slice::from_ref(&first)).await.unwrap();
    fs::File::options().append(true).open(&path).unwrap().write_all(b"{\"trace_id\": \"01").unwrap();
    FileTraces::open(&path).unwrap().write(&[first.clone(), second.clone()]).await.unwrap();
    let ids: Vec<_> = rows(&path).iter().map(|row| row.trace_id).collect();
    assert_eq!(ids, [first.trace_id, second.trace_id]);
}

#[tokio::test]
async fn a_tenants_points_are_in_its_own_file_and_outlive_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let [acme, globex] = ["acme", "globex"].map(scope);
    for scope in [&acme, &globex] {
        let store = FileVectors::open(directory.path(), 2).unwrap();
        store.upsert(scope, vec![point(scope)]).await.unwrap();
    }
    let names = [&acme, &globex].map(|scope| format!("{}.jsonl", scope.tenant()));
    let files: BTreeSet<_> =
        fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, names.iter().map(OsString::from).collect());

    let store = FileVectors::open(directory.path(), 2).unwrap();
    let hits = store.search(&acme, &everything()).await.unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].origin, Origin::Tenant { tenant: acme.tenant(), branch: None });
    fs::remove_file(directory.path().join(&names[0])).unwrap();
    let counts = (store.count(&acme).await.unwrap(), store.count(&globex).await.unwrap());
    assert_eq!(counts, (0, 1), "one file gone is one tenant's points gone, and nobody else's");
}

/// A line cut off by a crash, or written by something else: nothing is found rather than something else.
#[tokio::test]
async fn a_file_that_cannot_be_read_fails_closed() {
    let directory = tempfile::tempdir().unwrap();
    let acme = scope("acme");
    let store = FileVectors::open(directory.path(), 2).unwrap();
    store.upsert(&acme, vec![point(&acme)]).await.unwrap();
    let path = directory.path().join(format!("{}.jsonl", acme.tenant()));
    fs::File::options().append(true).open(path).unwrap().write_all(b"{\"Put\":[{\"chunk\"").unwrap();
    let refused = store.search(&acme, &everything()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StoreUnavailable);
    assert!(!refused.to_string().contains("jsonl"), "a caller learns nothing of the machine: {refused}");
}
