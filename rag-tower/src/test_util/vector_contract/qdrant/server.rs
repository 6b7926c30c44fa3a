//! A Qdrant server for tests: its protocol on a real socket, the embedded engine behind it.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use qdrant_client::qdrant::collections_server::{Collections, CollectionsServer};
use qdrant_client::qdrant::points_server::{Points, PointsServer};
use qdrant_client::qdrant::{self as wire, condition::ConditionOneOf, r#match::MatchValue};
use qdrant_edge as engine;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

use crate::points::{DENSE, SPARSE};

/// A running server. Dropping it stops it.
pub(super) struct Server {
    state: Arc<State>,
    address: SocketAddr,
    _stop: tokio::sync::oneshot::Sender<()>,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: &'static str,
    /// Its filter, in the form of the REST API.
    pub(super) filter: Option<Value>,
}

struct State {
    path: std::path::PathBuf,
    shard: Mutex<Option<(engine::EdgeShard, u64)>>,
    indexes: Mutex<BTreeSet<String>>,
    seen: Mutex<Vec<Seen>>,
    fail: Mutex<Option<Status>>,
    /// Goes after the shard, which writes once more when it is dropped.
    _dir: tempfile::TempDir,
}

#[derive(Clone)]
struct Api(Arc<State>);

// === impl Server ===

impl Server {
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = Arc::new(State {
            path: dir.path().into(),
            shard: Mutex::new(None),
            indexes: Mutex::default(),
            seen: Mutex::default(),
            fail: Mutex::default(),
            _dir: dir,
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let api = Api(Arc::clone(&state));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            tonic::transport::Server::builder()
                .add_service(PointsServer::new(api.clone()).max_decoding_message_size(64 << 20))
                .add_service(CollectionsServer::new(api))
                .serve_with_incoming_shutdown(incoming, async {
                    stopped.await.ok();
                })
                .await
        });
        tasks.detach_all();
        Self { state, address, _stop: stop }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub(super) fn drop_index(&self, key: &str) {
        self.state.indexes.lock().unwrap().remove(key);
    }

    /// Fails every search from now on.
    pub(super) fn fail(&self, status: Option<Status>) {
        *self.state.fail.lock().unwrap() = status;
    }
}

// === impl State ===

impl State {
    fn saw(
        &self,
        method: &'static str,
        filter: Option<&wire::Filter>,
    ) -> Result<Option<engine::Filter>, Status> {
        let filter = filter.map(filter_json).transpose()?;
        self.seen.lock().unwrap().push(Seen { method, filter: filter.clone() });
        filter.map(|filter| serde_json::from_value(filter).map_err(invalid)).transpose()
    }

    fn with<T>(
        &self,
        run: impl FnOnce(&engine::EdgeShard) -> engine::OperationResult<T>,
    ) -> Result<T, Status> {
        let shard = self.shard.lock().unwrap();
        let (shard, _) = shard.as_ref().ok_or_else(|| Status::not_found("no such collection"))?;
        run(shard).map_err(invalid)
    }
}

impl State {
    fn query(&self, request: wire::QueryPoints) -> Result<Vec<wire::ScoredPoint>, Status> {
        let filter = self.saw("query", request.filter.as_ref())?;
        if let Some(status) = self.fail.lock().unwrap().clone() {
            return Err(status);
        }
        let prefetches = request
            .prefetch
            .into_iter()
            .map(|leg| {
                Ok(engine::Prefetch {
                    prefetches: Vec::new(),
                    query: Some(scoring(leg.query, leg.using)?),
                    limit: leg.limit.unwrap_or(10) as usize,
                    params: None,
                    filter: self.saw("prefetch", leg.filter.as_ref())?,
                    score_threshold: None,
                })
            })
            .collect::<Result<_, Status>>()?;
        let request = engine::QueryRequest {
            prefetches,
            query: Some(scoring(request.query, request.using)?),
            filter,
            score_threshold: None,
            limit: request.limit.unwrap_or(10) as usize,
            offset: 0,
            params: None,
            with_vector: engine::WithVector::Bool(false),
            with_payload: engine::WithPayloadInterface::Bool(true),
        };
        let found = self.with(|shard| shard.query(request))?;
        Ok(found.into_iter().map(scored).collect())
    }
}

fn scoring(query: Option<wire::Query>, using: Option<String>) -> Result<engine::ScoringQuery, Status> {
    use wire::query::Variant;
    let input = match query.and_then(|query| query.variant) {
        Some(Variant::Nearest(input)) => input,
        Some(Variant::Rrf(rrf)) if rrf.weights.is_empty() => {
            let k = rrf.k.unwrap_or(2) as usize;
            return Ok(engine::ScoringQuery::Fusion(engine::Fusion::Rrf { k, weights: None }));
        }
        _ => return Err(Status::unimplemented("this kind of query")),
    };
    let vector = match input.variant {
        Some(wire::vector_input::Variant::Dense(dense)) => engine::Vector::new_dense(dense.data),
        Some(wire::vector_input::Variant::Sparse(sparse)) => {
            engine::Vector::new_sparse(sparse.indices, sparse.values).map_err(invalid)?
        }
        _ => return Err(Status::unimplemented("this kind of vector")),
    };
    let using = using.ok_or_else(|| Status::invalid_argument("a vector without a name"))?;
    let named = engine::NamedQuery::new(engine::VectorInternal::from(vector), using);
    Ok(engine::ScoringQuery::Vector(engine::QueryEnum::Nearest(named)))
}

fn scored(point: engine::ScoredPoint) -> wire::ScoredPoint {
    let payload = Value::Object(point.payload.map(|payload| payload.0).unwrap_or_default());
    let payload = qdrant_client::Payload::try_from(payload).unwrap().into();
    wire::ScoredPoint {
        id: Some(point.id.to_string().into()),
        payload,
        score: point.score,
        ..Default::default()
    }
}

fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

fn filter_json(filter: &wire::Filter) -> Result<Value, Status> {
    let mut json = serde_json::Map::new();
    for (name, conditions) in
        [("must", &filter.must), ("should", &filter.should), ("must_not", &filter.must_not)]
    {
        if !conditions.is_empty() {
            json.insert(name.into(), conditions.iter().map(condition_json).collect::<Result<_, _>>()?);
        }
    }
    match filter.min_should {
        Some(_) => Err(Status::unimplemented("min_should")),
        None => Ok(Value::Object(json)),
    }
}

fn condition_json(condition: &wire::Condition) -> Result<Value, Status> {
    match condition.condition_one_of.as_ref() {
        Some(ConditionOneOf::Filter(filter)) => filter_json(filter),
        Some(ConditionOneOf::Field(field)) => {
            let matched = match field.r#match.as_ref().and_then(|matched| matched.match_value.as_ref()) {
                Some(MatchValue::Keyword(value)) => json!({ "value": value }),
                Some(MatchValue::Keywords(values)) => json!({ "any": values.strings }),
                other => return Err(Status::unimplemented(format!("{other:?}"))),
            };
            Ok(json!({ "key": field.key, "match": matched }))
        }
        other => Err(Status::unimplemented(format!("{other:?}"))),
    }
}

