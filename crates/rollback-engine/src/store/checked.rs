//! Reading capsules, and checking that each is what was written.

use std::collections::{BTreeMap, BTreeSet};

use rollback_core::plan::{Means, Way};
use rollback_core::{Capsule, MigrationFacts, MigrationId, Recording, Reverse};

use super::capsule_rows::CapsuleRow;
use super::capsules::signed_release;
use super::error::StoreError;
use super::manifest::Manifest;
use super::releases::StoredRelease;
use super::signature::{Keyring, Signed};
use super::tables::Store;

type Result<T> = std::result::Result<T, StoreError>;

/// A capsule, read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckedCapsule {
    /// What it says; only its name if it could not be read.
    pub(crate) facts: MigrationFacts,
    reverse: Option<Reverse>,
    /// Why it is not trusted, as the end of a sentence.
    distrust: Option<String>,
}

/// The capsule of every migration, checked: those that belong to the current release by its signed manifest, and the
/// newest of those that came after it.
pub(crate) fn checked_capsules(
    store: &mut Store<'_>,
    keys: &Keyring,
    current: Option<&StoredRelease>,
) -> Result<BTreeMap<MigrationId, CheckedCapsule>> {
    let identity = store.identity()?.unwrap_or_default();
    let rows = store.newest_capsules()?.into_iter().map(|row| (row.migration.clone(), row)).collect();
    let mut candidates = Candidates { rows, missing: BTreeSet::new() };
    let manifest = match current {
        Some(current) if !keys.is_empty() => candidates.manifest(store, keys, current, &identity)?,
        _ => Ok(None),
    };
    if let Ok(Some(manifest)) = &manifest {
        candidates.follow(store, manifest)?;
    }
    Ok(candidates.check(keys, &identity, manifest.err().as_deref()))
}

/// The rows that may be used, before their signatures are checked.
struct Candidates {
    rows: BTreeMap<MigrationId, CapsuleRow>,
    /// The migrations whose row in the manifest is missing.
    missing: BTreeSet<MigrationId>,
}

impl Candidates {
    /// The manifest of the current release, or why it is not trusted; nothing for a release that was saved without a key:
    /// that one says nothing about capsules.
    fn manifest(
        &self,
        store: &mut Store<'_>,
        keys: &Keyring,
        current: &StoredRelease,
        identity: &str,
    ) -> Result<std::result::Result<Option<Manifest>, String>> {
        let Some(hash) = current.manifest.as_deref().filter(|_| current.signature.is_some()) else {
            return Ok(Ok(None));
        };
        let what = |reason: &str| {
            format!("of the list that release {} was saved with, {reason}", current.release.label())
        };
        let signed = signed_release(identity, current, hash);
        if let Some(reason) = keys.distrust(&signed, current.signature.as_ref()) {
            return Ok(Err(what(reason)));
        }
        let manifest = store.archived(hash)?.and_then(|text| Manifest::from_text(&text));
        Ok(manifest.map(Some).map_err(|error| what(&error.to_string())))
    }

    /// Takes the rows that the manifest names in the places of newer ones.
    fn follow(&mut self, store: &mut Store<'_>, manifest: &Manifest) -> Result<()> {
        for (migration, digest) in manifest.digests() {
            if self.rows.get(&migration).is_some_and(|row| row.stored.hash == digest) {
                continue;
            }
            match store.capsule_with(digest)? {
                Some(row) if row.migration == migration => drop(self.rows.insert(migration, row)),
                _ => drop(self.missing.insert(migration)),
            }
        }
        Ok(())
    }

    fn check(
        mut self,
        keys: &Keyring,
        identity: &str,
        wrong_manifest: Option<&str>,
    ) -> BTreeMap<MigrationId, CheckedCapsule> {
        for migration in &self.missing {
            self.rows.entry(migration.clone()).or_insert_with(|| CapsuleRow::empty(migration));
        }
        let missing = |migration: &MigrationId| {
            let reason = "the row that the current release was saved with is missing";
            self.missing.contains(migration).then(|| reason.to_owned())
        };
        let checked = self.rows.into_iter().map(|(migration, row)| {
            let wrong = missing(&migration).or_else(|| wrong_manifest.map(str::to_owned));
            (migration, check(row, keys, identity, wrong))
        });
        checked.collect()
    }
}

