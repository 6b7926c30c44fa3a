//! Rules that are judged, and webhooks that are told, on a listener of this machine.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use axum::routing::post;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::alerts::{Webhooks, watch_once};
use crate::secret::Secret;

/// A listener that notes what it is told, and answers as it is told.
pub(crate) struct Ear {
    pub(crate) address: String,
    heard: Arc<Mutex<Vec<Value>>>,
    answer: Arc<Mutex<StatusCode>>,
    _server: JoinSet<()>,
}

impl Ear {
    pub(crate) async fn open() -> Self {
        // no server runs here that would have chosen one
        let _ = rustls::crypto::ring::default_provider().install_default();
        type Shared = (Arc<Mutex<Vec<Value>>>, Arc<Mutex<StatusCode>>);
        async fn hear(State((heard, answer)): State<Shared>, body: String) -> StatusCode {
            heard.lock().unwrap().push(serde_json::from_str(&body).unwrap());
            *answer.lock().unwrap()
        }
        let shared: Shared = (Arc::default(), Arc::new(Mutex::new(StatusCode::OK)));
        let router = Router::new()
            .route("/services/secret", post(hear))
            .route("/away", post(|| async { Redirect::temporary("/services/secret").into_response() }))
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/services/secret?token=s3cret", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, heard: shared.0, answer: shared.1, _server: server }
    }

    pub(crate) fn answers(&self, status: u16) {
        *self.answer.lock().unwrap() = StatusCode::from_u16(status).unwrap();
    }

    pub(crate) fn heard(&self) -> Vec<Value> {
        self.heard.lock().unwrap().clone()
    }
}

fn rule(metric: Metric, comparison: Comparison, threshold: f64) -> AlertRule {
    AlertRule {
        name: "watch".into(),
        metric,
        tenant: Some(TenantId::named("a").as_uuid()),
        route: None,
        window_min: 15,
        comparison,
        threshold,
        min_requests: 20,
        enabled: true,
    }
}

async fn made(store: &OwnerStore, rule: &AlertRule, webhook: Option<&str>) -> uuid::Uuid {
    let webhook = webhook.map(Secret::new);
    let kept = store.make_alert(&OwnerScope::for_test(), rule, webhook.as_ref()).await.unwrap();
    let KeptAlert::Kept(alert) = kept else { panic!("{kept:?}") };
    alert.id()
}

/// The state of every rule, by name and then as made.
async fn states(store: &OwnerStore) -> Vec<String> {
    let alerts = store.alerts(&OwnerScope::for_test()).await.unwrap();
    alerts.iter().map(|alert| alert.state().to_owned()).collect()
}

async fn asks(fixture: &mut Fixture, tenant: &str, good: u32, bad: u32) {
    for n in 0..good + bad {
        let failed = Outcome::Failed(ErrorKind::Internal, Stage::Generate);
        fixture.row(tenant, if n < bad { failed } else { Outcome::Completed(Finish::Stop) }, 40, "q").await;
    }
}

const DUE: &str = "UPDATE rag_tower.alert_events SET next_attempt = now() WHERE next_attempt IS NOT NULL";

