//! What every vector store must do, as a check to run over it: yours too.
//!
//! ```
//! # async fn my_store() -> rag_tower::retrieve::MemoryVectors {
//! #     rag_tower::retrieve::MemoryVectors::new(vector_contract::DIMENSIONS, 100_000)
//! # }
//! use rag_tower::test_util::vector_contract;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let store = my_store().await; // for vectors of `DIMENSIONS` numbers
//! vector_contract::holds(&store).await.unwrap();
//! vector_contract::a_crowd_hides_nobody(&store, 2_000).await.unwrap();
//! # });
//! ```
//!
//! The adapters of this crate pass it as well: what holds for one store holds for all.

#[cfg(test)]
#[cfg(feature = "edge")]
mod edge;
#[cfg(test)]
mod memory;
#[cfg(test)]
#[cfg(all(feature = "edge", feature = "qdrant"))]
mod qdrant;

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

pub use super::BrokenPromise;
use super::promise::{Kept, fails, same};
use crate::error::{Error, ErrorKind};
use crate::filter::{Condition, Filter};
use crate::passage::{ChunkId, DocumentId, Origin};
use crate::port::{Embedding, Hit, HybridQuery, Point, QueryVector, SparseVector, VectorQuery, VectorStore};
use crate::tenant::{BranchId, Branches, Grant, TenantId, TenantScope};

/// Numbers in a dense vector of the suite: what the store under test must take.
pub const DIMENSIONS: usize = 8;

/// Runs the whole contract but for [`a_crowd_hides_nobody`], over a store of vectors of [`DIMENSIONS`] numbers.
///
/// Every check uses tenants of its own, so that one store serves all of them, as in life; what they write stays there.
///
/// # Errors
/// The first promise that the store breaks.
pub async fn holds<V: VectorStore>(store: &V) -> Result<(), BrokenPromise> {
    no_tenant_sees_another(store).await?;
    no_tenant_overwrites_another(store).await?;
    branches_are_kept_apart(store).await?;
    a_filter_only_narrows(store).await?;
    a_deleted_document_is_gone_at_once(store).await?;
    the_same_chunk_again_replaces(store).await?;
    a_vector_of_another_size_is_refused(store).await?;
    words_score_by_dot_product(store).await?;
    both_at_once_are_both_fused(store).await
}

/// One tenant has `crowd` points (whole thousands) around the question and another has fifty elsewhere, whose ten best
/// are exact all the same. An index that searches first and filters afterwards fails this.
///
/// # Errors
/// The first promise that the store breaks.
pub async fn a_crowd_hides_nobody<V: VectorStore>(store: &V, crowd: u32) -> Result<(), BrokenPromise> {
    let (a, b) = (tenant(), tenant());
    let query = [1.0; DIMENSIONS];
    let mut random = Random(7);
    let document = document();
    for batch in 0..crowd / 1_000 {
        let near = |n| {
            let vector = query.map(|x| x + 0.01 * random.next());
            Point { dense: Embedding::new(vector), ..point(&a, document, batch * 1_000 + n) }
        };
        store.upsert(&a, (0..1_000).map(near).collect()).await?;
    }
    let few: Vec<Point> = (0..50)
        .map(|n| {
            let vector: [f32; DIMENSIONS] = std::array::from_fn(|_| random.next() - 0.5);
            Point { dense: Embedding::new(vector), ..point(&b, document, n) }
        })
        .collect();
    let mut best: Vec<(f32, ChunkId)> =
        few.iter().map(|point| (cosine(&query, point.dense.as_slice()), point.chunk)).collect();
    best.sort_by(|x, y| y.0.total_cmp(&x.0));
    store.upsert(&b, few).await?;
    let found = search(store, &b, dense(query), Filter::default(), 10).await?;
    let found: Vec<ChunkId> = found.iter().map(|hit| hit.chunk).collect();
    let exact: Vec<ChunkId> = best.iter().take(10).map(|(_, chunk)| *chunk).collect();
    same("the ten best of a small tenant are exact beside a large one", found, exact)?;
    let counts = (store.count(&a).await?, store.count(&b).await?);
    same("each tenant counts its own points", counts, (u64::from(crowd / 1_000 * 1_000), 50))
}

