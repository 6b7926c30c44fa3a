//! A value that is never shown: text in, text out only where it is asked for by name.

use std::fmt;
use std::sync::Arc;

/// A secret. `Debug` hides it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

/// Values from documentation and deployment examples. They are public, so they protect nothing.
const PLACEHOLDERS: [&str; 14] = [
    "change-me",
    "changeme",
    "change-me-please",
    "change-this-password",
    "change-me-to-a-long-random-value",
    "change-me-to-at-least-32-random-characters",
    "replace-with-at-least-32-random-characters",
    "your-secret-key-change-me-in-production",
    "your-256-bit-secret-your-256-bit-secret",
    "correct horse battery staple",
    "correct-horse-battery-staple",
    "example-password",
    "password1234",
    "0123456789abcdef0123456789abcdef",
];

// === impl Secret ===

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// What is wrong with a secret that must have at least `least` characters; none when nothing is.
pub(crate) fn weakness(text: &str, least: usize) -> Option<String> {
    let length = text.chars().count();
    if PLACEHOLDERS.contains(&text.to_lowercase().as_str()) {
        Some("it is an example value from the documentation, known to everybody".into())
    } else if length < least {
        Some(format!("it has {length} characters, at least {least} are needed"))
    } else {
        None
    }
}
