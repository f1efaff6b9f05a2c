//! Keeping what undoes a migration without its file, and taking it out again only when it is what was put there.

use std::collections::BTreeMap;

use rollback_core::plan::{Means, Way};
use rollback_core::{
    AppliedSet, Capsule, MigrationFacts, MigrationId, NewCapsule, NewRecording, Recording, Reverse,
};

use crate::archive;
use crate::error::EngineError;
use crate::ports::Dialect;
use crate::signature::{Keyring, Signed};
use crate::store::{CapsuleRow, Manifest, SetSource, Store, StoredRelease};

/// A capsule, read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// What it says; only its name where it could not be read.
    pub(crate) facts: MigrationFacts,
    reverse: Option<Reverse>,
    /// Why it is not to be trusted, as the end of a sentence.
    distrust: Option<String>,
}

/// The name of a database's kind in capsules: as Django has it.
pub(crate) fn vendor(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "sqlite",
        Dialect::Postgres => "postgresql",
    }
}

/// Keeps what undoes a migration. Inside a transaction.
pub(crate) fn put(store: &mut Store<'_>, keys: &Keyring, new: &NewCapsule) -> Result<(), EngineError> {
    let mut facts = new.facts.clone();
    facts.source = None;
    let source = new.text.as_deref().and_then(archive::pack);
    if let Some(packed) = &source {
        store.put_archived(packed)?;
        facts.source = Some(packed.hash.clone());
    }
    let reverse = match &new.recording {
        NewRecording::Missing { reason } => Reverse::Missing { reason: reason.clone() },
        NewRecording::Recorded(recording) => put_recording(store, recording)?,
    };
    let capsule =
        Capsule { facts, operations: new.operations.clone(), imports: new.imports.clone(), reverse };
    let stored = capsule.encode();
    let identity = store.ensure_identity()?;
    let signature = keys.sign(&Signed::capsule(&identity, capsule.id(), &stored.hash));
    store.put_capsule(&CapsuleRow { migration: capsule.id().clone(), stored, signature })
}

fn put_recording(store: &mut Store<'_>, recording: &Recording) -> Result<Reverse, EngineError> {
    if let Some(statement) = recording.refused_statement() {
        return Ok(Reverse::Missing {
            reason: format!("its SQL has {statement}, which no transaction takes"),
        });
    }
    let Some(packed) = archive::pack(&recording.to_text()) else {
        return Ok(Reverse::Missing { reason: "its SQL is too long to be kept".to_owned() });
    };
    store.put_archived(&packed)?;
    Ok(Reverse::Recorded { vendor: vendor(store.dialect()).to_owned(), hash: packed.hash })
}

/// The applied migrations of which nothing is kept.
pub(crate) fn missing(store: &mut Store<'_>, applied: &AppliedSet) -> Result<AppliedSet, EngineError> {
    let known: AppliedSet = store.newest_digests()?.into_keys().collect();
    Ok(applied.minus(&known).cloned().collect())
}

/// What the newest capsules say of migrations, whether or not they are to be trusted: enough to put names into order.
pub(crate) fn facts(store: &mut Store<'_>) -> Result<Vec<MigrationFacts>, EngineError> {
    let rows = store.newest_capsules()?;
    let facts = rows.iter().filter_map(|row| Capsule::decode(&row.stored).ok()).map(|capsule| capsule.facts);
    Ok(facts.collect())
}

/// Which capsules belong to a release that has these migrations.
pub(crate) fn manifest(store: &mut Store<'_>, applied: &AppliedSet) -> Result<Manifest, EngineError> {
    let digests = store.newest_digests()?;
    Ok(Manifest::of(digests.iter().filter(|(migration, _)| applied.contains(migration))))
}

/// Gives a release the manifest of now, signed.
pub(crate) fn set_manifest(
    store: &mut Store<'_>,
    keys: &Keyring,
    stored: &StoredRelease,
    applied: &AppliedSet,
) -> Result<(), EngineError> {
    sign_again(store, keys)?;
    let Some(packed) = archive::pack(&manifest(store, applied)?.to_text()) else { return Ok(()) };
    store.put_archived(&packed)?;
    let identity = store.ensure_identity()?;
    let signature = keys.sign(&signed_release(&identity, stored, &packed.hash));
    store.set_manifest(stored.release.id, &packed.hash, signature.as_ref())
}