async fn no_tenant_sees_another<V: VectorStore>(store: &V) -> Kept {
    let (a, b, nobody) = (tenant(), tenant(), tenant());
    let document = document();
    store.upsert(&a, vec![point(&a, document, 0), point(&a, document, 1)]).await?;
    store.upsert(&b, vec![point(&b, document, 0)]).await?;
    for (scope, count) in [(&a, 2), (&b, 1), (&nobody, 0)] {
        let own = Origin::Tenant { tenant: scope.tenant(), branch: None };
        for vector in [dense([1.0; DIMENSIONS]), sparse(&[(7, 1.0)])] {
            let hits = search(store, scope, vector, Filter::default(), 100).await?;
            let found: Vec<_> = hits.iter().map(|hit| (hit.origin, hit.document)).collect();
            same("a search finds all of its tenant's and nothing else", found, vec![(own, document); count])?;
        }
        let counted = store.count(scope).await?;
        same("a tenant counts its own points", counted, count as u64)?;
    }
    let none = search(store, &a, dense([1.0; DIMENSIONS]), Filter::default(), 0).await?;
    same("a search for no hits finds none", none, Vec::new())
}

async fn no_tenant_overwrites_another<V: VectorStore>(store: &V) -> Kept {
    let (a, b) = (tenant(), tenant());
    let victim = point(&a, document(), 0);
    store.upsert(&a, vec![victim.clone()]).await?;
    let before = search(store, &a, dense([1.0; DIMENSIONS]), Filter::default(), 10).await?;
    // B claims A's very chunk, with another vector, and then removes A's document.
    let claim = Point { dense: Embedding::new([-1.0; DIMENSIONS]), ..victim.clone() };
    store.upsert(&b, vec![claim]).await?;
    store.delete_document(&b, victim.document).await?;
    let after = search(store, &a, dense([1.0; DIMENSIONS]), Filter::default(), 10).await?;
    same("a chunk of another tenant's is neither overwritten nor removed", after, before)?;
    let counts = (store.count(&a).await?, store.count(&b).await?);
    same("a chunk of two tenants is two points", counts, (1, 0))
}

async fn branches_are_kept_apart<V: VectorStore>(store: &V) -> Kept {
    let all = tenant();
    let [north, south] = ["north", "south"].map(|name| BranchId::named(all.tenant(), name));
    let of = |branches: &[BranchId]| {
        let grant = Grant::new(all.tenant()).with_branches(Branches::Only(Arc::from(branches)));
        crate::test_util::granted(grant)
    };
    let documents = [document(), document(), document()];
    let points: Vec<Point> = [Some(north), Some(south), None]
        .into_iter()
        .zip(documents)
        .map(|(branch, document)| Point { branch, ..point(&all, document, 0) })
        .collect();
    store.upsert(&all, points.clone()).await?;
    for (scope, sees) in [(&all, vec![0, 1, 2]), (&of(&[north]), vec![0, 2]), (&of(&[]), vec![2])] {
        let own = |n: &usize| {
            let origin = Origin::Tenant { tenant: all.tenant(), branch: points[*n].branch };
            (points[*n].document, origin)
        };
        let mut expected: Vec<_> = sees.iter().map(own).collect();
        let hits = search(store, scope, dense([1.0; DIMENSIONS]), Filter::default(), 10).await?;
        let mut found: Vec<_> = hits.iter().map(|hit| (hit.document, hit.origin)).collect();
        expected.sort_by_key(|(document, _)| *document);
        found.sort_by_key(|(document, _)| *document);
        let count = expected.len() as u64;
        same("a search finds what the scope's branches may see", found, expected)?;
        same("a count is of what the scope's branches may see", store.count(scope).await?, count)?;
    }
    let narrow = of(&[north]);
    let refused = store.upsert(&narrow, vec![points[1].clone()]).await;
    fails("a point of a branch that is not granted is refused", refused, ErrorKind::NotFound)?;
    store.delete_document(&narrow, documents[1]).await?;
    same("a document of a branch that is not granted stays", store.count(&all).await?, 3)
}

