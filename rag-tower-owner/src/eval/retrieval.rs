//! `eval retrieval`: a folder in BEIR layout in, the quality and speed of search out.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use rag_tower::edge::{EdgeOptions, EdgeStore};
use rag_tower::eval::{Collection, Figures, Leg, RetrievalEval, RetrievalReport};
use rag_tower::ingest::{Chunker, MemoryDocuments};
use rag_tower::stage::LexicalRerank;
use rag_tower::tenant::TenantId;
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::failure::Failure;
use crate::models;
use crate::platform::{failed, scope_of};
use crate::progress::Step;

/// Chunks that are kept in memory: more than any collection that is worth an hour.
const MOST_CHUNKS: usize = 2_000_000;

/// Indexes the collection in a temporary directory with the embedder and the chunk size of the settings, and asks it
/// every query.
pub(super) async fn measure(
    config: &Config,
    folder: &Path,
    split: &str,
    cutoffs: &[u16],
) -> Result<RetrievalReport, Failure> {
    if cutoffs.is_empty() || cutoffs.iter().any(|k| !(1..=1000).contains(k)) {
        return Err(Failure::usage("--k takes ranks from 1 to 1000, parted by commas"));
    }
    let collection = Collection::read_split(folder, split).map_err(|error| {
        Failure::usage(error.to_string()).mend(
            "A collection is a folder with corpus.jsonl, queries.jsonl and qrels/<split>.tsv, in the layout of BEIR.",
        )
    })?;
    let directory = tempfile::Builder::new()
        .prefix("rag-tower-eval-")
        .tempdir()
        .map_err(|error| Failure::because("no temporary directory for the index", &error))?;
    let done = tokio::select! {
        done = run(config, &collection, directory.path(), cutoffs) => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::new("interrupted")),
    };
    if let Err(error) = directory.close() {
        tracing::warn!(%error, "the temporary index could not be removed");
    }
    done
}

async fn run(
    config: &Config,
    collection: &Collection,
    directory: &Path,
    cutoffs: &[u16],
) -> Result<RetrievalReport, Failure> {
    let scope = scope_of(TenantId::named("eval"));
    let embedder = models::embedder(config, &scope).await.map_err(failed("the embedding model"))?;
    let options = EdgeOptions::new(directory.join("index"), embedder.dimensions)
        .with_embedder(Arc::clone(&embedder.name));
    let index = EdgeStore::open(options).await.map_err(failed("the vector index"))?;
    let chunker = Chunker::new().with_size(config.chunk_token_size).with_overlap(config.chunk_overlap);
    let cutoffs: Vec<usize> = cutoffs.iter().copied().map(usize::from).collect();
    let weight = embedder.weight();
    let mut eval = RetrievalEval::new(
        scope,
        embedder.service,
        Arc::new(MemoryDocuments::new(MOST_CHUNKS)),
        Arc::new(index.clone()),
        LexicalRerank::new(),
    )
    .with_chunker(chunker)
    .with_dense_weight(weight)
    .with_cutoffs(cutoffs);

    let step = Step::bar("Indexing documents", collection.documents.len() as u64);
    eval.index(collection, |documents| step.advance_by(documents as u64))
        .await
        .map_err(failed("the collection"))?;
    step.done();
    let step = Step::bar("Asking queries", (Leg::ALL.len() * collection.queries.len()) as u64);
    let report = eval.run(collection, || step.advance()).await.map_err(failed("the index"))?;
    step.done();
    drop(eval);
    index.close().await.map_err(failed("the vector index"))?;
    Ok(report)
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
