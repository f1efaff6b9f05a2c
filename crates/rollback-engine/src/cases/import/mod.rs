//! Day one: releases that were deployed before anybody saved them, rebuilt from the tags in git.
//!
//! What a tag's commit had is read out of git, and held against what is applied (`rollback_core::past`). An imported
//! release is older than every release in the list, and never the current one; its schema is not known.

pub(super) mod error;
mod reading;
mod tags;

use std::collections::BTreeSet;

use rollback_core::legacy::newest_per_app;
use rollback_core::{
    APP_LABEL, AppliedRow, AppliedSet, CommitId, Evidence, MigrationFacts, MigrationId, NewCapsule, Past,
    Rebuilt, Tree,
};
use rollback_revision::{PassedOver, Repository};

pub use self::error::ImportError;
use self::reading::Reading;
use self::tags::Selection;
pub use self::tags::{Reason, Skipped, Tagged};
use super::error::CaseError;
use super::releases;
use super::unfinished::refuse_unfinished;
use crate::actor::Actor;
use crate::dialect::{LOCK_TIMEOUT, LockRequest};
use crate::ports::{Database, Purpose};
use crate::store::{
    CheckedCapsule, Event, Keyring, Listed, Operation, PastRelease, Store, StoreError, StoredRelease,
    capsules, checked_capsules,
};

/// What to import.
#[derive(Clone, Copy)]
pub struct ImportRequest<'a> {
    /// The tag to begin with; the oldest one if none is given.
    pub since: Option<&'a str>,
    /// Who imports.
    pub actor: &'a Actor,
    /// The keys that sign what is kept.
    pub keys: &'a Keyring,
}

/// What an import does: the same value is shown by a dry run and carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The releases, oldest first.
    pub releases: Vec<ImportedRelease>,
    /// The tags that give none.
    pub skipped: Vec<Skipped>,
    /// Folders of migrations that were not looked at, because another one has the same app label.
    pub passed_over: Vec<PassedOver>,
    /// The sources that are kept, of migrations of which nothing was kept.
    capsules: Vec<NewCapsule>,
    /// The rows that it was made from.
    rows: Vec<AppliedRow>,
    /// The releases that it was made from, newest first.
    known: Vec<StoredRelease>,
}

/// A release that was rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedRelease {
    /// Its commit, with its tags.
    pub tagged: Tagged,
    /// What was applied.
    pub rebuilt: Rebuilt,
    /// When the commit was made: seconds since 1970.
    committed_at: i64,
}

impl Import {
    /// The migrations whose source is kept.
    pub fn sources(&self) -> impl Iterator<Item = &MigrationId> {
        self.capsules.iter().map(|capsule| &capsule.facts.id)
    }

    /// What counts as applied at a release although no commit has a file for it.
    pub fn assumed(&self) -> BTreeSet<&MigrationId> {
        self.releases.iter().flat_map(|release| &release.rebuilt.assumed).collect()
    }
}

/// Rebuilds the releases of the tags that are older than those in the list, and saves them. Importing again imports
/// nothing.
pub fn import(
    database: &mut dyn Database,
    repository: &dyn Repository,
    request: &ImportRequest<'_>,
) -> Result<Import, CaseError> {
    // git is read before the lock is taken: whoever saves meanwhile makes what was prepared stale.
    const TRIES: u32 = 3;
    let mut tries = 1;
    loop {
        let import = prepare(database, repository, request)?;
        match carry_out(database, &import, request) {
            Err(CaseError::Store(StoreError::Stale)) if tries < TRIES => tries += 1,
            done => return done.map(|()| import),
        }
    }
}

/// What an import would do. Nothing is written.
pub fn prepare(
    database: &mut dyn Database,
    repository: &dyn Repository,
    request: &ImportRequest<'_>,
) -> Result<Import, CaseError> {
    let mut store = Store::open(database)?;
    refuse_unfinished(&mut store)?;
    let (known, rows) = (store.releases()?, store.applied_rows()?);
    if known.is_empty() {
        return Err(ImportError::NothingSaved.into());
    }
    let Selection { chosen, skipped } = tags::select(repository, &known, request.since)?;
    let mut import =
        Import { releases: Vec::new(), skipped, passed_over: Vec::new(), capsules: Vec::new(), rows, known };
    if !chosen.is_empty() {
        import.rebuild(&mut store, repository, chosen, request.keys)?;
    }
    Ok(import)
}

