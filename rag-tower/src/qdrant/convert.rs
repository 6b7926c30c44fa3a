//! Neutral points, filters and queries in, the client's own out, and its hits back.

use qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use qdrant_client::qdrant::{
    Condition, CountPoints, CountPointsBuilder, CreateCollection, CreateCollectionBuilder,
    CreateFieldIndexCollection, CreateFieldIndexCollectionBuilder, DeletePoints, DeletePointsBuilder,
    Distance, FieldType, Filter, HnswConfigDiffBuilder, KeywordIndexParamsBuilder, NamedVectors, PointStruct,
    PrefetchQueryBuilder, Query, QueryBatchPoints, QueryBatchPointsBuilder, QueryPoints, QueryPointsBuilder,
    Rrf, ScoredPoint, SearchParams, SearchParamsBuilder, SparseVectorParamsBuilder,
    SparseVectorsConfigBuilder, UpsertPoints, UpsertPointsBuilder, Vector, VectorInput, VectorParamsBuilder,
    VectorsConfigBuilder,
};
use qdrant_client::{Payload, QdrantError};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Stage};
use crate::points::{self, AnyOf, DENSE, SPARSE, TENANT, Visible};
use crate::port::{Hit, Point, QueryVector, VectorQuery};
use crate::rank::RRF_K;
use crate::tenant::TenantScope;

/// Hits that the server is asked for beyond those that are wanted: it orders equal scores as it likes, and they are
/// ordered by chunk here. More are never equal: `1 / (60 + a) + 1 / (60 + b)` takes few values twice.
const TIES: usize = 16;

/// gRPC's `INVALID_ARGUMENT`, `FAILED_PRECONDITION` and `UNIMPLEMENTED`.
const REFUSED: [i32; 3] = [3, 9, 12];

/// A collection with both vectors. The sparse one has no modifier: its frequencies would be those of all tenants.
pub(super) fn collection(name: &str, dimensions: u64) -> CreateCollection {
    let mut dense = VectorsConfigBuilder::default();
    dense.add_named_vector_params(DENSE, VectorParamsBuilder::new(dimensions, Distance::Cosine));
    let mut sparse = SparseVectorsConfigBuilder::default();
    sparse.add_named_vector_params(SPARSE, SparseVectorParamsBuilder::default());
    // The server counts a vector's kilobytes, not vectors.
    let threshold = (points::EXACT_UP_TO as u64 * dimensions * 4).div_ceil(1024).max(10);
    CreateCollectionBuilder::new(name)
        .vectors_config(dense)
        .sparse_vectors_config(sparse)
        .hnsw_config(HnswConfigDiffBuilder::default().full_scan_threshold(threshold))
        .build()
}

pub(super) fn index(collection: &str, key: &str) -> CreateFieldIndexCollection {
    CreateFieldIndexCollectionBuilder::new(collection, key, FieldType::Keyword)
        .field_index_params(KeywordIndexParamsBuilder::default().is_tenant(key == TENANT))
        .wait(true)
        .build()
}

pub(super) fn filter(visible: &Visible) -> Filter {
    let mut must: Vec<_> = visible.scope.iter().map(condition).collect();
    if !visible.caller.is_empty() {
        must.push(Filter::must(visible.caller.iter().map(condition)).into());
    }
    Filter::must(must)
}

