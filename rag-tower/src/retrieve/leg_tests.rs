//! Every way to search a store, over stores that lie and stores that cannot apply the filter: neither gives a result.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{DenseSource, FusedSource, Hybrid, KeywordOnly, Query, SparseSource, fetch};
use crate::error::{Error, ErrorKind, Stage};
use crate::passage::{ChunkId, DocumentId, Origin, Passage, Passages};
use crate::port::{ChunkStore, Embedding, Hit, Point, ReadPassages, TermStats, VectorQuery, VectorStore};
use crate::stage::testing;
use crate::tenant::{BranchId, Branches, Grant, TenantId, TenantScope};

/// A store that answers everybody with the same hit, or fails.
struct Liar {
    hit: Result<Hit, ErrorKind>,
}

/// A place of texts that has every chunk, and says of each whose it is by its own word.
struct Texts {
    truth: Origin,
    read: AtomicUsize,
}

impl VectorStore for Liar {
    async fn upsert(&self, _: &TenantScope, _: Vec<Point>) -> Result<(), Error> {
        Ok(())
    }

    async fn delete_document(&self, _: &TenantScope, _: DocumentId) -> Result<(), Error> {
        Ok(())
    }

    async fn search(&self, _: &TenantScope, _: &VectorQuery) -> Result<Vec<Hit>, Error> {
        self.hit.clone().map(|hit| vec![hit]).map_err(|kind| Error::new(kind, Stage::Retrieve))
    }

    async fn count(&self, _: &TenantScope) -> Result<u64, Error> {
        Ok(1)
    }
}

impl TermStats for Texts {
    async fn frequencies(&self, _: &TenantScope, terms: &[u32]) -> Result<(u64, HashMap<u32, u64>), Error> {
        Ok((1, terms.iter().map(|term| (*term, 1)).collect()))
    }
}

impl ChunkStore for Texts {
    async fn passages(&self, _: &TenantScope, _: &Arc<str>, hits: Vec<Hit>) -> Result<ReadPassages, Error> {
        self.read.fetch_add(1, Ordering::Relaxed);
        let passage = |hit: Hit| Passage {
            chunk: hit.chunk,
            document: hit.document,
            seq: 0,
            origin: self.truth,
            title: "canary".into(),
            file_name: "canary".into(),
            text: "canary".into(),
            score: hit.score,
            found: BTreeMap::new(),
        };
        Ok(hits.into_iter().map(passage).collect::<Vec<_>>().into())
    }
}

fn tenant(name: &str, branch: Option<&str>) -> Origin {
    let tenant = TenantId::named(name);
    Origin::Tenant { tenant, branch: branch.map(|branch| BranchId::named(tenant, branch)) }
}

fn hit(origin: Origin) -> Hit {
    let id = uuid::Uuid::from_u128(1);
    Hit { chunk: ChunkId::new(id), document: DocumentId::new(id), origin, score: 1.0 }
}

/// What each way of searching gives to tenant `a`, who sees the branch `north`; and how often texts were read.
async fn every_leg(
    hit: Result<Hit, ErrorKind>,
    truth: Origin,
) -> Vec<(&'static str, Result<Passages, ErrorKind>, usize)> {
    let north = BranchId::named(TenantId::named("a"), "north");
    let grant = Grant::new(TenantId::named("a")).with_branches(Branches::Only([north].into()));
    let ask = crate::Ask::new(testing::granted(grant), testing::question("the evening course"));
    let query = Query::of(&ask, 3).with_vector(Embedding::new([1.0]));
    let store = Arc::new(Liar { hit });
    let mut legs = Vec::new();
    macro_rules! leg {
        ($name:literal, |$store:ident, $texts:ident| $source:expr) => {
            let $texts = Arc::new(Texts { truth, read: AtomicUsize::new(0) });
            let $store = Arc::clone(&store);
            let found = fetch($source, query.clone()).await.map_err(|error| error.kind());
            legs.push(($name, found, $texts.read.load(Ordering::Relaxed)));
        };
    }
    leg!("dense", |store, texts| DenseSource::new(store, Arc::clone(&texts)));
    leg!("sparse", |store, texts| SparseSource::new(store, Arc::clone(&texts), Arc::clone(&texts)));
    leg!("fused", |store, texts| FusedSource::new(store, Arc::clone(&texts), Arc::clone(&texts)));
    leg!("hybrid", |store, texts| Hybrid::new(
        DenseSource::new(Arc::clone(&store), Arc::clone(&texts)),
        KeywordOnly::new(SparseSource::new(store, Arc::clone(&texts), Arc::clone(&texts))),
    ));
    legs
}

#[tokio::test]
async fn t10_every_leg_fails_closed_before_the_text_of_a_foreign_hit_is_read() {
    let shared = Origin::Shared(crate::tenant::CorpusId::new(uuid::Uuid::from_u128(9)));
    for foreign in [tenant("b", None), tenant("a", Some("south")), shared] {
        for (leg, found, read) in every_leg(Ok(hit(foreign)), tenant("a", None)).await {
            assert_eq!((found, read), (Err(ErrorKind::Isolation), 0), "{leg}: {foreign:?}");
        }
    }
}

/// The index says that the hit is ours; whose text it is, the place of texts knows.
#[tokio::test]
async fn t10_every_leg_believes_the_text_s_own_row_and_not_the_index() {
    for foreign in [tenant("b", None), tenant("a", Some("south"))] {
        for (leg, found, _) in every_leg(Ok(hit(tenant("a", None))), foreign).await {
            assert_eq!(found, Err(ErrorKind::Isolation), "{leg}: {foreign:?}");
        }
    }
    for own in [tenant("a", None), tenant("a", Some("north"))] {
        for (leg, found, _) in every_leg(Ok(hit(own)), own).await {
            assert_eq!(found.map(|found| found.len()), Ok(1), "{leg}");
        }
    }
}

#[tokio::test]
async fn t11_no_leg_has_a_result_when_the_filter_cannot_be_applied() {
    for kind in [ErrorKind::FilterUnavailable, ErrorKind::StoreUnavailable] {
        for (leg, found, read) in every_leg(Err(kind), tenant("a", None)).await {
            assert_eq!((found, read), (Err(kind), 0), "{leg}");
        }
    }
}
