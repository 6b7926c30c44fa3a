//! The journal of trace rows before a real Postgres: whatever is in it arrives once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rag_tower::postgres::{Database, PgPartitions, PgTraceStore};
use rag_tower::trace::{
    FileJournal, Fsync, Journal, TraceRow, TraceSink, TraceWriter, WriterConfig, spawn_writer,
};
use rag_tower_tests::http::DEADLINE;
use rag_tower_tests::postgres::TestDatabase;
use uuid::Uuid;

use super::support::{ask_on, trace_row, trace_row_of};

const GRACE: Duration = Duration::from_secs(10);

fn open(dir: &Path) -> FileJournal {
    FileJournal::open(dir, 64 << 20, Fsync::Never).unwrap()
}

/// Leaves rows in the journal, as a process that was killed.
fn filled(dir: &Path, rows: &[TraceRow]) {
    let journal = open(dir);
    for row in rows {
        drop(journal.append(row));
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|end| end == "rows")).collect()
}

/// Those that hold rows: an empty one is removed whenever its journal comes to it.
fn with_rows(dir: &Path) -> impl Iterator<Item = PathBuf> {
    files(dir).into_iter().filter(|path| fs::metadata(path).is_ok_and(|known| known.len() > 0))
}

fn writer(database: &Database, dir: &Path) -> (TraceSink, TraceWriter) {
    let config = WriterConfig::default().batch(16).journal(open(dir));
    spawn_writer(PgTraceStore::new(database), config)
}

async fn kept(database: &TestDatabase) -> Vec<Uuid> {
    sqlx::query_scalar("SELECT trace_id FROM rag_tower.request_traces ORDER BY trace_id")
        .fetch_all(&mut database.admin().await)
        .await
        .unwrap()
}

fn ids<'a>(rows: impl IntoIterator<Item = &'a TraceRow>) -> Vec<Uuid> {
    let mut ids: Vec<_> = rows.into_iter().map(|row| row.trace_id.as_uuid()).collect();
    ids.sort_unstable();
    ids
}

/// Waits until the writer has taken in what was left.
async fn settled(dir: &Path, writer: &TraceWriter) {
    let end = std::time::Instant::now() + DEADLINE;
    while with_rows(dir).next().is_some() {
        assert!(std::time::Instant::now() < end, "rows stay in the journal: {:?}", writer.stats());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_that_replay_the_same_journal_write_each_row_once() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rows: Vec<_> = (0..200).map(|n| trace_row(["a", "b", "c"][n % 3])).collect();
    filled(one.path(), &rows);
    drop(open(one.path()));
    for path in with_rows(one.path()) {
        fs::copy(&path, two.path().join(path.file_name().unwrap())).unwrap();
    }
    let (first, second) = (writer(&pool, one.path()), writer(&pool, two.path()));
    settled(one.path(), &first.1).await;
    settled(two.path(), &second.1).await;
    assert_eq!(kept(&database).await, ids(&rows));
    for (_sink, writer) in [first, second] {
        let stats = writer.shutdown(GRACE).await;
        assert_eq!((stats.lost, stats.refused, stats.torn), (0, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_postgres_refuses_holds_up_no_other() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let dir = tempfile::tempdir().unwrap();
    let mut rows: Vec<_> = (0..40).map(|_| trace_row("a")).collect();
    database.run_as_admin("ALTER TABLE rag_tower.request_traces ADD CHECK (question <> 'never')").await;
    let mut impossible = trace_row("a");
    impossible.question = Some("never".into());
    rows.insert(20, impossible.clone());
    filled(dir.path(), &rows);
    let (sink, writer) = writer(&pool, dir.path());
    settled(dir.path(), &writer).await;
    let stats = writer.shutdown(GRACE).await;
    assert_eq!((stats.refused, stats.lost), (1, 0));
    assert_eq!(kept(&database).await, ids(rows.iter().filter(|row| row.trace_id != impossible.trace_id)));
    let aside = fs::read_to_string(dir.path().join("refused.jsonl")).unwrap();
    let aside: TraceRow = serde_json::from_str(aside.trim_end()).unwrap();
    assert_eq!(aside.trace_id, impossible.trace_id);
    drop(sink);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_day_that_was_dropped_meanwhile_are_put_aside() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let dir = tempfile::tempdir().unwrap();
    let old = trace_row_of(ask_on("2026-01-05"), "a");
    PgTraceStore::new(&pool).insert(std::slice::from_ref(&old)).await.unwrap();
    let month = std::num::NonZeroU32::new(30).unwrap();
    assert_eq!(PgPartitions::new(&pool).drop_old(month).await.unwrap().partitions, 2);
    // one that had been written, one that had not, and one of a day after them
    let late = trace_row_of(ask_on("2026-01-05"), "b");
    let fine = trace_row_of(ask_on("2026-01-07"), "a");
    filled(dir.path(), &[old.clone(), late.clone(), fine.clone(), trace_row("a")]);
    let (sink, writer) = writer(&pool, dir.path());
    settled(dir.path(), &writer).await;
    let stats = writer.shutdown(GRACE).await;
    assert_eq!((stats.refused, stats.lost), (2, 0));
    assert!(kept(&database).await.contains(&fine.trace_id.as_uuid()));
    let aside = fs::read_to_string(dir.path().join("refused.jsonl")).unwrap();
    let aside = aside.lines().map(|line| serde_json::from_str::<TraceRow>(line).unwrap().trace_id);
    assert_eq!(aside.collect::<Vec<_>>(), [old.trace_id, late.trace_id]);
    drop(sink);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_back_loses_nothing() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let dir = tempfile::tempdir().unwrap();
    let days = ["2031-03-03", "2031-03-02", "2031-03-01", "2031-02-28", "2031-03-04"];
    let rows: Vec<_> = days.iter().cycle().take(50).map(|day| trace_row_of(ask_on(day), "a")).collect();
    filled(dir.path(), &rows[..25]);
    filled(dir.path(), &rows[25..]);
    let (sink, writer) = writer(&pool, dir.path());
    settled(dir.path(), &writer).await;
    assert_eq!(writer.shutdown(GRACE).await.lost, 0);
    assert_eq!(kept(&database).await, ids(&rows));
    drop(sink);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_loses_the_rows_it_no_longer_holds_and_no_other() {
    let database = TestDatabase::migrated().await;
    let pool = database.database().await;
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..60).map(|_| trace_row("a")).collect();
    filled(dir.path(), &rows);
    drop(open(dir.path()));
    let path = with_rows(dir.path()).next().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // bytes turned over in the middle, and the end cut off
    let middle = bytes.len() / 2;
    bytes[middle..middle + 3].iter_mut().for_each(|byte| *byte = !*byte);
    bytes.truncate(bytes.len() - 10);
    fs::write(&path, bytes).unwrap();
    let (sink, writer) = writer(&pool, dir.path());
    settled(dir.path(), &writer).await;
    let stats = writer.shutdown(GRACE).await;
    let kept = kept(&database).await;
    assert_eq!((kept.len(), stats.torn, stats.lost), (58, 2, 0));
    let all = ids(&rows);
    assert!(kept.iter().all(|id| all.contains(id)));
    assert!(!kept.contains(&rows[59].trace_id.as_uuid()));
    drop(sink);
}
