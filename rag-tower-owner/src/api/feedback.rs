//! `POST /feedback`: a thumb on an answer in, kept under the credential's tenant.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use rag_tower::http::Problem;
use rag_tower::postgres::Rating;
use rag_tower::{AskId, Stage, TenantScope};
use serde::Deserialize;

use crate::app::App;
use crate::http::{invalid, read_json};

/// The longest comment, in characters.
const MAX_COMMENT: usize = 2_000;
const EXPECTED: &str = r#"{"trace_id": "…", "rating": 1 or -1, "comment": "…"}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Feedback {
    trace_id: AskId,
    rating: i64,
    comment: Option<String>,
}

/// Keeps the thumb. The answer's row need not have arrived yet; one of another tenant is joined to nothing, which the
/// caller cannot tell from one that is still on its way.
pub(crate) async fn feedback(
    State(app): State<Arc<App>>,
    Extension(scope): Extension<TenantScope>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Feedback { trace_id, rating, comment } = read_json(&headers, body, EXPECTED).await?;
    let rating = match rating {
        1 => Rating::Up,
        -1 => Rating::Down,
        _ => return Err(invalid("`rating` is 1 or -1".to_owned())),
    };
    let comment = comment.as_deref().map(str::trim).filter(|comment| !comment.is_empty());
    if comment.is_some_and(|comment| comment.chars().count() > MAX_COMMENT) {
        return Err(invalid(format!("`comment` is too long: at most {MAX_COMMENT} characters")));
    }
    app.feedback
        .put(&scope, trace_id, rating, comment)
        .await
        .map_err(|error| Problem::from(error.at(Stage::Http)))?;
    let label = if rating == Rating::Up { "up" } else { "down" };
    metrics::counter!("rag_feedback_total", "rating" => label).increment(1);
    Ok(StatusCode::NO_CONTENT)
}
