use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::json;

use super::*;
use crate::ask::AskId;
use crate::tenant::TenantId;
use crate::trace::TraceRow;

const ROOM: u64 = 64 * 1024 * 1024;

fn row(question: &str) -> TraceRow {
    let id = AskId::generate();
    let ts = "2026-01-01T00:00:00Z";
    serde_json::from_value(json!({
        "trace_id": id, "ts": ts, "tenant_id": TenantId::named("a"), "channel": "api", "outcome": "truncated",
        "latency": {"secs": 0, "nanos": 1}, "question": question, "sources": [], "tool_metadata": {}, "spans": [],
        "hits": [], "degraded": [], "answer": "6.500.000 đồng [1]",
    }))
    .unwrap()
}

fn open(dir: &Path) -> FileJournal {
    FileJournal::open(dir, ROOM, Fsync::Never).unwrap()
}

/// Appends rows and lets go of the journal, as a process that is killed.
fn filled(dir: &Path, rows: &[TraceRow]) -> PathBuf {
    let journal = open(dir);
    for row in rows {
        assert!(journal.append(row).file().is_some());
    }
    drop(journal);
    drop(open(dir));
    files::path(dir, files::list(dir).unwrap()[0])
}

/// All that is left in the journal, and how many places could not be read.
fn read_all(dir: &Path, limit: usize) -> (Vec<TraceRow>, usize) {
    let journal = open(dir);
    let (mut rows, mut torn) = (Vec::new(), 0);
    while let Some(chunk) = journal.next(limit) {
        rows.extend_from_slice(&chunk.rows);
        torn += chunk.torn;
        journal.replayed(&chunk);
    }
    assert_eq!(journal.size(), (0, 0));
    (rows, torn)
}

/// Waits until something holds that the thread of the journal does.
fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "it never happens");
        std::thread::yield_now();
    }
}

#[test]
fn rows_are_read_in_the_order_in_which_they_were_appended_whatever_their_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows: Vec<_> = (0..50).map(|n| row(&format!("{n}"))).collect();
    for (n, row) in rows.iter_mut().enumerate() {
        row.ts -= Duration::from_secs(60 * n as u64);
    }
    filled(dir.path(), &rows[..20]);
    filled(dir.path(), &rows[20..]);
    assert_eq!(read_all(dir.path(), 7), (rows, 0));
    drop(open(dir.path()));
    until(|| files::list(dir.path()).unwrap().is_empty());
}

#[test]
fn any_damaged_byte_costs_one_row_at_most_and_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..4).map(|n| row(&format!("{n}"))).collect();
    let path = filled(dir.path(), &rows);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, &damaged).unwrap();
        let part = record::read(&mut fs::File::open(&path).unwrap(), 0, usize::MAX).unwrap();
        assert_eq!((part.rows.len(), part.torn, part.last), (3, 1, true), "byte {at}");
        assert!(part.rows.iter().all(|row| rows.contains(row)), "byte {at}");
    }
}

#[test]
fn any_cut_leaves_the_rows_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..3).map(|n| row(&format!("{n}"))).collect();
    let path = filled(dir.path(), &rows);
    let whole = fs::read(&path).unwrap();
    let mut seen = [0; 4];
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let part = record::read(&mut fs::File::open(&path).unwrap(), 0, usize::MAX).unwrap();
        assert_eq!(part.rows, rows[..part.rows.len()]);
        assert!(part.torn <= 1 && part.last);
        seen[part.rows.len()] += 1;
    }
    assert_eq!(seen.map(|times| times > 0), [true, true, true, false]);
}

#[test]
fn bytes_that_are_no_journal_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [row("a"), row("b")];
    let path = filled(dir.path(), &rows);
    let whole = fs::read(&path).unwrap();
    let noise: Vec<u8> = (0..300_000_u32).flat_map(|n| [0xff, b'r', b'o', (n % 251) as u8]).collect();
    fs::write(&path, [&noise[..], &whole, b"\xffrow\xff\xff\xff\xff", &noise].concat()).unwrap();
    let (found, torn) = read_all(dir.path(), 1);
    assert_eq!(found, rows);
    assert!(torn >= 2, "{torn}");
}

#[test]
fn a_record_of_another_version_is_handed_over_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = filled(dir.path(), &[row("a"), row("b")]);
    let whole = fs::read(&path).unwrap();
    // the checksum is right, and what it covers is no row
    let record = |strange: &[u8]| {
        let length = (strange.len() as u32).to_le_bytes();
        let number = 9_u64.to_le_bytes();
        let crc = crc::Crc::new().with(strange).with(&length).with(&number).end().to_le_bytes();
        [b"\xffrow", &length[..], &number, &crc, strange].concat()
    };
    let (text, other) = (b"{\"trace\":\"of tomorrow\"}", b"\xc8\x01\n");
    fs::write(&path, [record(text), record(other), whole].concat()).unwrap();
    let journal = open(dir.path());
    let chunk = journal.next(10).unwrap();
    assert_eq!(
        (chunk.rows.len(), chunk.strange.as_slice(), chunk.torn),
        (2, &[text.to_vec(), other.to_vec()][..], 0)
    );
    assert_eq!(journal.put_aside(&chunk.strange), 2);
    let refused = fs::read_to_string(dir.path().join("refused.jsonl")).unwrap();
    assert_eq!(refused, "{\"trace\":\"of tomorrow\"}\n{\"record\":\"c8010a\"}\n");
}

