//! A folder in, a collection of documents, queries and judgements out.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::answers::known_answers;
use crate::ask::{MAX_QUESTION_CHARS, Question};

/// A test collection in the layout of BEIR (Thakur et al., *BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of
/// Information Retrieval Models*, 2021).
///
/// - `corpus.jsonl`: a JSON object a line, with `_id`, `text`, and optionally `title`
/// - `queries.jsonl`: a JSON object a line, with `_id` and `text`, and optionally the [`known_answers`]
/// - `qrels/test.tsv` (or another split): query id, document id and grade, parted by tabs, under an optional heading
///
/// Queries without a relevant document are left out, as is usual: no ranking of theirs could be right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// The documents, in the file's order.
    pub documents: Vec<CollectionDocument>,
    /// The queries that have a relevant document, in the file's order.
    pub queries: Vec<CollectionQuery>,
}

/// A document of a [`Collection`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CollectionDocument {
    /// Its id.
    #[serde(rename = "_id")]
    pub id: String,
    /// Its title, or nothing.
    #[serde(default)]
    pub title: String,
    /// Its text.
    pub text: String,
}

/// A query of a [`Collection`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionQuery {
    /// Its id.
    pub id: String,
    /// Its text.
    pub text: String,
    /// What the judges said of documents. At least one is relevant; it may be one that the corpus does not have, which
    /// then counts as not found.
    pub relevance: Relevance,
    /// What counts as its answer, where the collection says so.
    pub answers: Vec<String>,
}

/// Grades by document id; 0 is judged and not relevant.
pub type Relevance = HashMap<String, u32>;

/// Why a folder is no collection.
#[derive(Debug)]
#[non_exhaustive]
pub enum CollectionError {
    /// A file cannot be read.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// Nothing can be measured.
    Empty {
        /// The folder.
        path: PathBuf,
        /// What there is none of.
        reason: &'static str,
    },
}

#[derive(Deserialize)]
struct QueryLine {
    #[serde(rename = "_id")]
    id: String,
    text: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

// === impl Collection ===

impl Collection {
    /// Reads the folder, with the judgements of `qrels/test.tsv`.
    ///
    /// # Errors
    /// A file that is missing, not UTF-8, or has a line of another shape (with its number), an id that comes twice, and a
    /// collection without documents or without a judged query.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, CollectionError> {
        Self::read_split(folder, "test")
    }

    /// Reads the folder, with the judgements of `qrels/<split>.tsv`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_split(folder: impl AsRef<Path>, split: &str) -> Result<Self, CollectionError> {
        let folder = folder.as_ref();
        let empty = |reason| CollectionError::Empty { path: folder.to_path_buf(), reason };
        let mut ids = HashSet::new();
        let documents = lines(&folder.join("corpus.jsonl"), |line| {
            let document: CollectionDocument = json(line, "\"_id\" and \"text\", and optionally \"title\"")?;
            if !ids.insert(document.id.clone()) {
                return Err(format!("the id {:?} came before: every document needs its own", document.id));
            }
            Ok(Some(document))
        })?;
        if documents.is_empty() {
            return Err(empty("no document in corpus.jsonl"));
        }
        let mut judged = judgements(&folder.join("qrels").join(format!("{split}.tsv")))?;
        let mut ids = HashSet::new();
        let queries = lines(&folder.join("queries.jsonl"), |line| {
            let QueryLine { id, text, rest } = json(line, "\"_id\" and \"text\"")?;
            if !ids.insert(id.clone()) {
                return Err(format!("the id {id:?} came before: every query needs its own"));
            }
            let relevance = judged.remove(&id).filter(|grades| grades.values().any(|grade| *grade > 0));
            let answers = known_answers(&Value::Object(rest));
            Ok(relevance.map(|relevance| CollectionQuery { id, text, relevance, answers }))
        })?;
        if queries.is_empty() {
            return Err(empty("no query of queries.jsonl has a relevant document in the judgements"));
        }
        Ok(Self { documents, queries })
    }
}

// === impl CollectionQuery ===

impl CollectionQuery {
    /// The query as a question, less strictly than a person's, since nobody can mend a collection: control characters
    /// become spaces, and what is too long is cut. None when nothing is left.
    #[must_use]
    pub fn question(&self) -> Option<Question> {
        let clean = self.text.chars().map(|c| if c.is_control() { ' ' } else { c });
        Question::parse(&clean.take(MAX_QUESTION_CHARS).collect::<String>()).ok()
    }
}