async fn a_filter_only_narrows<V: VectorStore>(store: &V) -> Kept {
    let (a, b) = (tenant(), tenant());
    let labelled = |scope, pairs: &[(&str, &str)]| Point {
        labels: pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        ..point(scope, document(), 0)
    };
    let (first, second) =
        (labelled(&a, &[("khoá học", "ielts")]), labelled(&a, &[("a.b[0]", "x"), ("khoá học", "toeic")]));
    let foreign = labelled(&b, &[("khoá học", "ielts")]);
    store.upsert(&a, vec![first.clone(), second.clone()]).await?;
    store.upsert(&b, vec![foreign.clone()]).await?;
    let label = |name: &str, values: &[&str]| Condition::Label {
        name: name.into(),
        any_of: values.iter().map(ToString::to_string).collect(),
    };
    for (condition, expected) in [
        (label("khoá học", &["ielts"]), vec![first.document]),
        (label("khoá học", &["ielts", "toeic"]), vec![first.document, second.document]),
        (label("a.b[0]", &["x"]), vec![second.document]),
        (label("absent", &["x"]), vec![]),
        (label("tenant_id", &[&b.tenant().to_string()]), vec![]),
        (Condition::Document(vec![second.document, foreign.document]), vec![second.document]),
        (Condition::Document(vec![foreign.document]), vec![]),
    ] {
        let filter = Filter::default().and(condition.clone())?;
        for vector in [dense([1.0; DIMENSIONS]), sparse(&[(7, 1.0)])] {
            let hits = search(store, &a, vector, filter.clone(), 10).await?;
            let mut found: Vec<_> = hits.iter().map(|hit| hit.document).collect();
            let mut expected = expected.clone();
            found.sort();
            expected.sort();
            let promise = "a filter narrows what the tenant sees and never widens it";
            same(promise, (&condition, found), (&condition, expected))?;
        }
    }
    Ok(())
}

async fn a_deleted_document_is_gone_at_once<V: VectorStore>(store: &V) -> Kept {
    let (a, b) = (tenant(), tenant());
    let (gone, kept) = (document(), document());
    store.upsert(&a, vec![point(&a, gone, 0), point(&a, gone, 1), point(&a, kept, 0)]).await?;
    store.upsert(&b, vec![point(&b, gone, 0)]).await?;
    store.delete_document(&a, gone).await?;
    let hits = search(store, &a, dense([1.0; DIMENSIONS]), Filter::default(), 10).await?;
    let found: Vec<_> = hits.iter().map(|hit| hit.document).collect();
    same("a removed document is found no more, and the others are", found, vec![kept])?;
    let promise = "a document is removed of its own tenant alone";
    same(promise, (store.count(&a).await?, store.count(&b).await?), (1, 1))?;
    store.delete_document(&a, gone).await?;
    // several at once are the scope's own, and none are none
    store.delete_documents(&a, &[]).await?;
    store.upsert(&a, vec![point(&a, gone, 0), point(&a, document(), 0)]).await?;
    store.delete_documents(&a, &[gone, kept, document()]).await?;
    same(promise, (store.count(&a).await?, store.count(&b).await?), (1, 1))
}

