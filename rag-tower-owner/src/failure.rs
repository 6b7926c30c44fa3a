//! Why the program stops: what was wrong and what to do, in words for a terminal.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// A reason to stop, with the mend when there is one.
#[derive(Debug)]
pub struct Failure {
    what: String,
    mend: Option<String>,
    code: u8,
}

// === impl Failure ===

impl Failure {
    /// Something went wrong while running. The exit code is 1.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), mend: None, code: 1 }
    }

    /// As [`new`](Self::new), from an error and the errors behind it.
    #[must_use]
    pub fn because(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        let mut text = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            // errors that only repeat their source would say everything twice
            let said = error.to_string();
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            source = error.source();
        }
        Self::new(text)
    }

    /// What was given cannot be used. The exit code is 2, as for a wrong argument.
    #[must_use]
    pub fn usage(what: impl Into<String>) -> Self {
        Self { code: 2, ..Self::new(what) }
    }

    /// Says what it is about.
    #[must_use]
    pub(crate) fn about(mut self, what: &str) -> Self {
        self.what = format!("{what}: {}", self.what);
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.mend {
            Some(mend) => write!(f, "\n\n{mend}"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {}
