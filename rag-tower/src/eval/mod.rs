//! Measuring: labelled data in, figures out.

pub mod routing;
