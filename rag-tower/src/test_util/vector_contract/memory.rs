//! The contract over vectors in memory.

use super::{DIMENSIONS, a_crowd_hides_nobody, holds, tenant};
use crate::error::Error;
use crate::passage::DocumentId;
use crate::port::{Hit, Point, VectorQuery, VectorStore};
use crate::retrieve::MemoryVectors;
use crate::tenant::TenantScope;

#[tokio::test]
async fn the_contract_holds() {
    let store = MemoryVectors::new(DIMENSIONS, 100_000);
    holds(&store).await.unwrap();
}

#[tokio::test]
async fn t15_a_crowd_around_the_question_hides_nobody() {
    a_crowd_hides_nobody(&MemoryVectors::new(DIMENSIONS, 100_000), 20_000).await.unwrap();
}

/// A store that has forgotten whose its points are.
struct Careless(MemoryVectors, TenantScope);

impl VectorStore for Careless {
    async fn upsert(&self, _: &TenantScope, points: Vec<Point>) -> Result<(), Error> {
        self.0.upsert(&self.1, points).await
    }

    async fn delete_document(&self, _: &TenantScope, document: DocumentId) -> Result<(), Error> {
        self.0.delete_document(&self.1, document).await
    }

    async fn search(&self, _: &TenantScope, query: &VectorQuery) -> Result<Vec<Hit>, Error> {
        self.0.search(&self.1, query).await
    }

    async fn count(&self, _: &TenantScope) -> Result<u64, Error> {
        self.0.count(&self.1).await
    }
}

/// A store that searches first and looks whose it is afterwards.
struct Late(MemoryVectors, TenantScope);

impl VectorStore for Late {
    async fn upsert(&self, scope: &TenantScope, points: Vec<Point>) -> Result<(), Error> {
        self.0.upsert(&self.1, points.clone()).await?;
        self.0.upsert(scope, points).await
    }

    async fn delete_document(&self, scope: &TenantScope, document: DocumentId) -> Result<(), Error> {
        self.0.delete_document(scope, document).await
    }

    async fn search(&self, scope: &TenantScope, query: &VectorQuery) -> Result<Vec<Hit>, Error> {
        let of_all = self.0.search(&self.1, query).await?;
        let own = self.0.search(scope, &VectorQuery { limit: usize::MAX, ..query.clone() }).await?;
        Ok(own.into_iter().filter(|hit| of_all.iter().any(|other| other.chunk == hit.chunk)).collect())
    }

    async fn count(&self, scope: &TenantScope) -> Result<u64, Error> {
        self.0.count(scope).await
    }
}

#[tokio::test]
async fn a_store_that_breaks_the_contract_is_told_where() {
    let vectors = || MemoryVectors::new(DIMENSIONS, 10_000);
    let careless = holds(&Careless(vectors(), tenant())).await.unwrap_err();
    assert!(
        careless.to_string().starts_with("a search finds all of its tenant's and nothing else: "),
        "{careless}"
    );
    let late = a_crowd_hides_nobody(&Late(vectors(), tenant()), 1_000).await.unwrap_err();
    assert!(late.to_string().starts_with("the ten best of a small tenant are exact"), "{late}");
    let small = holds(&MemoryVectors::new(DIMENSIONS + 1, 10)).await.unwrap_err();
    assert!(small.to_string().starts_with("a call that nothing speaks against succeeds: "), "{small}");
}
