//! `eval`: collections in, figures on stdout out; no server, no Postgres and no data directory.

mod answers;
mod indexed;
mod retrieval;
mod routing;

use std::path::PathBuf;

use clap::Subcommand;

use crate::config::Config;
use crate::failure::Failure;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Measure {
    /// Search: recall, MRR, nDCG and latency on a folder in BEIR layout
    Retrieval {
        /// The folder with corpus.jsonl, queries.jsonl and qrels/
        folder: PathBuf,
        /// One JSON object instead of a table
        #[arg(long)]
        json: bool,
        /// The ranks at which recall is measured
        #[arg(long, value_name = "RANKS", value_delimiter = ',', default_value = "1,5,10")]
        k: Vec<u16>,
        /// The judgements: qrels/<SPLIT>.tsv
        #[arg(long, default_value = "test")]
        split: String,
    },
    /// Answers: how often one holds a known answer, on a folder in BEIR layout whose queries have answers
    #[command(after_help = answers::HELP)]
    Answers {
        /// The folder with corpus.jsonl, queries.jsonl with answers, and qrels/
        folder: PathBuf,
        /// One JSON object instead of a table
        #[arg(long)]
        json: bool,
        /// The judgements: qrels/<SPLIT>.tsv
        #[arg(long, default_value = "test")]
        split: String,
    },
    /// Routing: accuracy in scope, recall out of scope, AUROC and latency on a folder of labelled questions
    Routing {
        /// The folder with train.jsonl, and, where there are, val, test, oos_train, oos_val and oos_test.jsonl
        folder: PathBuf,
        /// One JSON object instead of a table
        #[arg(long)]
        json: bool,
        /// Also what other thresholds would give
        #[arg(long)]
        curve: bool,
    },
}

/// Measures, and returns what goes to stdout.
pub(crate) async fn measure(config: &Config, what: Measure) -> Result<String, Failure> {
    match what {
        Measure::Retrieval { folder, json, k, split } => {
            let report = retrieval::measure(config, &folder, &split, &k).await?;
            Ok(if json { retrieval::json(&report) } else { retrieval::table(&report) })
        }
        Measure::Answers { folder, json, split } => {
            let report = answers::measure(config, &folder, &split).await?;
            Ok(if json { report.json() } else { report.table() })
        }
        Measure::Routing { folder, json, curve } => {
            let report = tokio::select! {
                measured = tokio::task::spawn_blocking(move || routing::measure(&folder)) => measured
                    .map_err(|error| Failure::because("the measuring", &error))??,
                _ = tokio::signal::ctrl_c() => return Err(Failure::new("interrupted")),
            };
            Ok(if json { report.json(curve) } else { report.table(curve) })
        }
    }
}
