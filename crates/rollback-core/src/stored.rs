//! Documents as they are stored: JSON with a format number, under the SHA-256 of its bytes.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A document under its content address. Equal documents are stored once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The SHA-256 of `body`, 64 lower-case hex digits.
    pub hash: String,
    /// The document: JSON without spaces.
    pub body: String,
}

/// Why a stored document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// Its content has changed.
    #[error("its content does not match its hash {hash}")]
    Hash {
        /// The hash under which it is stored.
        hash: String,
    },
    /// It is missing.
    #[error("it is missing")]
    Missing,
    /// Its hash is right, but its content cannot be read.
    #[error("it is not a valid document: {0}")]
    Document(String),
    /// It was written by a newer version.
    #[error("it has format {found}, but this version reads at most format {known}")]
    Newer {
        /// The format it has.
        found: u32,
        /// The newest format that this version reads.
        known: u32,
    },
}

#[derive(Deserialize)]
struct Header {
    format: u32,
}

impl Stored {
    /// The stored form of a document.
    pub fn of(document: &impl Serialize) -> Self {
        let body = serde_json::to_string(document)
            .expect("our documents are strings and numbers: always valid JSON");
        Self { hash: hash(&body), body }
    }

    /// Reads the document back. Checks its content against its hash, and its format against `known`.
    pub fn read<T: DeserializeOwned>(&self, known: u32) -> Result<T, StoredError> {
        if hash(&self.body) != self.hash {
            return Err(StoredError::Hash { hash: self.hash.clone() });
        }
        let not_ours = |error: serde_json::Error| StoredError::Document(error.to_string());
        let Header { format } = serde_json::from_str(&self.body).map_err(not_ours)?;
        if format > known {
            return Err(StoredError::Newer { found: format, known });
        }
        serde_json::from_str(&self.body).map_err(not_ours)
    }
}

/// The SHA-256 of a text, as 64 lower-case hex digits.
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_noticed() {
        let mut stored = Stored::of(&serde_json::json!({ "format": 1, "applied": ["shop"] }));
        stored.body = stored.body.replace("shop", "shep");
        assert!(matches!(stored.read::<serde_json::Value>(1), Err(StoredError::Hash { .. })));
    }

    #[test]
    fn a_newer_format_is_refused_whatever_else_it_holds() {
        let stored = Stored::of(&serde_json::json!({ "format": 2, "delta": {} }));
        assert_eq!(stored.read::<serde_json::Value>(1), Err(StoredError::Newer { found: 2, known: 1 }));
    }

    #[test]
    fn a_foreign_document_is_refused() {
        let stored = Stored::of(&serde_json::json!([]));
        assert!(matches!(stored.read::<serde_json::Value>(1), Err(StoredError::Document(_))));
    }
}
