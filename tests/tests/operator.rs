//! The command line beside a running server: it goes through the server, as one tenant at a time.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rag_tower_tests::http::Answer;
use rag_tower_tests::server::{Server, Setup, shared};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");

fn server() -> Arc<Server> {
    shared(BINARY)
}

/// Runs the command line on the server's data directory. What speaks to a server of this machine alone needs nobody's
/// certificates, so it finds none.
async fn run(server: &Server, arguments: &[&str]) -> Output {
    let setup = Setup::new(BINARY).on(&server.data).env("SSL_CERT_FILE", "/nowhere");
    let mut command: Command = setup.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

fn said(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into(), String::from_utf8_lossy(&output.stderr).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_in_beside_a_server_is_found_by_an_ask_beside_it_and_leaves_a_row() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zeppelin.md");
    let text = |colour: &str| {
        format!(
            "# The Zeppelin layer\n\nThe Zeppelin layer of rag-tower keeps its traces at the {colour} mast.\n"
        )
    };
    std::fs::write(&file, text("violet")).unwrap();
    let path = file.to_str().unwrap();

    let (out, err) = said(&run(&server, &["ingest", path, "--tenant", "docs"]).await);
    assert!(out.contains("1 documents in 1 chunks"), "{out}{err}");

    let question = "Where does the Zeppelin layer of rag-tower keep its traces?";
    let (out, err) = said(&run(&server, &["ask", question, "--tenant", "docs"]).await);
    assert!(out.contains("violet mast"), "{out}{err}");
    assert!(err.contains("zeppelin.md"), "the source is named: {err}");
    let id = err.split("trace ").nth(1).expect(&err).trim();
    let row = server.row(id).await;
    assert_eq!((&row["channel"], &row["status"]), (&json!("cli"), &json!("SUCCESS")), "{row}");

    // It is the one tenant's alone.
    let (out, err) = said(&run(&server, &["ask", question, "--tenant", "language-centre"]).await);
    assert!(!out.contains("violet") && !err.contains("zeppelin.md"), "{out}{err}");
    let foreign = server.tenant().post("/query", &json!({"question": question})).await.text();
    assert!(!foreign.contains("violet") && !foreign.contains("zeppelin.md"), "{foreign}");

    // The file again replaces it, and what was answered before is not answered again.
    std::fs::write(&file, text("orange")).unwrap();
    assert!(run(&server, &["ingest", path, "--tenant", "docs"]).await.status.success());
    let (out, err) = said(&run(&server, &["ask", question, "--tenant", "docs"]).await);
    assert!(out.contains("orange mast") && !out.contains("violet"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_as_without_a_server() {
    let server = server();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["ask", "Anything?", "--tenant", "nobody"], 2, "there is no tenant \"nobody\""),
        (&["ask", " ", "--tenant", "docs"], 2, "empty"),
        (&["ingest", "/etc/hostname", "--tenant", "docs"], 1, "no known ending"),
        (&["ingest", "/no/such/file.md", "--tenant", "docs"], 1, "cannot be read"),
    ];
    for (arguments, code, says) in cases {
        let output = run(&server, arguments).await;
        let (out, err) = said(&output);
        assert!(err.contains(says), "{arguments:?}: {out}{err}");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {err}");
    }
    // What changes the database is still refused, and the refusal shows no key.
    let lock = std::fs::read_to_string(server.data.join("lock")).unwrap();
    let key = lock.lines().nth(2).expect("a server that is up announces its key");
    let (_, err) = said(&run(&server, &["migrate"]).await);
    assert!(err.contains("in use by process") && !err.contains(key), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_compared_and_made_again_beside_a_server() {
    let server = server();
    let answer = server.tenant().post("/query", &json!({"question": "Giờ mở cửa?"})).await;
    drop(server.row(answer.json()["trace_id"].as_str().unwrap()).await);
    let (out, err) = said(&run(&server, &["doctor"]).await);
    let line = |what: &str| out.lines().find(|line| line.contains(what)).unwrap_or_default().to_owned();
    assert!(line(" rollups ").contains("asks of yesterday and today"), "{out}{err}");
    assert!(line(" rollups ").starts_with("ok"), "{out}{err}");
    assert!(line(" partitions ").starts_with("ok") && out.contains("kept for ever"), "{out}{err}");

    let today = time::OffsetDateTime::now_utc().date();
    let rebuild = |since: &str, until: &str| {
        let (since, until) = (since.to_owned(), until.to_owned());
        let server = Arc::clone(&server);
        async move { run(&server, &["rollups", "rebuild", "--since", &since, "--until", &until]).await }
    };
    let output = rebuild(&today.previous_day().unwrap().to_string(), &today.to_string()).await;
    let (out, err) = said(&output);
    assert!(output.status.success() && out.contains("are made again from"), "{out}{err}");
    for (since, until, says) in
        [("2026-02-30", "2026-03-01", "such as 2026-01-31"), ("2026-03-02", "2026-03-01", "is after")]
    {
        let output = rebuild(since, until).await;
        let (out, err) = said(&output);
        assert!(output.status.code() == Some(2) && err.contains(says), "{out}{err}");
    }
    let (out, err) = said(&run(&server, &["doctor"]).await);
    assert!(out.contains("asks of yesterday and today") && !out.contains("BAD"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_operator_is_let_in() {
    let server = server();
    let body = json!({"tenant": "docs"});
    let lock = std::fs::read_to_string(server.data.join("lock")).unwrap();
    let key = lock.lines().nth(2).unwrap();
    let refused = |who: &str, answer: Answer| {
        assert_eq!(answer.status, 401, "{who}: {}", answer.text());
        assert_eq!(answer.json()["kind"], "unauthenticated", "{who}");
    };
    let clients = [
        ("nobody", server.client()),
        ("a tenant", server.tenant()),
        ("the owner", server.owner().await),
        ("the key instead of a token", server.client().bearer(key)),
        ("nonsense", server.client().bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiJvcGVyYXRvciJ9.")),
    ];
    for (who, client) in clients {
        refused(who, client.post("/operator/token", &body).await);
        refused(who, client.post_bytes("/operator/documents?tenant=docs&name=a.md", "# A\n\nText.").await);
    }
}
