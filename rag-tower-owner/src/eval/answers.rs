//! `eval answers`: a folder in BEIR layout whose queries have known answers in, how often an answer holds one out.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use rag_tower::eval::answers::{AnswerCase, AnswerFigures, answer_recall};
use rag_tower::eval::{Collection, CollectionDocument, CollectionQuery};
use rag_tower::generate::Extractive;
use rag_tower::ingest::Chunker;
use rag_tower::passage::{ChunkId, DocumentId, Origin, Passage};
use rag_tower::{Passages, TenantId, TenantScope};
use serde_json::{Value, json};

use super::indexed;
use crate::config::Config;
use crate::failure::Failure;
use crate::platform::{failed, scope_of};
use crate::progress::Step;

/// What `--help` says of the folder.
pub(super) const HELP: &str = "\
The folder is a collection in the layout of BEIR whose queries carry their answers:
  corpus.jsonl      {\"_id\": \"pool\", \"title\": \"Pool\", \"text\": \"It opens at six. Lockers are free.\"}
  queries.jsonl     {\"_id\": \"q1\", \"text\": \"When does the pool open?\", \"answers\": [\"six\", \"6 a.m.\"]}
  qrels/test.tsv    q1 <tab> pool <tab> 1
\"answer\": \"six\" and SQuAD's \"answers\": {\"text\": [\"six\"]} do as well, beside \"text\" or inside \"metadata\".

Each question is answered twice, by the sentences that the server quotes when no model is set: from the
documents that the judgements name, which shows how well the sentence is found, and from the TOP_K passages
that the search finds, which is what people get. Columns:
  recall       share of the answers that hold one of the known ones; case and width do not count
  reachable    share of the questions whose passages hold one: the most that recall can be
  mean chars   length of an answer: a long one holds much and says little

Example:
  rag-tower-owner eval answers ./collection --json > answers.json
";

/// What was measured.
pub(super) struct Report {
    documents: usize,
    asked: usize,
    left_out: usize,
    /// Answered from the documents that the judgements name.
    named: AnswerFigures,
    /// Answered from what the search finds.
    found: AnswerFigures,
}

/// Answers every query that has a known answer.
pub(super) async fn measure(config: &Config, folder: &Path, split: &str) -> Result<Report, Failure> {
    let mut collection = indexed::read(folder, split)?;
    let judged = collection.queries.len();
    collection.queries.retain(|query| !query.answers.is_empty() && query.question().is_some());
    if collection.queries.is_empty() {
        return Err(Failure::usage(format!(
            "none of the {judged} judged queries of {} has a known answer",
            folder.join("queries.jsonl").display()
        ))
        .mend(
            "Expected lines such as {\"_id\": \"q1\", \"text\": \"When does it open?\", \"answers\": [\"six\"]}; `answer` with \
             one string and SQuAD's {\"text\": [\"six\"]} under `answers` do as well, beside `text` or inside `metadata`.",
        ));
    }
    let asked = collection.queries.len();
    indexed::indexed(config, &collection, async |eval| {
        let scope = scope_of(TenantId::named("eval"));
        let own = OwnPassages::new(config, &collection);
        let step = Step::bar("Searching", asked as u64);
        let (mut named, mut found) = (Vec::with_capacity(asked), Vec::with_capacity(asked));
        for query in &collection.queries {
            let Some(question) = query.question() else { continue };
            let case = |passages| AnswerCase {
                question: question.clone(),
                answers: query.answers.clone(),
                passages,
            };
            named.push(case(own.of(&scope, query)?));
            found.push(case(eval.found(&question, config.top_k).await.map_err(failed("the index"))?));
            step.advance();
        }
        step.done();
        let step = Step::bar("Answering", 2 * asked as u64);
        let answer = async |cases: Vec<AnswerCase>| {
            let cases = cases.into_iter().inspect(|_| step.advance());
            answer_recall(&scope, Extractive::new(), cases).await.map_err(failed("the answers"))
        };
        let (named, found) = (answer(named).await?, answer(found).await?);
        step.done();
        Ok(Report { documents: collection.documents.len(), asked, left_out: judged - asked, named, found })
    })
    .await
}

/// The documents of a collection, cut as they are for the index.
struct OwnPassages<'c> {
    documents: HashMap<&'c str, &'c CollectionDocument>,
    chunker: Chunker,
}

// === impl OwnPassages ===

impl<'c> OwnPassages<'c> {
    fn new(config: &Config, collection: &'c Collection) -> Self {
        let documents = collection.documents.iter().map(|document| (document.id.as_str(), document));
        let chunker = Chunker::new().with_size(config.chunk_token_size).with_overlap(config.chunk_overlap);
        Self { documents: documents.collect(), chunker }
    }

    /// The passages of the documents that are relevant to a query, in the order of their ids.
    fn of(&self, scope: &TenantScope, query: &CollectionQuery) -> Result<Passages, Failure> {
        let relevant = query.relevance.iter().filter(|(_, grade)| **grade > 0).map(|(id, _)| id.as_str());
        let mut documents: Vec<_> = relevant.filter_map(|id| self.documents.get(id)).collect();
        documents.sort_by_key(|document| &document.id);
        let passages = documents.into_iter().flat_map(|document| self.cut(scope.tenant(), document));
        Passages::check(scope, passages.collect()).map_err(failed("the collection"))
    }

    fn cut(&self, tenant: TenantId, document: &CollectionDocument) -> Vec<Passage> {
        let id = DocumentId::named(tenant, &document.id);
        let (title, file_name): (Arc<str>, Arc<str>) =
            (document.title.as_str().into(), document.id.as_str().into());
        let pieces = (0..).zip(self.chunker.pieces(&document.text));
        pieces
            .map(|(seq, piece)| Passage {
                chunk: ChunkId::of(tenant, id, seq),
                document: id,
                seq,
                origin: Origin::Tenant { tenant, branch: None },
                title: Arc::clone(&title),
                file_name: Arc::clone(&file_name),
                text: piece.text.into(),
                score: 1.0,
                found: Default::default(),
            })
            .collect()
    }
}

// === impl Report ===

impl Report {
    fn rows(&self) -> [(&'static str, &'static str, &AnswerFigures); 2] {
        [("named documents", "named_documents", &self.named), ("search", "search", &self.found)]
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut out = format!("{} documents, {} questions with a known answer", self.documents, self.asked);
        if self.left_out > 0 {
            let _ = write!(out, "; {} without one left out", self.left_out);
        }
        let _ = writeln!(
            out,
            "\n\n{:<17}{:>9}{:>11}{:>12}",
            "answered from", "recall", "reachable", "mean chars"
        );
        for (name, _, AnswerFigures { recall, reachable, mean_chars, .. }) in self.rows() {
            let _ = writeln!(out, "{name:<17}{recall:>9.4}{reachable:>11.4}{mean_chars:>12.1}");
        }
        out
    }

    /// For programs: one object, keyed by what was answered from and figure.
    pub(super) fn json(&self) -> String {
        let rounded = |value: f64| json!((value * 1e6).round() / 1e6);
        let rows = self.rows().into_iter().map(|(_, key, figures)| {
            let row = json!({
                "cases": figures.cases,
                "recall": rounded(figures.recall),
                "reachable": rounded(figures.reachable),
                "mean_chars": rounded(figures.mean_chars),
            });
            (key.to_owned(), row)
        });
        format!("{}\n", Value::Object(rows.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::read(None, [("HOME".to_owned(), "/home/someone".to_owned())]).unwrap()
    }

    /// Pages of a town, and questions whose answers are in the form that `answers` makes.
    fn collection(answers: impl Fn(&str) -> Value) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("qrels")).unwrap();
        let lines = |lines: &[Value]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let page = |id, text| json!({"_id": id, "title": id, "text": text});
        let corpus = [
            page("pool", "The pool was built by Ruta Brandt. It opens at six. Lockers cost 2 crowns."),
            page("ferry", "The ferry leaves from pier 3. The crossing takes 50 minutes. Bicycles are free."),
            page("mill", "The old mill is a museum. It is closed on Mondays. A ticket costs 4 crowns."),
        ];
        let query = |id, text, answer: Option<&str>| {
            let mut line = answer.map_or_else(|| json!({}), &answers);
            line["_id"] = json!(id);
            line["text"] = json!(text);
            line
        };
        let queries = [
            query("q1", "How long does the crossing of the ferry take?", Some("50 minutes")),
            query("q2", "Who built the pool?", Some("Ruta Brandt")),
            query("q3", "Who painted the mill?", Some("Tomas Eld")),
            query("q4", "How much is a ticket of the mill?", None),
        ];
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        write("corpus.jsonl", lines(&corpus));
        write("queries.jsonl", lines(&queries));
        write("qrels/test.tsv", "q1\tferry\t1\nq2\tpool\t1\nq3\tmill\t1\nq4\tmill\t1\n".into());
        dir
    }

    #[tokio::test]
    async fn answers_are_judged_from_named_documents_and_from_the_search_and_twice_the_same() {
        let dir = collection(|answer| json!({ "answers": [answer] }));
        let report = measure(&config(), dir.path(), "test").await.unwrap();
        let again = measure(&config(), dir.path(), "test").await.unwrap();
        assert_eq!((report.table(), report.json()), (again.table(), again.json()));
        assert_eq!((report.documents, report.asked, report.left_out), (3, 3, 1));
        for figures in [&report.named, &report.found] {
            // the third is answered nowhere
            let shares = (figures.cases, figures.recall, figures.reachable);
            assert_eq!(shares, (3, 2.0 / 3.0, 2.0 / 3.0), "{figures:?}");
            assert!(figures.mean_chars > 10.0, "{figures:?}");
        }
        let object: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(
            (&object["search"]["recall"], &object["named_documents"]["cases"]),
            (&json!(0.666_667), &json!(3))
        );
        let table = report.table();
        assert!(table.contains("3 questions with a known answer; 1 without one left out"), "{table}");
        assert_eq!(table.lines().count(), 5, "{table}");

        let squad =
            collection(|answer| json!({"metadata": {"answers": {"text": [answer], "answer_start": [0]}}}));
        assert_eq!(measure(&config(), squad.path(), "test").await.unwrap().json(), report.json());
    }

    #[tokio::test]
    async fn a_folder_without_answers_is_told_what_is_expected() {
        let none = collection(|_| json!({}));
        let refused = measure(&config(), none.path(), "test").await.map(|_| ()).unwrap_err().to_string();
        for part in ["queries.jsonl", "none of the 4 judged", "\"answers\": [\"six\"]", "metadata"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        let nothing = tempfile::tempdir().unwrap();
        let refused = measure(&config(), nothing.path(), "test").await.map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("corpus.jsonl") && refused.contains("BEIR"), "{refused}");
    }
}
