//! Model servers that fail, are slow, or cost more than before, and the promises to those who ask.

use std::time::Duration;

use rag_tower_tests::model_stub::{self, ModelStub, Reply, Step};
use rag_tower_tests::server::Setup;
use serde_json::json;
use tokio::task::JoinSet;

use super::{BINARY, Watched, ask, wait};

pub(super) const ALERTS: &[&[&str]] = &[SLOW, FAILING, UNPRICED, DEAR];

const SLOW: &[&str] = &["ModelSlow", "FirstTextBudgetBurns", "FirstTextBudgetBurnsFast"];
const FAILING: &[&str] = &["ErrorBudgetBurns", "ErrorBudgetBurnsFast", "HttpErrors", "ModelCallsFail"];
const UNPRICED: &[&str] = &["ModelPassedOver", "TokensUnpriced"];
const DEAR: &[&str] = &["CostSurges"];

const WRITER: &str = "writer";
const SECOND: &str = "second-writer";

fn answer(tokens: u64) -> Reply {
    let frames = [model_stub::role(), model_stub::text("Có, theo tài liệu [1]."), model_stub::finish("stop")];
    Reply::stream(frames.into_iter().chain([model_stub::usage(tokens, 10), model_stub::done()]))
}

async fn watched(stub: &ModelStub, second: &ModelStub) -> Watched {
    let setup = Setup::new(BINARY)
        .second_model(&second.base_url(), SECOND)
        .env("OPENAI_BASE_URL", stub.base_url())
        .env("OPENAI_MODEL", WRITER);
    let watched = Watched::start(setup).await;
    let price = json!({"model": WRITER, "effective_from": "2020-01-01", "input_per_million": 1, "output_per_million": 1});
    let priced = watched.server.owner().await.post("/owner/api/prices", &price).await;
    assert_eq!(priced.status, 201, "{}", priced.text());
    watched
}

/// One after the other: a model that is slow makes no error, and one that fails is not slow.
#[tokio::test(flavor = "multi_thread")]
async fn models_that_are_slow_and_models_that_fail() {
    let (stub, second) = (ModelStub::start_fast().await, ModelStub::start_fast().await);
    let watched = watched(&stub, &second).await;
    let tenant = watched.server.tenant();

    stub.always(answer(10).after(Duration::from_secs(6)));
    watched
        .until(SLOW, async |n| {
            let mut asks = JoinSet::new();
            for one in 0..50 {
                let tenant = tenant.clone();
                asks.spawn(async move {
                    let question = format!("Trung tâm có chính sách hoàn học phí không? ({n} {one})");
                    assert_eq!(ask(&tenant, &question).await.status, 200);
                });
            }
            asks.join_all().await;
        })
        .await;

    let half = [Step::Send(model_stub::role()), Step::Send(model_stub::text("Nửa")), Step::Cut];
    stub.always(Reply::steps(half));
    watched
        .until(FAILING, async |n| {
            let asked = ask(&tenant, &format!("Trung tâm hoàn học phí khi nào? ({n})")).await;
            assert!(asked.status.is_server_error(), "{}", asked.text());
            wait().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_without_a_price_and_models_that_cost_more_than_before() {
    let (stub, second) = (ModelStub::start_fast().await, ModelStub::start_fast().await);
    let watched = watched(&stub, &second).await;
    let tenant = watched.server.tenant();

    stub.always(Reply::refused(500, "server_error", "boom"));
    second.always(answer(10));
    watched
        .until(UNPRICED, async |n| {
            let asked =
                ask(&tenant, &format!("Trung tâm có chính sách hoàn học phí không? ({n})")).await.json();
            assert_eq!(asked["llm_model"], SECOND, "{asked}");
            wait().await;
        })
        .await;

    // what it was before: an hour of a few cents, and as long again, so that it is in the past
    stub.always(answer(1000));
    let hours = tokio::time::Instant::now() + Duration::from_secs(130);
    let mut n = 0;
    while tokio::time::Instant::now() < hours {
        let asked = ask(&tenant, &format!("Khi nào trung tâm hoàn học phí? ({n})")).await.json();
        assert_eq!(asked["llm_model"], WRITER, "{asked}");
        n += 1;
        wait().await;
    }
    stub.always(answer(5_000_000));
    watched
        .until(DEAR, async |n| {
            let asked = ask(&tenant, &format!("Làm sao để được hoàn học phí? ({n})")).await;
            assert_eq!(asked.status, 200, "{}", asked.text());
            wait().await;
        })
        .await;
}
