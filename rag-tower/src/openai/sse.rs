//! Bytes of a `text/event-stream` in, the data of each event out.

/// Reads an event stream piece by piece, as the HTML standard's section 9.2.6 says, in one pass over the bytes.
///
/// Lines end with CR, LF or both, whichever pieces they come in; a byte order mark at the very start is skipped; of the
/// fields only `data` counts. An event that no blank line ends is dropped. What is held is never more than one event.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The data of an event whose end has not come. Its room is used again.
    data: String,
    has_data: bool,
    started: bool,
    after_cr: bool,
}

/// The data of an event is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

// === impl Decoder ===

impl Decoder {
    /// Takes the next bytes; shows the events that they complete.
    pub(super) fn each(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Result<&str, NotUtf8>)) {
        if std::mem::take(&mut self.after_cr) && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.line.is_empty() {
                self.end_of_line(line, &mut seen);
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.end_of_line(&whole, &mut seen);
                whole.clear();
                self.line = whole;
            }
            bytes = match (bytes[end], rest) {
                (b'\r', [b'\n', rest @ ..]) => rest,
                (b'\r', []) => {
                    self.after_cr = true;
                    rest
                }
                _ => rest,
            };
        }
        self.line.extend_from_slice(bytes);
    }

    /// How much is held of an event whose end has not come, in bytes.
    pub(super) fn held(&self) -> usize {
        self.line.len() + self.data.len()
    }

    fn end_of_line(&mut self, mut text: &[u8], mut seen: impl FnMut(Result<&str, NotUtf8>)) {
        if !std::mem::replace(&mut self.started, true) {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        if text.is_empty() {
            if std::mem::take(&mut self.has_data) {
                seen(Ok(&self.data));
                self.data.clear();
            }
            return;
        }
        let (field, value) = match text.iter().position(|byte| *byte == b':') {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, &[][..]),
        };
        if field == b"data" {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            let Ok(value) = str::from_utf8(value) else { return seen(Err(NotUtf8)) };
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push('\n');
            }
            self.data.push_str(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<Result<String, NotUtf8>> {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        pieces.iter().for_each(|piece| decoder.each(piece, |event| events.push(event.map(str::to_owned))));
        events
    }

    #[test]
    fn events_are_what_the_standard_says() {
        for (stream, events) in [
            ("data: a\n\ndata: b\n\n", &["a", "b"][..]),
            ("data:a\r\rdata:  b\r\n\r\n", &["a", " b"]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("\u{feff}\u{feff}data: a\n\n", &[]),
            (": comment\nevent: x\nid: 1\nretry: 3\ndata: a\ndata: b\n\n", &["a\nb"]),
            ("data\n\ndata:\ndata\n\n", &["", "\n"]),
            ("event: ping\n\n\n\ndatum: a\n\n", &[]),
            ("data: never ended", &[]),
            ("data: a\n", &[]),
        ] {
            let expected: Vec<_> = events.iter().map(|event| Ok((*event).to_owned())).collect();
            assert_eq!(read(&[stream.as_bytes()]), expected, "{stream:?}");
            let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
            assert_eq!(read(&bytes), expected, "{stream:?} byte by byte");
        }
    }

    #[test]
    fn a_line_end_may_be_cut_in_two_and_an_empty_piece_changes_nothing() {
        assert_eq!(read(&[b"data: a\r", b"", b"\n\r", b"\n"]), [Ok("a".to_owned())]);
    }

    #[test]
    fn data_that_is_not_utf8_is_said_so() {
        assert_eq!(read(&[b": \xff\ndata: \xff\n\n"]), [Err(NotUtf8)]);
    }
}
