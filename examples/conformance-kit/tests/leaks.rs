//! A kit that cannot fail is worth nothing: it runs against a bad copy of the program, and finds what is wrong with it.

mod leaky;
mod matrix;

use std::collections::BTreeSet;

use conformance_kit::Log;
use rag_tower::conformance::Outcome;

use self::matrix::{CANARIES, keys, kit};

/// What is wrong with the bad copy, as kinds of checks, routes, and the reason.
const LEAKS: [(&str, &str, &str); 8] = [
    ("inventory", "GET /notes/export", "it has no entry in the isolation matrix"),
    ("canary", "GET /notes", "it holds the canary of "),
    ("canary", "GET /notes/{id}", "it holds the canary of "),
    ("canary", "DELETE /notes/{id}", "it holds the canary of "),
    ("canary", "POST /notes/archive", "it is not the answer to an unknown id: the status is 200, not 404"),
    ("canary", "GET /invoices/{id}", "it is not the answer to an unknown id: the status is 403, not 404"),
    ("roles", "GET /admin/usage", "expected 401 or 403, not 200"),
    ("probe", "log", "it holds the canary of "),
];

#[tokio::test]
async fn exactly_the_leaks_of_the_bad_copy_are_found() {
    let log = Log::default();
    let (app, owned) = leaky::app(keys().unwrap(), log.clone());
    let report = kit(app, leaky::inventory(), &owned, log).run().await;
    let mut found = BTreeSet::new();
    for case in report.failures() {
        let Outcome::Failed(why) = &case.outcome else { panic!("unproven: {case}") };
        let route = case.name.split(" as ").next().unwrap().to_owned();
        let why = if why.starts_with("it holds the canary") { "it holds the canary of " } else { why };
        found.insert((case.check.as_str(), route, why.to_owned()));
    }
    let expected = LEAKS.map(|(check, route, why)| (check, route.to_owned(), why.to_owned())).into();
    assert_eq!(found, expected, "{report}");

    let said = format!("{report}{}{:?}", report.to_junit("notes"), report.result());
    for (_, canary) in CANARIES {
        assert!(!said.contains(canary), "what is found is not shown");
    }
}
