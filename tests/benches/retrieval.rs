//! What a search costs: 100,000 chunks of 100 tenants in the embedded engine, one tenant with 20,000 of them. The store's
//! search beside the bare engine's in one run, then the whole hybrid search, with questions of all tenants in turn. Text
//! and term statistics are kept in memory, so that what is measured is the index and what is around it. Ends with one
//! line `RESULT {json}`.
//!
//! `cargo bench -p rag-tower-tests --bench retrieval`
//!
//! `-- --curve` measures instead what the width of the graph search buys in a tenant that is too large for an exact
//! search, and `--big N` says how large it is.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qdrant_edge::{
    Condition, EdgeShard, FieldCondition, Filter as EngineFilter, Match, NamedQuery, Payload, QueryEnum,
    QueryRequest, ScoredPoint, ScoringQuery, SearchParams, VectorInternal, WithPayloadInterface, WithVector,
};
use rag_tower::edge::{EdgeOptions, EdgeStore};
use rag_tower::embed::LocalEmbedder;
use rag_tower::ingest::MemoryDocuments;
use rag_tower::passage::{ChunkId, DocumentId};
use rag_tower::port::{
    Chunk, Document, DocumentStore, Embedding, Point, QueryVector, VectorQuery, VectorStore,
};
use rag_tower::retrieve::{FusedSource, Query, fetch};
use rag_tower::text::{Bm25, document_terms};
use rag_tower::{Filter, TenantScope, TraceHandle};
use rag_tower_tests::corpus::{Corpus, Random};
use serde_json::json;

const TENANTS: usize = 100;
const CHUNKS: usize = 100_000;
/// Chunks of the large tenant.
const BIG: usize = 20_000;
/// Chunks of a document.
const DOCUMENT: usize = 20;
/// Documents written in one call.
const BATCH: usize = 50;
const ROUNDS: usize = 6;
/// Questions of a round.
const QUESTIONS: usize = 500;
/// The hits of a search, and the passages of a hybrid one.
const LIMIT: usize = 10;
/// Questions whose hits are compared with the exact ones.
const COMPARED: usize = 400;
const WIDTHS: [usize; 6] = [64, 128, 256, 512, 1024, 2048];

/// A tenant and what is asked of it.
struct Tenant {
    scope: TenantScope,
    questions: Vec<Arc<str>>,
}

/// A question on its way.
struct Ask<'a> {
    scope: &'a TenantScope,
    text: Arc<str>,
    vector: Embedding,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let curve = arguments.iter().any(|argument| argument == "--curve");
    let big = arguments.iter().position(|argument| argument == "--big").map(|at| &arguments[at + 1]);
    let big = big.map_or(if curve { 60_000 } else { BIG }, |n| n.parse().expect("a number"));

    let dir = tempfile::tempdir().expect("a directory");
    let (path, copied) = (dir.path().join("store"), dir.path().join("raw"));
    let documents = Arc::new(MemoryDocuments::new(CHUNKS));
    let began = Instant::now();
    let tenants = fill(&path, &documents, big).await;
    eprintln!("indexed {CHUNKS} chunks of {TENANTS} tenants in {:.0} s", began.elapsed().as_secs_f64());
    // the bare engine reads the very same segments
    copy(&path.join("shard"), &copied);
    let raw = Arc::new(EdgeShard::load(&copied, None).expect("the index"));
    let result =
        if curve { widths(&raw, &tenants[0], big) } else { measure(&path, documents, raw, &tenants).await };
    println!("RESULT {result}");
}

/// Writes every tenant's chunks: the first has `big` of them, the others share the rest.
async fn fill(path: &Path, documents: &MemoryDocuments, big: usize) -> Vec<Tenant> {
    let store = open(path).await;
    let mut corpus = Corpus::new(1);
    let mut tenants = Vec::new();
    let mut written = 0;
    for n in 0..TENANTS {
        let scope = rag_tower::test_util::scope(&format!("tenant {n}"));
        let chunks = match n {
            0 => big,
            _ => (CHUNKS - big) * n / (TENANTS - 1) - (CHUNKS - big) * (n - 1) / (TENANTS - 1),
        };
        let wanted = if n == 0 { QUESTIONS } else { ROUNDS * QUESTIONS / TENANTS };
        let (mut questions, mut at, mut document) = (Vec::new(), 0, 0);
        while at < chunks {
            let mut batch = Vec::new();
            while at < chunks && batch.len() < BATCH {
                let length = DOCUMENT.min(chunks - at);
                let texts = corpus.document(length);
                while questions.len() * chunks < wanted * (at + length) && questions.len() < wanted {
                    let chunk = &texts[questions.len() % length];
                    questions.push(corpus.question(chunk).into());
                }
                batch.push((document, texts));
                document += 1;
                at += length;
            }
            let points = write(documents, &scope, batch).await;
            let before = written;
            written += points.len();
            store.upsert(&scope, points).await.expect("written");
            if written / 10_000 > before / 10_000 {
                eprintln!("  {written} of {CHUNKS} chunks");
            }
        }
        tenants.push(Tenant { scope, questions });
    }
    store.close().await.expect("closed");
    tenants
}

