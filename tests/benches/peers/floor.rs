//! What `calls` leaves out and an answer from documents cannot do without: the search in the engine, and a row of what was
//! found, committed with others. Nothing is done with what is found; no text is read, no prompt is made.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rag_tower::TenantScope;
use rag_tower::edge::{EdgeOptions, EdgeStore};
use rag_tower::embed::LocalEmbedder;
use rag_tower::filter::Filter;
use rag_tower::ingest::{Ingest, Ingestor, MemoryDocuments};
use rag_tower::port::{Embedding, FusedHit, HybridQuery, SparseVector, TermStats, VectorStore};
use rag_tower::text::{Bm25, query_terms};
use rag_tower_tests::corpus::Corpus;
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tower::ServiceExt;
use uuid::Uuid;

use crate::asks::QUESTION;
use crate::starting::CHUNKS;

/// Passages of an ask, and candidates of each search, as the server has them.
const PASSAGES: usize = 24;
const CANDIDATES: usize = 40;
/// How long rows wait for others, as they do in the server.
const LINGER: Duration = Duration::from_millis(100);

pub(crate) struct Floor {
    index: EdgeStore,
    scope: TenantScope,
    words: SparseVector,
    rows: mpsc::Sender<(Uuid, String, Value)>,
    _writer: JoinSet<()>,
    _folder: TempDir,
}

// === impl Floor ===

impl Floor {
    /// As many chunks in an index of its own as the server's tenant has, and a table for rows.
    pub(crate) async fn start(database: &PgPool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let embedder = LocalEmbedder::new();
        let options = EdgeOptions::new(folder.path(), embedder.dimensions());
        let index = EdgeStore::open(options).await.expect("an index");
        let documents = Arc::new(MemoryDocuments::new(CHUNKS));
        let scope = rag_tower::test_util::scope("bench");
        let ingestor = Ingestor::new(embedder, Arc::clone(&documents), Arc::new(index.clone()));
        let mut corpus = Corpus::new(265);
        for n in 0..CHUNKS {
            let request = Ingest::new(scope.clone(), format!("{n}.txt"), corpus.document(1).concat());
            ingestor.clone().oneshot(request).await.expect("a document");
        }
        let terms = query_terms(QUESTION);
        let (total, counts) = documents.frequencies(&scope, &terms.ids()).await.expect("counts");
        let words = Bm25::new().query(&terms, total, &counts);

        let table = "CREATE TABLE IF NOT EXISTS rows (id uuid PRIMARY KEY, question text NOT NULL, found jsonb NOT NULL)";
        sqlx::raw_sql(table).execute(database).await.expect("a table");
        let (rows, waiting) = mpsc::channel(16_384);
        let database = database.clone();
        let mut writer = JoinSet::new();
        writer.spawn(write(database, waiting));
        Self { index, scope, words, rows, _writer: writer, _folder: folder }
    }

    /// Both searches with the vector of an embedding endpoint's answer.
    pub(crate) async fn search(&self, embedded: &[u8]) -> Vec<FusedHit> {
        let embedded: Value = serde_json::from_slice(embedded).expect("JSON");
        let packed = embedded["data"][0]["embedding"].as_str().expect("Base64");
        let bytes = BASE64_STANDARD.decode(packed).expect("Base64");
        let vector: Vec<f32> = bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
        let query = HybridQuery {
            dense: Embedding::new(vector),
            sparse: self.words.clone(),
            dense_weight: 0.5,
            filter: Filter::default(),
            candidates: CANDIDATES,
            limit: PASSAGES,
        };
        self.index.hybrid(&self.scope, &query).await.expect("hits")
    }

    /// Keeps the row of an ask, soon.
    pub(crate) async fn record(&self, question: &Value, found: &[FusedHit]) {
        let said = |found: &FusedHit| format!("{}:{}", found.hit.chunk, found.hit.score);
        let found = json!({"chunks": found.iter().map(said).collect::<Vec<_>>().join(" ")});
        let question = question.as_str().unwrap_or_default().to_owned();
        self.rows.send((Uuid::now_v7(), question, found)).await.expect("its writer");
    }
}

async fn write(database: PgPool, mut waiting: mpsc::Receiver<(Uuid, String, Value)>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, 16_384).await > 0 {
        tokio::time::sleep(LINGER).await;
        while let Ok(row) = waiting.try_recv() {
            batch.push(row);
        }
        let (mut ids, mut questions, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for (id, question, hits) in batch.drain(..) {
            ids.push(id);
            questions.push(question);
            found.push(hits.to_string());
        }
        sqlx::query("INSERT INTO rows SELECT i, q, f::jsonb FROM unnest($1::uuid[], $2::text[], $3::text[]) AS r (i, q, f)")
            .bind(ids)
            .bind(questions)
            .bind(found)
            .execute(&database)
            .await
            .expect("rows");
    }
}
