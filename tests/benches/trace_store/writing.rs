//! Large rows in, rows a second out: through the writer with its journal, and by COPY into an identical table.
//!
//! The writer gets its rows as a server's does: an ask goes through [`TraceLayer`], its row through the journal and the
//! queue. COPY gets the same rows as text, made beforehand, in transactions of as many rows as the writer's batches have,
//! into a table with the same partitions, columns, constraints and indexes, on one connection as a superuser: without
//! row-level security, rollups or a look at what is there already. Both wait for the disk at each commit. Rounds alternate,
//! and both tables keep their rows.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use rag_tower::passage::Source;
use rag_tower::test_util::granted;
use rag_tower::trace::{
    FileJournal, Fsync, Journal, TraceLayer, TraceRow, TraceSink, WriterConfig, spawn_writer,
};
use rag_tower::{Answer, Ask, Event, Finish, Question, Scoped};
use rag_tower_tests::postgres::run as execute;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tower::{Layer, ServiceExt, service_fn};

use super::rows::Rows;
use super::{Bench, round};

/// Rows of one commit: the writer's default.
const BATCH: usize = 256;
/// Rows of a round.
const ROUND: usize = 25_000;
/// Rows that may wait to be written before the next ask starts.
const WAITING: u64 = 4_096;
/// Rounds of the store alone.
const ALONE: usize = 3;
const JOURNAL: u64 = 8 << 30;
const GRACE: Duration = Duration::from_secs(60);

/// The columns that are not made from others.
const COLUMNS: &str = "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = 'rag_tower.request_traces'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''";

/// An identical table: each partition like its original, and the indexes of the whole.
const COPIED: &str = "
    CREATE SCHEMA bench;
    CREATE TABLE bench.copied (LIKE rag_tower.request_traces INCLUDING ALL) PARTITION BY RANGE (ts);
    DO $$
    DECLARE
        leaf record;
    BEGIN
        FOR leaf IN SELECT c.oid, c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound, c.reloptions
                    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                    WHERE i.inhparent = 'rag_tower.request_traces'::regclass LOOP
            EXECUTE format('CREATE TABLE bench.%I (LIKE rag_tower.%I INCLUDING ALL)', leaf.relname, leaf.relname);
            IF leaf.reloptions IS NOT NULL THEN
                EXECUTE format('ALTER TABLE bench.%I SET (%s)', leaf.relname, array_to_string(leaf.reloptions, ', '));
            END IF;
            EXECUTE format('ALTER TABLE bench.copied ATTACH PARTITION bench.%I %s', leaf.relname, leaf.bound);
        END LOOP;
    END $$";

/// An ask, and what it is answered with.
struct Told {
    asks: Vec<Ask>,
    rows: Arc<[TraceRow]>,
}

/// What was seen while asks came faster than rows are written.
struct Flood {
    rows_per_s: f64,
    /// What the writer counts for its rows, and what the process grew by.
    memory_mb: f64,
    resident_mb: f64,
    spooled: u64,
}