fn judgements(path: &Path) -> Result<HashMap<String, Relevance>, CollectionError> {
    let mut judged = HashMap::<String, Relevance>::new();
    let mut first = true;
    lines(path, |line| {
        let heading = std::mem::take(&mut first) && line.starts_with("query-id");
        if heading {
            return Ok(None::<()>);
        }
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        let [query, document, grade] = fields[..] else {
            return Err("expected query id, document id and grade, parted by tabs".into());
        };
        let grade: i64 = grade.parse().map_err(|_| format!("the grade {grade:?} is not a whole number"))?;
        // some collections mark spam with grades below 0: judged, and not relevant
        let grade = u32::try_from(grade.max(0)).map_err(|_| format!("the grade {grade} is too large"))?;
        judged.entry(query.into()).or_default().insert(document.into(), grade);
        Ok(None)
    })?;
    Ok(judged)
}

fn json<'l, T: Deserialize<'l>>(line: &'l str, fields: &str) -> Result<T, String> {
    serde_json::from_str(line).map_err(|error| {
        format!("expected a JSON object with the strings {fields} (column {})", error.column())
    })
}

/// What `read` makes of every line that is not blank.
fn lines<T>(
    path: &Path,
    mut read: impl FnMut(&str) -> Result<Option<T>, String>,
) -> Result<Vec<T>, CollectionError> {
    let io = |source| CollectionError::Io { path: path.to_path_buf(), source };
    let mut found = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(File::open(path).map_err(io)?).lines()) {
        let line = line.map_err(io)?;
        let line = if number == 1 { line.trim_start_matches('\u{feff}') } else { &line };
        if line.trim().is_empty() {
            continue;
        }
        let made = read(line).map_err(|reason| CollectionError::Line {
            path: path.to_path_buf(),
            line: number,
            reason,
        })?;
        found.extend(made);
    }
    Ok(found)
}

// === impl CollectionError ===

impl fmt::Display for CollectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{} cannot be read: {source}", path.display()),
            Self::Line { path, line, reason } => write!(f, "{} line {line}: {reason}", path.display()),
            Self::Empty { path, reason } => write!(f, "{}: {reason}", path.display()),
        }
    }
}

impl std::error::Error for CollectionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Line { .. } | Self::Empty { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(corpus: &str, queries: &str, qrels: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("qrels")).unwrap();
        for (name, text) in [("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels/test.tsv", qrels)]
        {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    const CORPUS: &str =
        "{\"_id\":\"d1\",\"title\":\"T\",\"text\":\"one\"}\n\n{\"_id\":\"d2\",\"text\":\"two\",\"x\":1}\n";
    const QUERIES: &str = "{\"_id\":\"q1\",\"text\":\"a\",\"answers\":[\"one\"]}\n{\"_id\":\"q2\",\"text\":\"b\"}\n{\"_id\":\"q3\",\"text\":\"c\"}\n";

    #[test]
    fn judged_queries_are_kept_and_others_left_out() {
        let dir = folder(
            CORPUS,
            QUERIES,
            "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t-1\nq2\td2\t0\nq9\td1\t1\n",
        );
        let collection = Collection::read(dir.path()).unwrap();
        assert_eq!(collection.documents.len(), 2);
        assert_eq!(collection.documents[1].title, "");
        assert_eq!(collection.queries.len(), 1);
        assert_eq!(collection.queries[0].answers, ["one"]);
        assert_eq!(collection.queries[0].relevance, Relevance::from([("d1".into(), 2), ("d2".into(), 0)]));
    }

    #[test]
    fn a_file_without_a_heading_loses_no_line() {
        let dir = folder(CORPUS, QUERIES, "q1\td1\t1\r\nq2\td2\t1\r\n");
        assert_eq!(Collection::read(dir.path()).unwrap().queries.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        for (corpus, queries, qrels, said) in [
            ("{\"_id\":\"d1\"}", QUERIES, "q1\td1\t1", "corpus.jsonl line 1: expected a JSON object"),
            (&CORPUS.repeat(2), QUERIES, "q1\td1\t1", "corpus.jsonl line 4: the id \"d1\" came before"),
            (CORPUS, "{}", "q1\td1\t1", "queries.jsonl line 1: expected"),
            (CORPUS, QUERIES, "q1 d1 1", "test.tsv line 1: expected query id"),
            (CORPUS, QUERIES, "q1\td1\t1\nq1\td1\thigh", "test.tsv line 2: the grade \"high\""),
            (CORPUS, QUERIES, "q1\td1\t0", "no query of queries.jsonl has"),
            ("\n", QUERIES, "q1\td1\t1", "no document"),
        ] {
            let dir = folder(corpus, queries, qrels);
            let error = Collection::read(dir.path()).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let dir = folder(CORPUS, QUERIES, "q1\td1\t1");
        let error = Collection::read_split(dir.path(), "dev").unwrap_err();
        assert!(error.to_string().contains("dev.tsv cannot be read"), "{error}");
    }
}
