use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::MemoryDocuments;
use super::*;
use crate::embed::LocalEmbedder;
use crate::port::{Hit, VectorQuery};
use crate::retrieve::{
    DenseSource, EmbedQuery, EmbedQueryLayer, MemoryVectors, Query, Retrieve, SparseSource, fetch,
};
use crate::{Filter, Grant};

/// Vectors that fail from the n-th write on, until told otherwise.
struct Flaky {
    inner: MemoryVectors,
    writes_left: AtomicU32,
}

impl VectorStore for Flaky {
    async fn upsert(&self, scope: &TenantScope, points: Vec<Point>) -> Result<(), Error> {
        let left = self.writes_left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(Error::new(ErrorKind::StoreUnavailable, Stage::Ingest));
        }
        self.writes_left.store(left - 1, Ordering::SeqCst);
        self.inner.upsert(scope, points).await
    }

    async fn delete_document(&self, scope: &TenantScope, document: DocumentId) -> Result<(), Error> {
        self.inner.delete_document(scope, document).await
    }

    async fn search(&self, scope: &TenantScope, query: &VectorQuery) -> Result<Vec<Hit>, Error> {
        self.inner.search(scope, query).await
    }

    async fn count(&self, scope: &TenantScope) -> Result<u64, Error> {
        self.inner.count(scope).await
    }
}

struct World {
    documents: Arc<MemoryDocuments>,
    vectors: Arc<Flaky>,
    ingestor: Ingestor<LocalEmbedder, MemoryDocuments, Flaky>,
}

impl World {
    fn new() -> Self {
        let documents = Arc::new(MemoryDocuments::new(10_000));
        let vectors =
            Arc::new(Flaky { inner: MemoryVectors::new(768, 10_000), writes_left: AtomicU32::new(u32::MAX) });
        let ingestor = Ingestor::new(LocalEmbedder::new(), Arc::clone(&documents), Arc::clone(&vectors));
        Self { documents, vectors, ingestor }
    }

    async fn take(&self, scope: &TenantScope, name: &str, text: &str) -> Result<Ingested, Error> {
        self.ingestor.clone().oneshot(Ingest::new(scope.clone(), name, text.to_owned())).await
    }

    fn sparse(&self) -> SparseSource<Flaky, MemoryDocuments, MemoryDocuments> {
        let documents = Arc::clone(&self.documents);
        SparseSource::new(Arc::clone(&self.vectors), Arc::clone(&documents), documents)
    }

    fn dense(&self) -> EmbedQuery<DenseSource<Flaky, MemoryDocuments>, LocalEmbedder> {
        let source = DenseSource::new(Arc::clone(&self.vectors), Arc::clone(&self.documents));
        tower_layer::Layer::layer(&EmbedQueryLayer::new(LocalEmbedder::new()), source)
    }
}

fn scope(name: &str) -> TenantScope {
    crate::test_util::scope(name)
}

async fn titles<R: Retrieve<()>>(source: R, scope: &TenantScope, text: &str) -> Vec<String> {
    let query = Query {
        scope: scope.clone(),
        trace: TraceHandle::new(),
        text: text.into(),
        vector: (),
        filter: Filter::default(),
        limit: 10,
    };
    let found = fetch(source, query).await.unwrap();
    found.iter().map(|passage| passage.title.to_string()).collect()
}

#[tokio::test]
async fn t14_what_goes_in_is_found_by_its_own_tenant_only() {
    let (world, a, b) = (World::new(), scope("a"), scope("b"));
    world.take(&a, "phi.md", "# Học phí\n\nKhoá IELTS: 2.500.000đ mỗi tháng.").await.unwrap();
    world.take(&a, "gio.md", "# Giờ mở cửa\n\nTừ 8 giờ sáng.").await.unwrap();
    world.take(&b, "other.md", "# Khác\n\nHọc phí của người khác.").await.unwrap();
    for query in ["học phí", "hoc phi"] {
        assert_eq!(titles(world.sparse(), &a, query).await, ["Học phí"]);
        assert_eq!(titles(world.dense(), &a, query).await[0], "Học phí");
        assert_eq!(titles(world.sparse(), &b, query).await, ["Khác"]);
    }
    assert!(titles(world.sparse(), &scope("nobody"), "học phí").await.is_empty());
    assert!(titles(world.sparse(), &a, "?!").await.is_empty());
}