#[tokio::test]
async fn a_rule_that_fires_is_told_until_it_is_heard_and_again_when_it_is_over() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let (ear, webhooks) = (Ear::open().await, Webhooks::new().unwrap());
    let id = made(&store, &rule(Metric::ErrorRate, Comparison::Above, 0.1), Some(&ear.address)).await;

    // b's errors are not a's, and 19 asks say nothing
    asks(&mut fixture, "b", 0, 30).await;
    asks(&mut fixture, "a", 15, 4).await;
    watch_once(&store, &webhooks).await.unwrap();
    assert_eq!(states(&store).await, ["no_data"]);
    assert!(ear.heard().is_empty());

    asks(&mut fixture, "a", 1, 0).await;
    ear.answers(503);
    watch_once(&store, &webhooks).await.unwrap();
    assert_eq!(states(&store).await, ["firing"]);
    let heard = ear.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!((&heard[0]["test"], &heard[0]["alert"]["event"]), (&json!(false), &json!("firing")));
    assert_eq!((&heard[0]["alert"]["value"], &heard[0]["alert"]["tenant"]), (&json!(0.2), &json!("a")));
    assert!(heard[0]["text"].as_str().unwrap().contains("error_rate of a is 0.2000"), "{}", heard[0]);
    let events = async || store.alert_events(&owner, id, &Page::first(10)).await.unwrap().unwrap().items;
    let told = events().await;
    assert_eq!((told[0].ok, told[0].status, told[0].attempts), (Some(false), Some(503), 1));

    // not due yet; then heard, and not told again
    watch_once(&store, &webhooks).await.unwrap();
    assert_eq!(ear.heard().len(), 1);
    ear.answers(200);
    fixture.run(DUE.into()).await;
    watch_once(&store, &webhooks).await.unwrap();
    fixture.run(DUE.into()).await;
    watch_once(&store, &webhooks).await.unwrap();
    assert_eq!(ear.heard().len(), 2);
    let told = events().await;
    assert_eq!((told.len(), told[0].ok, told[0].attempts), (1, Some(true), 2));

    asks(&mut fixture, "a", 40, 0).await;
    watch_once(&store, &webhooks).await.unwrap();
    assert_eq!(states(&store).await, ["ok"]);
    assert_eq!(ear.heard()[2]["alert"]["event"], "resolved");
    let kinds: Vec<_> = events().await.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["resolved", "firing"]);
    drop(ear);
    fixture.stop().await;
}

#[tokio::test]
async fn a_webhook_is_not_told_for_ever_and_nobody_is_followed_elsewhere() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let (ear, webhooks) = (Ear::open().await, Webhooks::new().unwrap());
    let away = ear.address.replace("/services/secret?token=s3cret", "/away");
    let id = made(&store, &rule(Metric::Requests, Comparison::Below, 1.0), Some(&away)).await;
    for _ in 0..6 {
        watch_once(&store, &webhooks).await.unwrap();
        fixture.run(DUE.into()).await;
    }
    let told = store.alert_events(&owner, id, &Page::first(10)).await.unwrap().unwrap().items;
    assert_eq!(
        (told.len(), told[0].attempts, told[0].status),
        (1, 4, Some(307)),
        "once and three times more"
    );
    assert!(ear.heard().is_empty());

    // nobody there: the address is not part of what is said
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}/s3cret", listener.local_addr().unwrap());
    drop(listener);
    let change = WebhookChange::Set(Secret::new(closed));
    let kept = store.change_alert(&owner, id, &rule(Metric::Requests, Comparison::Below, 1.0), &change).await;
    assert!(matches!(kept.unwrap(), KeptAlert::Kept(_)));
    watch_once(&store, &webhooks).await.unwrap();
    let line = serde_json::to_value(&store.alerts(&owner).await.unwrap()[0]).unwrap();
    assert_eq!(line["last_delivery"]["error"], "it cannot be connected to");
    assert!(!line.to_string().contains("s3cret"), "{line}");
    drop(ear);
    fixture.stop().await;
}

#[tokio::test]
async fn one_process_judges_and_each_event_is_one_process_s_to_tell() {
    let mut fixture = Fixture::new().await;
    let (store, other) = (OwnerStore::new(&fixture.database), OwnerStore::new(&fixture.database.aside(4)));
    made(&store, &rule(Metric::Requests, Comparison::Below, 1.0), Some("http://127.0.0.1:9/")).await;
    fixture.run("BEGIN; SELECT pg_advisory_xact_lock(hashtext('rag_tower.alerts.judge'))".into()).await;
    assert_eq!(store.judge_alerts().await.unwrap(), None, "another is at it");
    assert_eq!(states(&store).await, ["no_data"]);
    fixture.run("COMMIT".into()).await;
    assert_eq!(store.judge_alerts().await.unwrap(), Some(1));
    assert_eq!(other.judge_alerts().await.unwrap(), Some(1));
    let (one, two) = tokio::join!(store.take_notices(), other.take_notices());
    assert_eq!(one.unwrap().len() + two.unwrap().len(), 1, "told once");
    drop(other);
    fixture.stop().await;
}