/// After a change of the key: what an older one vouches for gets a signature by the new one.
fn sign_again(store: &mut Store<'_>, keys: &Keyring) -> Result<(), EngineError> {
    let identity = store.ensure_identity()?;
    for row in store.newest_capsules()? {
        let signed = Signed::capsule(&identity, &row.migration, &row.stored.hash);
        let is_older = !keys.is_current(row.signature.as_ref());
        if is_older && keys.distrust(&signed, row.signature.as_ref()).is_none() {
            let signature = keys.sign(&signed);
            store.put_capsule(&CapsuleRow { signature, ..row })?;
        }
    }
    Ok(())
}

/// Whether a release has the manifest of now, under a signature of ours.
pub(crate) fn has_manifest(
    store: &mut Store<'_>,
    keys: &Keyring,
    stored: &StoredRelease,
    applied: &AppliedSet,
) -> Result<bool, EngineError> {
    if keys.is_empty() {
        return Ok(true);
    }
    let now = manifest(store, applied)?.to_text();
    let Some(found) = &stored.manifest else { return Ok(false) };
    let Some(identity) = store.identity()? else { return Ok(false) };
    let signed = signed_release(&identity, stored, found);
    Ok(rollback_core::stored::hash(&now) == *found
        && keys.is_current(stored.signature.as_ref())
        && keys.distrust(&signed, stored.signature.as_ref()).is_none())
}

fn signed_release<'a>(identity: &'a str, stored: &'a StoredRelease, manifest: &'a str) -> Signed<'a> {
    let set = match &stored.set {
        SetSource::Stored { hash, .. } => hash,
        SetSource::Original { .. } => "",
    };
    Signed {
        database: identity,
        kind: "release",
        about: (stored.release.commit.as_str(), set),
        hash: manifest,
    }
}

/// What is kept of every migration, checked: those that belong to the current release by its signed manifest, and the
/// newest of those that came after it.
pub(crate) fn kept(
    store: &mut Store<'_>,
    keys: &Keyring,
    current: Option<&StoredRelease>,
) -> Result<BTreeMap<MigrationId, Kept>, EngineError> {
    let identity = store.identity()?.unwrap_or_default();
    let mut rows: BTreeMap<MigrationId, CapsuleRow> =
        store.newest_capsules()?.into_iter().map(|row| (row.migration.clone(), row)).collect();
    let mut wrong: BTreeMap<MigrationId, String> = BTreeMap::new();
    let mut manifest_is_wrong = None;
    if let Some((stored, hash)) = current.and_then(|stored| Some((stored, stored.manifest.as_ref()?)))
        && !keys.is_empty()
        && (stored.signature.is_some() || !rows.is_empty())
    {
        match signed_manifest(store, keys, stored, hash, &identity)? {
            // A release that was saved where no key was: it says nothing about capsules.
            Ok(None) => {}
            Ok(Some(manifest)) => {
                for (migration, digest) in manifest.digests() {
                    if rows.get(&migration).is_some_and(|row| row.stored.hash == digest) {
                        continue;
                    }
                    match store.capsule_with(digest)? {
                        Some(row) if row.migration == migration => drop(rows.insert(migration, row)),
                        _ => drop(wrong.insert(
                            migration,
                            "the row that the current release was saved with is missing".to_owned(),
                        )),
                    }
                }
            }
            Err(reason) => manifest_is_wrong = Some(reason),
        }
    }
    for migration in
        wrong.keys().filter(|migration| !rows.contains_key(migration)).cloned().collect::<Vec<_>>()
    {
        let stored = rollback_core::Stored { hash: String::new(), body: String::new() };
        rows.insert(migration.clone(), CapsuleRow { migration, stored, signature: None });
    }
    Ok(rows
        .into_iter()
        .map(|(migration, row)| {
            let wrong = wrong.remove(&migration).or_else(|| manifest_is_wrong.clone());
            (migration, check(row, keys, &identity, wrong))
        })
        .collect())
}