pub async fn run(bench: &mut Bench, written: usize) -> Map<String, Value> {
    let mut source = Rows::new(7);
    let columns: String = sqlx::query_scalar(COLUMNS).fetch_one(&mut bench.admin).await.expect("the columns");
    execute(&mut bench.admin, COPIED).await;
    let text = lengths(&mut source);
    eprintln!(
        "rows of {} to {} bytes of JSON, {} in the middle",
        text[0],
        text[text.len() - 1],
        text[text.len() / 2]
    );

    let journal =
        FileJournal::open(bench.folder.join("journal"), JOURNAL, Fsync::DEFAULT).expect("a journal");
    let config = WriterConfig::default().batch(BATCH).journal(journal);
    let (sink, writer) = spawn_writer(bench.store.clone(), config);
    let (mut persisted, mut copied, mut done) = (Duration::ZERO, Duration::ZERO, 0);
    while done < written {
        let told = Told::new(&mut source, ROUND.min(written - done));
        let (rows, since) = (told.rows.len(), told.rows[0].ts);
        let began = Instant::now();
        bench.folding(ask_all(&sink, told, Some(WAITING))).await;
        persisted += began.elapsed();
        let text = texts(&mut bench.admin, &columns, since).await;
        assert_eq!(text.iter().map(|batch| lines(batch)).sum::<usize>(), rows, "all of the round are there");
        let began = Instant::now();
        copy(&mut bench.admin, &columns, &text).await;
        copied += began.elapsed();
        done += rows;
        let rate = |took: Duration| done as f64 / took.as_secs_f64();
        eprint!(
            "\rwritten {done} of {written}, {:.0} rows/s, copied {:.0} rows/s ",
            rate(persisted),
            rate(copied)
        );
    }
    eprintln!();
    let ratio = copied.as_secs_f64() / persisted.as_secs_f64();
    let alone = alone(bench, &mut source).await;
    eprintln!("the store alone, one batch after the other: {alone:.0} rows/s");
    let flood = flood(bench, &sink, &mut source).await;
    eprintln!(
        "all at once: {:.0} rows/s, {} of them by way of the journal, {:.1} MB in the writer, {:.1} MB resident",
        flood.rows_per_s, flood.spooled, flood.memory_mb, flood.resident_mb
    );
    let stats = writer.shutdown(GRACE).await;
    assert_eq!((stats.lost, stats.unrecorded, stats.written), (0, 0, stats.sent), "every row is written");
    let append = append_us(bench, &mut source);
    eprintln!("appending a row to the journal: p50 {append:.2} µs");

    let result = json!({
        "persist_rows_per_s": round(done as f64 / persisted.as_secs_f64(), 0),
        "persist_ratio_to_copy": round(ratio, 3),
        "store_rows_per_s": round(alone, 0),
        "flood_rows_per_s": round(flood.rows_per_s, 0),
        "writer_memory_mb": round(flood.memory_mb, 1),
        "journal_append_p50_us": round(append, 2),
        "written": done,
        "batch": BATCH,
    });
    result.as_object().cloned().unwrap_or_default()
}

// === impl Told ===

impl Told {
    fn new(source: &mut Rows, count: usize) -> Self {
        let rows: Arc<[TraceRow]> = (0..count).map(|_| source.large(OffsetDateTime::now_utc())).collect();
        let asks = rows.iter().map(|row| {
            let question = row.question.as_deref().unwrap_or_default();
            Ask::new(granted(row.tenant_id), Question::parse(question).expect("a question"))
        });
        Self { asks: asks.collect(), rows }
    }
}

