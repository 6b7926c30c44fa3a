//! The proof that the program keeps its tenants apart, in process and over a socket.

mod matrix;

use std::sync::Arc;

use conformance_kit::{Log, Store, app, inventory};
use rag_tower::conformance::{Check, Remote};

use self::matrix::{CANARIES, NOTES, Owned, keys, kit};

/// Notes and an invoice of each tenant, with its canary in their texts.
fn owned(store: &Store) -> Option<Vec<Owned>> {
    let of = |(tenant, canary): (&'static str, &str)| {
        let scope = rag_tower::test_util::scope(tenant);
        let notes: Vec<_> = (0..NOTES).map(|n| store.add_note(&scope, format!("{n}: {canary}")).id).collect();
        let invoice = store.add_invoice(&scope, notes[0], format!("the payer of {canary}"))?.id;
        Some(Owned { tenant, notes, invoice })
    };
    CANARIES.into_iter().map(of).collect()
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let (store, log) = (Arc::new(Store::default()), Log::default());
    let owned = owned(&store).unwrap();
    let report = kit(app(store, keys().unwrap(), log.clone()), inventory(), &owned, log).run().await;

    // written before it is judged: CI shows it either way
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("isolation.xml");
    std::fs::write(file, report.to_junit("notes")).unwrap();
    report.result().unwrap();

    for check in
        [Check::Inventory, Check::AbsentTenant, Check::Canary, Check::Roles, Check::Control, Check::Probe]
    {
        assert!(report.cases().iter().any(|case| case.check == check), "no case of {check:?}:\n{report}");
    }
}

/// The same against a server at an address: what is on the wire is what the router says.
#[tokio::test]
async fn tenants_do_not_see_each_other_over_a_socket() {
    let (store, log) = (Arc::new(Store::default()), Log::default());
    let owned = owned(&store).unwrap();
    let app = app(store, keys().unwrap(), log.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = Remote::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let run = kit(app.clone(), inventory(), &owned, log).against(remote).run();
    let report = tokio::select! {
        report = run => report,
        ended = axum::serve(listener, app) => panic!("the server ended: {ended:?}"),
    };
    report.result().unwrap();
}