/// The manifest of a release, or why it is not to be trusted; nothing where the release is not signed.
fn signed_manifest(
    store: &mut Store<'_>,
    keys: &Keyring,
    stored: &StoredRelease,
    hash: &str,
    identity: &str,
) -> Result<Result<Option<Manifest>, String>, EngineError> {
    if stored.signature.is_none() {
        return Ok(Ok(None));
    }
    let what = |reason: &str| {
        format!("of the list that release {} was saved with, {reason}", stored.release.label())
    };
    if let Some(reason) = keys.distrust(&signed_release(identity, stored, hash), stored.signature.as_ref()) {
        return Ok(Err(what(reason)));
    }
    let manifest = store.archived(hash)?.and_then(|text| Manifest::from_text(&text));
    Ok(manifest.map(Some).map_err(|error| what(&error.to_string())))
}

fn check(row: CapsuleRow, keys: &Keyring, identity: &str, wrong: Option<String>) -> Kept {
    let CapsuleRow { migration, stored, signature } = row;
    let capsule = Capsule::decode(&stored).map_err(|error| error.to_string()).and_then(|capsule| {
        if *capsule.id() == migration { Ok(capsule) } else { Err("it is about another migration".to_owned()) }
    });
    let signed = Signed::capsule(identity, &migration, &stored.hash);
    let forged = || {
        if keys.is_empty() { None } else { keys.distrust(&signed, signature.as_ref()).map(str::to_owned) }
    };
    match capsule {
        Ok(capsule) => {
            Kept { distrust: wrong.or_else(forged), facts: capsule.facts, reverse: Some(capsule.reverse) }
        }
        Err(reason) => Kept {
            facts: MigrationFacts::new(migration),
            reverse: None,
            distrust: Some(wrong.unwrap_or(reason)),
        },
    }
}

impl Kept {
    /// Whether it is what was put there. Without a key nobody can tell, and everything is believed.
    pub(crate) fn is_trusted(&self) -> bool {
        self.distrust.is_none()
    }

    /// What it says of the migration; nothing but its name where it is not to be trusted. Without a key nobody can tell,
    /// and nothing that rests on it is carried out.
    pub(crate) fn trusted_facts(&self) -> MigrationFacts {
        match self.distrust {
            None => self.facts.clone(),
            Some(_) => MigrationFacts::new(self.facts.id.clone()),
        }
    }

    /// What there is to undo the migration with.
    pub(crate) fn means(&self, dialect: Dialect, has_key: bool) -> Means {
        let no_key = || {
            "its signature cannot be checked: no key is here (DJANGO_ROLLBACK_KEY, `--key-file`)".to_owned()
        };
        let source = match &self.facts.source {
            _ if !has_key => Err(no_key()),
            Some(_) => Ok(()),
            None => Err("its source was not there when it was saved".to_owned()),
        };
        let sql = match &self.reverse {
            _ if !has_key => Err(no_key()),
            None => Err("it cannot be read".to_owned()),
            Some(Reverse::Missing { reason }) => Err(reason.clone()),
            Some(Reverse::Recorded { vendor: recorded, .. }) if recorded != vendor(dialect) => {
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
    pub(crate) fn recording(&self, store: &mut Store<'_>) -> Result<Result<Recording, String>, EngineError> {
        let Some(Reverse::Recorded { hash, .. }) = &self.reverse else {
            return Ok(Err("it has no recorded SQL".to_owned()));
        };
        let recording = store.archived(hash)?.and_then(|text| Recording::from_text(&text));
        Ok(recording.map_err(|error| format!("of its recorded SQL, {error}")))
    }

    /// Its archived source, or why it cannot be used.
    pub(crate) fn source(&self, store: &mut Store<'_>) -> Result<Result<String, String>, EngineError> {
        let Some(hash) = &self.facts.source else { return Ok(Err("it has no archived source".to_owned())) };
        Ok(store.archived(hash)?.map_err(|error| format!("of its archived source, {error}")))
    }
}
