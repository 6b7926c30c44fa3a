//! The contract over a Qdrant server, through its real protocol: the client's own server stubs, answered by the embedded
//! engine, with every request kept to be looked at.

mod server;

use super::{DIMENSIONS, a_crowd_hides_nobody, dense, document, holds, point, tenant, weights};
use crate::filter::Condition;
use crate::points::TENANT;
use crate::port::{Embedding, HybridQuery, SparseVector, VectorQuery, VectorStore};
use crate::qdrant::{QdrantOptions, QdrantStore};
use crate::{ErrorKind, Filter};
use std::time::Duration;

use self::server::{Seen, Server};

fn options(server: &Server) -> QdrantOptions {
    QdrantOptions::new(server.url(), DIMENSIONS)
}

fn query(filter: Filter) -> VectorQuery {
    VectorQuery { vector: dense([1.0; DIMENSIONS]), filter, limit: 10 }
}

#[tokio::test]
async fn the_contract_holds() {
    let server = Server::start().await;
    let store = QdrantStore::connect(options(&server)).await.unwrap();
    holds(&store).await.unwrap();
    every_request_is_narrowed(&server.seen());
}

#[tokio::test]
async fn t15_a_crowd_around_the_question_hides_nobody() {
    let server = Server::start().await;
    let store = QdrantStore::connect(options(&server)).await.unwrap();
    a_crowd_hides_nobody(&store, 20_000).await.unwrap();
    every_request_is_narrowed(&server.seen());
}

/// Searches by both at once, of each kind that is sent differently: fused by the server, weighed here, without words.
fn both_at_once(filter: &Filter) -> [HybridQuery; 3] {
    [(0.5, true), (0.3, true), (0.5, false)].map(|(dense_weight, with_words)| HybridQuery {
        dense: Embedding::new([1.0; DIMENSIONS]),
        sparse: if with_words { weights(&[(7, 1.0)]) } else { SparseVector::default() },
        dense_weight,
        filter: filter.clone(),
        candidates: 10,
        limit: 10,
    })
}

#[tokio::test]
async fn t12_every_leg_of_a_search_by_both_is_narrowed() {
    let server = Server::start().await;
    let store = QdrantStore::connect(options(&server)).await.unwrap();
    let (a, other) = (tenant(), tenant());
    store.upsert(&a, vec![point(&a, document(), 0)]).await.unwrap();
    store.upsert(&other, vec![point(&other, document(), 0)]).await.unwrap();
    let before = server.seen().len();
    let sneaky = Condition::Label { name: TENANT.into(), any_of: vec![other.tenant().to_string()] };
    for (filter, found) in [(Filter::default(), 1), (Filter::default().and(sneaky).unwrap(), 0)] {
        for query in both_at_once(&filter) {
            assert_eq!(store.hybrid(&a, &query).await.unwrap().len(), found);
        }
    }
    let seen = &server.seen()[before..];
    every_request_is_narrowed(seen);
    let filters: Vec<_> = seen.iter().filter_map(|seen| seen.filter.as_ref()).collect();
    // One with two legs and its top, two lists, and one list; twice.
    assert_eq!(filters.len(), 2 * (3 + 2 + 1));
    for filter in filters {
        assert_eq!(filter["must"][0]["match"]["value"], a.tenant().to_string());
    }
}

#[tokio::test]
async fn t12_the_tenant_is_required_at_the_top_of_every_request() {
    let server = Server::start().await;
    let store = QdrantStore::connect(options(&server)).await.unwrap();
    let a = tenant();
    store.upsert(&a, vec![point(&a, document(), 0)]).await.unwrap();
    let label = Condition::Label { name: "x".into(), any_of: vec!["y".into(), "z".into()] };
    store.search(&a, &query(Filter::default().and(label).unwrap())).await.unwrap();
    store.search(&a, &query(Filter::default())).await.unwrap();
    store.count(&a).await.unwrap();
    store.delete_document(&a, document()).await.unwrap();

    let seen = server.seen();
    assert_eq!(seen.iter().filter(|seen| seen.filter.is_some()).count(), 4);
    every_request_is_narrowed(&seen);
    for filter in seen.iter().filter_map(|seen| seen.filter.as_ref()) {
        assert_eq!(filter["must"][0]["match"]["value"], a.tenant().to_string());
    }
    // The caller's condition is nested in it, not beside it.
    let asked = seen.iter().find(|seen| seen.method == "query").unwrap().filter.clone().unwrap();
    assert_eq!(asked["must"].as_array().unwrap().len(), 2);
    assert_eq!(asked["must"][1]["must"][0]["match"]["any"], serde_json::json!(["y", "z"]));
}

