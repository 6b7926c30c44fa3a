//! Questions with known answers in, how often an answer holds them out.
//!
//! ```
//! use rag_tower::eval::answers::{AnswerCase, answer_recall};
//! use rag_tower::generate::Extractive;
//! use rag_tower::test_util::scope;
//! use rag_tower::{Passages, Question};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let scope = scope("measured");
//! let case = AnswerCase {
//!     question: Question::parse("When does the pool open?")?,
//!     answers: vec!["six".into()],
//!     passages: Passages::default(),
//! };
//! let figures = answer_recall(&scope, Extractive::new(), [case]).await?;
//! assert_eq!((figures.cases, figures.recall), (1, 0.0));
//! # Ok::<_, rag_tower::Error>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use futures_util::StreamExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::answer::Event;
use crate::ask::Question;
use crate::error::Error;
use crate::passage::{Passages, Source};
use crate::port::{GenerateRequest, Generator, Message, Speaker};
use crate::tenant::TenantScope;
use crate::text::normalize;
use crate::trace::TraceHandle;

/// A question, what it may be answered from, and strings of which an answer must hold one.
#[derive(Clone, Debug)]
pub struct AnswerCase {
    /// The question.
    pub question: Question,
    /// What counts as the answer: any one of these.
    pub answers: Vec<String>,
    /// The passages given: those a search has found, or those that hold the answer for certain, which tells finding the
    /// sentence from finding the passage.
    pub passages: Passages,
}

/// How a generator did on some cases.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct AnswerFigures {
    /// How many cases there were.
    pub cases: usize,
    /// The share of cases whose answer holds one of the strings, 0 to 1.
    pub recall: f64,
    /// The mean length of the answers in characters, citations included. A long answer holds much and says little, so
    /// recall means nothing without it.
    pub mean_chars: f64,
    /// The share of cases whose given passages hold one of the strings: what recall could be at most for answers that only
    /// quote.
    pub reachable: f64,
}

/// Asks a generator each case and looks for the strings in what it says. Texts are compared in their normal form (case,
/// width and encoding do not count, diacritics do), with runs of spaces as one.
///
/// # Errors
/// The generator's own, or that of its stream.
pub async fn answer_recall<G: Generator>(
    scope: &TenantScope,
    generator: G,
    cases: impl IntoIterator<Item = AnswerCase>,
) -> Result<AnswerFigures, Error> {
    let (mut asked, mut right, mut reachable, mut chars) = (0_usize, 0_usize, 0_usize, 0_usize);
    for AnswerCase { question, answers, passages } in cases {
        let sources = (1..).zip(passages.iter()).map(|(n, passage)| Source::new(n, passage)).collect();
        let given: Vec<String> = passages.iter().map(|passage| comparable(&passage.text)).collect();
        let request = GenerateRequest {
            scope: scope.clone(),
            trace: TraceHandle::new(),
            messages: [Message { speaker: Speaker::User, text: question.as_str().into() }].into(),
            question,
            passages,
            sources,
            max_output_tokens: None,
        };
        let mut events = generator.clone().oneshot(request).await?;
        let mut said = String::new();
        while let Some(event) = events.next().await {
            if let Event::Delta(text) = event? {
                said.push_str(&text);
            }
        }
        let wanted: Vec<String> =
            answers.iter().map(|answer| comparable(answer)).filter(|answer| !answer.is_empty()).collect();
        let holds = |text: &str| wanted.iter().any(|answer| text.contains(answer.as_str()));
        asked += 1;
        chars += said.chars().count();
        right += usize::from(holds(&comparable(&said)));
        reachable += usize::from(given.iter().any(|text| holds(text)));
    }
    let share = |count: usize| count as f64 / asked.max(1) as f64;
    Ok(AnswerFigures {
        cases: asked,
        recall: share(right),
        mean_chars: share(chars),
        reachable: share(reachable),
    })
}

/// The answers that a line of `queries.jsonl` carries, at the top or in `metadata`: `"answers": ["a", "b"]`,
/// `"answers": {"text": ["a"]}` as SQuAD has it, or `"answer": "a"`. None where it carries none.
#[must_use]
pub fn known_answers(query: &Value) -> Vec<String> {
    let strings = |value: &Value| -> Vec<String> {
        match value {
            Value::String(text) => vec![text.clone()],
            Value::Array(texts) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    };
    let places = [Some(query), query.get("metadata")];
    let found = places.into_iter().flatten().flat_map(|place| {
        let answers = place.get("answers").map(|answers| strings(answers.get("text").unwrap_or(answers)));
        answers.into_iter().chain(place.get("answer").map(strings)).flatten()
    });
    found.collect()
}

fn comparable(text: &str) -> String {
    normalize(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
