//! `eval`: collections in, figures on stdout out; no server, no Postgres and no data directory.

mod retrieval;

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
}

/// Measures, and returns what goes to stdout.
pub(crate) async fn measure(config: &Config, what: Measure) -> Result<String, Failure> {
    match what {
        Measure::Retrieval { folder, json, k, split } => {
            let report = retrieval::measure(config, &folder, &split, &k).await?;
            Ok(if json { retrieval::json(&report) } else { retrieval::table(&report) })
        }
    }
}