fn check(row: CapsuleRow, keys: &Keyring, identity: &str, wrong: Option<String>) -> CheckedCapsule {
    let CapsuleRow { migration, stored, signature } = row;
    let capsule = Capsule::decode(&stored).map_err(|error| error.to_string()).and_then(|capsule| {
        if *capsule.id() == migration { Ok(capsule) } else { Err("it is about another migration".to_owned()) }
    });
    let signed = Signed::capsule(identity, &migration, &stored.hash);
    let forged = || {
        if keys.is_empty() { None } else { keys.distrust(&signed, signature.as_ref()).map(str::to_owned) }
    };
    match capsule {
        Ok(capsule) => CheckedCapsule {
            distrust: wrong.or_else(forged),
            facts: capsule.facts,
            reverse: Some(capsule.reverse),
        },
        Err(reason) => CheckedCapsule {
            facts: MigrationFacts::new(migration),
            reverse: None,
            distrust: Some(wrong.unwrap_or(reason)),
        },
    }
}

impl CheckedCapsule {
    /// Whether it is what was written. Without a key that cannot be checked, and everything is trusted.
    pub(crate) fn is_trusted(&self) -> bool {
        self.distrust.is_none()
    }

    /// What it says of the migration; nothing but its name if it is not trusted. Without a key that cannot be checked, and
    /// nothing that rests on it is carried out.
    pub(crate) fn trusted_facts(&self) -> MigrationFacts {
        match self.distrust {
            None => self.facts.clone(),
            Some(_) => MigrationFacts::new(self.facts.id.clone()),
        }
    }

    /// What there is to undo the migration with.
    pub(crate) fn means(&self, vendor: &str, has_key: bool) -> Means {
        let no_key = || {
            "its signature cannot be checked: no key available (set DJANGO_ROLLBACK_KEY, or use `--key-file`)"
                .to_owned()
        };
        let source = match &self.facts.source {
            _ if !has_key => Err(no_key()),
            Some(_) => Ok(()),
            None => Err("its source was missing when it was saved".to_owned()),
        };
        let sql = match &self.reverse {
            _ if !has_key => Err(no_key()),
            None => Err("it cannot be read".to_owned()),
            Some(Reverse::Missing { reason }) => Err(reason.clone()),
            Some(Reverse::Recorded { vendor: recorded, .. }) if recorded != vendor => {
                Err(format!("its SQL was recorded on {recorded}"))
            }
            Some(Reverse::Recorded { .. }) => Ok(()),
        };
        Means { sql, source, distrust: self.distrust.clone(), release: None }
    }

    /// Content address of what a step by this way is done with.
    pub(crate) fn content(&self, way: Way) -> &str {
        match (&self.reverse, way) {
            (Some(Reverse::Recorded { hash, .. }), Way::Sql) => hash,
            _ => self.facts.source.as_deref().unwrap_or_default(),
        }
    }

    /// Its recorded SQL, or why it cannot be used.
    pub(crate) fn recording(&self, store: &mut Store<'_>) -> Result<std::result::Result<Recording, String>> {
        let Some(Reverse::Recorded { hash, .. }) = &self.reverse else {
            return Ok(Err("it has no recorded SQL".to_owned()));
        };
        let recording = store.archived(hash)?.and_then(|text| Recording::from_text(&text));
        Ok(recording.map_err(|error| format!("of its recorded SQL, {error}")))
    }

    /// Its archived source, or why it cannot be used.
    pub(crate) fn source(&self, store: &mut Store<'_>) -> Result<std::result::Result<String, String>> {
        let Some(hash) = &self.facts.source else { return Ok(Err("it has no archived source".to_owned())) };
        Ok(store.archived(hash)?.map_err(|error| format!("of its archived source, {error}")))
    }
}
