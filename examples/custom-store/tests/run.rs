//! The example, run as its users run it, twice over one directory.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::process::Command;

use rag_tower::TenantId;
use rag_tower::trace::{Status, TraceRow};
use rag_tower_tests::example::shown;

fn run(directory: &std::path::Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_custom-store")).arg(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_answers_from_its_files_and_each_run_leaves_a_row() {
    let directory = tempfile::tempdir().unwrap();
    let first = run(directory.path());
    assert_eq!(first, "A season ticket is 120 euros. [1]\nvectors: 0 before, 1 now; trace rows written: 1\n");
    assert_eq!(shown(include_str!("../README.md")), first);
    let second = run(directory.path());
    assert!(second.contains("vectors: 1 before, 1 now"), "{second}");

    let rows = std::fs::read_to_string(directory.path().join("traces.jsonl")).unwrap();
    let rows: Vec<TraceRow> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!((row.tenant_id, row.outcome.status()), (TenantId::named("pool"), Status::Success));
        assert_eq!(row.answer.as_deref(), Some("A season ticket is 120 euros. [1]"));
    }
}

#[test]
fn without_a_directory_it_says_what_it_wants() {
    let output = Command::new(env!("CARGO_BIN_EXE_custom-store")).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("name a directory to keep things in"), "{said}");
}
