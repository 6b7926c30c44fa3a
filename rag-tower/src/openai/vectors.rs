//! The embeddings endpoint's response in, vectors out.
//!
//! They are asked for in Base64, as OpenAI's own client asks: four bytes a number, the lowest first, which is a third of the
//! digits and is not parsed. Servers that do not know it send lists of numbers, and those are read too.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// The response of the embeddings endpoint.
#[derive(Deserialize)]
pub(super) struct Vectors {
    pub(super) data: Vec<Vector>,
}

/// One vector and which text it is for.
#[derive(Deserialize)]
pub(super) struct Vector {
    #[serde(default)]
    pub(super) index: Option<usize>,
    #[serde(deserialize_with = "numbers")]
    pub(super) embedding: Vec<f32>,
}

fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    deserializer.deserialize_any(Numbers)
}

struct Numbers;

impl<'de> Visitor<'de> for Numbers {
    type Value = Vec<f32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers, or the Base64 of 32-bit numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<f32>, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element()? {
            numbers.push(number);
        }
        Ok(numbers)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<f32>, E> {
        // what it was is not said: it may be as long as the response
        let none = || E::invalid_value(Unexpected::Other("another text"), &self);
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| none())?;
        let (numbers, rest) = bytes.as_chunks();
        if rest.is_empty() {
            Ok(numbers.iter().copied().map(f32::from_le_bytes).collect())
        } else {
            Err(none())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(embedding: &str) -> Result<Vec<f32>, serde_json::Error> {
        serde_json::from_str(&format!("{{\"embedding\":{embedding}}}")).map(|vector: Vector| vector.embedding)
    }

    #[test]
    fn both_forms_are_the_same_numbers() {
        let expected = [1.0, -0.5, f32::MIN_POSITIVE];
        let bytes: Vec<u8> = expected.iter().flat_map(|number: &f32| number.to_le_bytes()).collect();
        assert_eq!(BASE64_STANDARD.encode(&bytes), "AACAPwAAAL8AAIAA");
        assert_eq!(read("\"AACAPwAAAL8AAIAA\"").unwrap(), expected);
        assert_eq!(read("[1, -0.5, 1.17549435e-38]").unwrap(), expected);
        assert_eq!(read("\"\"").unwrap(), [0.0; 0]);
    }

    #[test]
    fn what_is_neither_is_refused_and_not_repeated() {
        for wrong in ["\"AACAPw\"", "\"AAAA\"", "\"secret words\"", "7", "null", "[\"x\"]", "{}"] {
            let said = read(wrong).unwrap_err().to_string();
            assert!(!said.contains("AAAA") && !said.contains("secret"), "{said}");
        }
    }
}