/// Keeps the text of documents, and gives their points.
async fn write(
    documents: &MemoryDocuments,
    scope: &TenantScope,
    batch: Vec<(usize, Vec<String>)>,
) -> Vec<Point> {
    let prepare = |(number, texts): &(usize, Vec<String>)| {
        let name = format!("document {number}");
        let id = DocumentId::named(scope.tenant(), &name);
        let mut chunks = Vec::new();
        let mut points = Vec::new();
        for (seq, text) in (0_u32..).zip(texts) {
            let terms = document_terms(text);
            let chunk = ChunkId::of(scope.tenant(), id, seq);
            points.push(Point {
                chunk,
                document: id,
                branch: None,
                dense: LocalEmbedder::new().embed(text),
                sparse: Bm25::new().document(&terms),
                labels: BTreeMap::new(),
            });
            chunks.push(Chunk { id: chunk, seq, text: text.as_str().into(), terms: terms.counts });
        }
        let name: Arc<str> = name.into();
        let document =
            Document { id, branch: None, title: Arc::clone(&name), file_name: name, labels: BTreeMap::new() };
        (document, chunks, points)
    };
    let (left, right) = batch.split_at(batch.len() / 2);
    let prepared = std::thread::scope(|threads| {
        let other = threads.spawn(|| right.iter().map(prepare).collect::<Vec<_>>());
        let mut prepared: Vec<_> = left.iter().map(prepare).collect();
        prepared.extend(other.join().expect("a thread"));
        prepared
    });
    let mut all = Vec::new();
    for (document, chunks, points) in prepared {
        documents.put(scope, &document, &chunks).await.expect("kept");
        all.extend(points);
    }
    all
}

/// The store beside the engine, and the hybrid search.
async fn measure(
    path: &Path,
    documents: Arc<MemoryDocuments>,
    raw: Arc<EdgeShard>,
    tenants: &[Tenant],
) -> serde_json::Value {
    let store = Arc::new(open(path).await);
    let hybrid = FusedSource::new(Arc::clone(&store), Arc::clone(&documents), documents);

    let (mut raws, mut ours, mut hybrids) = (Times::default(), Times::default(), Times::default());
    let (mut big_raws, mut big_ours, mut big_hybrids) =
        (Times::default(), Times::default(), Times::default());
    let (mut found, mut wanted) = (0, 0);
    for round in 0..=ROUNDS {
        // round 0 warms up
        eprintln!("round {round} of {ROUNDS}");
        let every = in_turn(tenants, round);
        let of_big = in_turn(&tenants[..1], round);
        for (asks, raws, ours, hybrids) in [
            (&every, &mut raws, &mut ours, &mut hybrids),
            (&of_big, &mut big_raws, &mut big_ours, &mut big_hybrids),
        ] {
            let mut exact = Vec::new();
            for ask in asks {
                exact.push(raws.time(round, || bare(&raw, ask, None)));
            }
            for (n, ask) in asks.iter().enumerate() {
                let query = VectorQuery {
                    vector: QueryVector::Dense(ask.vector.clone()),
                    filter: Filter::default(),
                    limit: LIMIT,
                };
                let began = Instant::now();
                let hits = store.search(ask.scope, &query).await.expect("found");
                ours.add(round, began.elapsed());
                if n < COMPARED {
                    let hits: HashSet<_> = hits.iter().map(|hit| hit.chunk.to_string()).collect();
                    found += exact[n].iter().filter(|chunk| hits.contains(*chunk)).count();
                    wanted += exact[n].len();
                }
            }
            for ask in asks {
                let query = Query {
                    scope: ask.scope.clone(),
                    trace: TraceHandle::new(),
                    text: Arc::clone(&ask.text),
                    vector: ask.vector.clone(),
                    filter: Filter::default(),
                    limit: LIMIT,
                };
                let began = Instant::now();
                let passages = fetch(hybrid.clone(), query).await.expect("found");
                hybrids.add(round, began.elapsed());
                assert_eq!(passages.len(), LIMIT, "{}", ask.text);
            }
        }
    }
    for (name, times) in [
        ("engine", &raws),
        ("store", &ours),
        ("hybrid", &hybrids),
        ("engine, large tenant", &big_raws),
        ("store, large tenant", &big_ours),
        ("hybrid, large tenant", &big_hybrids),
    ] {
        eprintln!("{name:>22}: p50 {:.3} ms  p99 {:.3} ms", times.at(0.5), times.at(0.99));
    }
    json!({
        "hybrid_p50_ms": hybrids.at(0.5),
        "hybrid_p99_ms": hybrids.at(0.99),
        "search_p50_ms": ours.at(0.5),
        "search_p99_ms": ours.at(0.99),
        "raw_p50_ms": raws.at(0.5),
        "raw_p99_ms": raws.at(0.99),
        "ratio_to_raw": rounded(ours.at(0.5) / raws.at(0.5)),
        "big_hybrid_p50_ms": big_hybrids.at(0.5),
        "big_hybrid_p99_ms": big_hybrids.at(0.99),
        "big_search_p50_ms": big_ours.at(0.5),
        "big_raw_p50_ms": big_raws.at(0.5),
        "big_ratio_to_raw": rounded(big_ours.at(0.5) / big_raws.at(0.5)),
        "recall_at_10_vs_exact": rounded(found as f64 / wanted as f64),
        "chunks": CHUNKS,
        "tenants": TENANTS,
        "big_tenant_chunks": BIG,
    })
}

