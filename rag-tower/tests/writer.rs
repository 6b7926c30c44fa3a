//! The writer: its orderly end, its retries, its bounds, and rows that are read from the journal.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use rag_tower::test_util::{Leaf, MemoryTraces, Step};
use rag_tower::trace::{
    FileJournal, Fsync, TraceLayer, TraceRow, TraceSink, TraceStore, WhenFull, WriterConfig, spawn_writer,
};
use rag_tower::{Ask, AskId, BoxError, Error, ErrorKind, Question, Stage};
use tokio::sync::Barrier;
use tokio::time::{Instant, timeout};
use tower::{Layer, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);
const ROOM: u64 = 64 * 1024 * 1024;

fn ask(question: &str) -> Ask {
    Ask::new(rag_tower::test_util::scope("a"), Question::parse(question).unwrap())
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

fn journal(dir: &Path) -> FileJournal {
    FileJournal::open(dir, ROOM, Fsync::Never).unwrap()
}

/// Waits for what a thread does, whatever the clock of the test says.
async fn until(holds: impl Fn() -> bool) {
    let end = std::time::Instant::now() + 30 * SECOND;
    while !holds() {
        assert!(std::time::Instant::now() < end, "it never happens");
        tokio::time::sleep(Duration::from_millis(10)).await;
        std::thread::yield_now();
    }
}

fn config(dir: &Path) -> WriterConfig {
    WriterConfig::default().journal(journal(dir))
}

/// The files that hold rows.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "rows"))
        .filter(|path| fs::metadata(path).is_ok_and(|known| known.len() > 0))
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
async fn t115_while_the_store_is_away_rows_wait_on_disk_and_then_arrive_in_order() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let log = journal(dir.path());
    let config = WriterConfig::default().batch(7).retry(2, SECOND).journal(log.clone());
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
    // These may come before the next replay and join the journal, or after its first part and go straight to the store:
    // what waits on disk keeps its order either way.
    let fresh = finish(&sink, 5).await;
    let (waited, came): (Vec<_>, Vec<_>) =
        reached(&store, 45).await.into_iter().partition(|id| sent.contains(id));
    assert_eq!((waited, came), (sent, fresh));
    // not that there is no file: the one that is appended to may hold rows that are written
    until(|| log.waiting() == 0).await;
    // Nothing is left in the journal: rows go straight to the store again.
    let last = finish(&sink, 1).await;
    assert_eq!(reached(&store, 46).await[45..], last);
    let stats = writer.shutdown(5 * SECOND).await;
    assert_eq!((stats.sent, stats.written, stats.lost), (46, 46, 0));
    assert!((40..=45).contains(&stats.spooled), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn rows_on_disk_survive_a_restart_and_a_second_replay_changes_nothing() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let (sink, writer) = spawn_writer(store.clone(), config(dir.path()));
    let mut sent = finish(&sink, 10).await;
    let stats = writer.shutdown(5 * SECOND).await;
    assert_eq!((stats.spooled, stats.lost), (10, 0));
    drop(sink);
    let saved: Vec<_> =
        files(dir.path()).iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();

    store.set_away(false);
    let (sink, writer) = spawn_writer(store.clone(), config(dir.path()));
    assert_eq!(reached(&store, 10).await, sent, "older rows come first");
    sent.extend(finish(&sink, 5).await);
    assert_eq!(reached(&store, 15).await, sent);
    assert_eq!(writer.shutdown(5 * SECOND).await.lost, 0);
    drop(sink);
    until(|| files(dir.path()).is_empty()).await;

    // As after a crash between the write and the removal of the file.
    for (path, bytes) in saved {
        fs::write(path, bytes).unwrap();
    }
    let (sink, writer) = spawn_writer(store.clone(), config(dir.path()));
    until(|| files(dir.path()).is_empty()).await;
    assert_eq!(writer.shutdown(5 * SECOND).await.written, 10);
    drop(sink);
    assert_eq!(ids(&store.rows()), sent);
}

#[tokio::test]
async fn what_was_answered_is_in_the_journal_when_its_end_is_seen() {
    for fsync in [Fsync::Never, Fsync::Interval(SECOND), Fsync::Each] {
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = MemoryTraces::new();
        store.set_hanging(true);
        let journal = FileJournal::open(dir.path(), ROOM, fsync).unwrap();
        let (sink, _writer) = spawn_writer(store, WriterConfig::default().journal(journal));
        let mut sent = finish(&sink, 20).await;
        // one whose caller leaves before the end
        let left = ask("what?");
        sent.push(left.id());
        let leaf = Leaf::streaming([Step::delta("a"), Step::Hang]);
        let mut answer = TraceLayer::new(sink.clone()).layer(leaf).oneshot(left).await.unwrap();
        answer.next().await.unwrap().unwrap();
        drop(answer);

        // The process is killed here: all that is left is what is in the files.
        for path in files(dir.path()) {
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let after = MemoryTraces::new();
        let (_sink, writer) = spawn_writer(after.clone(), config(copy.path()));
        assert_eq!(reached(&after, 21).await, sent, "{fsync:?}");
        assert_eq!(writer.shutdown(5 * SECOND).await.lost, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_a_crash_has_cut_off_is_skipped_and_counted() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let (sink, writer) = spawn_writer(store.clone(), config(dir.path()));
    let sent = finish(&sink, 3).await;
    writer.shutdown(SECOND).await;
    drop(sink);
    let path = files(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    // The last row lost its end.
    fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    store.set_away(false);
    let (_sink, writer) = spawn_writer(store.clone(), config(dir.path()));
    assert_eq!(reached(&store, 2).await, sent[..2]);
    until(|| files(dir.path()).is_empty()).await;
    assert_eq!(writer.shutdown(SECOND).await.torn, 1);
}

#[tokio::test(start_paused = true)]
async fn rows_that_neither_store_nor_journal_take_wait_in_memory() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let journal = FileJournal::open(dir.path(), 4_000, Fsync::Never).unwrap();
    let config = WriterConfig::default().batch(7).retry(2, SECOND).journal(journal.clone());
    let (sink, writer) = spawn_writer(store.clone(), config);
    let sent = finish(&sink, 50).await;
    tokio::time::sleep(60 * SECOND).await;
    let stats = sink.stats();
    assert!(stats.spooled > 0 && stats.lost + stats.unrecorded == 0 && store.rows().is_empty(), "{stats:?}");
    assert!(!journal.can_write() && journal.bytes() <= 4_000, "{}", journal.bytes());
    store.set_away(false);
    assert_eq!(reached(&store, 50).await, sent, "all of them, in order");
    let stats = writer.shutdown(5 * SECOND).await;
    assert_eq!((stats.written, stats.lost, stats.memory), (50, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_neither_takes_until_the_end_is_lost_and_counted() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let journal = FileJournal::open(dir.path(), 4_000, Fsync::Never).unwrap();
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default().journal(journal));
    finish(&sink, 50).await;
    let stats = writer.shutdown(5 * SECOND).await;
    assert!(stats.spooled > 0 && stats.lost > 0 && stats.spooled + stats.lost == 50, "{stats:?}");
    let bytes: u64 = files(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(bytes <= 4_000, "{bytes}");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_leaves_rows_in_the_journal() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_hanging(true);
    let (sink, writer) = spawn_writer(store.clone(), config(dir.path()).queue(3).batch(2));
    let layer = TraceLayer::new(sink.clone()).when_full(WhenFull::Shed);
    let stack = layer.layer(Leaf::text("a"));
    let mut sent = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let ask = ask("what?");
        sent.insert(ask.id());
        stack.clone().oneshot(ask).await.unwrap().collect().await.unwrap();
    }
    store.set_hanging(false);
    let arrived: std::collections::BTreeSet<_> = reached(&store, 100).await.into_iter().collect();
    assert_eq!(arrived, sent);
    // later rows go straight to the store again
    let spooled = sink.stats().spooled;
    finish(&sink, 1).await;
    reached(&store, 101).await;
    assert_eq!(sink.stats().spooled, spooled);
    let stats = writer.shutdown(5 * SECOND).await;
    assert!(stats.spooled > 0 && spooled < 101);
    assert_eq!((stats.sent, stats.unrecorded, stats.lost, stats.memory), (101, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_whatever_happens() {
    const MEMORY: u64 = 1024 * 1024;
    let dir = tempfile::tempdir().unwrap();
    for journal in [true, false] {
        let store = MemoryTraces::new();
        store.set_hanging(true);
        let config = WriterConfig::default().memory(MEMORY);
        let config = if journal { config.journal(self::journal(dir.path())) } else { config };
        let (sink, writer) = spawn_writer(store.clone(), config);
        let stack = TraceLayer::new(sink.clone()).layer(Leaf::text(&"x".repeat(20_000)));
        for _ in 0..200 {
            stack.clone().oneshot(ask("what?")).await.unwrap().collect().await.unwrap();
            assert!(sink.stats().memory <= MEMORY / 2, "{:?}", sink.stats());
        }
        assert!(sink.stats().memory > MEMORY / 4);
        store.set_hanging(false);
        if journal {
            reached(&store, 200).await;
        }
        let stats = writer.shutdown(60 * SECOND).await;
        assert_eq!((stats.sent, stats.unrecorded, stats.memory), (200, 0, 0));
        assert_eq!(stats.lost, if journal { 0 } else { 200 - store.rows().len() as u64 });
        assert!(journal || stats.lost > 100, "{stats:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_come_during_a_long_replay_do_not_wait_for_it() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let (sink, writer) = spawn_writer(store.clone(), config(dir.path()));
    finish(&sink, 40).await;
    writer.shutdown(SECOND).await;
    drop(sink);
    store.set_away(false);
    let slow = Slow(store.clone());
    let config = config(dir.path()).batch(1).linger(Duration::ZERO);
    let (sink, writer) = spawn_writer(slow, config);
    reached(&store, 3).await;
    let fresh = finish(&sink, 1).await[0];
    let began = Instant::now();
    while !ids(&store.rows()).contains(&fresh) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(began.elapsed() < 20 * SECOND && store.rows().len() < 35, "{:?}", began.elapsed());
    reached(&store, 41).await;
    assert_eq!(writer.shutdown(SECOND).await.lost, 0);
}

/// Takes a second for each batch.
struct Slow(MemoryTraces);

impl TraceStore for Slow {
    async fn write(&self, rows: &[TraceRow]) -> Result<(), BoxError> {
        tokio::time::sleep(SECOND).await;
        self.0.write(rows).await
    }
}

#[tokio::test(start_paused = true)]
async fn t115_a_store_that_hangs_is_as_good_as_away() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_hanging(true);
    let config = WriterConfig::default().retry(2, SECOND).journal(journal(dir.path()));
    let (sink, writer) = spawn_writer(store.clone(), config);
    let sent = finish(&sink, 3).await;
    while sink.stats().spooled < 3 {
        tokio::time::sleep(SECOND).await;
    }
    store.set_hanging(false);
    assert_eq!(reached(&store, 3).await, sent);
    until(|| files(dir.path()).is_empty()).await;
    // Hanging again at the end: shutdown keeps to its grace, and what is left goes to disk.
    store.set_hanging(true);
    finish(&sink, 2).await;
    let began = Instant::now();
    let stats = writer.shutdown(3 * SECOND).await;
    assert_eq!((began.elapsed().as_secs(), stats.spooled, stats.lost), (3, 5, 0));
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
    let dir = tempfile::tempdir().unwrap();
    for journal in [false, true] {
        let store = MemoryTraces::new();
        let config = if journal { config(dir.path()) } else { WriterConfig::default() };
        let (sink, writer) = spawn_writer(Picky(store.clone()), config);
        let stack = TraceLayer::new(sink.clone()).layer(Leaf::text("a"));
        for question in ["good", "bad", "fine", "good", "bad"] {
            stack.clone().oneshot(ask(question)).await.unwrap().collect().await.unwrap();
        }
        let stats = writer.shutdown(5 * SECOND).await;
        // where there is a place for them, they are put aside
        let (lost, refused) = if journal { (0, 2) } else { (2, 0) };
        assert_eq!((store.rows().len(), stats.written, stats.lost, stats.refused), (3, 3, lost, refused));
    }
    let aside = fs::read_to_string(dir.path().join("refused.jsonl")).unwrap();
    assert_eq!((aside.lines().count(), aside.matches("\"bad\"").count()), (2, 2));
    until(|| files(dir.path()).is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_refused_does_not_hold_up_a_replay() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let (sink, writer) = spawn_writer(store.clone(), config(dir.path()));
    let stack = TraceLayer::new(sink.clone()).layer(Leaf::text("a"));
    for question in ["good", "bad", "fine"] {
        stack.clone().oneshot(ask(question)).await.unwrap().collect().await.unwrap();
    }
    writer.shutdown(SECOND).await;
    drop((sink, stack));
    // The store goes away once more between the refusal and the rest of its batch.
    let picky = Picky(store.clone());
    let (sink, writer) = spawn_writer(picky, config(dir.path()).retry(1, SECOND));
    while store.writes() < 4 {
        tokio::time::sleep(SECOND).await;
    }
    store.set_away(false);
    reached(&store, 2).await;
    until(|| files(dir.path()).is_empty()).await;
    let stats = writer.shutdown(SECOND).await;
    assert_eq!((stats.written, stats.refused, stats.lost), (2, 1, 0));
    drop(sink);
}

#[tokio::test(start_paused = true)]
async fn two_batches_are_written_at_once() {
    /// Lets writes go in pairs.
    struct Pairs(Barrier);

    impl TraceStore for Pairs {
        async fn write(&self, _: &[TraceRow]) -> Result<(), BoxError> {
            self.0.wait().await;
            Ok(())
        }
    }

    let (sink, writer) = spawn_writer(Pairs(Barrier::new(2)), WriterConfig::default().batch(1));
    finish(&sink, 6).await;
    let stats = writer.shutdown(5 * SECOND).await;
    assert_eq!((stats.written, stats.lost), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_beside_another_is_read_from_the_journal() {
    /// Is away for one row, so many times.
    struct Picky {
        store: MemoryTraces,
        times: AtomicU64,
    }

    impl TraceStore for Picky {
        async fn write(&self, rows: &[TraceRow]) -> Result<(), BoxError> {
            let fails = rows.iter().any(|row| row.question.as_deref() == Some("bad"));
            let left = self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if fails && left.is_ok() {
                return Err("away".into());
            }
            self.store.write(rows).await
        }
    }

    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    let picky = Picky { store: store.clone(), times: AtomicU64::new(8) };
    let (sink, writer) = spawn_writer(picky, config(dir.path()).batch(1));
    let stack = TraceLayer::new(sink.clone()).layer(Leaf::text("a"));
    let mut asked = Vec::new();
    for question in ["good", "bad", "good", "good"] {
        let ask = ask(question);
        asked.push(ask.id());
        stack.clone().oneshot(ask).await.unwrap().collect().await.unwrap();
    }
    let mut written = reached(&store, 4).await;
    written.sort_unstable();
    assert_eq!(written, asked);
    until(|| files(dir.path()).is_empty()).await;
    let stats = writer.shutdown(60 * SECOND).await;
    assert_eq!((stats.lost, stats.refused), (0, 0));
}
