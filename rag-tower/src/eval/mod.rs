//! Measuring: labelled data in, figures out.

pub mod answers;
pub mod routing;
