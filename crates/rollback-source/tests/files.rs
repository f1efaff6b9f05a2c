//! Files as bytes: encodings, line ends, and what is not text.

use rollback_source::{NoModules, decode, read};

const TEXT: &str = "\
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [('shop', '0001')]
    operations = [migrations.RunSQL('SELECT 1', 'SELECT 2')]
";

/// `1 operation`, or why the file cannot be read.
fn said(bytes: &[u8]) -> String {
    match read("shop.migrations.0002", &decode(bytes.to_vec()), &NoModules) {
        Ok(source) => format!("{} operation", source.operations.len()),
        Err(error) => error.reason,
    }
}

#[test]
fn texts_of_all_kinds() {
    assert_eq!(said(TEXT.as_bytes()), "1 operation");
    assert_eq!(said(TEXT.replace('\n', "\r\n").as_bytes()), "1 operation");
    assert_eq!(said(&[b"\xef\xbb\xbf", TEXT.as_bytes()].concat()), "1 operation");
    assert_eq!(said(&[b"# -*- coding: latin-1 -*-\n# caf\xe9\n", TEXT.as_bytes()].concat()), "1 operation");
}

#[test]
fn what_is_not_text() {
    const NOT_TEXT: &str = "is not UTF-8, or contains a null character";
    assert_eq!(said(b"\x00\x01\xff this is ] not Python"), NOT_TEXT);
    let wide: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(said(&[b"\xff\xfe".to_vec(), wide].concat()), NOT_TEXT);
    // Python: `'utf-8' codec can't decode byte 0xe9`.
    assert_eq!(said(&[TEXT.as_bytes(), b"# caf\xe9\n"].concat()), NOT_TEXT);
}

#[test]
fn a_file_that_is_too_long() {
    let text = format!("{}\n{TEXT}", "#".repeat(5 << 20));
    assert_eq!(said(text.as_bytes()), "is longer than 4 MiB");
}
