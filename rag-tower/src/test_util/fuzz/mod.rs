//! Bytes of anybody in, nothing or the property that they break out: what may be read from strangers, and what must
//! hold whatever it is.
//!
//! The fuzz targets in `rag-tower/fuzz/` and the test over their corpora call the same functions, so that what was found
//! once is checked at each build.

mod body;
mod citations;
#[cfg(feature = "jwt")]
mod claims;
mod credential;
mod filter;
mod prompt;
#[cfg(feature = "openai")]
mod provider_stream;
#[cfg(feature = "jwt")]
mod token;

use std::fmt;

pub use self::body::query_body;
pub use self::citations::citations;
#[cfg(feature = "jwt")]
pub use self::claims::claims;
pub use self::credential::credential;
pub use self::filter::filter;
pub use self::prompt::prompt;
#[cfg(feature = "openai")]
pub use self::provider_stream::provider_stream;
#[cfg(feature = "jwt")]
pub use self::token::token;

/// A property that does not hold: which, and what came out instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(String);

/// What is read from strangers.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Target {
    /// The name of the fuzz target and of its corpus.
    pub name: &'static str,
    /// Reads some bytes and checks what must hold.
    pub check: fn(&[u8]) -> Result<(), Broken>,
}

/// Every target of the features that are compiled in.
pub const TARGETS: &[Target] = &[
    Target { name: "citations", check: citations },
    #[cfg(feature = "jwt")]
    Target { name: "claims", check: claims },
    Target { name: "credential", check: credential },
    Target { name: "filter", check: filter },
    Target { name: "prompt", check: prompt },
    #[cfg(feature = "openai")]
    Target { name: "provider_stream", check: provider_stream },
    Target { name: "query_body", check: query_body },
    #[cfg(feature = "jwt")]
    Target { name: "token", check: token },
];

fn hold(condition: bool, otherwise: impl FnOnce() -> String) -> Result<(), Broken> {
    if condition { Ok(()) } else { Err(Broken(otherwise())) }
}

fn broken(what: impl Into<String>) -> Broken {
    Broken(what.into())
}

// === impl Broken ===

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

#[cfg(test)]
mod tests;
