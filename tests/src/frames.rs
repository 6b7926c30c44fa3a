//! Server-sent events as bytes: pieces of a body in, whole frames out, and the text of a model's that a frame carries.

use serde_json::Value;

/// Cuts a body into frames.
#[derive(Debug, Default)]
pub struct Frames(Vec<u8>);

// === impl Frames ===

impl Frames {
    /// Takes bytes and gives the frames that are whole now, without the empty line that ends each.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(bytes);
        let mut frames = Vec::new();
        while let Some((length, end)) = end_of_frame(&self.0) {
            let frame: Vec<u8> = self.0.drain(..end).collect();
            frames.push(String::from_utf8_lossy(&frame[..length]).into_owned());
        }
        frames
    }

    /// What has come since the last whole frame.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.0
    }
}

/// Where the first frame ends, without and with the empty line behind it.
fn end_of_frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let at =
        |end: &[u8]| bytes.windows(end.len()).position(|part| part == end).map(|at| (at, at + end.len()));
    match (at(b"\n\n"), at(b"\r\n\r\n")) {
        (Some(plain), Some(other)) => Some(if plain.0 < other.0 { plain } else { other }),
        (plain, other) => plain.or(other),
    }
}

/// The text that a frame carries: of a chunk of a chat completion, or of this project's `delta` event. None when it carries
/// none, or an empty one.
#[must_use]
pub fn text_of(frame: &str) -> Option<String> {
    let data: String = frame
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let json: Value = serde_json::from_str(&data).ok()?;
    let text = json["choices"][0]["delta"]["content"].as_str().or_else(|| json["text"].as_str())?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_whole_however_the_bytes_come() {
        let body = "event: start\ndata: {}\n\ndata: é\r\n\r\n: comment\n\ndata: [DONE]\n\nda".as_bytes();
        let expected = ["event: start\ndata: {}", "data: é", ": comment", "data: [DONE]"];
        for size in 1..body.len() {
            let mut frames = Frames::default();
            let found: Vec<String> = body.chunks(size).flat_map(|piece| frames.push(piece)).collect();
            assert_eq!(found, expected, "in pieces of {size}");
            assert_eq!(frames.rest(), b"da");
        }
    }

    #[test]
    fn the_text_is_found_in_both_kinds_of_frame_and_in_no_other() {
        let chunk = r#"data: {"choices":[{"index":0,"delta":{"content":"w1 "},"finish_reason":null}]}"#;
        assert_eq!(text_of(chunk).as_deref(), Some("w1 "));
        assert_eq!(text_of("event: delta\ndata: {\"text\":\"w2\"}").as_deref(), Some("w2"));
        for other in [
            r#"data: {"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"data: {"choices":[],"usage":{"total_tokens":3}}"#,
            r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            "data: [DONE]",
            ": keep-alive",
            "event: end\ndata: {\"trace_id\":\"x\"}",
        ] {
            assert_eq!(text_of(other), None, "{other}");
        }
    }
}
