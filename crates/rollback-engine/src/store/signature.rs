//! Signatures: what is stored to be run later is trusted only with one.
//!
//! HMAC-SHA-256 under a key that is never in the database. The key is derived from a secret (Django's `SECRET_KEY`, or
//! what the user gives instead) by HKDF-SHA-256 (RFC 5869) with a label of its own, so it is of no use elsewhere.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use rollback_core::MigrationId;
use sha2::Sha256;

/// The version of what is signed.
const FORMAT: &str = "django-rollback signature 1";
const DERIVATION: &[u8] = b"django-rollback key 1";
/// How a derived key is written, to be told from a secret.
const PREFIX: &str = "drk1_";

/// A secret text. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it begins as an exported key and is none.
    pub fn is_damaged_key(&self) -> bool {
        self.0.strip_prefix(PREFIX).is_some_and(|key| from_hex(key).is_none())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A key for signatures.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    bytes: [u8; 32],
    /// Names the key in the database, and says nothing about it.
    id: String,
}

impl Key {
    fn new(bytes: [u8; 32]) -> Self {
        let id = hex(&code(&bytes, &["key id"])[..8]);
        Self { bytes, id }
    }

    fn of(secret: &Secret) -> Self {
        let Secret(text) = secret;
        if let Some(bytes) = text.strip_prefix(PREFIX).and_then(from_hex) {
            return Self::new(bytes);
        }
        let mut bytes = [0; 32];
        Hkdf::<Sha256>::new(None, text.as_bytes())
            .expand(DERIVATION, &mut bytes)
            .expect("32 bytes are a length that HKDF can give");
        Self::new(bytes)
    }
}

/// The keys of one process: the first signs, all of them verify.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keyring(Vec<Key>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// A signature, with the name of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Which key.
    pub key_id: String,
    /// The code, in hex.
    pub code: String,
}

/// What a signature is over: a moved, swapped or foreign row has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// Identity of the database.
    pub database: &'a str,
    /// `capsule` or `release`.
    pub kind: &'a str,
    /// What it is about: a migration's app and name, or a release's commit.
    pub about: (&'a str, &'a str),
    /// Content address of the rest.
    pub hash: &'a str,
}

impl<'a> Signed<'a> {
    /// A capsule.
    pub fn capsule(database: &'a str, migration: &'a MigrationId, hash: &'a str) -> Self {
        Self { database, kind: "capsule", about: (&migration.app, &migration.name), hash }
    }
}

impl Keyring {
    /// Keys out of secrets; the first is the one that signs. Empty secrets are none.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s Secret>) -> Self {
        let secrets = secrets.into_iter().filter(|Secret(text)| !text.is_empty());
        Self(secrets.map(Key::of).collect())
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that signs, as text for a process that has no secret; `None` if there is no key.
    pub fn export(&self) -> Option<String> {
        self.0.first().map(|key| format!("{PREFIX}{}", hex(&key.bytes)))
    }

    /// Whether a signature is by the key that signs now.
    pub fn is_current(&self, signature: Option<&Signature>) -> bool {
        self.0.first().map(|key| &key.id) == signature.map(|signature| &signature.key_id)
    }

    /// Signs; `None` if there is no key.
    pub fn sign(&self, signed: &Signed<'_>) -> Option<Signature> {
        let key = self.0.first()?;
        Some(Signature { key_id: key.id.clone(), code: hex(&signature(key, signed)) })
    }

    /// What is wrong with a signature, as the end of a sentence; `None` if nothing is.
    pub fn distrust(&self, signed: &Signed<'_>, found: Option<&Signature>) -> Option<&'static str> {
        let Some(found) = found else { return Some("it is not signed") };
        let Some(key) = self.0.iter().find(|key| key.id == found.key_id) else {
            return Some("it is signed with a key that is not available");
        };
        let Some(code) = from_hex(&found.code) else { return Some("its signature is cut or damaged") };
        match mac(&key.bytes, &parts(key, signed)).verify_slice(&code) {
            Ok(()) => None,
            Err(_) => {
                Some("its signature does not fit: it was altered, moved, or copied from another database")
            }
        }
    }
}

fn parts<'a>(key: &'a Key, signed: &Signed<'a>) -> [&'a str; 7] {
    let Signed { database, kind, about: (first, second), hash } = *signed;
    [FORMAT, &key.id, database, kind, first, second, hash]
}

fn signature(key: &Key, signed: &Signed<'_>) -> [u8; 32] {
    code(&key.bytes, &parts(key, signed))
}

fn code(key: &[u8; 32], parts: &[&str]) -> [u8; 32] {
    mac(key, parts).finalize().into_bytes().into()
}

/// Each part with its length before it, so that no two lists of parts read the same.
fn mac(key: &[u8; 32], parts: &[&str]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(secrets: &[&str]) -> Keyring {
        Keyring::new(&secrets.iter().map(|text| Secret::new(*text)).collect::<Vec<_>>())
    }

    fn row<'a>(database: &'a str, kind: &'a str, about: (&'a str, &'a str), hash: &'a str) -> Signed<'a> {
        Signed { database, kind, about, hash }
    }

    #[test]
    fn a_signature_fits_what_was_signed_and_nothing_else() {
        let keys = ring(&["secret"]);
        let right = row("db", "capsule", ("shop", "0002"), "ab");
        let signature = keys.sign(&right);
        assert_eq!(keys.distrust(&right, signature.as_ref()), None);
        for other in [
            row("copy", "capsule", ("shop", "0002"), "ab"),
            row("db", "release", ("shop", "0002"), "ab"),
            row("db", "capsule", ("shop", "0003"), "ab"),
            row("db", "capsule", ("sho", "p0002"), "ab"),
            row("db", "capsule", ("shop", "0002"), "ac"),
        ] {
            assert!(keys.distrust(&other, signature.as_ref()).is_some(), "{other:?}");
        }
        assert_eq!(keys.distrust(&right, None), Some("it is not signed"));
    }

    #[test]
    fn an_older_secret_verifies_and_a_strange_one_does_not() {
        let signed = row("db", "capsule", ("shop", "0002"), "ab");
        let before = ring(&["old"]).sign(&signed);
        assert_eq!(ring(&["new", "old"]).distrust(&signed, before.as_ref()), None);
        let strange = ring(&["new"]).distrust(&signed, before.as_ref());
        assert_eq!(strange, Some("it is signed with a key that is not available"));
    }

    #[test]
    fn a_key_can_be_carried_elsewhere_without_its_secret() {
        let keys = ring(&["secret", "older"]);
        let exported = keys.export().expect("there is a key");
        assert!(exported.starts_with("drk1_") && !exported.contains("secret"));
        let signed = row("db", "capsule", ("shop", "0002"), "ab");
        assert_eq!(ring(&[&exported]).distrust(&signed, keys.sign(&signed).as_ref()), None);
    }

    #[test]
    fn no_key_is_shown() {
        let shown = format!("{:?} {:?}", ring(&["hush"]), Secret::new("hush"));
        assert!(!shown.contains("hush"), "{shown}");
        assert_eq!(ring(&[]).sign(&row("", "", ("", ""), "")), None);
        assert_eq!(ring(&[""]), ring(&[]));
    }
}