/// What each width of the graph search finds of the exact hits in one tenant, and what it costs.
fn widths(raw: &EdgeShard, tenant: &Tenant, big: usize) -> serde_json::Value {
    let asks = in_turn(std::slice::from_ref(tenant), 1);
    let mut exacts = Times::default();
    let exact: Vec<_> = asks.iter().map(|ask| exacts.time(1, || bare(raw, ask, None))).collect();
    eprintln!("exact: p50 {:.3} ms  p99 {:.3} ms", exacts.at(0.5), exacts.at(0.99));
    let mut rows = Vec::new();
    for width in WIDTHS {
        let mut times = Times::default();
        let mut found = 0;
        for (ask, exact) in asks.iter().zip(&exact) {
            let hits = times.time(1, || bare(raw, ask, Some(width)));
            found += exact.iter().filter(|chunk| hits.contains(chunk)).count();
        }
        let recall = rounded(found as f64 / exact.iter().map(Vec::len).sum::<usize>() as f64);
        eprintln!(
            "ef {width}: recall@10 {recall}  p50 {:.3} ms  p99 {:.3} ms",
            times.at(0.5),
            times.at(0.99)
        );
        rows.push(
            json!({ "ef": width, "recall_at_10": recall, "p50_ms": times.at(0.5), "p99_ms": times.at(0.99) }),
        );
    }
    json!({ "chunks": CHUNKS, "big_tenant_chunks": big, "exact_p50_ms": exacts.at(0.5),
            "exact_p99_ms": exacts.at(0.99), "widths": rows })
}

/// The round's questions, of one tenant after the other.
fn in_turn(tenants: &[Tenant], round: usize) -> Vec<Ask<'_>> {
    let mut random = Random::new(round as u64);
    let mut asks = Vec::new();
    while asks.len() < QUESTIONS {
        for tenant in tenants {
            let text = Arc::clone(&tenant.questions[random.below(tenant.questions.len())]);
            asks.push(Ask { scope: &tenant.scope, vector: LocalEmbedder::new().embed(&text), text });
        }
    }
    asks.truncate(QUESTIONS);
    asks
}

/// What a user of the bare engine would send, and the chunks that come back: exact without a width.
fn bare(shard: &EdgeShard, ask: &Ask<'_>, width: Option<usize>) -> Vec<String> {
    let tenant = Match::from(ask.scope.tenant().to_string());
    let condition = FieldCondition::new_match("tenant_id".parse().expect("a path"), tenant);
    let vector = VectorInternal::Dense(ask.vector.as_slice().to_vec());
    let request = QueryRequest {
        prefetches: Vec::new(),
        query: Some(ScoringQuery::Vector(QueryEnum::Nearest(NamedQuery::new(vector, "dense")))),
        filter: Some(EngineFilter { must: Some(vec![Condition::Field(condition)]), ..EngineFilter::new() }),
        score_threshold: None,
        limit: LIMIT,
        offset: 0,
        params: Some(SearchParams { exact: width.is_none(), hnsw_ef: width, ..SearchParams::default() }),
        with_vector: WithVector::Bool(false),
        with_payload: WithPayloadInterface::Bool(true),
    };
    let found = shard.query(request).expect("found");
    found.iter().map(chunk).collect()
}

fn chunk(point: &ScoredPoint) -> String {
    let Payload(payload) = point.payload.as_ref().expect("a payload");
    payload["chunk_id"].as_str().expect("a chunk").to_owned()
}

async fn open(path: &Path) -> EdgeStore {
    EdgeStore::open(EdgeOptions::new(path, LocalEmbedder::new().dimensions())).await.expect("the index")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Milliseconds, in the order they were taken.
#[derive(Default)]
struct Times(Vec<f64>);

// === impl Times ===

impl Times {
    fn time<T>(&mut self, round: usize, run: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = run();
        self.add(round, began.elapsed());
        done
    }

    fn add(&mut self, round: usize, took: Duration) {
        if round > 0 {
            self.0.push(took.as_secs_f64() * 1_000.0);
        }
    }

    fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        rounded(sorted[((sorted.len() as f64 - 1.0) * share) as usize])
    }
}

fn rounded(x: f64) -> f64 {
    (x * 10_000.0).round() / 10_000.0
}