impl Import {
    /// Reads the chosen commits, and rebuilds their releases.
    fn rebuild(
        &mut self,
        store: &mut Store<'_>,
        repository: &dyn Repository,
        chosen: Vec<Tagged>,
        keys: &Keyring,
    ) -> Result<(), CaseError> {
        let oldest = self.known.last().ok_or(ImportError::NothingSaved)?;
        let (now, later) = (AppliedSet::of_rows(&self.rows), applied_at(store, oldest, &self.rows)?);
        let kept = store.newest_digests()?.into_keys().collect();
        let remembered = remembered(store, keys, &self.known)?;
        let mut reading = Reading::new(repository, &kept)?;
        let trees = read(&mut reading, &oldest.release.commit, &chosen)?;
        let has_rows = |app: &str| self.rows.iter().any(|row| row.migration.app == app);
        self.passed_over = reading.passed_over(has_rows);
        let (now, later, trees, remembered) = (&now, &later, &trees[..], &remembered[..]);
        let past = Past::new(Evidence { now, later, trees, remembered, own_app: APP_LABEL });
        for (place, tagged) in chosen.into_iter().enumerate() {
            match past.at(place) {
                Ok(rebuilt) => {
                    let committed_at = repository.committed_at(&tagged.commit)?;
                    self.releases.push(ImportedRelease { tagged, rebuilt, committed_at });
                }
                Err(lost) => self.skipped.push(Skipped { tagged, reason: Reason::Lost(lost) }),
            }
        }
        // Without a signature, sources would only stand in the way of whoever has the key.
        if !self.releases.is_empty() && !keys.is_empty() {
            let wanted = past.names_of_now();
            self.capsules = reading.into_capsules();
            self.capsules.retain(|new| wanted.contains(&new.facts.id));
        }
        Ok(())
    }
}

fn applied_at(
    store: &mut Store<'_>,
    oldest: &StoredRelease,
    rows: &[AppliedRow],
) -> Result<AppliedSet, CaseError> {
    releases::applied_at(store, oldest, rows, None)?.map_err(|uncertain| {
        let oldest = oldest.release.label();
        ImportError::Uncertain { oldest, reason: uncertain.to_string() }.into()
    })
}

/// What is kept of migrations says more about squashes than their text, where that is not enough.
fn remembered(
    store: &mut Store<'_>,
    keys: &Keyring,
    known: &[StoredRelease],
) -> Result<Vec<MigrationFacts>, CaseError> {
    let kept = checked_capsules(store, keys, known.first())?;
    let is_readable = |kept: &&CheckedCapsule| kept.is_trusted();
    Ok(kept.values().filter(is_readable).map(CheckedCapsule::trusted_facts).collect())
}

/// The files of the chosen commits, oldest first, and those of the release after them. Read from the newest on: of
/// several texts of a migration the newest is kept, and that of the release in the list before any other.
fn read(reading: &mut Reading<'_>, oldest: &CommitId, chosen: &[Tagged]) -> Result<Vec<Tree>, CaseError> {
    let mut trees = vec![reading.read(oldest)?];
    let head = reading.head().clone();
    if head != *oldest {
        reading.read(&head)?;
    }
    for tagged in chosen.iter().rev() {
        trees.push(reading.read(&tagged.commit)?);
    }
    trees.reverse();
    Ok(trees)
}

fn carry_out(
    database: &mut dyn Database,
    import: &Import,
    request: &ImportRequest<'_>,
) -> Result<(), CaseError> {
    if import.releases.is_empty() {
        return Ok(());
    }
    let mut store = Store::open(database)?;
    let lock = LockRequest::new("import", request.actor, LOCK_TIMEOUT);
    store.session.begin_locked_patiently(Purpose::Records, &lock)?;
    let written = write(&mut store, import, request);
    store.session.end(written)
}

/// Under the lock: looks whether all is as it was, then writes.
fn write(store: &mut Store<'_>, import: &Import, request: &ImportRequest<'_>) -> Result<(), CaseError> {
    refuse_unfinished(store)?;
    if store.applied_rows()? != import.rows || store.releases()? != import.known {
        return Err(StoreError::Stale.into());
    }
    for release in import.releases.iter().rev() {
        insert(store, release, &import.rows)?;
    }
    for release in &import.releases {
        let set = release.rebuilt.applied.encode().hash;
        store.write_operation(&operation(request.actor, &release.tagged, set))?;
    }
    keep(store, import, request.keys)
}

fn insert(store: &mut Store<'_>, release: &ImportedRelease, rows: &[AppliedRow]) -> Result<(), StoreError> {
    let ImportedRelease { tagged, rebuilt, committed_at } = release;
    let set = store.put_set(&rebuilt.applied)?;
    let mut rows = rows.to_vec();
    rows.retain(|row| rebuilt.applied.contains(&row.migration));
    store.insert_before_all(&PastRelease {
        commit: &tagged.commit,
        tags: &tagged.tags,
        set: &set,
        newest_per_app: newest_per_app(&rows),
        committed_at: *committed_at,
    })
}

/// Keeps the sources, but for those that somebody else has kept meanwhile, and lists them with the current release.
fn keep(store: &mut Store<'_>, import: &Import, keys: &Keyring) -> Result<(), CaseError> {
    let kept = store.newest_digests()?;
    for new in import.capsules.iter().filter(|new| !kept.contains_key(&new.facts.id)) {
        capsules::put(store, keys, new)?;
    }
    let now = AppliedSet::of_rows(&import.rows);
    let current = &import.known[0];
    let is_current = current.set_hash() == Some(&*now.encode().hash);
    if is_current && !capsules::has_manifest(store, keys, current, &now)? {
        capsules::set_manifest(store, keys, current, &now)?;
    }
    Ok(())
}

fn operation(actor: &Actor, tagged: &Tagged, set: String) -> Operation {
    let listed = Listed {
        from: None,
        to: Some(tagged.commit.clone()),
        tags: tagged.tags.clone(),
        from_set: None,
        to_set: Some(set),
    };
    Operation::new(Event::Import(listed), actor)
}
