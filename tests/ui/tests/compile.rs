//! Compiles the cases.

#![expect(clippy::unwrap_used, reason = "a helper of tests")]

use std::collections::BTreeSet;
use std::path::Path;

fn names(folder: &str, extension: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(folder);
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn t01_every_case_has_its_twin_and_its_reason() {
    assert_eq!(names("fail", "rs"), names("pass", "rs"));
    assert_eq!(names("fail", "rs"), names("fail", "stderr"));
}

#[test]
fn t01_what_must_not_compile_does_not_and_its_twin_does() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("cases/fail/*.rs");
    cases.pass("cases/pass/*.rs");
}
