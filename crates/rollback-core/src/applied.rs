//! Applied sets: the rows of `django_migrations`, and the form in which a release keeps them.

use std::collections::BTreeSet;
use std::collections::btree_set;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::migration::MigrationId;

/// One row of `django_migrations`.
///
/// The id says in which order the rows of this table were inserted, and nothing about the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedRow {
    /// The row's primary key.
    pub id: i64,
    /// The migration that is applied.
    pub migration: MigrationId,
}

/// All migrations that are applied at one moment: the only truth about what is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedSet(BTreeSet<MigrationId>);

impl AppliedSet {
    /// The set of these rows.
    pub fn of_rows(rows: &[AppliedRow]) -> Self {
        rows.iter().map(|row| row.migration.clone()).collect()
    }

    /// How many migrations are applied.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `migration` is applied.
    pub fn contains(&self, migration: &MigrationId) -> bool {
        self.0.contains(migration)
    }

    /// The migrations by app label, then name.
    pub fn iter(&self) -> btree_set::Iter<'_, MigrationId> {
        self.0.iter()
    }

    /// What is applied here and not in `other`, by app label, then name.
    pub fn minus<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a MigrationId> {
        self.0.difference(&other.0)
    }

    /// The form in which it is stored.
    pub fn encode(&self) -> StoredSet {
        let document = Document { format: StoredSet::FORMAT, applied: self.0.iter().cloned().collect() };
        let body = serde_json::to_string(&document).expect("a list of pairs of strings is always valid JSON");
        StoredSet { hash: hash(&body), body }
    }
}

impl FromIterator<MigrationId> for AppliedSet {
    fn from_iter<I: IntoIterator<Item = MigrationId>>(migrations: I) -> Self {
        Self(migrations.into_iter().collect())
    }
}

/// An applied set as it is stored: `{"format":1,"applied":[["auth","0001_initial"],…]}`, sorted, without spaces,
/// under the SHA-256 of those bytes. Two deploys with the same migrations share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSet {
    /// The SHA-256 of `body`, 64 lower-case hex digits.
    pub hash: String,
    /// The document.
    pub body: String,
}

/// Why a stored set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredSetError {
    /// Its bytes are not those that its hash was taken from.
    #[error("its bytes do not match its hash {hash}")]
    Hash {
        /// The hash under which it is stored.
        hash: String,
    },
    /// Its hash is right, yet it is no document of ours.
    #[error("it is not a document of ours: {0}")]
    Document(String),
    /// It was written by a newer version.
    #[error("it has format {found}, and this version reads up to {known}")]
    Newer {
        /// The format it has.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    applied: Vec<MigrationId>,
}

#[derive(Deserialize)]
struct Header {
    format: u32,
}

impl StoredSet {
    /// The version of the stored form that this code writes.
    pub const FORMAT: u32 = 1;

    /// Reads the set back, after its bytes were checked against its hash.
    pub fn decode(&self) -> Result<AppliedSet, StoredSetError> {
        if hash(&self.body) != self.hash {
            return Err(StoredSetError::Hash { hash: self.hash.clone() });
        }
        let not_ours = |error: serde_json::Error| StoredSetError::Document(error.to_string());
        let Header { format } = serde_json::from_str(&self.body).map_err(not_ours)?;
        if format > Self::FORMAT {
            return Err(StoredSetError::Newer { found: format, known: Self::FORMAT });
        }
        let document: Document = serde_json::from_str(&self.body).map_err(not_ours)?;
        Ok(document.applied.into_iter().collect())
    }
}

/// The SHA-256 of a text in lower-case hex: the content address of everything that is stored.
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> AppliedSet {
        [MigrationId::new("shop", "0001_initial"), MigrationId::new("auth", "0001_\"quoted\"")]
            .into_iter()
            .collect()
    }

    #[test]
    fn a_set_goes_round_and_its_order_does_not_matter() {
        let stored = set().encode();
        assert_eq!(
            stored.body,
            r#"{"format":1,"applied":[["auth","0001_\"quoted\""],["shop","0001_initial"]]}"#
        );
        assert_eq!(stored.decode().unwrap(), set());
        let other_way: AppliedSet = set().iter().rev().cloned().collect();
        assert_eq!(other_way.encode().hash, stored.hash);
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let mut stored = set().encode();
        stored.body = stored.body.replace("shop", "shep");
        assert!(matches!(stored.decode(), Err(StoredSetError::Hash { .. })));
    }

    #[test]
    fn a_newer_format_is_refused_whatever_else_it_holds() {
        let body = r#"{"format":2,"delta":{}}"#.to_owned();
        let stored = StoredSet { hash: hash(&body), body };
        assert_eq!(stored.decode(), Err(StoredSetError::Newer { found: 2, known: 1 }));
    }

    #[test]
    fn a_foreign_document_is_refused() {
        let body = "[]".to_owned();
        let stored = StoredSet { hash: hash(&body), body };
        assert!(matches!(stored.decode(), Err(StoredSetError::Document(_))));
    }
}