fn vector(vector: wire::Vector) -> Result<engine::Vector, Status> {
    match vector.vector {
        Some(wire::vector::Vector::Dense(dense)) => Ok(engine::Vector::new_dense(dense.data)),
        Some(wire::vector::Vector::Sparse(sparse)) => {
            engine::Vector::new_sparse(sparse.indices, sparse.values).map_err(invalid)
        }
        _ => Err(Status::unimplemented("this kind of vector")),
    }
}

fn id(id: Option<wire::PointId>) -> Result<engine::PointId, Status> {
    match id.and_then(|id| id.point_id_options) {
        Some(wire::point_id::PointIdOptions::Uuid(id)) => {
            Ok(engine::PointId::Uuid(id.parse().map_err(invalid)?))
        }
        _ => Err(Status::invalid_argument("a point without a UUID")),
    }
}

fn done() -> Response<wire::PointsOperationResponse> {
    let status = wire::UpdateStatus::Completed as i32;
    let result = Some(wire::UpdateResult { operation_id: Some(0), status });
    Response::new(wire::PointsOperationResponse { result, ..Default::default() })
}

/// Methods that the store under test has no business calling.
macro_rules! unused {
    ($($name:ident($request:ident) -> $response:ident;)*) => {$(
        fn $name<'life, 'fut>(
            &'life self,
            _: Request<wire::$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<wire::$response>, Status>> + Send + 'fut>>
        where
            'life: 'fut,
            Self: 'fut,
        {
            Box::pin(async { Err(Status::unimplemented(stringify!($name))) })
        }
    )*};
}

#[tonic::async_trait]
impl Points for Api {
    async fn upsert(
        &self,
        request: Request<wire::UpsertPoints>,
    ) -> Result<Response<wire::PointsOperationResponse>, Status> {
        self.0.saw("upsert", None)?;
        let points = request
            .into_inner()
            .points
            .into_iter()
            .map(|point| {
                let Some(wire::vectors::VectorsOptions::Vectors(named)) =
                    point.vectors.and_then(|vectors| vectors.vectors_options)
                else {
                    return Err(Status::invalid_argument("vectors without names"));
                };
                let vectors = named
                    .vectors
                    .into_iter()
                    .map(|(name, given)| Ok((name, vector(given)?)))
                    .collect::<Result<HashMap<_, _>, Status>>()?;
                let payload: serde_json::Map<_, _> =
                    point.payload.into_iter().map(|(key, value)| (key, value.into_json())).collect();
                Ok(engine::PointStruct::new(id(point.id)?, vectors, Value::Object(payload)).into())
            })
            .collect::<Result<Vec<_>, Status>>()?;
        let points = engine::PointInsertOperations::PointsList(points);
        let operation = engine::PointOperations::UpsertPoints(points);
        self.0.with(|shard| shard.update(engine::UpdateOperation::PointOperation(operation)))?;
        Ok(done())
    }

    async fn delete(
        &self,
        request: Request<wire::DeletePoints>,
    ) -> Result<Response<wire::PointsOperationResponse>, Status> {
        let selector = request.into_inner().points.and_then(|points| points.points_selector_one_of);
        let Some(wire::points_selector::PointsSelectorOneOf::Filter(filter)) = selector else {
            return Err(Status::unimplemented("deletion without a filter"));
        };
        let filter = self.0.saw("delete", Some(&filter))?.unwrap();
        let operation = engine::PointOperations::DeletePointsByFilter(filter);
        self.0.with(|shard| shard.update(engine::UpdateOperation::PointOperation(operation)))?;
        Ok(done())
    }

    async fn count(
        &self,
        request: Request<wire::CountPoints>,
    ) -> Result<Response<wire::CountResponse>, Status> {
        let request = request.into_inner();
        let filter = self.0.saw("count", request.filter.as_ref())?;
        let count = self.0.with(|shard| {
            shard.count(engine::CountRequest { filter, exact: request.exact.unwrap_or(true) })
        })?;
        let result = Some(wire::CountResult { count: count as u64 });
        Ok(Response::new(wire::CountResponse { result, ..Default::default() }))
    }

    async fn query(
        &self,
        request: Request<wire::QueryPoints>,
    ) -> Result<Response<wire::QueryResponse>, Status> {
        let result = self.0.query(request.into_inner())?;
        Ok(Response::new(wire::QueryResponse { result, ..Default::default() }))
    }

    async fn query_batch(
        &self,
        request: Request<wire::QueryBatchPoints>,
    ) -> Result<Response<wire::QueryBatchResponse>, Status> {
        let requests = request.into_inner().query_points;
        let result = requests
            .into_iter()
            .map(|request| Ok(wire::BatchResult { result: self.0.query(request)? }))
            .collect::<Result<_, Status>>()?;
        Ok(Response::new(wire::QueryBatchResponse { result, ..Default::default() }))
    }

    async fn create_field_index(
        &self,
        request: Request<wire::CreateFieldIndexCollection>,
    ) -> Result<Response<wire::PointsOperationResponse>, Status> {
        self.0.saw("create_field_index", None)?;
        let key = request.into_inner().field_name;
        let index = engine::CreateIndex {
            field_name: key.parse().map_err(|()| Status::invalid_argument("a key"))?,
            field_schema: Some(serde_json::from_value(json!("keyword")).unwrap()),
        };
        let operation = engine::FieldIndexOperations::CreateIndex(index);
        self.0.with(|shard| shard.update(engine::UpdateOperation::FieldIndexOperation(operation)))?;
        self.0.indexes.lock().unwrap().insert(key);
        Ok(done())
    }

    unused! {
        get(GetPoints) -> GetResponse;
        update_vectors(UpdatePointVectors) -> PointsOperationResponse;
        delete_vectors(DeletePointVectors) -> PointsOperationResponse;
        set_payload(SetPayloadPoints) -> PointsOperationResponse;
        overwrite_payload(SetPayloadPoints) -> PointsOperationResponse;
        delete_payload(DeletePayloadPoints) -> PointsOperationResponse;
        clear_payload(ClearPayloadPoints) -> PointsOperationResponse;
        delete_field_index(DeleteFieldIndexCollection) -> PointsOperationResponse;
        create_vector_name(CreateVectorNameRequest) -> PointsOperationResponse;
        delete_vector_name(DeleteVectorNameRequest) -> PointsOperationResponse;
        search(SearchPoints) -> SearchResponse;
        search_batch(SearchBatchPoints) -> SearchBatchResponse;
        search_groups(SearchPointGroups) -> SearchGroupsResponse;
        scroll(ScrollPoints) -> ScrollResponse;
        recommend(RecommendPoints) -> RecommendResponse;
        recommend_batch(RecommendBatchPoints) -> RecommendBatchResponse;
        recommend_groups(RecommendPointGroups) -> RecommendGroupsResponse;
        discover(DiscoverPoints) -> DiscoverResponse;
        discover_batch(DiscoverBatchPoints) -> DiscoverBatchResponse;
        update_batch(UpdateBatchPoints) -> UpdateBatchResponse;
        query_groups(QueryPointGroups) -> QueryGroupsResponse;
        facet(FacetCounts) -> FacetResponse;
        search_matrix_pairs(SearchMatrixPoints) -> SearchMatrixPairsResponse;
        search_matrix_offsets(SearchMatrixPoints) -> SearchMatrixOffsetsResponse;
    }
}

#[tonic::async_trait]
impl Collections for Api {
    async fn get(
        &self,
        _: Request<wire::GetCollectionInfoRequest>,
    ) -> Result<Response<wire::GetCollectionInfoResponse>, Status> {
        self.0.saw("get", None)?;
        let size = self.0.shard.lock().unwrap().as_ref().map(|(_, size)| *size);
        let size = size.ok_or_else(|| Status::not_found("no such collection"))?;
        let mut vectors = wire::VectorsConfigBuilder::default();
        vectors.add_named_vector_params(DENSE, wire::VectorParamsBuilder::new(size, wire::Distance::Cosine));
        let params = wire::CollectionParams { vectors_config: Some(vectors.into()), ..Default::default() };
        let indexes = self.0.indexes.lock().unwrap();
        let schema = |key: &String| {
            let data_type = wire::PayloadSchemaType::Keyword as i32;
            (key.clone(), wire::PayloadSchemaInfo { data_type, ..Default::default() })
        };
        let result = wire::CollectionInfo {
            config: Some(wire::CollectionConfig { params: Some(params), ..Default::default() }),
            payload_schema: indexes.iter().map(schema).collect(),
            ..Default::default()
        };
        Ok(Response::new(wire::GetCollectionInfoResponse { result: Some(result), time: 0.0 }))
    }

    async fn create(
        &self,
        request: Request<wire::CreateCollection>,
    ) -> Result<Response<wire::CollectionOperationResponse>, Status> {
        self.0.saw("create", None)?;
        let request = request.into_inner();
        let modifiers = request.sparse_vectors_config.unwrap_or_default().map;
        if modifiers.values().any(|params| params.modifier.is_some()) {
            return Err(Status::invalid_argument("statistics of all tenants together"));
        }
        let config = request.vectors_config.and_then(|config| config.config);
        let Some(wire::vectors_config::Config::ParamsMap(map)) = config else {
            return Err(Status::invalid_argument("a vector without a name"));
        };
        let size = map.map[DENSE].size;
        let config = engine::EdgeConfigBuilder::new()
            .vector(
                DENSE,
                engine::EdgeVectorParamsBuilder::new(size as usize, engine::Distance::Cosine).build(),
            )
            .sparse_vector(SPARSE, engine::EdgeSparseVectorParamsBuilder::new().build())
            .build();
        let shard = engine::EdgeShard::new(&self.0.path, config).map_err(invalid)?;
        *self.0.shard.lock().unwrap() = Some((shard, size));
        Ok(Response::new(wire::CollectionOperationResponse { result: true, time: 0.0 }))
    }

    async fn delete(
        &self,
        _: Request<wire::DeleteCollection>,
    ) -> Result<Response<wire::CollectionOperationResponse>, Status> {
        self.0.saw("delete_collection", None)?;
        let had = self.0.shard.lock().unwrap().take().is_some();
        self.0.indexes.lock().unwrap().clear();
        if had {
            std::fs::remove_dir_all(&self.0.path).unwrap();
            std::fs::create_dir(&self.0.path).unwrap();
        }
        Ok(Response::new(wire::CollectionOperationResponse { result: had, time: 0.0 }))
    }

    async fn collection_exists(
        &self,
        _: Request<wire::CollectionExistsRequest>,
    ) -> Result<Response<wire::CollectionExistsResponse>, Status> {
        self.0.saw("collection_exists", None)?;
        let exists = self.0.shard.lock().unwrap().is_some();
        let result = Some(wire::CollectionExists { exists });
        Ok(Response::new(wire::CollectionExistsResponse { result, time: 0.0 }))
    }

    unused! {
        list(ListCollectionsRequest) -> ListCollectionsResponse;
        update(UpdateCollection) -> CollectionOperationResponse;
        update_aliases(ChangeAliases) -> CollectionOperationResponse;
        list_collection_aliases(ListCollectionAliasesRequest) -> ListAliasesResponse;
        list_aliases(ListAliasesRequest) -> ListAliasesResponse;
        collection_cluster_info(CollectionClusterInfoRequest) -> CollectionClusterInfoResponse;
        update_collection_cluster_setup(UpdateCollectionClusterSetupRequest) -> UpdateCollectionClusterSetupResponse;
        create_shard_key(CreateShardKeyRequest) -> CreateShardKeyResponse;
        delete_shard_key(DeleteShardKeyRequest) -> DeleteShardKeyResponse;
        list_shard_keys(ListShardKeysRequest) -> ListShardKeysResponse;
    }
}