async fn the_same_chunk_again_replaces<V: VectorStore>(store: &V) -> Kept {
    let a = tenant();
    let first = point(&a, document(), 0);
    let second = Point { sparse: weights(&[(8, 2.0)]), ..first.clone() };
    store.upsert(&a, vec![first]).await?;
    store.upsert(&a, vec![second.clone()]).await?;
    let promise = "the same chunk again takes the place of the old";
    same(promise, store.count(&a).await?, 1)?;
    for (word, count) in [(7, 0), (8, 1)] {
        let found = search(store, &a, sparse(&[(word, 1.0)]), Filter::default(), 10).await?;
        same(promise, found.len(), count)?;
    }
    store.upsert(&a, Vec::new()).await?;

    let query = HybridQuery {
        dense: Embedding::new([1.0; DIMENSIONS]),
        sparse: weights(&[(8, 1.0)]),
        dense_weight: 0.5,
        filter: Filter::default(),
        candidates: 10,
        limit: 10,
    };
    let promise = "a search by both finds a chunk as it is, whatever it found before";
    for branch in [None, Some(BranchId::new(Uuid::now_v7())), None] {
        store.upsert(&a, vec![Point { branch, ..second.clone() }]).await?;
        let found = store.hybrid(&a, &query).await?;
        let origins: Vec<_> = found.iter().map(|found| found.hit.origin).collect();
        same(promise, origins, vec![Origin::Tenant { tenant: a.tenant(), branch }])?;
    }
    Ok(())
}

async fn a_vector_of_another_size_is_refused<V: VectorStore>(store: &V) -> Kept {
    let a = tenant();
    let wrong = Point { dense: Embedding::new([1.0; 3]), ..point(&a, document(), 0) };
    let refused = store.upsert(&a, vec![wrong]).await;
    fails("a vector of another size is not taken in", refused, ErrorKind::InvalidInput)?;
    let query = VectorQuery {
        vector: QueryVector::Dense(Embedding::new([1.0; 3])),
        filter: Filter::default(),
        limit: 1,
    };
    let refused = store.search(&a, &query).await;
    fails("a vector of another size is not searched for", refused, ErrorKind::InvalidInput)?;
    same("what is refused is not written", store.count(&a).await?, 0)
}

async fn words_score_by_dot_product<V: VectorStore>(store: &V) -> Kept {
    let (a, b) = (tenant(), tenant());
    let document = document();
    let with = |n, pairs: &[(u32, f32)]| Point { sparse: weights(pairs), ..point(&a, document, n) };
    let points =
        vec![with(0, &[(1, 1.0), (5, 2.0)]), with(1, &[(5, 0.5), (u32::MAX, 3.0)]), with(2, &[(2, 9.0)])];
    let mut chunks: Vec<ChunkId> = points[..2].iter().map(|point| point.chunk).collect();
    store.upsert(&a, points).await?;
    // Another tenant's use of the same words changes nothing.
    let crowd = (0..50).map(|n| Point { sparse: weights(&[(5, 9.0)]), ..point(&b, document, n) });
    store.upsert(&b, crowd.collect()).await?;
    let hits = search(store, &a, sparse(&[(5, 2.0), (u32::MAX, 1.0)]), Filter::default(), 10).await?;
    let scores: Vec<_> = hits.iter().map(|hit| hit.score).collect();
    same(
        "words score by dot product, and other tenants' use of them counts for nothing",
        scores,
        [4.0, 4.0],
    )?;
    // Equal scores may come in either order.
    let mut found: Vec<_> = hits.iter().map(|hit| hit.chunk).collect();
    found.sort();
    chunks.sort();
    same("words find the chunks that hold them", found, chunks)
}

