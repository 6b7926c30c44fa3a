//! What a contract suite says of a store that does not keep it.

use std::fmt;

use crate::error::{BoxError, Error, ErrorKind};

/// A promise that a store does not keep: which, and what came out instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenPromise {
    promise: &'static str,
    found: String,
}

pub(super) type Kept = Result<(), BrokenPromise>;

pub(super) fn same<T, U>(promise: &'static str, found: T, expected: U) -> Kept
where
    T: PartialEq<U> + fmt::Debug,
    U: fmt::Debug,
{
    if found == expected {
        return Ok(());
    }
    Err(BrokenPromise { promise, found: format!("expected {expected:?}, found {found:?}") })
}

pub(super) fn fails<T: fmt::Debug>(
    promise: &'static str,
    result: Result<T, Error>,
    expected: ErrorKind,
) -> Kept {
    same(promise, result.map_err(|error| error.kind()).err(), Some(expected))
}

// === impl BrokenPromise ===

impl BrokenPromise {
    /// Of a call that failed although nothing spoke against it.
    fn failed(error: &dyn fmt::Debug) -> Self {
        Self { promise: "a call that nothing speaks against succeeds", found: format!("{error:?}") }
    }
}

impl From<Error> for BrokenPromise {
    fn from(error: Error) -> Self {
        Self::failed(&error)
    }
}

impl From<BoxError> for BrokenPromise {
    fn from(error: BoxError) -> Self {
        Self::failed(&error)
    }
}

impl fmt::Display for BrokenPromise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.found)
    }
}

impl std::error::Error for BrokenPromise {}
