//! What the sources themselves must say so that the lines of defence hold: who may mint a scope.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rag_tower::{Grant, TenantId, TenantScope};
use rag_tower_owner::auth::OwnerScope;
use rag_tower_tests::mutations::MUTATIONS;

/// The places in shipped code that may do what `.clippy.toml` disallows. Clippy refuses every other one, so a new one needs its
/// `#[expect]` there and its line here.
const EXCEPTIONS: &[(&str, usize)] = &[
    ("rag-tower-owner/src/cluster/keeper.rs", 1), // a thread asks whether it is unwinding
    ("rag-tower-owner/src/platform.rs", 1),       // mints: the operator's own scope
    ("rag-tower/src/http/ws_axum.rs", 1),         // mints: a verified credential's
    ("rag-tower/src/memory/write_behind.rs", 1),  // a task
    ("rag-tower/src/otel/exporter.rs", 1),        // a task
    ("rag-tower/src/tenant/authority.rs", 1),     // the mint
    ("rag-tower/src/tenant/scope.rs", 1),         // mints: a smaller one of a scope
    ("rag-tower/src/tenant/service.rs", 1),       // mints: a verified credential's
    ("rag-tower/src/test_util/scopes.rs", 1),     // mints: for tests
    ("rag-tower/src/trace/writer/mod.rs", 1),     // a task
];

/// The shipped files that ask for the operator's own scope: what is done on the machine itself, for a tenant that is named there.
const OPERATOR: &[&str] = &[
    "rag-tower-owner/src/api/operator.rs",
    "rag-tower-owner/src/api/owner/replay.rs",
    "rag-tower-owner/src/ask.rs",
    "rag-tower-owner/src/canary/mod.rs",
    "rag-tower-owner/src/demo.rs",
    "rag-tower-owner/src/demo_data/mod.rs",
    "rag-tower-owner/src/eval/answers.rs",
    "rag-tower-owner/src/eval/indexed.rs",
    "rag-tower-owner/src/ingest.rs",
    "rag-tower-owner/src/platform.rs",
    "rag-tower-owner/src/system.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The shipped part of each source file of the two crates: no files of tests, and nothing from a file's own tests on.
fn shipped() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join("rag-tower/src"), root().join("rag-tower-owner/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(root()).expect("inside").to_string_lossy().into_owned();
            if is_of_tests(&name) {
                continue;
            }
            match path.is_dir() {
                true => folders.push(path),
                false if name.ends_with(".rs") => {
                    let text = fs::read_to_string(&path).expect("UTF-8");
                    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
                    found.insert(name, text);
                }
                false => {}
            }
        }
    }
    assert!(found.len() > 200, "{} files", found.len());
    found
}

/// Modules that are compiled for tests alone.
fn is_of_tests(name: &str) -> bool {
    let stem = name.trim_end_matches(".rs").rsplit('/').next().unwrap_or_default();
    matches!(stem, "tests" | "testing" | "vector_contract")
        || stem.ends_with("_tests")
        || name == "rag-tower/src/generate/test_util.rs"
}

/// The lines of code in which `what` stands; comments and documentation are not code.
fn lines_with<'a>(text: &'a str, what: &str) -> Vec<&'a str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//") && line.contains(what)).collect()
}

#[test]
fn t01_the_mint_is_disallowed_and_each_exception_is_known() {
    let lints = fs::read_to_string(root().join(".clippy.toml")).expect("the lints' settings");
    for mint in ["rag_tower::tenant::TenantAuthority::grant", "rag_tower::tenant::TenantScope::mint"] {
        assert!(lints.contains(&format!("{{ path = \"{mint}\"")), "{mint} is not disallowed");
    }
    let exceptions: Vec<_> = shipped()
        .iter()
        .map(|(name, text)| (name.clone(), lines_with(text, "clippy::disallowed_methods").len()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let known: Vec<_> = EXCEPTIONS.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(exceptions, known);
}

#[test]
fn t01_shipped_code_takes_no_scope_from_the_tests_helper() {
    for (name, text) in shipped() {
        // The conformance kit is made of what tests need, and this helper is one of them.
        let own =
            ["rag-tower/src/test_util/", "rag-tower/src/conformance"].iter().any(|own| name.starts_with(own));
        let found = [lines_with(&text, "crate::test_util"), lines_with(&text, "tower::test_util")].concat();
        assert!(own || found.is_empty(), "{name}: {found:?}");
    }
}

#[test]
fn t01_whoever_asks_for_the_operators_scope_is_known() {
    let asking: BTreeSet<_> = shipped()
        .into_iter()
        .filter(|(_, text)| {
            ["scope_of(", "scope_within("].iter().any(|mint| !lines_with(text, mint).is_empty())
        })
        .map(|(name, _)| name)
        .collect();
    assert_eq!(asking, OPERATOR.iter().map(|name| (*name).to_owned()).collect());
}

/// What would be without a line of defence is tried by `cargo run -p rag-tower-tests --bin mutations`; here, that it still can be.
#[test]
fn every_mutation_still_fits_the_sources() {
    let names: BTreeSet<_> = MUTATIONS.iter().map(|mutation| mutation.name).collect();
    assert_eq!(names.len(), MUTATIONS.len(), "two mutations have one name");
    let stale: Vec<_> = MUTATIONS.iter().flat_map(|mutation| mutation.stale(&root()).unwrap()).collect();
    assert!(stale.is_empty(), "{}", stale.join("\n"));
    let tests = all_sources();
    for mutation in MUTATIONS {
        assert!(!mutation.tests.is_empty(), "{}", mutation.name);
        for part in mutation.tests {
            let function = part.rsplit("::").next().unwrap();
            let known = tests.lines().any(|line| line.contains("fn ") && line.contains(function));
            assert!(known, "{}: no test has {part} in its name", mutation.name);
        }
    }
}

/// Every source file of the workspace in one text.
fn all_sources() -> String {
    let (mut all, mut folders) = (String::new(), Vec::new());
    for folder in ["rag-tower/src", "rag-tower-owner/src", "tests/tests", "tests/ui/tests"] {
        folders.push(root().join(folder));
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => {
                    all.push_str(&fs::read_to_string(path).expect("UTF-8"))
                }
                _ => {}
            }
        }
    }
    all
}

/// True where the first type turns into the second.
struct Turns<T, U>(std::marker::PhantomData<(T, U)>);

trait Otherwise {
    const HOLDS: bool = false;
}

impl<T, U> Otherwise for Turns<T, U> {}

impl<T: Into<U>, U> Turns<T, U> {
    const HOLDS: bool = true;
}

#[test]
fn t01_the_owners_scope_is_no_tenants_and_no_text_is_either() {
    let turns = [
        Turns::<OwnerScope, TenantScope>::HOLDS,
        Turns::<TenantScope, OwnerScope>::HOLDS,
        Turns::<String, TenantScope>::HOLDS,
        Turns::<TenantId, TenantScope>::HOLDS,
        Turns::<Grant, TenantScope>::HOLDS,
        // the question can be answered with yes
        Turns::<&str, String>::HOLDS,
    ];
    assert_eq!(turns, [false, false, false, false, false, true]);
}