#[tokio::test]
async fn t16_the_same_file_again_replaces_and_a_removed_one_is_gone() {
    let (world, a) = (World::new(), scope("a"));
    let long: String = (0..400).map(|n| format!("Alpha sentence number {n}. ")).collect();
    let first = world.take(&a, "x.txt", &long).await.unwrap();
    assert!(first.chunks > 2);
    let second = world.take(&a, "x.txt", "Beta.").await.unwrap();
    assert_eq!((first.documents.clone(), second.chunks), (second.documents, 1));
    assert_eq!(world.vectors.count(&a).await.unwrap(), 1);
    assert!(titles(world.sparse(), &a, "alpha").await.is_empty());
    assert_eq!(titles(world.sparse(), &a, "beta").await, ["x"]);

    assert!(!world.ingestor.remove(&scope("b"), first.documents[0]).await.unwrap());
    assert_eq!(titles(world.sparse(), &a, "beta").await, ["x"]);
    assert!(world.ingestor.remove(&a, first.documents[0]).await.unwrap());
    assert_eq!(world.vectors.count(&a).await.unwrap(), 0);
    assert!(titles(world.sparse(), &a, "beta").await.is_empty());
}

#[tokio::test]
async fn a_document_that_missed_the_index_is_mended() {
    let (world, a) = (World::new(), scope("a"));
    world.vectors.writes_left.store(0, Ordering::SeqCst);
    let failed = world.take(&a, "x.md", "# X\n\nGamma.").await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::StoreUnavailable);
    world.vectors.writes_left.store(u32::MAX, Ordering::SeqCst);
    let behind = world.documents.behind(&a);
    assert_eq!(behind.len(), 1);
    world.ingestor.reindex(&a, behind).await.unwrap();
    assert!(world.documents.behind(&a).is_empty());
    assert_eq!(titles(world.sparse(), &a, "gamma").await, ["X"]);
}

#[tokio::test]
async fn an_embedder_that_fails_leaves_the_old_version_whole() {
    let (world, a) = (World::new(), scope("a"));
    world.take(&a, "x.md", "Delta.").await.unwrap();
    let broken = tower::service_fn(|_: EmbedRequest| async { Ok::<_, Error>(Vec::<Embedding>::new()) });
    let ingestor = Ingestor::new(broken, Arc::clone(&world.documents), Arc::clone(&world.vectors));
    let failed = ingestor.oneshot(Ingest::new(a.clone(), "x.md", "Epsilon.")).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::ProviderInvalid);
    assert_eq!(titles(world.sparse(), &a, "delta").await, ["x"]);
}

#[tokio::test]
async fn progress_is_told_and_bad_requests_are_refused() {
    let (world, a) = (World::new(), scope("a"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let lines = "{\"text\":\"one\"}\n{\"text\":\"two\",\"id\":\"b\"}";
    let request = Ingest::new(a.clone(), "d.jsonl", lines)
        .with_progress(move |progress| told.lock().unwrap().push(progress));
    let done = world.ingestor.clone().oneshot(request).await.unwrap();
    assert_eq!((done.documents.len(), done.chunks), (2, 2));
    assert_eq!(
        *seen.lock().unwrap(),
        [
            Progress::Prepared { documents: 2, chunks: 2 },
            Progress::Embedded { chunks: 2 },
            Progress::Indexed { chunks: 1 },
            Progress::Indexed { chunks: 2 },
        ]
    );

    let unknown = world.take(&a, "x.exe", "MZ").await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::InvalidInput);
    let branch = BranchId::named(a.tenant(), "north");
    let narrow = crate::test_util::granted(
        Grant::new(a.tenant()).with_branches(crate::tenant::Branches::Only(Arc::from([]))),
    );
    let foreign = Ingest::new(narrow, "x.md", "text").with_branch(branch);
    let refused = world.ingestor.clone().oneshot(foreign).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}

/// Lines of so many documents of one chunk each, named from 1.
fn lines(count: usize) -> String {
    (1..=count).map(|n| format!("{{\"id\":\"{n}\",\"text\":\"Number{n} of many.\"}}\n")).collect()
}

/// An embedder that counts its calls and refuses texts that hold `poison`.
fn picky() -> (impl crate::port::Embedder, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&calls);
    let embedder = tower::service_fn(move |request: EmbedRequest| {
        seen.fetch_add(1, Ordering::SeqCst);
        let refused = request.texts.iter().any(|text| text.contains("poison"));
        async move {
            if refused {
                return Err(Error::new(ErrorKind::ProviderRejected, Stage::Embed));
            }
            LocalEmbedder::new().oneshot(request).await
        }
    });
    (embedder, calls)
}

#[tokio::test]
async fn small_documents_share_calls() {
    let (world, a) = (World::new(), scope("a"));
    let (embedder, calls) = picky();
    let ingestor = Ingestor::new(embedder, Arc::clone(&world.documents), Arc::clone(&world.vectors));
    let request = Ingest::new(a.clone(), "d.jsonl", lines(150));
    let done = ingestor.clone().oneshot(request).await.unwrap();
    assert_eq!((done.documents.len(), done.chunks), (150, 150));
    let writes = || u32::MAX - world.vectors.writes_left.load(Ordering::SeqCst);
    assert_eq!((calls.load(Ordering::SeqCst), writes()), (3, 3));
    assert!(world.documents.behind(&a).is_empty());
    assert_eq!(world.vectors.count(&a).await.unwrap(), 150);

    let files = (0..10).map(|n| Ingest::new(a.clone(), format!("{n}.md"), format!("File{n}."))).collect();
    assert!(ingestor.take_all(files).await.iter().all(|taken| taken.as_ref().unwrap().chunks == 1));
    assert_eq!((calls.load(Ordering::SeqCst), writes()), (4, 4));
}

