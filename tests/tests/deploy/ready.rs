//! `rag-tower-owner ready`, which is the image's health check.

use rag_tower_tests::server::Setup;

use super::{BINARY, run};

#[test]
fn a_server_that_runs_is_ready_and_one_that_does_not_is_not() {
    let server = Setup::new(BINARY).start();
    let metrics = server.metrics.to_string();
    let ready = |metrics: &str| {
        let output = run(&mut Setup::new(BINARY).env("RAG_TOWER_METRICS_ADDR", metrics).command(&["ready"]));
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    assert_eq!(ready(&metrics), (Some(0), "ready\n".to_owned()));
    // a server on every address of the machine is asked on its own
    let every = format!("0.0.0.0:{}", server.metrics.port());
    assert_eq!(ready(&every).0, Some(0));
    let (code, said) = ready("127.0.0.1:0");
    assert_eq!((code, said.contains("port 0")), (Some(2), true), "{said}");

    let (status, output, _) = server.stop();
    assert!(status.success(), "{output}");
    let (code, said) = ready(&metrics);
    assert_eq!((code, said.contains(&metrics)), (Some(1), true), "{said}");
}
