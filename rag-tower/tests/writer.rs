//! The writer: its orderly end, its retries, and rows on disk while the store is away.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use rag_tower::test_util::{Leaf, MemoryTraces, Step};
use rag_tower::trace::{
    Spool, TraceLayer, TraceRow, TraceSink, TraceStore, WhenFull, WriterConfig, spawn_writer,
};
use rag_tower::{Ask, AskId, BoxError, Error, ErrorKind, Question, Stage, TenantAuthority, TenantId};
use tokio::time::{Instant, timeout};
use tower::{Layer, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);
const ROOM: u64 = 64 * 1024 * 1024;

fn ask(question: &str) -> Ask {
    Ask::new(TenantAuthority::new().grant(TenantId::named("a")), Question::parse(question).unwrap())
}

/// One finished ask after the other; their ids.
async fn finish(sink: &TraceSink, asks: usize) -> Vec<AskId> {
    let stack = TraceLayer::new(sink.clone()).layer(Leaf::text("a"));
    let mut ids = Vec::new();
    for _ in 0..asks {
        let ask = ask("what?");
        ids.push(ask.id());
        stack.clone().oneshot(ask).await.unwrap().collect().await.unwrap();
    }
    ids
}

fn ids(rows: &[TraceRow]) -> Vec<AskId> {
    rows.iter().map(|row| row.trace_id).collect()
}

/// The rows, once there are so many.
async fn reached(store: &MemoryTraces, n: usize) -> Vec<AskId> {
    ids(&timeout(60 * SECOND, store.reached(n)).await.unwrap())
}

fn spool(dir: &Path) -> Spool {
    Spool::open(dir, ROOM).unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    files.sort();
    files
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_streams_in_flight_and_ignores_idle_clones() {
    let store = MemoryTraces::new();
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default());
    let idle = TraceLayer::new(sink.clone()).layer(Leaf::text("idle"));
    let leaf = Leaf::streaming([Step::delta("a"), Step::Sleep(3 * SECOND), Step::stop()]);
    let mut answer = TraceLayer::new(sink.clone()).layer(leaf).oneshot(ask("what?")).await.unwrap();
    answer.next().await.unwrap().unwrap();
    let streaming = async { answer.collect().await.unwrap() };
    let began = Instant::now();
    let (_, stats) = tokio::join!(streaming, writer.shutdown(60 * SECOND));
    assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
    assert_eq!((stats.opened, stats.sent, stats.written, stats.lost), (1, 1, 1, 0));
    assert_eq!(store.rows().len(), 1);
    drop((idle, sink));
}

