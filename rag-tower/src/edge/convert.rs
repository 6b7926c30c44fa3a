//! Neutral points, filters and queries in, the engine's own out, and its hits back.

use qdrant_edge::{
    Condition, EdgeConfig, EdgeConfigBuilder, EdgeSparseVectorParamsBuilder, EdgeVectorParamsBuilder,
    FieldCondition, Filter, Match, NamedQuery, OperationError, Payload, PointId, PointInsertOperations,
    PointOperations, PointStruct, QueryEnum, QueryRequest, ScoredPoint, ScoringQuery, SearchParams,
    UpdateOperation, Vector, VectorInternal, Vectors, WithPayloadInterface, WithVector,
};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Stage};
use crate::points::{self, AnyOf, DENSE, SPARSE, TENANT, Visible};
use crate::port::{Hit, Point, QueryVector, SparseVector};
use crate::tenant::TenantScope;

/// Vectors are not held in memory by the engine, which takes 32 MB for the first of them: the system does, as it can.
pub(super) fn config(dimensions: usize) -> EdgeConfig {
    let dense = EdgeVectorParamsBuilder::new(dimensions, qdrant_edge::Distance::Cosine).on_disk(true);
    EdgeConfigBuilder::new()
        .vector(DENSE, dense.build())
        .sparse_vector(SPARSE, EdgeSparseVectorParamsBuilder::new().build())
        .build()
}

/// The index of a payload key; the tenant's is told that it is one, so that a tenant's points lie together.
pub(super) fn create_index(key: &str) -> Result<UpdateOperation, Error> {
    let schema = serde_json::json!({ "type": "keyword", "is_tenant": key == TENANT });
    let field_schema =
        serde_json::from_value(schema).map_err(|error| Error::internal(Stage::Ingest, error))?;
    let index = qdrant_edge::CreateIndex { field_name: path(key)?, field_schema: Some(field_schema) };
    Ok(UpdateOperation::FieldIndexOperation(qdrant_edge::FieldIndexOperations::CreateIndex(index)))
}

pub(super) fn filter(visible: &Visible) -> Result<Filter, Error> {
    let mut must = visible.scope.iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    if !visible.caller.is_empty() {
        let caller = visible.caller.iter().map(condition).collect::<Result<_, _>>()?;
        must.push(Condition::Filter(Filter { must: Some(caller), ..Filter::new() }));
    }
    Ok(Filter { must: Some(must), ..Filter::new() })
}

pub(super) fn upsert(scope: &TenantScope, points: Vec<Point>) -> Result<UpdateOperation, Error> {
    let points = points
        .into_iter()
        .map(|point| {
            let id = PointId::Uuid(points::point_id(scope, point.chunk));
            let payload = points::payload(scope, &point)?;
            let dense = Vector::new_dense(point.dense.as_slice().to_vec());
            let sparse = sparse(&point.sparse, Stage::Ingest)?;
            let vectors = Vectors::new_named([(DENSE, dense), (SPARSE, sparse)]);
            Ok(PointStruct::new(id, vectors, Value::Object(payload)).into())
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let points = PointInsertOperations::PointsList(points);
    Ok(UpdateOperation::PointOperation(PointOperations::UpsertPoints(points)))
}

pub(super) fn delete(visible: &Visible) -> Result<UpdateOperation, Error> {
    Ok(UpdateOperation::PointOperation(PointOperations::DeletePointsByFilter(filter(visible)?)))
}

pub(super) fn query(
    vector: &QueryVector,
    filter: Filter,
    limit: usize,
    exact: bool,
    payload: bool,
) -> Result<QueryRequest, Error> {
    let (vector, name) = match vector {
        QueryVector::Dense(vector) => (VectorInternal::Dense(vector.as_slice().to_vec()), DENSE),
        QueryVector::Sparse(vector) => (VectorInternal::from(sparse(vector, Stage::Retrieve)?), SPARSE),
    };
    Ok(QueryRequest {
        prefetches: Vec::new(),
        query: Some(ScoringQuery::Vector(QueryEnum::Nearest(NamedQuery::new(vector, name)))),
        filter: Some(filter),
        score_threshold: None,
        limit,
        offset: 0,
        params: Some(SearchParams { exact, hnsw_ef: Some(points::SEARCH_WIDTH), ..SearchParams::default() }),
        with_vector: WithVector::Bool(false),
        with_payload: WithPayloadInterface::Bool(payload),
    })
}

pub(super) fn hit(point: &ScoredPoint) -> Result<Hit, Error> {
    hit_of(point.payload.as_ref(), point.score)
}

pub(super) fn hit_of(payload: Option<&Payload>, score: f32) -> Result<Hit, Error> {
    points::hit(|key| payload.and_then(|Payload(payload)| payload.get(key)?.as_str()), score)
}

/// The engine's failure as ours. Its text may name paths and is kept as the source only.
pub(super) fn failed(stage: Stage) -> impl FnOnce(OperationError) -> Error {
    move |error| Error::store(stage, error.to_string())
}

fn sparse(vector: &SparseVector, stage: Stage) -> Result<Vector, Error> {
    Vector::new_sparse(vector.indices.clone(), vector.values.clone()).map_err(|error| {
        Error::invalid(stage, "a sparse vector needs as many indices as values, and no index twice")
            .with_source(error.to_string())
    })
}

fn condition(AnyOf { key, values }: &AnyOf) -> Result<Condition, Error> {
    let matched = match values.as_slice() {
        [one] => Match::from(one.clone()),
        some => Match::from(some.to_vec()),
    };
    Ok(Condition::Field(FieldCondition::new_match(path(key)?, matched)))
}

fn path(key: &str) -> Result<qdrant_edge::JsonPath, Error> {
    key.parse().map_err(|()| Error::new(ErrorKind::FilterUnavailable, Stage::Retrieve))
}