pub(super) fn upsert(
    collection: &str,
    scope: &TenantScope,
    points: Vec<Point>,
) -> Result<UpsertPoints, Error> {
    let points = points
        .into_iter()
        .map(|point| {
            let payload = Payload::try_from(Value::Object(points::payload(scope, &point)?))
                .map_err(|error| Error::internal(Stage::Ingest, error))?;
            let vectors = NamedVectors::default()
                .add_vector(DENSE, Vector::new_dense(point.dense.as_slice().to_vec()))
                .add_vector(SPARSE, Vector::new_sparse(point.sparse.indices, point.sparse.values));
            Ok(PointStruct::new(points::point_id(scope, point.chunk).to_string(), vectors, payload))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(UpsertPointsBuilder::new(collection, points).wait(true).build())
}

pub(super) fn delete(collection: &str, visible: &Visible) -> DeletePoints {
    DeletePointsBuilder::new(collection)
        .points(PointsSelectorOneOf::Filter(filter(visible)))
        .wait(true)
        .build()
}

pub(super) fn count(collection: &str, visible: &Visible) -> CountPoints {
    CountPointsBuilder::new(collection).filter(filter(visible)).exact(true).build()
}

pub(super) fn query(collection: &str, query: VectorQuery, visible: &Visible) -> QueryPoints {
    let (vector, name) = input(query.vector);
    QueryPointsBuilder::new(collection)
        .query(Query::new_nearest(vector))
        .using(name)
        .filter(filter(visible))
        .params(params())
        .limit(query.limit as u64)
        .with_payload(true)
        .build()
}

/// Several searches in one request.
pub(super) fn queries(collection: &str, queries: [VectorQuery; 2], visible: &Visible) -> QueryBatchPoints {
    let queries = queries.map(|leg| query(collection, leg, visible));
    QueryBatchPointsBuilder::new(collection, queries.to_vec()).build()
}

/// Both searches, fused by the server with equal weights. The filter is at the top and in both.
pub(super) fn fused(
    collection: &str,
    legs: [VectorQuery; 2],
    visible: &Visible,
    limit: usize,
) -> QueryPoints {
    let prefetch = |leg: VectorQuery| {
        let (vector, name) = input(leg.vector);
        PrefetchQueryBuilder::default()
            .query(Query::new_nearest(vector))
            .using(name)
            .filter(filter(visible))
            .params(params())
            .limit(leg.limit as u64)
            .build()
    };
    // the server counts ranks from 0
    let rrf = Rrf { k: Some(u32::from(RRF_K) + 1), weights: Vec::new() };
    QueryPointsBuilder::new(collection)
        .prefetch(legs.map(prefetch).to_vec())
        .query(Query::new_rrf(rrf))
        .filter(filter(visible))
        .limit((limit + TIES) as u64)
        .with_payload(true)
        .build()
}

fn input(vector: QueryVector) -> (VectorInput, &'static str) {
    match vector {
        QueryVector::Dense(vector) => (VectorInput::new_dense(vector.as_slice().to_vec()), DENSE),
        QueryVector::Sparse(vector) => (VectorInput::new_sparse(vector.indices, vector.values), SPARSE),
    }
}

fn params() -> SearchParams {
    SearchParamsBuilder::default().hnsw_ef(points::SEARCH_WIDTH as u64).build()
}

pub(super) fn hit(point: &ScoredPoint) -> Result<Hit, Error> {
    points::hit(
        |key| point.payload.get(key).and_then(|value| value.as_str()).map(String::as_str),
        point.score,
    )
}

/// The client's failure as ours. A request that the server refuses is a filter that was not applied.
pub(super) fn failed(stage: Stage) -> impl Fn(QdrantError) -> Error {
    move |error| {
        let (kind, retry_after) = match &error {
            QdrantError::ResponseError { status } if REFUSED.contains(&(status.code() as i32)) => {
                (ErrorKind::FilterUnavailable, None)
            }
            QdrantError::ResourceExhaustedError { retry_after_seconds, .. } => {
                (ErrorKind::StoreUnavailable, Some(std::time::Duration::from_secs(*retry_after_seconds)))
            }
            _ => (ErrorKind::StoreUnavailable, None),
        };
        let failed = Error::new(kind, stage).with_source(error);
        match retry_after {
            Some(after) => failed.with_retry_after(after),
            None => failed,
        }
    }
}

fn condition(AnyOf { key, values }: &AnyOf) -> Condition {
    match values.as_slice() {
        [one] => Condition::matches(key.as_str(), one.clone()),
        some => Condition::matches(key.as_str(), some.to_vec()),
    }
}
