//! Rows that no store takes: kept aside for a person, so that they hold up nobody.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::files;

/// The most that is kept aside, in bytes.
pub(super) const MAX_REFUSED: u64 = 16 * 1024 * 1024;

const NAME: &str = "refused.jsonl";

/// Adds a row, as JSON, to those that were refused. A record that is no text is added as its bytes in hexadecimal digits.
///
/// # Errors
/// When it cannot be written, or enough are kept aside already.
pub(super) fn keep(dir: &Path, row: &[u8]) -> io::Result<()> {
    let path = dir.join(NAME);
    let kept = fs::metadata(&path).map_or(0, |known| known.len());
    if kept + row.len() as u64 >= MAX_REFUSED {
        return Err(io::Error::new(ErrorKind::QuotaExceeded, "enough refused rows are kept already"));
    }
    let line = match std::str::from_utf8(row) {
        Ok(text) if !text.contains(char::is_control) => format!("{text}\n"),
        _ => format!("{{\"record\":\"{}\"}}\n", hexadecimal(row)),
    };
    files::private().append(true).create(true).open(path)?.write_all(line.as_bytes())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // writing to a string cannot fail
        let _written = write!(digits, "{byte:02x}");
        digits
    })
}
