//! The manifest of a release: which capsules belong to it.

use std::collections::BTreeMap;

use rollback_core::{MigrationId, StoredError};
use serde::{Deserialize, Serialize};

/// Which capsule of each migration belongs to a release. Without it an older, properly signed row could be put in the
/// place of a newer one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    capsules: Vec<(String, String, String)>,
}

const FORMAT: u32 = 1;

impl Manifest {
    /// The manifest of these migrations, each with the content address of its capsule.
    pub(crate) fn of<'r>(digests: impl IntoIterator<Item = (&'r MigrationId, &'r String)>) -> Self {
        let entry = |(migration, digest): (&MigrationId, &String)| {
            (migration.app.clone(), migration.name.clone(), digest.clone())
        };
        let mut capsules: Vec<_> = digests.into_iter().map(entry).collect();
        capsules.sort();
        Self { format: FORMAT, capsules }
    }

    /// Its text.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("names and hashes are strings: always valid JSON")
    }

    /// Reads its text.
    pub(crate) fn from_text(text: &str) -> Result<Self, StoredError> {
        let manifest: Self =
            serde_json::from_str(text).map_err(|error| StoredError::Document(error.to_string()))?;
        if manifest.format > FORMAT {
            return Err(StoredError::Newer { found: manifest.format, known: FORMAT });
        }
        Ok(manifest)
    }

    /// The content address of each migration's capsule.
    pub(crate) fn digests(&self) -> BTreeMap<MigrationId, &str> {
        let entries = self.capsules.iter();
        entries.map(|(app, name, digest)| (MigrationId::new(app, name), digest.as_str())).collect()
    }
}
