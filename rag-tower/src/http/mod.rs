//! The border between HTTP and the stack: problems, and nothing of an application's own.

mod problem;

pub use self::problem::Problem;
