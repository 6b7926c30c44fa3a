//! Labelled questions in, a classifier out that says which label a new question has, and how sure that is.
//!
//! No weights are shipped: a tenant's own examples are all there is to learn from, and all that is learnt.

mod features;
mod model;
mod svm;

pub use self::model::{Guess, IntentModel, Labelled};
