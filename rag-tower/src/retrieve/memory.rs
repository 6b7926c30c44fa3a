//! Vectors kept in memory: exact, small, gone with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Stage};
use crate::filter::{Condition, Filter};
use crate::passage::{ChunkId, DocumentId, Origin};
use crate::port::{Hit, Point, QueryVector, SparseVector, VectorQuery, VectorStore};
use crate::tenant::{TenantId, TenantScope};

/// A [`VectorStore`] in memory that compares the query with every point: for tests, examples and throw-away indexes of
/// some thousand points. Clones share what they keep.
#[derive(Clone, Debug)]
pub struct MemoryVectors {
    dimensions: usize,
    most: usize,
    tenants: Arc<Mutex<HashMap<TenantId, HashMap<ChunkId, Point>>>>,
}

// === impl MemoryVectors ===

impl MemoryVectors {
    /// Room for `most` points of all tenants together, with dense vectors of `dimensions` numbers.
    #[must_use]
    pub fn new(dimensions: usize, most: usize) -> Self {
        Self { dimensions, most, tenants: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, HashMap<ChunkId, Point>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VectorStore for MemoryVectors {
    async fn upsert(&self, scope: &TenantScope, points: Vec<Point>) -> Result<(), Error> {
        let tenant = scope.tenant();
        for point in &points {
            point.dense.check(Stage::Ingest, self.dimensions)?;
            if !scope.admits(Origin::Tenant { tenant, branch: point.branch }) {
                return Err(Error::new(ErrorKind::NotFound, Stage::Ingest).with_message("no such branch"));
            }
        }
        let mut tenants = self.lock();
        if tenants.values().map(HashMap::len).sum::<usize>() + points.len() > self.most {
            return Err(Error::store(Stage::Ingest, format!("more than {} points in memory", self.most)));
        }
        let kept = tenants.entry(tenant).or_default();
        kept.extend(points.into_iter().map(|point| (point.chunk, point)));
        Ok(())
    }

    async fn delete_document(&self, scope: &TenantScope, document: DocumentId) -> Result<(), Error> {
        if let Some(points) = self.lock().get_mut(&scope.tenant()) {
            points.retain(|_, point| point.document != document || !visible(scope, point));
        }
        Ok(())
    }

    async fn search(&self, scope: &TenantScope, query: &VectorQuery) -> Result<Vec<Hit>, Error> {
        if let QueryVector::Dense(vector) = &query.vector {
            vector.check(Stage::Retrieve, self.dimensions)?;
        }
        let tenants = self.lock();
        let points = tenants.get(&scope.tenant()).into_iter().flat_map(HashMap::values);
        let mut hits: Vec<Hit> = points
            .filter(|point| visible(scope, point) && satisfies(&query.filter, point))
            .filter_map(|point| {
                let score = match &query.vector {
                    QueryVector::Dense(vector) => cosine(vector.as_slice(), point.dense.as_slice()),
                    QueryVector::Sparse(vector) => {
                        Some(dot(vector, &point.sparse)).filter(|score| *score > 0.0)?
                    }
                };
                Some(Hit {
                    chunk: point.chunk,
                    document: point.document,
                    origin: Origin::Tenant { tenant: scope.tenant(), branch: point.branch },
                    score,
                })
            })
            .collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
        hits.truncate(query.limit);
        Ok(hits)
    }

    async fn count(&self, scope: &TenantScope) -> Result<u64, Error> {
        let tenants = self.lock();
        let points = tenants.get(&scope.tenant()).into_iter().flat_map(HashMap::values);
        Ok(points.filter(|point| visible(scope, point)).count() as u64)
    }
}

fn visible(scope: &TenantScope, point: &Point) -> bool {
    scope.admits(Origin::Tenant { tenant: scope.tenant(), branch: point.branch })
}

fn satisfies(filter: &Filter, point: &Point) -> bool {
    filter.conditions().iter().all(|condition| match condition {
        Condition::Document(ids) => ids.contains(&point.document),
        Condition::Label { name, any_of } => {
            point.labels.get(name).is_some_and(|value| any_of.contains(value))
        }
    })
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    let lengths = length(a) * length(b);
    if lengths > 0.0 { a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>() / lengths } else { 0.0 }
}

/// The dot product of two vectors with ascending indices.
fn dot(a: &SparseVector, b: &SparseVector) -> f32 {
    let weight = |id: &u32| b.indices.binary_search(id).ok().and_then(|at| b.values.get(at));
    a.indices.iter().zip(&a.values).filter_map(|(id, x)| Some(x * weight(id)?)).sum()
}
