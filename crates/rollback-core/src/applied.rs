//! Applied sets: the rows of `django_migrations`, and the form in which a release keeps them.

use std::collections::BTreeSet;
use std::collections::btree_set;

use serde::{Deserialize, Serialize};

use crate::migration::MigrationId;
use crate::stored::{Stored, StoredError};

/// One row of `django_migrations`.
///
/// The id gives the order in which the rows of this table were inserted, and says nothing about the graph.
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

    /// Whether no migration is applied.
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

    /// The stored form: `{"format":1,"applied":[["auth","0001_initial"],…]}`, sorted. Two deploys with
    /// the same migrations share one.
    pub fn encode(&self) -> Stored {
        Stored::of(&Document { format: FORMAT, applied: self.0.iter().cloned().collect() })
    }

    /// Reads a set back. Checks its content against its hash.
    pub fn decode(stored: &Stored) -> Result<Self, StoredError> {
        let document: Document = stored.read(FORMAT)?;
        Ok(document.applied.into_iter().collect())
    }
}

impl FromIterator<MigrationId> for AppliedSet {
    fn from_iter<I: IntoIterator<Item = MigrationId>>(migrations: I) -> Self {
        Self(migrations.into_iter().collect())
    }
}

/// The version of the stored form that this code writes.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    applied: Vec<MigrationId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_goes_round_and_its_order_does_not_matter() {
        let set: AppliedSet =
            [MigrationId::new("shop", "0001_initial"), MigrationId::new("auth", "0001_\"quoted\"")]
                .into_iter()
                .collect();
        let stored = set.encode();
        assert_eq!(
            stored.body,
            r#"{"format":1,"applied":[["auth","0001_\"quoted\""],["shop","0001_initial"]]}"#
        );
        assert_eq!(AppliedSet::decode(&stored), Ok(set.clone()));
        let other_way: AppliedSet = set.iter().rev().cloned().collect();
        assert_eq!(other_way.encode().hash, stored.hash);
    }
}
