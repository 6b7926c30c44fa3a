//! The default search in scripts that share little: Chinese, Thai, Hindi, Arabic, Russian, Vietnamese.
//!
//! Each fixture has a hundred passages and a question for each, written for this test: ten matters in ten places, so that
//! a question meets nine other passages about its matter and nine about its place.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::sync::Arc;

use rag_tower::embed::LocalEmbedder;
use rag_tower::eval::{Collection, CollectionDocument, CollectionQuery, RetrievalEval, RetrievalReport};
use rag_tower::ingest::MemoryDocuments;
use rag_tower::retrieve::MemoryVectors;
use rag_tower::stage::LexicalRerank;

fn collection(lines: &str) -> Collection {
    let mut collection = Collection::default();
    for (number, line) in lines.lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        let id = number.to_string();
        collection.queries.push(CollectionQuery {
            id: id.clone(),
            text: text("query"),
            relevance: [(id.clone(), 1)].into(),
            answers: Vec::new(),
        });
        collection.documents.push(CollectionDocument { id, title: String::new(), text: text("text") });
    }
    assert!(collection.documents.len() >= 100);
    collection
}

async fn measured(
    tenant: &str,
    collection: &Collection,
    stores: &(Arc<MemoryDocuments>, Arc<MemoryVectors>),
) -> RetrievalReport {
    let (documents, vectors) = stores;
    let mut eval = RetrievalEval::new(
        rag_tower::test_util::scope(tenant),
        LocalEmbedder::new(),
        Arc::clone(documents),
        Arc::clone(vectors),
        LexicalRerank::new(),
    );
    eval.index(collection, |_| ()).await.unwrap();
    eval.run(collection, || ()).await.unwrap()
}

fn stores() -> (Arc<MemoryDocuments>, Arc<MemoryVectors>) {
    let dimensions = LocalEmbedder::new().dimensions();
    (Arc::new(MemoryDocuments::new(10_000)), Arc::new(MemoryVectors::new(dimensions, 10_000)))
}

async fn recall_at_5(collection: &Collection) -> f64 {
    measured("a", collection, &stores()).await.figures("hybrid").unwrap().recall[&5]
}

macro_rules! scripts {
    ($($name:ident $file:literal)*) => {$(
        #[tokio::test]
        async fn $name() {
            let recall = recall_at_5(&collection(include_str!(concat!("fixtures/", $file)))).await;
            assert!(recall >= 0.95, "{recall}");
        }
    )*};
}
scripts! {
    chinese "zh.jsonl"
    thai "th.jsonl"
    hindi "hi.jsonl"
    arabic "ar.jsonl"
    russian "ru.jsonl"
    vietnamese "vi.jsonl"
}

#[tokio::test]
async fn vietnamese_without_its_marks_is_found_nearly_as_well() {
    let marked = collection(include_str!("fixtures/vi.jsonl"));
    let mut bare = marked.clone();
    let plain = |c: char| match c {
        'à'..='å' | 'ă' | 'ạ'..='ặ' => 'a',
        'è'..='ë' | 'ẹ'..='ệ' => 'e',
        'ì'..='ï' | 'ĩ' | 'ỉ' | 'ị' => 'i',
        'ò'..='ö' | 'ơ' | 'ọ'..='ợ' => 'o',
        'ù'..='ü' | 'ũ' | 'ư' | 'ụ'..='ự' => 'u',
        'ý' | 'ỳ'..='ỹ' => 'y',
        'đ' => 'd',
        other => other,
    };
    for query in &mut bare.queries {
        query.text = query.text.to_lowercase().chars().map(plain).collect();
        assert!(query.text.is_ascii(), "{}", query.text);
    }
    let (marked, bare) = (recall_at_5(&marked).await, recall_at_5(&bare).await);
    assert!(bare >= marked - 0.03, "{bare} {marked}");
}

#[tokio::test]
async fn t15_another_tenants_documents_change_no_ranking() {
    let own = collection(include_str!("fixtures/ru.jsonl"));
    let alone = measured("a", &own, &stores()).await;
    let shared = stores();
    // the same words again and again, so that statistics of both together would be others
    let mut foreign = own.clone();
    foreign.documents.retain(|document| document.text.contains("Музей"));
    foreign.queries.truncate(1);
    measured("b", &foreign, &shared).await;
    let beside = measured("a", &own, &shared).await;
    for (a, b) in alone.rows.iter().zip(&beside.rows) {
        let quality = |row: &rag_tower::eval::ReportRow| {
            (row.figures.recall.clone(), row.figures.mrr_at_10, row.figures.ndcg_at_10)
        };
        assert_eq!(quality(a), quality(b), "{}", a.name);
    }
}
