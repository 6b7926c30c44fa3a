//! The stage by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rag_tower::passage::{ChunkId, DocumentId};
use rag_tower::test_util::{readiness, scope};
use rag_tower::{Ask, ErrorKind, Finish, Origin, Passages, Question};
use time::macros::date;
use tower::{ServiceExt, service_fn};

use super::*;

fn passage(file_name: &str, score: f32) -> Passage {
    let tenant = scope("pool").tenant();
    let document = DocumentId::named(tenant, file_name);
    Passage {
        chunk: ChunkId::of(tenant, document, 0),
        document,
        seq: 0,
        origin: Origin::Tenant { tenant, branch: None },
        title: file_name.into(),
        file_name: file_name.into(),
        text: "text".into(),
        score,
        found: BTreeMap::new(),
    }
}

fn retrieved(passages: &[(&str, f32)]) -> Retrieved {
    let ask = Ask::new(scope("pool"), Question::parse("How much?").unwrap());
    let passages = passages.iter().map(|(name, score)| passage(name, *score)).collect();
    Retrieved { passages: Passages::check(ask.scope(), passages).unwrap(), ask }
}

#[tokio::test]
async fn of_passages_that_fit_alike_the_newer_comes_first() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let leaf = service_fn({
        let seen = Arc::clone(&seen);
        move |found: Retrieved| {
            let names = found.passages.iter().map(|passage| passage.file_name.to_string());
            seen.lock().unwrap().extend(names);
            std::future::ready(Ok::<_, Error>(Answer::text(found.ask.id(), "ok", Finish::Stop)))
        }
    });
    let request =
        retrieved(&[("2019-05-01-prices.md", 0.9), ("2026-05-01-prices.md", 0.8), ("rules.md", 0.3)]);
    let trace = request.trace().clone();
    let answer = FreshnessLayer::new(Duration::days(365)).layer(leaf).oneshot(request).await.unwrap();
    assert_eq!(answer.collect_text().await.unwrap(), "ok");
    // what has no date keeps its score, and so overtakes what is old
    assert_eq!(*seen.lock().unwrap(), ["2026-05-01-prices.md", "rules.md", "2019-05-01-prices.md"]);
    assert_eq!(trace.snapshot().spans.len(), 1, "its time is on the row");
}

#[test]
fn a_half_life_halves_and_what_has_no_date_stays() {
    let (today, year) = (date!(2026 - 05 - 01), Duration::days(365));
    let worth = |name: &str| worth(&passage(name, 1.0), today, year);
    assert_eq!(worth("2026-05-01-a.md"), 1.0);
    assert_eq!(worth("2025-05-01-a.md"), 0.5);
    assert_eq!(worth("2030-01-01-tomorrow.md"), 1.0);
    for undated in ["a.md", "2026-13-01-a.md", "giá-vé.md", ""] {
        assert_eq!(worth(undated), 1.0, "{undated}");
    }
}

#[tokio::test]
async fn it_keeps_the_readiness_contract() {
    let layer = FreshnessLayer::new(Duration::days(365));
    let calls = readiness(
        layer,
        || retrieved(&[]),
        |found: Retrieved| Answer::text(found.ask.id(), "ok", Finish::Stop),
        || Error::new(ErrorKind::Internal, Stage::Rerank),
    );
    assert!(calls.await.unwrap() > 0);
}
