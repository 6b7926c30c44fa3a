//! The caller's span, from the header of W3C's trace context.

use std::fmt;

use http::HeaderMap;

/// The span of a caller that an ask is part of: what `traceparent` says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    sampled: bool,
}

/// The header with the caller's span.
const TRACEPARENT: &str = "traceparent";

// === impl Parent ===

impl Parent {
    /// Reads a `traceparent`: `00-` and a trace id of 32 hexadecimal digits, a span id of 16 and flags of 2, in lower case. None
    /// when it is not one; a later version than 00 may go on.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let version: [u8; 1] = hex(parts.next()?)?;
        let (trace_id, span_id): ([u8; 16], [u8; 8]) = (hex(parts.next()?)?, hex(parts.next()?)?);
        let [flags] = hex(parts.next()?)?;
        let goes_on = parts.next().is_some();
        let fits =
            version[0] != 0xff && !(version[0] == 0 && goes_on) && trace_id != [0; 16] && span_id != [0; 8];
        fits.then_some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// Reads it from the headers of a request; none when there are several.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let header = all.next()?;
        if all.next().is_some() { None } else { Self::parse(header.to_str().ok()?) }
    }

    /// The caller's trace.
    #[must_use]
    pub const fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The caller's span.
    #[must_use]
    pub const fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// Whether the caller's span is recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }
}

impl fmt::Debug for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        write!(f, "00-{}-{}-{:02x}", hex(&self.trace_id), hex(&self.span_id), u8::from(self.sampled))
    }
}

/// Exactly so many bytes, as digits in lower case.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (place, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *place = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_well_formed_is_taken_over() {
        let parent = Parent::parse(HEADER).unwrap();
        assert_eq!(format!("{parent:?}"), HEADER);
        assert!(parent.is_sampled());
        assert!(!Parent::parse(&HEADER.replace("-01", "-00")).unwrap().is_sampled());
        let later = format!("{}-and-more", HEADER.replacen("00", "cc", 1));
        assert!(Parent::parse(&later).is_some());
    }

    #[test]
    fn what_is_not_is_left_out() {
        for wrong in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c8031-b7ad6b7169203331-01",
            "00-é7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(Parent::parse(wrong), None, "{wrong}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HEADER.parse().unwrap());
        assert!(Parent::of(&headers).is_some());
        headers.append(TRACEPARENT, HEADER.parse().unwrap());
        assert_eq!(Parent::of(&headers), None);
    }
}
