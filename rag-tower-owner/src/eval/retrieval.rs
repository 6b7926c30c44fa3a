//! `eval retrieval`: a folder in BEIR layout in, the quality and speed of search out.

use std::fmt::Write as _;
use std::path::Path;

use rag_tower::eval::{Figures, Leg, RetrievalReport};
use serde_json::{Map, Value, json};

use super::indexed;
use crate::config::Config;
use crate::failure::Failure;
use crate::platform::failed;
use crate::progress::Step;

/// Indexes the collection with the embedder and the chunk size of the settings, and asks it every query.
pub(super) async fn measure(
    config: &Config,
    folder: &Path,
    split: &str,
    cutoffs: &[u16],
) -> Result<RetrievalReport, Failure> {
    if cutoffs.is_empty() || cutoffs.iter().any(|k| !(1..=1000).contains(k)) {
        return Err(Failure::usage("--k takes ranks from 1 to 1000, parted by commas"));
    }
    let cutoffs: Vec<usize> = cutoffs.iter().copied().map(usize::from).collect();
    let collection = indexed::read(folder, split)?;
    indexed::indexed(config, &collection, async |eval| {
        let eval = eval.with_cutoffs(cutoffs);
        let step = Step::bar("Asking queries", (Leg::ALL.len() * collection.queries.len()) as u64);
        let report = eval.run(&collection, || step.advance()).await.map_err(failed("the index"))?;
        step.done();
        Ok(report)
    })
    .await
}

/// The report for people.
pub(super) fn table(report: &RetrievalReport) -> String {
    let mut out = format!("{} documents, {} queries\n\n", report.documents, report.queries);
    let _ = write!(out, "{:<15}", "search");
    if let Some(first) = report.rows.first() {
        for k in first.figures.recall.keys() {
            let _ = write!(out, "{:>11}", format!("recall@{k}"));
        }
    }
    let _ = writeln!(out, "{:>9}{:>9}{:>9}{:>9}", "MRR@10", "nDCG@10", "p50 ms", "p99 ms");
    for row in &report.rows {
        let Figures { recall, mrr_at_10, ndcg_at_10, latency_p50, latency_p99 } = &row.figures;
        let _ = write!(out, "{:<15}", row.name);
        for value in recall.values() {
            let _ = write!(out, "{value:>11.4}");
        }
        let _ = writeln!(out, "{mrr_at_10:>9.4}{ndcg_at_10:>9.4}{latency_p50:>9.2}{latency_p99:>9.2}");
    }
    out
}

/// The report for programs: one object, keyed by search and figure.
pub(super) fn json(report: &RetrievalReport) -> String {
    let rounded = |value: f64, to: f64| json!((value * to).round() / to);
    let rows: Map<String, Value> = report
        .rows
        .iter()
        .map(|row| {
            let Figures { recall, mrr_at_10, ndcg_at_10, latency_p50, latency_p99 } = &row.figures;
            let mut figures: Map<String, Value> =
                recall.iter().map(|(k, value)| (format!("recall@{k}"), rounded(*value, 1e6))).collect();
            figures.insert("mrr@10".into(), rounded(*mrr_at_10, 1e6));
            figures.insert("ndcg@10".into(), rounded(*ndcg_at_10, 1e6));
            figures.insert("latency_ms_p50".into(), rounded(*latency_p50, 1e3));
            figures.insert("latency_ms_p99".into(), rounded(*latency_p99, 1e3));
            (row.name.clone(), Value::Object(figures))
        })
        .collect();
    format!("{}\n", Value::Object(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::read(None, []).unwrap()
    }

    fn collection() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("qrels")).unwrap();
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        let long = |word: &str| {
            format!("{} The {word} is kept in the cellar. ", "Nothing of note here. ".repeat(120))
        };
        let subjects = ["compass", "lantern", "barometer", "sextant"];
        let documents = subjects.iter().map(|word| json!({"_id": word, "title": "", "text": long(word)}));
        write("corpus.jsonl", documents.map(|line| format!("{line}\n")).collect());
        let queries = subjects
            .iter()
            .map(|word| json!({"_id": format!("q-{word}"), "text": format!("where is the {word} kept?")}));
        write("queries.jsonl", queries.map(|line| format!("{line}\n")).collect());
        let qrels = subjects.iter().map(|word| format!("q-{word}\t{word}\t1\n"));
        write("qrels/test.tsv", format!("query-id\tcorpus-id\tscore\n{}", qrels.collect::<String>()));
        dir
    }

    #[tokio::test]
    async fn a_folder_is_measured_without_a_server_and_twice_the_same() {
        let (dir, config) = (collection(), config());
        let first = measure(&config, dir.path(), "test", &[1, 3]).await.unwrap();
        let second = measure(&config, dir.path(), "test", &[1, 3]).await.unwrap();
        assert_eq!((first.documents, first.queries), (4, 4));
        let names: Vec<_> = first.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["dense", "dense+rerank", "sparse", "sparse+rerank", "hybrid", "hybrid+rerank"]);
        for (a, b) in first.rows.iter().zip(&second.rows) {
            assert_eq!((&a.figures.recall, a.figures.ndcg_at_10), (&b.figures.recall, b.figures.ndcg_at_10));
        }
        assert_eq!(first.figures("hybrid").unwrap().recall[&1], 1.0);

        let object: Value = serde_json::from_str(&json(&first)).unwrap();
        assert_eq!(object["sparse"]["recall@3"], 1.0);
        assert!(object["hybrid"]["ndcg@10"].is_f64() && object["dense+rerank"]["latency_ms_p99"].is_f64());
        let table = table(&first);
        assert_eq!(table.lines().count(), 9, "{table}");
        assert!(table.contains("recall@3") && table.contains("hybrid+rerank"), "{table}");
    }

    #[tokio::test]
    async fn a_folder_that_is_no_collection_is_refused_with_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let refused = measure(&config(), dir.path(), "test", &[1]).await.unwrap_err().to_string();
        assert!(refused.contains("corpus.jsonl") && refused.contains("BEIR"), "{refused}");
        let refused = measure(&config(), dir.path(), "test", &[0]).await.unwrap_err().to_string();
        assert!(refused.contains("--k"), "{refused}");
    }
}
