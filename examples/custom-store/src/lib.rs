#![doc = include_str!("../README.md")]

mod traces;
mod vectors;

pub use self::traces::FileTraces;
pub use self::vectors::FileVectors;