#[tokio::test(start_paused = true)]
async fn grace_passes_and_a_later_row_counts_as_lost() {
    let store = MemoryTraces::new();
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default());
    let stuck = TraceLayer::new(sink.clone()).layer(Leaf::streaming([Step::Hang]));
    let answer = stuck.oneshot(ask("what?")).await.unwrap();
    finish(&sink, 3).await;
    let began = Instant::now();
    let stats = writer.shutdown(5 * SECOND).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!((stats.written, stats.lost), (3, 0));
    drop(answer);
    assert_eq!((sink.stats().sent, sink.stats().lost), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_retried_and_then_counted_as_lost() {
    let store = MemoryTraces::new();
    store.set_away(true);
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default().retry(3, SECOND));
    finish(&sink, 5).await;
    while sink.stats().lost == 0 {
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!((store.writes(), sink.stats().lost), (3, 5));
    store.set_away(false);
    finish(&sink, 2).await;
    let stats = writer.shutdown(5 * SECOND).await;
    assert_eq!((stats.sent, stats.written, stats.lost), (7, 2, 5));
}

#[tokio::test]
async fn a_full_queue_runs_unrecorded_or_sheds() {
    let store = MemoryTraces::new();
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default().queue(1));
    let layer = TraceLayer::new(sink.clone());
    let shedding = layer.clone().when_full(WhenFull::Shed).layer(Leaf::text("a"));
    let leaf = Leaf::text("a");
    let running = layer.layer(leaf.clone());
    let first = running.clone().oneshot(ask("what?")).await.unwrap();
    running.clone().oneshot(ask("what?")).await.unwrap().collect().await.unwrap();
    assert_eq!((leaf.calls(), sink.stats().unrecorded), (2, 1));
    let error = shedding.oneshot(ask("what?")).await.unwrap_err();
    assert_eq!((error.kind(), error.stage()), (ErrorKind::Overloaded, Stage::Trace));
    assert!(error.retry_after().is_some());
    first.collect().await.unwrap();
    let stats = writer.shutdown(5 * SECOND).await;
    assert_eq!((stats.opened, stats.sent, stats.written, stats.unrecorded), (3, 1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_rows_wait_on_disk_and_then_arrive_in_order() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let config = WriterConfig::default().batch(7).retry(2, SECOND).spool(spool(dir.path()));
    let (sink, writer) = spawn_writer(store.clone(), config);
    let mut sent = finish(&sink, 20).await;
    while sink.stats().spooled < 20 {
        tokio::time::sleep(SECOND).await;
    }
    sent.extend(finish(&sink, 20).await);
    while sink.stats().spooled < 40 {
        tokio::time::sleep(SECOND).await;
    }
    assert!(store.rows().is_empty());
    store.set_away(false);
    // These come before the next replay, and must not overtake what waits on disk.
    sent.extend(finish(&sink, 5).await);
    assert_eq!(reached(&store, 45).await, sent);
    while !files(dir.path()).is_empty() {
        tokio::time::sleep(SECOND).await;
    }
    // The spool is empty: rows go straight to the store again.
    sent.extend(finish(&sink, 1).await);
    assert_eq!(reached(&store, 46).await, sent);
    let stats = writer.shutdown(5 * SECOND).await;
    assert_eq!((stats.sent, stats.written, stats.spooled, stats.lost), (46, 46, 45, 0));
}

#[tokio::test(start_paused = true)]
async fn rows_on_disk_survive_a_restart_and_a_second_replay_changes_nothing() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default().spool(spool(dir.path())));
    let mut sent = finish(&sink, 10).await;
    let stats = writer.shutdown(5 * SECOND).await;
    assert_eq!((stats.spooled, stats.lost), (10, 0));
    let saved: Vec<_> =
        files(dir.path()).iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();

    store.set_away(false);
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default().spool(spool(dir.path())));
    assert_eq!(reached(&store, 10).await, sent, "older rows come first");
    sent.extend(finish(&sink, 5).await);
    assert_eq!(reached(&store, 15).await, sent);
    assert_eq!(writer.shutdown(5 * SECOND).await.lost, 0);
    assert!(files(dir.path()).is_empty());

    // As after a crash between the write and the removal of the file.
    for (path, bytes) in saved {
        fs::write(path, bytes).unwrap();
    }
    let (_sink, writer) = spawn_writer(store.clone(), WriterConfig::default().spool(spool(dir.path())));
    while !files(dir.path()).is_empty() {
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(writer.shutdown(5 * SECOND).await.written, 10);
    assert_eq!(ids(&store.rows()), sent);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_a_crash_has_cut_off_is_skipped_and_counted() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default().spool(spool(dir.path())));
    let sent = finish(&sink, 3).await;
    writer.shutdown(SECOND).await;
    let path = files(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    // The last row lost its end.
    fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    store.set_away(false);
    let (_sink, writer) = spawn_writer(store.clone(), WriterConfig::default().spool(spool(dir.path())));
    assert_eq!(reached(&store, 2).await, sent[..2]);
    while !files(dir.path()).is_empty() {
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(writer.shutdown(SECOND).await.torn, 1);
}

#[tokio::test(start_paused = true)]
async fn the_spool_is_bounded() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let config = WriterConfig::default().spool(Spool::open(dir.path(), 4_000).unwrap());
    let (sink, writer) = spawn_writer(store.clone(), config);
    finish(&sink, 50).await;
    let stats = writer.shutdown(5 * SECOND).await;
    assert!(stats.spooled > 0 && stats.lost > 0 && stats.spooled + stats.lost == 50, "{stats:?}");
    let bytes: u64 = files(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(bytes <= 4_000, "{bytes}");
}

#[tokio::test(start_paused = true)]
async fn rows_that_neither_store_nor_disk_take_wait_in_memory() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let config = || WriterConfig::default().batch(7).retry(2, SECOND);
    // No room left for rows, and a folder that is gone: a disk may refuse in more ways than one.
    let gone = dir.path().join("gone");
    for (spool, room) in
        [(Spool::open(dir.path().join("small"), 4_000).unwrap(), true), (spool(&gone), false)]
    {
        let (sink, writer) = spawn_writer(store.clone(), config().spool(spool));
        if !room {
            fs::remove_dir_all(&gone).unwrap();
        }
        let before = store.rows().len();
        let sent = finish(&sink, 50).await;
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(((sink.stats().spooled > 0), sink.stats().lost, store.rows().len()), (room, 0, before));
        store.set_away(false);
        assert_eq!(reached(&store, before + 50).await[before..], sent, "all of them, in order");
        let stats = writer.shutdown(5 * SECOND).await;
        assert_eq!((stats.written, stats.lost), (50, 0));
        store.set_away(true);
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_held_go_to_disk_when_it_takes_them_again() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let path = dir.path().join("spool");
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default().spool(spool(&path)));
    fs::remove_dir_all(&path).unwrap();
    let sent = finish(&sink, 3).await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!((sink.stats().spooled, sink.stats().lost), (0, 0));
    fs::create_dir(&path).unwrap();
    while sink.stats().spooled < 3 {
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(writer.shutdown(5 * SECOND).await.lost, 0);
    store.set_away(false);
    let (_sink, writer) = spawn_writer(store.clone(), WriterConfig::default().spool(spool(&path)));
    assert_eq!(reached(&store, 3).await, sent);
    assert_eq!(writer.shutdown(5 * SECOND).await.lost, 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_as_good_as_away() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_hanging(true);
    let config = WriterConfig::default().retry(2, SECOND).spool(spool(dir.path()));
    let (sink, writer) = spawn_writer(store.clone(), config);
    let sent = finish(&sink, 3).await;
    while sink.stats().spooled < 3 {
        tokio::time::sleep(SECOND).await;
    }
    store.set_hanging(false);
    assert_eq!(reached(&store, 3).await, sent);
    while !files(dir.path()).is_empty() {
        tokio::time::sleep(SECOND).await;
    }
    // Hanging again at the end: shutdown keeps to its grace, and what is left goes to disk.
    store.set_hanging(true);
    finish(&sink, 2).await;
    let began = Instant::now();
    let stats = writer.shutdown(3 * SECOND).await;
    assert_eq!((began.elapsed().as_secs(), stats.spooled, stats.lost), (3, 5, 0));
}

#[test]
fn a_spool_has_one_owner_and_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a").join("spool");
    let first = spool(&path);
    let error = Spool::open(&path, ROOM).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    drop(first);
    spool(&path);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    }
}

/// Refuses what asks "bad".
#[derive(Clone)]
struct Picky(MemoryTraces);

impl TraceStore for Picky {
    async fn write(&self, rows: &[TraceRow]) -> Result<(), BoxError> {
        if rows.iter().any(|row| row.question.as_deref() == Some("bad")) {
            return Err(Error::new(ErrorKind::InvalidInput, Stage::Trace).into());
        }
        self.0.write(rows).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_refused_does_not_hold_up_the_others() {
    let store = MemoryTraces::new();
    let (sink, writer) = spawn_writer(Picky(store.clone()), WriterConfig::default());
    let stack = TraceLayer::new(sink.clone()).layer(Leaf::text("a"));
    for question in ["good", "bad", "fine"] {
        stack.clone().oneshot(ask(question)).await.unwrap().collect().await.unwrap();
    }
    let stats = writer.shutdown(5 * SECOND).await;
    assert_eq!((store.rows().len(), stats.written, stats.lost), (2, 2, 1));
}
