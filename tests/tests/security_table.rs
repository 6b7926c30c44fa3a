//! SECURITY.md against the sources: what it points to is there, so that it cannot rot.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rag_tower_tests::mutations::MUTATIONS;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names of all functions that begin with the number of a test.
fn numbered_tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap_or(".").to_owned();
            if path.is_dir() {
                // a symbolic link would be read twice, and built files are not sources
                let skipped = name.starts_with('.') || name == "target" || path.is_symlink();
                folders.extend((!skipped).then_some(path));
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let names = text.split("fn t").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
                found.extend(names.map(|name| format!("t{name}")).filter(|name| is_numbered(name)));
            }
        }
    }
    found
}

/// True for `t20_…` and the like.
fn is_numbered(name: &str) -> bool {
    let number = name.trim_start_matches('t').split('_').next().unwrap_or_default();
    name.starts_with('t')
        && name.contains('_')
        && number.len() >= 2
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of the table of promises, each as its cells.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .filter(|line| line.starts_with("| T"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

#[test]
fn every_promise_names_where_it_is_enforced_and_a_test_that_exists() {
    let text = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let tests = numbered_tests();
    assert!(tests.len() > 20, "{tests:?}");
    let rows = rows(&text);
    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        let [promise, places, proofs] = row[..] else { panic!("three cells: {row:?}") };
        for place in quoted(places) {
            assert!(root().join(place).exists(), "{promise}: there is no {place}");
        }
        assert!(quoted(places).count() > 0 && quoted(proofs).count() > 0, "{row:?}");
        for proof in quoted(proofs) {
            let there = if is_numbered(proof) { tests.contains(proof) } else { root().join(proof).exists() };
            assert!(there, "{promise}: there is no {proof}");
        }
        let numbers: Vec<String> = promise
            .split(' ')
            .take_while(|word| word.starts_with('T') && word[1..].bytes().all(|byte| byte.is_ascii_digit()))
            .map(|word| format!("{}_", word.to_lowercase()))
            .collect();
        for proof in quoted(proofs).filter(|proof| is_numbered(proof)) {
            let fits = numbers.iter().any(|number| proof.starts_with(number.as_str()));
            assert!(fits, "{promise}: {proof} has another number");
        }
    }
    // elsewhere in the text too
    for name in quoted(&text).filter(|name| is_numbered(name) && name.len() > 5) {
        assert!(tests.contains(name), "there is no {name}");
    }
}

#[test]
fn every_mutation_is_in_its_table_with_the_tests_that_fail() {
    let text = std::fs::read_to_string(root().join("tests/mutations.md")).unwrap();
    let rows: Vec<Vec<&str>> =
        text.lines().filter(|line| line.starts_with("| `")).map(|line| quoted(line).collect()).collect();
    let known: Vec<Vec<&str>> = MUTATIONS
        .iter()
        .map(|one| [one.name].into_iter().chain(one.tests.iter().copied()).collect())
        .collect();
    assert_eq!(rows, known);
}
