//! Writing capsules, and the signed manifest of the current release.

use rollback_core::{
    AppliedSet, Capsule, MigrationFacts, NewCapsule, NewRecording, Recording, Reverse, stored,
};

use super::archive;
use super::capsule_rows::CapsuleRow;
use super::error::StoreError;
use super::manifest::Manifest;
use super::releases::{SetSource, StoredRelease};
use super::signature::{Keyring, Signed};
use super::tables::Store;

/// Keeps what undoes a migration. Inside a transaction.
pub(crate) fn put(store: &mut Store<'_>, keys: &Keyring, new: &NewCapsule) -> Result<(), StoreError> {
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

fn put_recording(store: &mut Store<'_>, recording: &Recording) -> Result<Reverse, StoreError> {
    if let Some(statement) = recording.refused_statement() {
        return Ok(Reverse::Missing {
            reason: format!("its SQL has {statement}, which no transaction takes"),
        });
    }
    let Some(packed) = archive::pack(&recording.to_text()) else {
        return Ok(Reverse::Missing { reason: "its SQL is too long to be kept".to_owned() });
    };
    store.put_archived(&packed)?;
    Ok(Reverse::Recorded { vendor: store.session.rules().vendor().to_owned(), hash: packed.hash })
}

/// The applied migrations of which nothing is kept.
pub(crate) fn missing(store: &mut Store<'_>, applied: &AppliedSet) -> Result<AppliedSet, StoreError> {
    let known: AppliedSet = store.newest_digests()?.into_keys().collect();
    Ok(applied.minus(&known).cloned().collect())
}

/// What the newest capsules say of migrations, whether or not they are to be trusted: enough to put names into order.
pub(crate) fn facts(store: &mut Store<'_>) -> Result<Vec<MigrationFacts>, StoreError> {
    let rows = store.newest_capsules()?;
    let facts = rows.iter().filter_map(|row| Capsule::decode(&row.stored).ok()).map(|capsule| capsule.facts);
    Ok(facts.collect())
}

/// Which capsules belong to a release that has these migrations.
pub(crate) fn manifest(store: &mut Store<'_>, applied: &AppliedSet) -> Result<Manifest, StoreError> {
    let digests = store.newest_digests()?;
    Ok(Manifest::of(digests.iter().filter(|(migration, _)| applied.contains(migration))))
}

/// Gives a release the manifest of now, signed.
pub(crate) fn set_manifest(
    store: &mut Store<'_>,
    keys: &Keyring,
    stored: &StoredRelease,
    applied: &AppliedSet,
) -> Result<(), StoreError> {
    sign_again(store, keys)?;
    let Some(packed) = archive::pack(&manifest(store, applied)?.to_text()) else { return Ok(()) };
    store.put_archived(&packed)?;
    let identity = store.ensure_identity()?;
    let signature = keys.sign(&signed_release(&identity, stored, &packed.hash));
    store.set_manifest(stored.release.id, &packed.hash, signature.as_ref())
}

/// After a change of the key: what an older one vouches for gets a signature by the new one.
fn sign_again(store: &mut Store<'_>, keys: &Keyring) -> Result<(), StoreError> {
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
) -> Result<bool, StoreError> {
    if keys.is_empty() {
        return Ok(true);
    }
    let now = manifest(store, applied)?.to_text();
    let Some(found) = &stored.manifest else { return Ok(false) };
    let Some(identity) = store.identity()? else { return Ok(false) };
    let signed = signed_release(&identity, stored, found);
    Ok(stored::hash(&now) == *found
        && keys.is_current(stored.signature.as_ref())
        && keys.distrust(&signed, stored.signature.as_ref()).is_none())
}

/// What the signature of a release's manifest covers.
pub(super) fn signed_release<'a>(
    identity: &'a str,
    stored: &'a StoredRelease,
    manifest: &'a str,
) -> Signed<'a> {
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