/// Searches, counts and deletions carry the tenant at the top level, and nothing there that could widen it.
fn every_request_is_narrowed(seen: &[Seen]) {
    for Seen { method, filter, .. } in seen {
        if !["query", "prefetch", "count", "delete"].contains(method) {
            continue;
        }
        let filter = filter.as_ref().unwrap_or_else(|| panic!("{method} without a filter"));
        assert_eq!(filter["must"][0]["key"], TENANT, "{method}: {filter}");
        assert!(filter["must"][0]["match"]["value"].is_string(), "{method}: {filter}");
        for wider in ["should", "must_not", "min_should"] {
            assert!(filter.get(wider).is_none(), "{method}: {filter}");
        }
    }
}

#[tokio::test]
async fn t11_nothing_is_searched_without_the_tenant_index() {
    let server = Server::start().await;
    let store = QdrantStore::connect(options(&server).with_check_every(Duration::ZERO)).await.unwrap();
    let a = tenant();
    store.upsert(&a, vec![point(&a, document(), 0)]).await.unwrap();
    assert_eq!(store.search(&a, &query(Filter::default())).await.unwrap().len(), 1);
    server.drop_index(TENANT);
    let before = server.seen().len();
    for failed in
        [store.search(&a, &query(Filter::default())).await.map(drop), store.count(&a).await.map(drop)]
    {
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::FilterUnavailable);
    }
    let searched = |seen: &Seen| ["query", "prefetch", "count"].contains(&seen.method);
    for both in both_at_once(&Filter::default()) {
        assert_eq!(store.hybrid(&a, &both).await.unwrap_err().kind(), ErrorKind::FilterUnavailable);
    }
    assert!(!server.seen()[before..].iter().any(searched));
}

#[tokio::test]
async fn t11_failures_are_typed_and_never_retried_without_the_filter() {
    let server = Server::start().await;
    let store = QdrantStore::connect(options(&server)).await.unwrap();
    let a = tenant();
    for (status, kind) in [
        (tonic::Status::invalid_argument("no such field"), ErrorKind::FilterUnavailable),
        (tonic::Status::unavailable("down"), ErrorKind::StoreUnavailable),
        (tonic::Status::internal("broken"), ErrorKind::StoreUnavailable),
        (tonic::Status::deadline_exceeded("slow"), ErrorKind::StoreUnavailable),
    ] {
        server.fail(Some(status));
        let failed = store.search(&a, &query(Filter::default())).await.unwrap_err();
        assert_eq!(failed.kind(), kind);
        for both in both_at_once(&Filter::default()) {
            assert_eq!(store.hybrid(&a, &both).await.unwrap_err().kind(), kind);
        }
        server.fail(None);
    }
    every_request_is_narrowed(&server.seen());
    assert!(store.search(&a, &query(Filter::default())).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_collection_is_made_once_and_one_for_other_vectors_is_refused() {
    let server = Server::start().await;
    for _ in 0..2 {
        QdrantStore::connect(options(&server)).await.unwrap();
    }
    let made: Vec<_> =
        server.seen().iter().map(|seen| seen.method).filter(|method| *method == "create").collect();
    assert_eq!(made.len(), 1);
    let refused = QdrantStore::connect(QdrantOptions::new(server.url(), 3)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert!(refused.to_string().contains("vectors of 8 numbers"), "{refused}");
    assert!(refused.to_string().contains("rag-tower-owner reindex"), "{refused}");
    let a = tenant();
    let store = QdrantStore::connect(options(&server)).await.unwrap();
    store.upsert(&a, vec![point(&a, document(), 0)]).await.unwrap();
    assert_eq!(store.count(&a).await.unwrap(), 1);
    let store = QdrantStore::connect(QdrantOptions::new(server.url(), 3).emptied()).await.unwrap();
    assert_eq!(store.count(&a).await.unwrap(), 0);
}

#[tokio::test]
async fn a_server_that_is_away_is_said_to_be() {
    let options = QdrantOptions::new("http://127.0.0.1:1", DIMENSIONS).with_timeout(Duration::from_secs(5));
    assert_eq!(QdrantStore::connect(options).await.unwrap_err().kind(), ErrorKind::StoreUnavailable);
    let bad = QdrantStore::connect(QdrantOptions::new("no url at all", DIMENSIONS)).await.unwrap_err();
    assert!(!format!("{bad}").contains("no url at all"));
}
