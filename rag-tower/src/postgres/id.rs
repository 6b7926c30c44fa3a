//! An id as a word of a row: its 16 bytes in Base64 without padding, 22 letters instead of 36.

use std::fmt::{self, Display};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use uuid::Uuid;

/// A word.
#[derive(Clone, Copy)]
pub(super) struct Id(pub(super) Uuid);

// === impl Id ===

impl Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut word = [0; 22];
        let written = STANDARD_NO_PAD.encode_slice(self.0.as_bytes(), &mut word).map_err(|_| fmt::Error)?;
        f.write_str(str::from_utf8(&word[..written]).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Id {
    type Err = uuid::Error;

    /// Plain ids are those of older rows.
    fn from_str(word: &str) -> Result<Self, uuid::Error> {
        match STANDARD_NO_PAD.decode(word) {
            Ok(bytes) if bytes.len() == 16 => Uuid::from_slice(&bytes).map(Self),
            _ => word.parse().map(Self),
        }
    }
}
