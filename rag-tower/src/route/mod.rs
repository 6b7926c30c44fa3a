//! Which way an ask goes: to the search pipeline, to a tool, to a person, or nowhere.

mod classify;
mod intent;
mod keyword;
mod layer;
mod llm;

pub use self::classify::{Classifier, ClassifyRequest, Decision};
pub use self::intent::{Guess, IntentModel, Labelled};
pub use self::keyword::{KeywordClassifier, Route, RouteBook, Routes};
pub use self::layer::{RouteLayer, Router};
pub use self::llm::LlmClassifier;
pub(crate) use self::llm::Outcome as ModelOutcome;
