//! A token that the key has signed, whatever it says.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::token::{ISSUER, resolve, sign};
use super::{Broken, broken, hold};
use crate::tenant::{Branches, Grant, TENANT_AUDIENCE};

/// What a header is when the first line is empty.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// Clocks may differ by so many seconds, and one may pass while this runs.
const LEEWAY: u64 = 6;

/// Checks what is read of a header and of claims: the first line is the header, the rest the claims, as JSON. Both are
/// signed with the right key, so that everything depends on what they say.
///
/// What is accepted names the one algorithm and no key, and has each claim once, of its one type, in its range; what is
/// granted is what it says.
///
/// # Errors
/// The property that does not hold.
pub fn claims(data: &[u8]) -> Result<(), Broken> {
    let (header, payload) = halves(data);
    let Ok(grant) = resolve(&signed(header, payload)?)? else { return Ok(()) };
    let header = read(header)?;
    let plain = header["alg"] == "HS256" && header["kid"].is_null() && header["crit"].is_null();
    let typed =
        header["typ"].is_null() || header["typ"].as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("jwt"));
    hold(plain && typed, || format!("the header {header} was accepted"))?;

    let claims = read(payload)?;
    let text = |name: &str| claims[name].as_str().unwrap_or_default();
    let who = text("iss") == ISSUER && text("aud") == TENANT_AUDIENCE;
    let named = (1..=256).contains(&text("sub").len()) && (1..=128).contains(&text("jti").len());
    hold(who && named && timely(&claims), || format!("the claims {claims} were accepted"))?;
    hold(grants(&claims, &grant), || format!("the claims {claims} granted {grant:?}"))
}

fn timely(claims: &Value) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (Some(from), Some(until)) = (claims["iat"].as_u64(), claims["exp"].as_u64()) else { return false };
    let begun = claims.get("nbf").is_none_or(|nbf| nbf.as_u64().is_some_and(|nbf| nbf <= now + LEEWAY));
    begun && from <= now + LEEWAY && from <= until && now <= until + LEEWAY
}

fn grants(claims: &Value, grant: &Grant) -> bool {
    let branches = match (&claims["branches"], grant.branches()) {
        (Value::String(star), Branches::All) => star == "*",
        (Value::Array(said), Branches::Only(granted)) => {
            let said = said.iter().map(|branch| branch.as_str().and_then(|text| text.parse().ok()));
            said.eq(granted.iter().map(|branch| Some(*branch)))
        }
        _ => false,
    };
    branches
        && claims["tid"].as_str().and_then(|text| text.parse().ok()) == Some(grant.tenant())
        && claims["role"] == grant.role().as_str()
        && claims["sub"].as_str() == grant.subject().map(|subject| &**subject)
}

fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    let (header, payload) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    (if header.is_empty() { HEADER.as_bytes() } else { header }, payload)
}

fn signed(header: &[u8], payload: &[u8]) -> Result<String, Broken> {
    let message = format!("{}.{}", base64url(header), base64url(payload));
    Ok(format!("{message}.{}", sign(&message)?))
}

fn read(json: &[u8]) -> Result<Value, Broken> {
    let value: Value =
        serde_json::from_slice(json).map_err(|error| broken(format!("no JSON was accepted: {error}")))?;
    hold(value.is_object(), || format!("{value} was accepted"))?;
    Ok(value)
}

/// Base64 for URLs, without padding, as RFC 7515 section 2 says.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |n: usize| u32::from(group.get(n).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..=group.len() {
            let value = (bits >> (18 - 6 * digit)) & 0x3f;
            text.push(char::from(DIGITS[value as usize]));
        }
    }
    text
}

#[cfg(test)]
pub(super) fn is_taken(data: &[u8]) -> bool {
    let (header, payload) = halves(data);
    signed(header, payload).is_ok_and(|token| resolve(&token).is_ok_and(|resolved| resolved.is_ok()))
}