#[tokio::test]
async fn a_document_is_marked_only_when_its_points_are_in() {
    let (world, a) = (World::new(), scope("a"));
    world.vectors.writes_left.store(1, Ordering::SeqCst);
    let failed = world.take(&a, "d.jsonl", &lines(150)).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::StoreUnavailable);
    let said = failed.to_string();
    assert!(said.contains("d.jsonl#65 and 63 more documents"), "{said}");
    assert!(said.contains("86 of 150 documents of the file are not taken in"), "{said}");
    // the second batch was put and waits for the index; the third was never begun
    assert_eq!(world.vectors.count(&a).await.unwrap(), 64);
    let behind = world.documents.behind(&a);
    assert_eq!(behind.len(), 64);
    world.vectors.writes_left.store(u32::MAX, Ordering::SeqCst);
    world.ingestor.reindex(&a, behind).await.unwrap();
    assert_eq!(world.vectors.count(&a).await.unwrap(), 128);
    assert!(world.documents.behind(&a).is_empty());
}

#[tokio::test]
async fn one_bad_document_is_named_and_does_not_keep_the_others_out() {
    let (world, a) = (World::new(), scope("a"));
    let (embedder, calls) = picky();
    let ingestor = Ingestor::new(embedder, Arc::clone(&world.documents), Arc::clone(&world.vectors));
    let bad = "{\"id\":\"bad\",\"text\":\"poison\"}\n";
    let request = Ingest::new(a.clone(), "d.jsonl", format!("{}{bad}{}", lines(3), lines(6)));
    let failed = ingestor.clone().oneshot(request).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::ProviderRejected);
    assert!(failed.to_string().starts_with("d.jsonl#bad: the model provider refused"), "{failed}");
    assert_eq!(world.vectors.count(&a).await.unwrap(), 6);
    assert!(world.documents.behind(&a).is_empty());

    let files = ["x.md", "poison.md", "y.exe", "z.md"];
    let requests = files.map(|name| Ingest::new(a.clone(), name, format!("In {name}.")));
    let taken = ingestor.clone().take_all(requests.into()).await;
    let kinds: Vec<_> = taken.iter().map(|taken| taken.as_ref().err().map(Error::kind)).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::ProviderRejected), Some(ErrorKind::InvalidInput), None]);
    assert_eq!(titles(world.sparse(), &a, "z").await, ["z"]);

    // when none gets through, the documents are not to blame
    let before = calls.load(Ordering::SeqCst);
    let request = Ingest::new(a.clone(), "all.jsonl", bad.replace("\"bad\"", "null").repeat(500));
    let failed = ingestor.oneshot(request).await.unwrap_err();
    assert_eq!(calls.load(Ordering::SeqCst) - before, 1 + IN_A_ROW as u32);
    assert!(failed.to_string().contains("500 of 500 documents"), "{failed}");
}

#[tokio::test]
async fn a_document_that_comes_twice_leaves_only_its_last_version() {
    let (world, a) = (World::new(), scope("a"));
    let long: String = (0..400).map(|n| format!("Alpha sentence number {n}. ")).collect();
    let twice = format!("{{\"id\":\"x\",\"text\":\"{long}\"}}\n{{\"id\":\"x\",\"text\":\"Beta.\"}}");
    world.take(&a, "d.jsonl", &twice).await.unwrap();
    assert_eq!(world.vectors.count(&a).await.unwrap(), 1);
    assert_eq!(titles(world.sparse(), &a, "beta").await, ["d"]);
}

#[tokio::test]
async fn t14_files_of_two_tenants_taken_in_together_stay_apart() {
    let (world, a, b) = (World::new(), scope("a"), scope("b"));
    let of = |scope: &TenantScope, name: &str| Ingest::new(scope.clone(), name, "# Fees\n\nGamma.");
    let requests = vec![of(&a, "one.md"), of(&b, "two.md"), of(&a, "three.md"), of(&b, "one.md")];
    let taken = world.ingestor.take_all(requests).await;
    assert!(taken.iter().all(Result::is_ok), "{taken:?}");
    for scope in [&a, &b] {
        assert_eq!(world.vectors.count(scope).await.unwrap(), 2);
        assert_eq!(titles(world.sparse(), scope, "gamma").await.len(), 2);
    }
    let writes = u32::MAX - world.vectors.writes_left.load(Ordering::SeqCst);
    assert_eq!(writes, 4, "a batch is one tenant's");
}