#[tokio::test]
async fn every_metric_is_read_of_what_the_rule_names() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    asks(&mut fixture, "a", 20, 0).await;
    let closed = Outcome::Failed(ErrorKind::Isolation, Stage::Retrieve);
    let rated = fixture.row("a", closed, 500, "q").await;
    PgFeedback::new(&fixture.database).put(&scope("a"), rated, Rating::Down, None).await.unwrap();
    PgHandoffs::new(&fixture.database).open(&scope("a"), &NewHandoff::new("r")).await.unwrap();
    PgHandoffs::new(&fixture.database).open(&scope("b"), &NewHandoff::new("r")).await.unwrap();
    let metrics = [
        (Metric::ErrorRate, Some(1.0 / 21.0)),
        (Metric::FailClosed, Some(1.0)),
        (Metric::P95Ms, Some(40.0)),
        (Metric::TtftP95Ms, None),
        (Metric::AbstainRate, Some(0.0)),
        (Metric::Satisfaction, Some(0.0)),
        (Metric::CostUsd, Some(0.042)),
        (Metric::Requests, Some(21.0)),
        (Metric::HandoffsOpen, Some(1.0)),
    ];
    for (n, (metric, _)) in metrics.iter().enumerate() {
        let rule = AlertRule { name: n.to_string(), ..rule(*metric, Comparison::Above, 1e9) };
        made(&store, &rule, None).await;
    }
    let elsewhere = AlertRule {
        name: "x".into(),
        route: Some("comparison".into()),
        ..rule(Metric::Requests, Comparison::Above, 1e9)
    };
    made(&store, &elsewhere, None).await;
    store.judge_alerts().await.unwrap();
    let lines = serde_json::to_value(store.alerts(&owner).await.unwrap()).unwrap();
    for (n, (metric, expected)) in metrics.iter().enumerate() {
        let found = lines[n]["last_value"].as_f64();
        let near = match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() <= expected / 100.0,
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(near, "{metric}: {found:?} for {expected:?}");
    }
    assert_eq!(lines[9]["last_value"], 0.0, "of another route");
    fixture.stop().await;
}

#[tokio::test]
async fn a_webhook_s_secret_is_kept_and_shown_nowhere() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let watched = rule(Metric::ErrorRate, Comparison::Above, 0.1);
    let id = made(&store, &watched, Some("https://hooks.example.com/services/T0/s3cret")).await;
    let shown = async || serde_json::to_value(store.alerts(&owner).await.unwrap()).unwrap();
    assert_eq!(shown().await[0]["webhook"], "https://hooks.example.com/services/…");
    store.change_alert(&owner, id, &watched, &WebhookChange::Keep).await.unwrap();
    assert_eq!(shown().await[0]["webhook"], "https://hooks.example.com/services/…");
    store.change_alert(&owner, id, &watched, &WebhookChange::Remove).await.unwrap();
    assert_eq!(shown().await[0]["webhook"], Value::Null);
    let nobody = AlertRule { tenant: Some(uuid::Uuid::nil()), ..watched.clone() };
    assert!(matches!(store.make_alert(&owner, &nobody, None).await.unwrap(), KeptAlert::NoTenant));
    assert!(store.forget_alert(&owner, id).await.unwrap());
    assert!(!store.forget_alert(&owner, id).await.unwrap());
    assert!(store.alert_events(&owner, id, &Page::first(10)).await.unwrap().is_none());
    let log = store.audit(&owner, &AuditFilter::default(), &Page::first(10)).await.unwrap().items;
    let actions: Vec<_> = log.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["alert.delete", "alert.update", "alert.update", "alert.create"]);
    assert!(!format!("{log:?}").contains("s3cret"));
    let many = "INSERT INTO rag_tower.alerts (id, name, metric, window_min, comparison, threshold, min_requests, enabled)
                SELECT gen_random_uuid(), n::text, 'requests', 5, 'above', 1, 0, false FROM generate_series(1, 100) n";
    fixture.run(many.into()).await;
    assert!(matches!(store.make_alert(&owner, &watched, None).await.unwrap(), KeptAlert::TooMany));
    fixture.stop().await;
}
