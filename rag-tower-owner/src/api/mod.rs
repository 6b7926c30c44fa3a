//! The handlers, one file for each group of routes.

pub(crate) mod demo;
pub(crate) mod feedback;
pub(crate) mod health;
pub(crate) mod operator;
pub(crate) mod owner;
