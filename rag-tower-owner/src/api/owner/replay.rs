//! Retrieval of an ask again, with other settings.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use http::HeaderMap;
use rag_tower::AskId;
use rag_tower::http::Problem;
use serde::Deserialize;
use serde_json::json;

use super::{conflict, not_found, problem};
use crate::app::App;
use crate::auth::OwnerScope;
use crate::http::{invalid, read_json};
use crate::platform::scope_within;
use crate::replay::{Original, Replayed, Settings};

/// The most passages.
const MOST: usize = 50;
const EXPECTED: &str =
    r#"{"top_k": 6, "weights": {"keyword": 1, "vector": 1}, "rerank": true}, each of which may be left out"#;

/// What is to be different.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// The passages that go into the prompt, 1 to 50.
    #[schemars(range(min = 1, max = 50))]
    top_k: Option<usize>,
    weights: Option<Weights>,
    /// Whether the question's own words decide among what was found.
    rerank: Option<bool>,
}

/// What the two searches weigh beside each other.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Weights {
    #[schemars(range(min = 0, max = 1000))]
    keyword: f32,
    #[schemars(range(min = 0, max = 1000))]
    vector: f32,
}

/// Searches again, and shows it beside what was found then.
pub(super) async fn replay(
    State(app): State<Arc<App>>,
    owner: OwnerScope,
    Path(trace): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Replayed>, Problem> {
    let trace: AskId =
        trace.parse().map_err(|_| invalid("the trace's id cannot be used: expected a UUID".to_owned()))?;
    let wish: Wish = read_json(&headers, body, EXPECTED).await?;
    let settings = wish.settings(app.replay.usual())?;
    let read = app.owner.asked(&owner, trace, json!(settings)).await.map_err(problem)?;
    let asked = read.ok_or_else(|| not_found("trace"))?;
    let scope = scope_within(asked.tenant(), asked.branch_id);
    let Some(question) = asked.question else {
        return Err(conflict("the question was not kept, so there is nothing to search for".to_owned()));
    };
    // a row of an older form has no hits to compare with
    let hits = serde_json::from_value(asked.hits).unwrap_or_default();
    let original = Original { scope, branch: asked.branch_id, question, hits };
    Ok(Json(app.replay.run(&original, settings).await.map_err(Problem::from)?))
}

// === impl Wish ===

impl Wish {
    fn settings(&self, usual: Settings) -> Result<Settings, Problem> {
        let top_k = self.top_k.unwrap_or(usual.top_k);
        if !(1..=MOST).contains(&top_k) {
            return Err(invalid(format!("`top_k` cannot be used: expected a whole number from 1 to {MOST}")));
        }
        let vector = match &self.weights {
            Some(weights) => weights.vector()?,
            None => usual.vector,
        };
        Ok(Settings { top_k, vector, rerank: self.rerank.unwrap_or(usual.rerank) })
    }
}

// === impl Weights ===

impl Weights {
    /// The share of the vector.
    fn vector(&self) -> Result<f32, Problem> {
        let Self { keyword, vector } = *self;
        let fits = |weight: f32| (0.0..=1_000.0).contains(&weight);
        if !fits(keyword) || !fits(vector) || keyword + vector <= 0.0 {
            return Err(invalid(
                "`weights` cannot be used: expected two numbers from 0 to 1000, not both 0".to_owned(),
            ));
        }
        Ok(vector / (keyword + vector))
    }
}
