//! Texts that are kept to be run later: the sources of migrations and the SQL that undoes them, compressed, each under
//! the SHA-256 of its text.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use rollback_core::{Stored, StoredError, stored};

/// No text is longer, in bytes. What is longer is not kept, and a row that would become longer is not read.
pub(super) const LONGEST: usize = 4 << 20;

/// No packed text is longer, in bytes: base64 and zlib make a text that cannot be compressed a third longer.
pub(super) const LONGEST_PACKED: usize = LONGEST / 3 * 4 + (64 << 10);

/// Packs a text, unless it is too long to be kept.
pub(super) fn pack(text: &str) -> Option<Stored> {
    if text.len() > LONGEST {
        return None;
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("writing into memory does not fail");
    let packed = encoder.finish().expect("writing into memory does not fail");
    Some(Stored { hash: stored::hash(text), body: STANDARD.encode(packed) })
}

/// Unpacks a text, and checks it against its hash.
pub(super) fn unpack(packed: &Stored) -> Result<String, StoredError> {
    let damaged = || StoredError::Hash { hash: packed.hash.clone() };
    if packed.body.len() > LONGEST_PACKED {
        return Err(damaged());
    }
    let bytes = STANDARD.decode(&packed.body).map_err(|_| damaged())?;
    let mut text = String::new();
    // One byte more than fits: a text of exactly that length is too long.
    let limited = ZlibDecoder::new(&bytes[..]).take(LONGEST as u64 + 1).read_to_string(&mut text);
    limited.map_err(|_| damaged())?;
    if text.len() > LONGEST || stored::hash(&text) != packed.hash {
        return Err(damaged());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_as_it_was() {
        for text in ["", "class Migration:\n", "größer \u{0}", &"x".repeat(LONGEST)] {
            assert_eq!(unpack(&pack(text).expect("not too long")).as_deref(), Ok(text));
        }
        assert_eq!(pack(&"x".repeat(LONGEST + 1)), None);
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b'x'; 64 << 20]).expect("writing into memory does not fail");
        let body = STANDARD.encode(encoder.finish().expect("writing into memory does not fail"));
        let hash = stored::hash(&"x".repeat(64 << 20));
        assert_eq!(unpack(&Stored { hash: hash.clone(), body }), Err(StoredError::Hash { hash }));
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let packed = pack("DROP TABLE shop_item").expect("not too long");
        for place in 0..packed.body.len() {
            let mut bytes = packed.body.clone().into_bytes();
            bytes[place] ^= 1;
            let body = String::from_utf8_lossy(&bytes).into_owned();
            assert!(unpack(&Stored { body, ..packed.clone() }).is_err(), "byte {place}");
        }
    }
}
