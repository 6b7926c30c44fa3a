//! A ticket and credential headers in, bytes out that only the ticket opens.

use http::{HeaderMap, HeaderName, HeaderValue};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use crate::error::{Error, Stage};

/// The headers, sealed with the ticket.
pub(super) fn seal(ticket: &str, headers: &HeaderMap) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        // neither a colon in a name nor a line feed in a value
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.push(b':');
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
    let sealed = key(ticket).and_then(|key| key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut bytes));
    sealed.map_err(|error| Error::internal(Stage::Http, error.to_string())).map(|()| bytes)
}

/// The headers again; none when this ticket did not seal them.
pub(super) fn open(ticket: &str, mut sealed: Vec<u8>) -> Option<HeaderMap> {
    let bytes = key(ticket).ok()?.open_in_place(nonce(), Aad::empty(), &mut sealed).ok()?;
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        let mut value = HeaderValue::from_bytes(&value[1..]).ok()?;
        value.set_sensitive(true);
        headers.append(HeaderName::from_bytes(name).ok()?, value);
    }
    Some(headers)
}

/// A ticket is as random as a key, and is no key itself: its hash is what it is known by.
fn key(ticket: &str) -> Result<LessSafeKey, ring::error::Unspecified> {
    let ticket = Salt::new(HKDF_SHA256, b"rag-tower ticket").extract(ticket.as_bytes());
    Ok(LessSafeKey::new(UnboundKey::from(ticket.expand(&[b"headers"], &CHACHA20_POLY1305)?)))
}

/// Always the same: a key seals once, since each ticket is new.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    #[test]
    fn t62_only_the_ticket_opens_what_it_sealed() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a:b=canary"));
        headers.append("x-tenant-id", HeaderValue::from_bytes(b"\xc3\xa9\t:").unwrap());
        headers.append("x-tenant-id", HeaderValue::from_static(""));
        let sealed = seal("ticket", &headers).unwrap();
        assert!(!sealed.windows(6).any(|bytes| bytes == b"canary" || bytes == b"Bearer"));
        let opened = open("ticket", sealed.clone()).unwrap();
        assert_eq!(opened, headers);
        assert!(opened[AUTHORIZATION].is_sensitive());
        assert!(open("Ticket", sealed.clone()).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open("ticket", changed).is_none(), "byte {at}");
        }
        assert!(open("ticket", Vec::new()).is_none());
        assert_ne!(seal("another", &headers).unwrap(), sealed);
    }
}