#[test]
fn long_rows_are_kept_and_too_long_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let long = row(&"x".repeat(3 * 1024 * 1024));
    filled(dir.path(), &[row("a"), long.clone(), row("b")]);
    let journal = open(dir.path());
    assert_eq!(journal.append(&row(&"x".repeat(5 * 1024 * 1024))).file(), None);
    assert!(journal.can_write(), "a row that is too long says nothing about others");
    drop(journal);
    let (rows, torn) = read_all(dir.path(), 2);
    assert_eq!((rows.len(), torn), (3, 0));
    assert_eq!(rows[1], long);
}

#[test]
fn a_file_is_removed_when_all_its_rows_are_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    // an eighth of this is a file: two rows
    let journal = FileJournal::open(dir.path(), 8_000, Fsync::Never).unwrap();
    until(|| journal.desk().log().has_spare());
    let mut appended = Vec::new();
    while appended.first() == appended.last() {
        appended.extend(journal.append(&row("what?")).file());
        until(|| journal.desk().log().has_spare());
    }
    let (first, last) = (appended[0], appended[appended.len() - 1]);
    let of_first = appended.iter().filter(|file| **file == first).count();
    journal.settle(vec![first; of_first - 1]);
    assert!(files::path(dir.path(), first).exists() && !journal.is_left(first));
    journal.settle([first]);
    until(|| !files::path(dir.path(), first).exists());
    journal.settle([last]);
    assert!(files::path(dir.path(), last).exists(), "it is appended to");
    journal.tidy();
    until(|| files::list(dir.path()).unwrap().is_empty());
    assert!(journal.append(&row("late")).file().is_some());
    drop(journal);
    assert_eq!(read_all(dir.path(), 10).0.len(), 1);
}

#[test]
fn a_row_that_is_nowhere_else_keeps_its_file_until_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let rows = [row("a"), row("b")];
    let files: Vec<_> = rows.iter().filter_map(|row| journal.append(row).file()).collect();
    assert!(journal.next(10).is_none());
    journal.leave([files[1]]);
    journal.settle([files[0]]);
    assert_eq!(journal.waiting(), 1);
    let chunk = journal.next(10).unwrap();
    assert_eq!(chunk.rows, rows);
    let after = journal.append(&row("c")).file().unwrap();
    assert!(after > files[1], "what is read is not appended to");
    journal.replayed(&chunk);
    assert!(journal.next(10).is_none() && journal.is_left(files[0]) && !journal.is_left(after));
}

#[test]
fn the_journal_is_bounded_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(dir.path(), 4_000, Fsync::Never).unwrap();
    let mut appended = Vec::new();
    while let Some(file) = journal.append(&row("what?")).file() {
        appended.push(file);
    }
    assert!(appended.len() > 3 && journal.bytes() <= 4_000 && !journal.can_write());
    journal.settle(appended);
    until(|| journal.append(&row("again")).file().is_some());
    assert!(journal.can_write());
}

#[test]
fn a_full_disk_is_noticed_and_half_a_record_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let rows = [row("a"), row("b")];
    assert!(journal.append(&rows[0]).file().is_some());
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let good = journal.desk().log().replace_open(full.into()).unwrap();
    assert_eq!(journal.append(&row("no room")).file(), None);
    assert!(!journal.can_write());
    drop(journal.desk().log().replace_open(good));
    assert!(journal.append(&rows[1]).file().is_some() && journal.can_write());
    drop(journal);
    assert_eq!(read_all(dir.path(), 10), (rows.to_vec(), 0));
}

#[test]
fn a_receipt_waits_for_the_disk_when_each_row_does() {
    let dir = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(dir.path(), ROOM, Fsync::Each).unwrap();
    let mut receipts: Vec<_> = (0..100).map(|n| journal.append(&row(&n.to_string()))).collect();
    assert!(receipts.iter().all(|receipt| !receipt.is_done()));
    until(|| receipts.iter_mut().all(|receipt| receipt.is_done() || receipt.now_or_never().is_some()));
    // those that only append wait for nothing
    let other = tempfile::tempdir().unwrap();
    for fsync in [Fsync::Never, Fsync::DEFAULT] {
        let journal = FileJournal::open(other.path(), ROOM, fsync).unwrap();
        assert!(journal.append(&row("a")).is_done());
    }
}

#[test]
fn what_is_put_aside_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let row = vec![b'x'; 1024 * 1024];
    let kept = journal.put_aside(&vec![row; 20]);
    assert_eq!(kept, 15);
    let length = fs::metadata(dir.path().join("refused.jsonl")).unwrap().len();
    assert!(length <= refused::MAX_REFUSED, "{length}");
}

#[test]
fn a_journal_has_one_owner_and_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a").join("journal");
    let first = open(&path);
    let error = FileJournal::open(&path, ROOM, Fsync::Never).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    assert!(first.append(&row("secret")).file().is_some());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path) & 0o077, 0);
        let file = files::path(&path, files::list(&path).unwrap()[0]);
        assert_eq!(mode(&file) & 0o177, 0);
    }
    drop(first);
    drop(open(&path));
}

#[test]
fn many_threads_append_whole_records() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let journal = &journal;
            scope.spawn(move || {
                for n in 0..500 {
                    assert!(journal.append(&row(&format!("{thread} {n}"))).file().is_some());
                }
            });
        }
    });
    drop(journal);
    let (rows, torn) = read_all(dir.path(), 256);
    assert_eq!((rows.len(), torn), (2_000, 0));
    for thread in 0..4 {
        let prefix = format!("{thread} ");
        let own: Vec<usize> = rows
            .iter()
            .filter_map(|row| row.question.as_deref()?.strip_prefix(&prefix)?.parse().ok())
            .collect();
        assert!(own.is_sorted() && own.len() == 500, "each thread's rows are in order");
    }
}
