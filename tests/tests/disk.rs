//! The disk of the data directory: read-only, full at the start, or filled while the server runs.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use rag_tower_tests::http::DEADLINE;
use rag_tower_tests::model_stub::{self, ModelStub, Reply, Step};
use rag_tower_tests::server::{Server, Setup, assert_mounted, fill};
use serde_json::{Value, json};
use sqlx::Connection;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");
/// Postgres tries to start again every few seconds, and then recovers.
const RECOVERY: Duration = Duration::from_secs(90);

/// What a server says that cannot start on such a disk.
fn refused_on(disk: &str) -> String {
    let said = Setup::new(BINARY).on_disk(disk).try_start().map(|_| ()).expect_err(disk).output;
    assert_mounted(&said);
    said
}

#[test]
fn a_read_only_disk_is_named_with_the_mend() {
    let said = refused_on("ro,size=1m");
    assert!(said.contains("read-only") && said.contains("RAG_TOWER_DATA"), "{said}");
}

#[test]
fn a_full_disk_is_named_with_the_mend() {
    let said = refused_on("size=16k");
    assert!(said.contains("Free some space") && said.contains("RAG_TOWER_DATA"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_while_serving_loses_nothing() {
    let stub = ModelStub::start().await;
    stub.always(Reply::chat(&["Có, ", "theo chính sách [1]."]));
    let mut server = Setup::new(BINARY)
        .on_disk("size=400m")
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_API_KEY", "key-that-no-provider-knows")
        .env("OPENAI_MODEL", "stub")
        .start();
    let mut asked = Asked::default();
    assert_eq!(asked.ask(&server).await, (200, json!([])));

    // Hardly any room: what is there is answered from, and nothing is taken in.
    let disk = server.own_data().parent().unwrap().to_owned();
    fill(&disk.join("ballast"), 8 << 20);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("note.md");
    std::fs::write(&file, "# Zeppelin\n\nThe Zeppelin is moored at the violet mast.\n").unwrap();
    let ingest = ["ingest", file.to_str().unwrap(), "--tenant", "docs"];
    let said = beside(&server, &ingest);
    assert!(said.contains("disk of the vector index is full"), "{said}");
    assert_eq!(asked.ask(&server).await.0, 200);

    // No room at all: a conversation goes on, without what could not be kept of it.
    fill(&disk.join("more"), 0);
    for _ in 0..5 {
        let (status, degraded) = asked.ask(&server).await;
        let kept = [json!([]), json!(["memory"])].contains(&degraded);
        assert!(status == 503 || (status == 200 && kept), "{status} {degraded}");
    }
    asked.session = None;

    // An answer is under way when Postgres finds no room for its log: it stops, and cannot start again.
    let pause = Step::Pause(Duration::from_secs(5));
    let first = [model_stub::role(), model_stub::text("Một")];
    let last =
        [model_stub::text(" hai."), model_stub::finish("stop"), model_stub::usage(10, 2), model_stub::done()];
    let steps = first.map(Step::Send).into_iter().chain([pause]).chain(last.map(Step::Send));
    stub.script([Reply::steps(steps)]);
    let mut events = server.tenant().events("/query", &asked.question()).await;
    let start = events.next().await.unwrap();
    assert_eq!(start.name, "start", "{start:?}");
    asked.accept(&start.data);
    while events.next().await.unwrap().name != "delta" {}
    exhaust_wal(&server).await;
    let end = events.all().await.pop().expect("the answer goes on");
    assert_eq!(end.name, "end", "{end:?}");
    assert_eq!(asked.ask(&server).await.0, 503, "without Postgres nobody can be told apart");
    assert!(server.is_running());

    // Room again.
    std::fs::remove_file(disk.join("ballast")).unwrap();
    std::fs::remove_file(disk.join("more")).unwrap();
    let end = Instant::now() + RECOVERY;
    while asked.ask(&server).await != (200, json!([])) {
        asked.session = None;
        assert!(Instant::now() < end, "the server does not recover");
    }
    let said = beside(&server, &ingest);
    assert!(said.contains("1 documents in 1 chunks"), "{said}");

    // Every ask that was accepted is there, once.
    let owner = server.owner().await;
    let end = Instant::now() + DEADLINE;
    let rows = loop {
        let list = owner.get("/owner/api/logs?limit=200").await.json();
        let rows: Vec<String> =
            list["items"].as_array().unwrap().iter().map(|row| text(&row["trace_id"])).collect();
        if rows.len() >= asked.accepted.len() || Instant::now() > end {
            break rows;
        }
    };
    let distinct: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!((rows.len(), &distinct), (asked.accepted.len(), &asked.accepted));
    let metrics = server.scrape().await;
    assert!(metrics.lines().any(|line| line == "rag_trace_dropped_total 0"), "{metrics}");
    let (status, output, _) = server.stop();
    assert!(status.success(), "{status}:\n{output}");
}

/// The asks of this test.
#[derive(Default)]
struct Asked {
    count: usize,
    /// The conversation that the next ask goes on with.
    session: Option<Value>,
    /// The traces of those that were accepted.
    accepted: BTreeSet<String>,
}

impl Asked {
    /// A question that no cache can answer.
    fn question(&mut self) -> Value {
        self.count += 1;
        let mut question =
            json!({"question": format!("Trung tâm có chính sách hoàn học phí không? ({})", self.count)});
        if let Some(session) = &self.session {
            question["session_id"] = session.clone();
        }
        question
    }

    fn accept(&mut self, answer: &Value) {
        assert!(self.accepted.insert(text(&answer["trace_id"])), "a trace of its own: {answer}");
    }

    /// Asks, and says with which status it ended and what was degraded. A refusal is a problem that says what to do.
    async fn ask(&mut self, server: &Server) -> (u16, Value) {
        let question = self.question();
        let answer = server.tenant().post("/query", &question).await;
        let body = answer.json();
        if answer.status == 200 || body["trace_id"].is_string() {
            self.accept(&body);
        }
        if answer.status != 200 {
            assert_eq!(answer.headers["content-type"], "application/problem+json", "{body}");
            assert_eq!(body["kind"], "store_unavailable", "{body}");
        } else {
            self.session = Some(body["session_id"].clone());
        }
        (answer.status.as_u16(), body["degraded"].clone())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// Runs the command line beside the server, where its disk can be seen, and gives what it said.
fn beside(server: &Server, arguments: &[&str]) -> String {
    let command = Setup::new(BINARY).on(&server.data).command(arguments);
    let mut inside = Command::new("nsenter");
    inside.args(["--mount", "--target", &server.pid().to_string()]);
    if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) != 0 {
        inside.args(["--user", "--preserve-credentials"]);
    }
    inside.arg(command.get_program()).args(command.get_args()).env_clear();
    inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = inside.output().expect("nsenter, of util-linux");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Makes Postgres begin new files of its log until there is no room for one.
async fn exhaust_wal(server: &Server) {
    let mut admin = server.database().await;
    for _ in 0..40 {
        let next = "SELECT pg_logical_emit_message(true, 't', 'x'); SELECT pg_switch_wal()";
        if sqlx::raw_sql(next).execute(&mut admin).await.is_err() || admin.ping().await.is_err() {
            return;
        }
    }
    panic!("Postgres always finds room");
}
