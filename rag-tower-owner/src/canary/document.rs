//! What a canary's document says: a subject in, a text with a secret and the question that asks for it out.

use std::fmt;

use crate::failure::Failure;
use crate::secrets::random_hex;

/// A subject that nobody else has, and what is secret about it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Told {
    subject: String,
    secret: String,
}

/// A word that nobody has used: two letters for each byte, since digits are masked where they look like a telephone's.
pub(super) fn word(bytes: usize) -> Result<String, Failure> {
    let letter = |digit: char| digit.to_digit(16).and_then(|n| char::from_digit(n + 10, 26)).unwrap_or(digit);
    Ok(random_hex(bytes)?.chars().map(letter).collect())
}

// === impl Told ===

impl Told {
    /// A new secret about the subject.
    pub(super) fn new(subject: &str) -> Result<Self, Failure> {
        Ok(Self { subject: subject.to_owned(), secret: word(16)? })
    }

    pub(super) fn text(&self) -> String {
        let Self { subject, secret } = self;
        format!("# The lighthouse {subject}\n\nThe passphrase of the lighthouse {subject} is {secret}.\n")
    }

    pub(super) fn question(&self) -> String {
        format!("What is the passphrase of the lighthouse {}?", self.subject)
    }

    pub(super) fn is_in(&self, text: &str) -> bool {
        text.contains(&self.secret)
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("subject", &self.subject).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_in_its_text_alone_and_in_no_log() {
        let told = Told::new("skerryvore").unwrap();
        assert!(told.is_in(&told.text()) && !told.is_in(&told.question()));
        let again = Told::new("skerryvore").unwrap();
        assert!(!again.is_in(&told.text()), "each is another");
        assert_eq!(again.question(), told.question());
        assert!(!told.is_in(&format!("{told:?}")));
        assert!(told.secret.len() == 32 && told.secret.chars().all(|c| c.is_ascii_lowercase()));
    }
}