/// Asks everything, each when at most `waiting` rows are on their way, and returns when the last is written. Gives the most
/// memory that rows took.
async fn ask_all(sink: &TraceSink, told: Told, waiting: Option<u64>) -> u64 {
    let Told { asks, rows } = told;
    let (next, told) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&rows));
    let stack = TraceLayer::new(sink.clone()).layer(service_fn(move |ask: Ask| {
        ready(Ok(answer(&ask, &told[next.fetch_add(1, Ordering::Relaxed)])))
    }));
    let (target, mut most) = (sink.stats().sent + rows.len() as u64, 0);
    for ask in asks {
        stack.clone().oneshot(ask).await.expect("an answer").collect().await.expect("its end");
        loop {
            let stats = sink.stats();
            most = most.max(stats.memory);
            if waiting.is_none_or(|waiting| stats.sent - stats.written < waiting) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    while sink.stats().written < target {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    most
}

/// The answer that gives this row. Its texts are its own, as those that a store has just read.
fn answer(ask: &Ask, row: &TraceRow) -> Answer {
    let trace = ask.trace();
    for span in &row.spans {
        drop(trace.time(span.stage));
    }
    trace.set_route(row.route.as_deref().unwrap_or_default());
    trace.set_provider("local", "small");
    trace.record_hits(row.hits.iter().cloned());
    trace.set_confidence(row.confidence.unwrap_or_default());
    trace.set_cost(row.cost_estimate.unwrap_or_default());
    trace.set_tool_metadata("intent", "search");
    let sources = row.sources.iter().map(|source| Source {
        file_name: Arc::from(&*source.file_name),
        title: Arc::from(&*source.title),
        snippet: Arc::from(&*source.snippet),
        ..*source
    });
    let text = row.answer.as_deref().unwrap_or_default();
    let mut events = vec![Event::Sources(sources.collect()), Event::Delta(text.into())];
    events.extend(row.usage.map(Event::Usage));
    events.push(Event::Finished(Finish::Stop));
    Answer::ready(ask.id(), events)
}

/// What rows look like to COPY, a text for each batch.
async fn texts(admin: &mut PgConnection, columns: &str, since: OffsetDateTime) -> Vec<Vec<u8>> {
    let nanos = since.unix_timestamp_nanos() / 1_000_000;
    let out = format!(
        "COPY (SELECT {columns} FROM rag_tower.request_traces WHERE ts >= to_timestamp({nanos} / 1000.0)) TO STDOUT"
    );
    // a message for each row
    let mut rows = admin.copy_out_raw(&out).await.expect("a copy");
    let (mut texts, mut text, mut count) = (Vec::new(), Vec::new(), 0);
    while let Some(row) = rows.try_next().await.expect("a row") {
        text.extend_from_slice(&row);
        count += 1;
        if count % BATCH == 0 {
            texts.push(std::mem::take(&mut text));
        }
    }
    texts.extend((!text.is_empty()).then_some(text));
    texts
}

fn lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

async fn copy(admin: &mut PgConnection, columns: &str, texts: &[Vec<u8>]) {
    let statement = format!("COPY bench.copied ({columns}) FROM STDIN");
    for text in texts {
        let mut copy = admin.copy_in_raw(&statement).await.expect("a copy");
        copy.send(text.as_slice()).await.expect("the rows");
        assert_eq!(copy.finish().await.expect("the end"), lines(text) as u64);
    }
}

/// Rows a second that the store takes when nobody else does anything.
async fn alone(bench: &Bench, source: &mut Rows) -> f64 {
    let mut took = Duration::ZERO;
    for _ in 0..ALONE {
        let rows: Vec<TraceRow> = (0..ROUND).map(|_| source.large(OffsetDateTime::now_utc())).collect();
        let began = Instant::now();
        for batch in rows.chunks(BATCH) {
            bench.store.insert(batch).await.expect("a batch");
        }
        took += began.elapsed();
    }
    (ALONE * ROUND) as f64 / took.as_secs_f64()
}

/// As many asks as there can be, for as many rows as the queue has places and more.
async fn flood(bench: &Bench, sink: &TraceSink, source: &mut Rows) -> Flood {
    let told = Told::new(source, 2 * ROUND);
    let (rows, spooled) = (told.rows.len(), sink.stats().spooled);
    // the peak begins anew
    std::fs::write("/proc/self/clear_refs", "5").expect("a peak that begins anew");
    let before = resident_mb("VmRSS:");
    let began = Instant::now();
    let memory = bench.folding(ask_all(sink, told, None)).await;
    Flood {
        rows_per_s: rows as f64 / began.elapsed().as_secs_f64(),
        memory_mb: memory as f64 / f64::from(1 << 20),
        resident_mb: resident_mb("VmHWM:") - before,
        spooled: sink.stats().spooled - spooled,
    }
}

/// What the journal takes of an ask, forced to the disk never: the median of many, in microseconds.
fn append_us(bench: &Bench, source: &mut Rows) -> f64 {
    let journal = FileJournal::open(bench.folder.join("appended"), JOURNAL, Fsync::Never).expect("a journal");
    let mut took: Vec<Duration> = (0..20_000)
        .map(|_| {
            let row = source.large(OffsetDateTime::now_utc());
            let began = Instant::now();
            drop(journal.append(&row));
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 2].as_secs_f64() * 1e6
}

/// The lengths of rows as JSON, in order.
fn lengths(source: &mut Rows) -> Vec<usize> {
    let rows = (0..999).map(|_| source.large(OffsetDateTime::now_utc()));
    let mut lengths: Vec<usize> = rows.map(|row| serde_json::to_vec(&row).expect("JSON").len()).collect();
    lengths.sort_unstable();
    lengths
}

/// A figure of this process, in megabytes.
fn resident_mb(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the figures of the process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the figure");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes / 1024.0
}
