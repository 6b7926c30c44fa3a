//! CRC-32 as in Ethernet and zip: bytes in, their checksum out, sixteen bytes at a time.

/// Tables for the sixteen bytes of one step ("slicing", after Kounavis and Berry 2005).
static TABLES: [[u32; 256]; 16] = tables();

/// A checksum that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crc(u32);

// === impl Crc ===

impl Crc {
    pub(super) const fn new() -> Self {
        Self(!0)
    }

    pub(super) fn with(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<16>();
        let mut crc = self.0;
        for word in words {
            let word = u128::from_le_bytes(*word) ^ u128::from(crc);
            crc = 0;
            for (byte, table) in word.to_le_bytes().into_iter().zip(TABLES.iter().rev()) {
                crc ^= table[usize::from(byte)];
            }
        }
        for byte in rest {
            crc = (crc >> 8) ^ TABLES[0][((crc ^ u32::from(*byte)) & 0xff) as usize];
        }
        Self(crc)
    }

    pub(super) const fn end(self) -> u32 {
        !self.0
    }
}

const fn tables() -> [[u32; 256]; 16] {
    let mut tables = [[0; 256]; 16];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 16 {
        byte = 0;
        while byte < 256 {
            let crc = tables[table - 1][byte];
            tables[table][byte] = (crc >> 8) ^ tables[0][(crc & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one_however_the_bytes_are_cut() {
        assert_eq!(Crc::new().with(b"123456789").end(), 0xcbf4_3926);
        let text = "The quick brown fox jumps over the lazy dog".as_bytes();
        for cut in 0..text.len() {
            let crc = Crc::new().with(&text[..cut]).with(&text[cut..]);
            assert_eq!(crc.end(), 0x414f_a339, "{cut}");
        }
    }
}