/// What a store fuses is what the formula gives over its two searches, in one order, and nobody else's.
async fn both_at_once_are_both_fused<V: VectorStore>(store: &V) -> Kept {
    let (a, b) = (tenant(), tenant());
    let mut random = Random(11);
    let kept = document();
    for scope in [&a, &b] {
        for document in [kept, document()] {
            let points = (0..40).map(|n| Point {
                dense: Embedding::new(std::array::from_fn::<f32, DIMENSIONS, _>(|_| random.next() - 0.5)),
                sparse: weights(&[(n % 3, 1.0 + random.next()), (3 + n % 2, 1.0 + random.next())]),
                ..point(scope, document, n)
            });
            store.upsert(scope, points.collect()).await?;
        }
    }
    let only = Filter::default().and(Condition::Document(vec![kept]))?;
    for (words, filter, dense_weight, candidates, limit) in [
        (&[(0, 1.0), (3, 0.5)][..], Filter::default(), 0.5, 40, 10),
        (&[(0, 1.0), (3, 0.5)], Filter::default(), 0.5, 15, 30),
        (&[(1, 1.0)], only.clone(), 0.5, 10, 7),
        (&[(1, 1.0), (2, 0.2)], only, 0.3, 20, 12),
        (&[], Filter::default(), 0.5, 20, 5),
        (&[(99, 1.0)], Filter::default(), 0.5, 20, 5),
    ] {
        let query = HybridQuery {
            dense: Embedding::new(std::array::from_fn::<f32, DIMENSIONS, _>(|_| random.next() - 0.5)),
            sparse: weights(words),
            dense_weight,
            filter: filter.clone(),
            candidates,
            limit,
        };
        let most = candidates.max(limit);
        let by_meaning =
            search(store, &a, QueryVector::Dense(query.dense.clone()), filter.clone(), most).await?;
        let by_words = match words {
            [] => Vec::new(),
            words => search(store, &a, sparse(words), filter.clone(), most).await?,
        };
        let mut expected = BTreeMap::<ChunkId, f32>::new();
        for (weight, hits) in [(dense_weight, by_meaning), (1.0 - dense_weight, by_words)] {
            for (rank, hit) in (1_u16..).zip(hits) {
                *expected.entry(hit.chunk).or_default() += weight / (60.0 + f32::from(rank));
            }
        }
        let own = Origin::Tenant { tenant: a.tenant(), branch: None };
        let mut expected: Vec<_> =
            expected.into_iter().map(|(chunk, sum)| (chunk, own, crate::rank::scaled(sum))).collect();
        expected.sort_by(|(x, _, one), (y, _, two)| two.total_cmp(one).then(x.cmp(y)));
        expected.truncate(limit);
        let fused = store.hybrid(&a, &query).await?;
        let fused: Vec<_> =
            fused.iter().map(|found| (found.hit.chunk, found.hit.origin, found.hit.score)).collect();
        let how = (words, dense_weight, candidates, limit);
        same("a search by both is the fusion of the two", (how, fused), (how, expected))?;
        let nobody = store.hybrid(&tenant(), &query).await?;
        same("a search by both finds nothing of another tenant's", nobody, Vec::new())?;
        let none = store.hybrid(&a, &HybridQuery { limit: 0, ..query.clone() }).await?;
        same("a search by both for no hits finds none", none, Vec::new())?;
        let short = HybridQuery { dense: Embedding::new([1.0; 3]), ..query };
        let refused = store.hybrid(&a, &short).await;
        fails("a vector of another size is not searched for by both", refused, ErrorKind::InvalidInput)?;
    }
    Ok(())
}

async fn search<V: VectorStore>(
    store: &V,
    scope: &TenantScope,
    vector: QueryVector,
    filter: Filter,
    limit: usize,
) -> Result<Vec<Hit>, Error> {
    store.search(scope, &VectorQuery { vector, filter, limit }).await
}

fn tenant() -> TenantScope {
    crate::test_util::granted(TenantId::new(Uuid::now_v7()))
}

fn document() -> DocumentId {
    DocumentId::new(Uuid::now_v7())
}

/// A point with a dense vector of ones and the word 7.
fn point(scope: &TenantScope, document: DocumentId, seq: u32) -> Point {
    Point {
        chunk: ChunkId::of(scope.tenant(), document, seq),
        document,
        branch: None,
        dense: Embedding::new([1.0; DIMENSIONS]),
        sparse: weights(&[(7, 1.0)]),
        labels: BTreeMap::new(),
    }
}

fn dense(vector: [f32; DIMENSIONS]) -> QueryVector {
    QueryVector::Dense(Embedding::new(vector))
}

fn sparse(pairs: &[(u32, f32)]) -> QueryVector {
    QueryVector::Sparse(weights(pairs))
}

fn weights(pairs: &[(u32, f32)]) -> SparseVector {
    let (indices, values) = pairs.iter().copied().unzip();
    SparseVector { indices, values }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>() / (length(a) * length(b))
}

/// The same numbers in every run, 0 to 1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32
    }
}
