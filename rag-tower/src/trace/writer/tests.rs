use std::time::Duration;

use tower::{Layer, ServiceExt};

use crate::ask::{Ask, Question};
use crate::error::ErrorKind;
use crate::metrics::seen::Seen;
use crate::test_util::{Leaf, MemoryTraces};
use crate::trace::{FileJournal, Fsync, TraceLayer, TraceSink, WhenFull, WriterConfig, spawn_writer};

const SECOND: Duration = Duration::from_secs(1);

fn ask() -> Ask {
    Ask::new(crate::test_util::scope("a"), Question::parse("what?").unwrap())
}

async fn finish(sink: &TraceSink, asks: usize) {
    let stack = TraceLayer::new(sink.clone()).layer(Leaf::text("a"));
    for _ in 0..asks {
        stack.clone().oneshot(ask()).await.unwrap().collect().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_held_go_to_disk_when_it_takes_them_again() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    store.set_away(true);
    let journal = FileJournal::open(dir.path(), 1 << 20, Fsync::Never).unwrap();
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default().journal(journal.clone()));
    finish(&sink, 1).await;
    journal.set_limit(0);
    finish(&sink, 3).await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!((sink.stats().spooled, sink.stats().lost), (1, 0));
    journal.set_limit(1 << 20);
    while sink.stats().spooled < 4 {
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(sink.stats().memory, 0);
    assert_eq!(writer.shutdown(5 * SECOND).await.lost, 0);
    drop((sink, journal));
    store.set_away(false);
    let journal = FileJournal::open(dir.path(), 1 << 20, Fsync::Never).unwrap();
    let (_sink, writer) = spawn_writer(store.clone(), WriterConfig::default().journal(journal));
    store.reached(4).await;
    assert_eq!(writer.shutdown(5 * SECOND).await.lost, 0);
}

#[tokio::test]
async fn those_who_account_for_every_answer_refuse_while_the_journal_cannot_be_written() {
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    let journal = FileJournal::open(dir.path(), 1 << 20, Fsync::Never).unwrap();
    let config = WriterConfig::default().queue(2).journal(journal.clone());
    let (sink, writer) = spawn_writer(store.clone(), config);
    let layer = TraceLayer::new(sink.clone());
    let leaf = Leaf::text("a");
    let shedding = layer.clone().when_full(WhenFull::Shed).layer(leaf.clone());
    shedding.clone().oneshot(ask()).await.unwrap().collect().await.unwrap();
    journal.set_limit(0);
    // the one that finds out has begun already
    shedding.clone().oneshot(ask()).await.unwrap().collect().await.unwrap();
    let error = shedding.clone().oneshot(ask()).await.unwrap_err();
    assert_eq!((error.kind(), leaf.calls()), (ErrorKind::Overloaded, 2));
    layer.layer(leaf.clone()).oneshot(ask()).await.unwrap().collect().await.unwrap();
    assert_eq!(leaf.calls(), 3, "others run");
    journal.set_limit(1 << 20);
    // the row of a refusal is the next try: from then on asks are answered again
    shedding.clone().oneshot(ask()).await.unwrap_err();
    shedding.clone().oneshot(ask()).await.unwrap().collect().await.unwrap();
    let sent = sink.stats().sent;
    store.reached(sent as usize).await;
    let stats = writer.shutdown(5 * SECOND).await;
    assert_eq!((stats.opened, stats.lost), (stats.sent + stats.unrecorded, 0));
    assert_eq!((stats.sent, store.rows().len() as u64), (sent, sent));
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_measured_while_the_store_hangs() {
    let seen = Seen::default();
    let _recorder = metrics::set_default_local_recorder(&seen);
    let (dir, store) = (tempfile::tempdir().unwrap(), MemoryTraces::new());
    let journal = FileJournal::open(dir.path(), 1 << 20, Fsync::Never).unwrap();
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default().journal(journal));
    store.set_hanging(true);
    // a batch for each lane; what comes then waits in the queue
    for asks in [1, 1, 7] {
        finish(&sink, asks).await;
        tokio::time::sleep(2 * SECOND).await;
    }
    assert_eq!(seen.gauge("rag_trace_queue_depth"), Some(7.0));
    assert!(seen.gauge("rag_trace_journal_bytes") > Some(0.0));
    store.set_hanging(false);
    store.reached(9).await;
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(seen.gauge("rag_trace_queue_depth"), Some(0.0));
    assert_eq!(writer.shutdown(5 * SECOND).await.lost, 0);
}
