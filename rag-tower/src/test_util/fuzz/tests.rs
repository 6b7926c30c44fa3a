use std::path::{Path, PathBuf};

use super::*;

/// So many seeds, at the least, say that somebody has thought about a target.
const FEWEST_SEEDS: usize = 5;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn every_property_holds_over_its_corpus() {
    for target in TARGETS {
        let folder = fuzz().join("corpus").join(target.name);
        let seeds = names_in(&folder);
        assert!(seeds.len() >= FEWEST_SEEDS, "{}: {} seeds", target.name, seeds.len());
        for seed in seeds {
            let data = std::fs::read(folder.join(&seed)).unwrap();
            if let Err(broken) = (target.check)(&data) {
                panic!("{} breaks on {seed}: {broken}", target.name);
            }
        }
    }
}

/// Seeds that a check reads as nothing at all would prove nothing: each half of what it says must be reached.
#[test]
fn the_corpora_hold_what_is_taken_and_what_is_refused() {
    let seeds = |target: &str| {
        let folder = fuzz().join("corpus").join(target);
        names_in(&folder).into_iter().map(move |seed| std::fs::read(folder.join(seed)).unwrap())
    };
    let halves = |name: &str, taken: Vec<bool>| {
        assert!(taken.contains(&true) && taken.contains(&false), "{name}: {taken:?}");
    };
    halves(
        "query_body",
        seeds("query_body").map(|body| crate::http::AskRequest::parse(&body).is_ok()).collect(),
    );
    halves(
        "filter",
        seeds("filter").map(|json| serde_json::from_slice::<crate::Filter>(&json).is_ok()).collect(),
    );
    halves("credential", seeds("credential").map(|head| credential::is_taken(&head)).collect());
    #[cfg(feature = "jwt")]
    {
        halves("token", seeds("token").map(|text| token::is_taken(&text)).collect());
        halves("claims", seeds("claims").map(|text| claims::is_taken(&text)).collect());
    }
}

#[test]
fn each_target_has_its_program_and_each_program_its_target() {
    let mut expected: Vec<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    expected.sort();
    assert_eq!(names_in(&fuzz().join("corpus")), expected);
    let programs: Vec<_> = expected.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names_in(&fuzz().join("fuzz_targets")), programs);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in &expected {
        let program = std::fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("fuzz::{name}(")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
